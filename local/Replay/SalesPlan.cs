using System.Security.Cryptography;
using System.Text;

namespace Marketplace.Local.Replay;

/// <summary>A product of the replay: a code at a price. A third of the codes were sold at several prices in a day.</summary>
public sealed record SoldProduct(Guid ProductId, string StockCode, long PriceMinor, string Title, int Demand);

public sealed record SoldLine(SoldProduct Product, int Quantity);

/// <summary>One checkout: an invoice, or a part of one that does not fit into a cart.</summary>
public sealed record SoldOrder(string Invoice, int Part, IReadOnlyList<SoldLine> Lines)
{
    public long TotalMinor => Lines.Sum(line => line.Quantity * line.Product.PriceMinor);
    public int Units => Lines.Sum(line => line.Quantity);
}

/// <summary>Somebody with invoices to send, in the order of time. No customer number: a guest, who comes once.</summary>
public sealed record SalesShopper(string? Customer, string Country, IReadOnlyList<SoldInvoice> Invoices);

public sealed record SoldInvoice(string Number, DateTime At, IReadOnlyList<SoldOrder> Orders);

/// <summary>What was left out of the file, and why.</summary>
public sealed record SkippedRows(int Cancellations, int NotProducts, int NoQuantity, int NoPrice)
{
    public int Total => Cancellations + NotProducts + NoQuantity + NoPrice;
}

