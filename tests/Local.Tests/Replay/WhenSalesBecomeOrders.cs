using Marketplace.Local.Replay;
using Xunit;

namespace Marketplace.Local.Tests.Replay;

public sealed class WhenSalesBecomeOrders
{
    private const string Header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";

    [Fact]
    public void Quotes_commas_line_ends_and_doubled_quotes_are_read()
    {
        var rows = Read("1,85123A,\"HEART, \"\"WHITE\"\"\nHANGING\",6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom\r\n2,71053,,1,2010-12-01 08:27:00,3.39,,EIRE");

        Assert.Equal(2, rows.Count);
        Assert.Equal("HEART, \"WHITE\"\nHANGING", rows[0].Description);
        Assert.Equal((2.55m, "17850", 6), (rows[0].UnitPrice, rows[0].Customer, rows[0].Quantity));
        Assert.Null(rows[1].Customer);
        Assert.Equal(4, rows[1].Line);
    }

    [Theory]
    [InlineData("1,85123A,X,many,2010-12-01 08:26:00,2.55,17850.0,United Kingdom", "Quantity")]
    [InlineData("1,85123A,X,6,yesterday,2.55,17850.0,United Kingdom", "InvoiceDate")]
    [InlineData("1,85123A,X,6,2010-12-01 08:26:00,cheap,17850.0,United Kingdom", "UnitPrice")]
    [InlineData("1,85123A,X", "3 fields instead of 8")]
    public void A_row_that_cannot_be_read_is_named_with_its_line(string row, string what)
    {
        var failure = Assert.Throws<SalesFileException>(() => Read(row));
        Assert.Contains(what, failure.Message);
        Assert.Contains("line 2", failure.Message);
    }

    [Fact]
    public void A_file_without_a_needed_column_is_refused() =>
        Assert.Contains("CustomerID", Assert.Throws<SalesFileException>(() => SalesFile.Read(new StringReader("InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,Country\n"), "x").ToList()).Message);

    [Fact]
    public void A_code_at_two_prices_is_two_products_with_the_demand_of_each()
    {
        var plan = Plan(Row("1", "85123A", 6, "2.55"), Row("2", "85123A", 4, "2.55"), Row("3", "85123A", 1, "5.95"));

        Assert.Equal([(255, 10), (595, 1)], plan.Products.OrderBy(product => product.PriceMinor).Select(product => ((int)product.PriceMinor, product.Demand)));
        Assert.Equal(2, plan.Products.Select(product => product.ProductId).Distinct().Count());
    }

    [Fact]
    public void Repeated_lines_of_an_invoice_are_summed()
    {
        var order = Assert.Single(Plan(Row("1", "85123A", 6, "2.55"), Row("1", "85123A", 2, "2.55"), Row("1", "71053", 1, "3.39")).Orders);

        Assert.Equal([8, 1], order.Lines.Select(line => line.Quantity));
        Assert.Equal(8 * 255 + 339, order.TotalMinor);
    }

    [Fact]
    public void What_is_no_sale_of_a_product_is_left_out_and_counted_by_reason()
    {
        var plan = Plan(Row("1", "85123A", 6, "2.55"), Row("C2", "85123A", -6, "2.55"), Row("3", "POST", 1, "18.00"), Row("3", "gift_0001_20", 1, "20.00"),
            Row("4", "m", 1, "9.00"), Row("5", "85123A", -3, "2.55"), Row("6", "85123A", 3, "0.0"), Row("A7", "B", 1, "-11062.06"));

        Assert.Equal(new SkippedRows(Cancellations: 1, NotProducts: 4, NoQuantity: 1, NoPrice: 1), plan.Skipped);
        Assert.Equal(8, plan.Rows);
        Assert.Equal(1, plan.Invoices);
        Assert.Equal((6, 6 * 255), ((int)plan.FileUnits, (int)plan.FileMinor));
    }

    [Fact]
    public void Lines_over_99_units_are_split_over_several_orders_that_add_up()
    {
        var plan = Plan(Row("1", "85123A", 250, "2.55"), Row("1", "71053", 5, "3.39"));

        Assert.Equal([104, 99, 52], plan.Orders.Select(order => order.Units));
        Assert.Equal([1, 2, 3], plan.Orders.Select(order => order.Part));
        Assert.Equal(plan.FileMinor, plan.Orders.Sum(order => order.TotalMinor));
        Assert.Equal(plan.FileUnits, plan.Orders.Sum(order => order.Units));
        Assert.All(plan.Orders.SelectMany(order => order.Lines), line => Assert.InRange(line.Quantity, 1, 99));
    }

