using Marketplace.Contracts;
using Marketplace.Ordering.Clients;

namespace Marketplace.Ordering.Checkout;

/// <summary>What a cart comes to at today's prices, or why it cannot be sold. No I/O.</summary>
public abstract record Pricing
{
    public sealed record Priced(IReadOnlyList<OrderedLine> Lines, Money Total) : Pricing;

    public sealed record NotForSale(IReadOnlyList<Guid> ProductIds) : Pricing;

    public sealed record WrongQuantity(int Line) : Pricing;

    public static Pricing Price(BuyersCart cart, IReadOnlyDictionary<Guid, ListedProduct> listed)
    {
        // Two lines of one product are one line: what is reserved, paid and sent is the sum.
        var lines = cart.Lines.GroupBy(line => line.ProductId).Select(same => new CartLine(same.Key, same.Sum(line => line.Quantity))).ToList();
        var wrong = lines.FindIndex(line => line.Quantity is < 1 or > 99);
        if (wrong >= 0) return new WrongQuantity(wrong);

        Guid[] gone = [.. lines.Where(line => !listed.ContainsKey(line.ProductId)).Select(line => line.ProductId)];
        if (gone.Length > 0) return new NotForSale(gone);

        OrderedLine[] sold = [.. lines.Select(line => (line, Product: listed[line.ProductId])).Select(each =>
            new OrderedLine(each.line.ProductId, each.Product.SellerId, each.Product.Title, each.line.Quantity, each.Product.Price))];
        return new Priced(sold, sold.Select(line => line.UnitPrice * line.Quantity).Aggregate((sum, line) => sum + line));
    }
}