/// <summary>
/// Some days of sales turned into what a marketplace can be asked: products with their demand, shoppers with their orders.
/// The file's side of the reconciliation is counted from the very rows that go in, not from the orders made of them.
/// </summary>
public sealed record SalesPlan(
    IReadOnlyList<SoldProduct> Products,
    IReadOnlyList<SalesShopper> Shoppers,
    SkippedRows Skipped,
    int Rows,
    long FileUnits,
    long FileMinor,
    int RoundedRows)
{
    /// <summary>The shop's own limits: units on a line, lines in a cart.</summary>
    public const int MostUnits = 99;
    public const int MostLines = 200;

    // Postage, carriage, manual corrections, discounts, samples, bank and marketplace fees, donations, vouchers.
    private static readonly HashSet<string> NotProducts = new(StringComparer.OrdinalIgnoreCase)
    {
        "POST", "DOT", "C2", "M", "D", "BANK CHARGES", "AMAZONFEE", "S", "CRUK", "PADS", "B",
    };

    public int Invoices => Shoppers.Sum(shopper => shopper.Invoices.Count);
    public IEnumerable<SoldOrder> Orders => Shoppers.SelectMany(shopper => shopper.Invoices).SelectMany(invoice => invoice.Orders);

    public static bool IsProduct(string code) => !NotProducts.Contains(code) && !code.StartsWith("gift_", StringComparison.OrdinalIgnoreCase);

    /// <param name="run">Tells this replay's products from those of another one on the same marketplace.</param>
    public static SalesPlan Of(IEnumerable<SalesRow> rows, DateOnly from, int days, string run)
    {
        var (first, end) = (from.ToDateTime(TimeOnly.MinValue), from.AddDays(days).ToDateTime(TimeOnly.MinValue));
        int count = 0, cancellations = 0, notProducts = 0, noQuantity = 0, noPrice = 0, rounded = 0;
        long units = 0, minor = 0;
        var titles = new Dictionary<(string Code, long Price), Dictionary<string, int>>();
        var invoices = new Dictionary<string, (DateTime At, string? Customer, string Country, Dictionary<(string Code, long Price), int> Lines)>();

        foreach (var row in rows.Where(row => row.At >= first && row.At < end))
        {
            count++;
            if (row.Invoice.StartsWith('C')) { cancellations++; continue; }
            if (!IsProduct(row.StockCode)) { notProducts++; continue; }
            if (row.Quantity <= 0) { noQuantity++; continue; }
            if (row.UnitPrice <= 0) { noPrice++; continue; }

            var pence = row.UnitPrice * 100;
            var price = (long)decimal.Round(pence, MidpointRounding.ToEven);
            if (price != pence)
                rounded++;
            if (price == 0) { noPrice++; continue; }

            units += row.Quantity;
            minor += row.Quantity * price;
            var key = (row.StockCode, price);
            if (!invoices.TryGetValue(row.Invoice, out var invoice))
                invoices[row.Invoice] = invoice = (row.At, row.Customer, row.Country, []);
            invoice.Lines[key] = invoice.Lines.GetValueOrDefault(key) + row.Quantity;
            if (!titles.TryGetValue(key, out var seen))
                titles[key] = seen = [];
            seen[row.Description] = seen.GetValueOrDefault(row.Description) + 1;
        }

        var demand = invoices.Values.SelectMany(invoice => invoice.Lines).GroupBy(line => line.Key).ToDictionary(line => line.Key, line => line.Sum(part => part.Value));
        var products = demand.ToDictionary(item => item.Key, item =>
            new SoldProduct(IdOf(run, item.Key.Code, item.Key.Price), item.Key.Code, item.Key.Price, Title(item.Key.Code, titles[item.Key]), item.Value));

        var shoppers = invoices.OrderBy(invoice => invoice.Value.At).ThenBy(invoice => invoice.Key, StringComparer.Ordinal)
            .GroupBy(invoice => invoice.Value.Customer ?? $"guest of {invoice.Key}")
            .Select(shopper => new SalesShopper(shopper.First().Value.Customer, shopper.First().Value.Country,
                [.. shopper.Select(invoice => new SoldInvoice(invoice.Key, invoice.Value.At,
                    Split(invoice.Key, [.. invoice.Value.Lines.Select(line => new SoldLine(products[line.Key], line.Value))])))]))
            .ToList();
        return new SalesPlan([.. products.Values], shoppers, new SkippedRows(cancellations, notProducts, noQuantity, noPrice), count, units, minor, rounded);
    }

    /// <summary>As few orders as the limits allow: each takes up to 99 units of every line that has some left, 200 lines at most.</summary>
    public static IReadOnlyList<SoldOrder> Split(string invoice, IReadOnlyList<SoldLine> lines)
    {
        var orders = new List<SoldOrder>();
        var left = lines;
        while (left.Count > 0)
        {
            foreach (var cart in left.Chunk(MostLines))
                orders.Add(new SoldOrder(invoice, orders.Count + 1, [.. cart.Select(line => line with { Quantity = Math.Min(line.Quantity, MostUnits) })]));
            left = [.. left.Where(line => line.Quantity > MostUnits).Select(line => line with { Quantity = line.Quantity - MostUnits })];
        }

        return orders;
    }

    /// <summary>Demand spread over the warehouses; the first ones carry the remainder.</summary>
    public static IReadOnlyList<(string Warehouse, int OnHand)> Spread(int demand, IReadOnlyList<string> warehouses) =>
        [.. warehouses.Select((warehouse, index) => (warehouse, demand / warehouses.Count + (index < demand % warehouses.Count ? 1 : 0)))];

    // The most frequent wording; staff typed stock notes and nothing at all into the same column.
    private static string Title(string code, Dictionary<string, int> seen)
    {
        var words = seen.Where(title => title.Key.Length > 3).OrderByDescending(title => title.Value).ThenBy(title => title.Key, StringComparer.Ordinal).Select(title => title.Key).FirstOrDefault();
        return words is null ? $"Item {code}" : $"{words} ({code})";
    }

    private static Guid IdOf(string run, string code, long price)
    {
        var hash = SHA256.HashData(Encoding.UTF8.GetBytes($"{run}|{code}|{price}"));
        hash[6] = (byte)(hash[6] & 0x0f | 0x80);   // version 8: made by a rule of our own
        hash[8] = (byte)(hash[8] & 0x3f | 0x80);
        return new Guid(hash.AsSpan(0, 16), bigEndian: true);
    }
}