    [Fact]
    public void More_lines_than_a_cart_holds_are_split_too()
    {
        var plan = Plan([.. Enumerable.Range(0, 450).Select(number => Row("1", $"{20000 + number}", 120, "1.00"))]);

        Assert.All(plan.Orders, order => Assert.InRange(order.Lines.Count, 1, SalesPlan.MostLines));
        Assert.Equal(6, plan.Orders.Count());
        Assert.Equal(450 * 120, plan.Orders.Sum(order => order.Units));
    }

    [Fact]
    public void One_account_sends_its_invoices_in_order_and_every_invoice_without_a_number_is_a_guest()
    {
        var plan = Plan(Row("2", "85123A", 1, "2.55", "2010-12-01 09:00", "17850.0"), Row("1", "85123A", 1, "2.55", "2010-12-01 08:00", "17850.0"),
            Row("3", "85123A", 1, "2.55", customer: ""), Row("4", "85123A", 1, "2.55", customer: ""));

        Assert.Equal(3, plan.Shoppers.Count);
        Assert.Equal(["1", "2"], plan.Shoppers.Single(shopper => shopper.Customer == "17850").Invoices.Select(invoice => invoice.Number));
        Assert.Equal(2, plan.Shoppers.Count(shopper => shopper.Customer is null));
    }

    [Fact]
    public void Only_the_days_asked_for_are_sold()
    {
        var rows = new[] { Row("1", "85123A", 1, "2.55", "2010-11-30 23:59"), Row("2", "85123A", 1, "2.55", "2010-12-01 00:00"), Row("3", "85123A", 1, "2.55", "2010-12-02 23:59"), Row("4", "85123A", 1, "2.55", "2010-12-03 00:00") };
        var plan = SalesPlan.Of(Read(string.Join('\n', rows)), new DateOnly(2010, 12, 1), 2, "run");
        Assert.Equal(["2", "3"], plan.Orders.Select(order => order.Invoice));
    }

    [Fact]
    public void Parts_of_a_penny_are_rounded_half_to_even_and_told()
    {
        var plan = Plan(Row("1", "85123A", 2, "0.125"), Row("1", "85123B", 1, "0.135"), Row("1", "85123C", 1, "0.001"));

        Assert.Equal([12, 14], plan.Products.Select(product => (int)product.PriceMinor));
        Assert.Equal(3, plan.RoundedRows);
        Assert.Equal(38, plan.FileMinor);
        Assert.Equal(1, plan.Skipped.NoPrice);
    }

    [Theory]
    [InlineData(7, new[] { 3, 2, 2 })]
    [InlineData(2, new[] { 1, 1, 0 })]
    [InlineData(300, new[] { 100, 100, 100 })]
    public void Stock_is_the_demand_spread_over_the_warehouses(int demand, int[] expected) =>
        Assert.Equal(expected, SalesPlan.Spread(demand, ["north", "midlands", "south"]).Select(part => part.OnHand));

    [Fact]
    public void Two_replays_on_one_marketplace_do_not_share_products()
    {
        var rows = Read(Row("1", "85123A", 1, "2.55"));
        var one = SalesPlan.Of(rows, new DateOnly(2010, 12, 1), 1, "first");
        Assert.Equal(one.Products[0].ProductId, SalesPlan.Of(rows, new DateOnly(2010, 12, 1), 1, "first").Products[0].ProductId);
        Assert.NotEqual(one.Products[0].ProductId, SalesPlan.Of(rows, new DateOnly(2010, 12, 1), 1, "second").Products[0].ProductId);
    }

    private static List<SalesRow> Read(string rows) => [.. SalesFile.Read(new StringReader(Header + rows), "sales.csv")];

    private static SalesPlan Plan(params string[] rows) => SalesPlan.Of(Read(string.Join('\n', rows)), new DateOnly(2010, 12, 1), 1, "run");

    private static string Row(string invoice, string code, int quantity, string price, string at = "2010-12-01 08:26:00", string customer = "17850.0") =>
        $"{invoice},{code},SOMETHING NICE,{quantity},{at},{price},{customer},United Kingdom";
}
