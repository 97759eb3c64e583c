using Marketplace.Local.Replay;
using Xunit;

namespace Marketplace.Local.Tests.Replay;

/// <summary>The loader against the figures published beside the data.</summary>
public sealed class TheRealSalesFile
{
    [Fact]
    public void Has_the_rows_invoices_and_pounds_its_readme_states()
    {
        var file = Outside.Find("online-retail/online-retail-2010-12_2011-09.csv.gz") ?? throw Skipped("the sales file is not beside this checkout");
        var rows = SalesFile.Read(file).ToList();

        Assert.Equal(370_931, rows.Count);
        Assert.Equal(18_786, rows.Select(row => row.Invoice).Distinct().Count());
        Assert.Equal(3_887, rows.Select(row => row.StockCode).Distinct().Count());
        Assert.Equal(3_658, rows.Select(row => row.Customer).OfType<string>().Distinct().Count());
        Assert.Equal(6_652, rows.Count(row => row.Invoice.StartsWith('C')));
        Assert.Equal(1_959, rows.Count(row => row.UnitPrice <= 0));
        Assert.Equal(7_675, rows.Count(row => row.Quantity <= 0));
        var sales = rows.Where(row => row is { Quantity: > 0, UnitPrice: > 0 } && !row.Invoice.StartsWith('C')).ToList();
        Assert.Equal(14_332, sales.Select(row => row.Invoice).Distinct().Count());
        Assert.Equal(7_363_416.23m, decimal.Round(sales.Sum(row => row.Quantity * row.UnitPrice), 2));

        var plan = SalesPlan.Of(rows, new DateOnly(2010, 12, 1), 400, "run");
        Assert.Equal(rows.Count, plan.Rows);
        Assert.Equal(0, plan.RoundedRows);   // only fees have parts of a penny, and those are no products
        Assert.Equal(plan.FileMinor, plan.Orders.Sum(order => order.TotalMinor));
        Assert.Equal(plan.FileUnits, plan.Products.Sum(product => (long)product.Demand));
        Assert.All(plan.Orders, order => Assert.InRange(order.Lines.Count, 1, SalesPlan.MostLines));
    }

    private static Exception Skipped(string reason)
    {
        Assert.Skip(reason);
        return new InvalidOperationException();
    }
}
