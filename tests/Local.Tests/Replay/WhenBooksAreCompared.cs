using Marketplace.Local.Replay;
using Xunit;

namespace Marketplace.Local.Tests.Replay;

public sealed class WhenBooksAreCompared
{
    private static readonly Reconciliation Balanced = new(
        new BookTotals("sales file", 3, 20, 5_000),
        [new("orders", 3, null, 5_000), new("order lines", 3, 20, 5_000), new("captured payments", 3, null, 5_000), new("payment provider", 3, null, 5_000), new("inventory movements", 3, 20, null)],
        Sent: 3, Confirmed: 3, new Dictionary<string, int>(), Open: 0, StockLeft: 0, StockReserved: 0, ProductsWithStock: 0);

    [Fact]
    public void Books_that_agree_have_no_differences() => Assert.Empty(Balanced.Differences());

    [Fact]
    public void A_penny_is_a_difference()
    {
        var books = Balanced with { System = [.. Balanced.System.Select(book => book.Book == "payment provider" ? book with { Minor = 5_001 } : book)] };
        Assert.Equal("payment provider: £50.01 instead of £50.00", Assert.Single(books.Differences()));
    }

    [Fact]
    public void So_are_a_unit_left_a_unit_held_an_open_order_and_a_failed_one()
    {
        var books = Balanced with { StockLeft = 1, ProductsWithStock = 1, StockReserved = 2, Open = 1, Confirmed = 1, Failures = new Dictionary<string, int> { ["FAILED (out_of_stock)"] = 1 } };
        Assert.Equal(5, books.Differences().Count);
    }

    [Fact]
    public void Failures_that_cancel_out_do_not_hide_each_other()
    {
        var books = Balanced with { System = [.. Balanced.System.Select(book => book with { Orders = 2 })] };
        Assert.Equal(5, books.Differences().Count);
    }

    [Fact]
    public void The_pace_leaves_the_first_two_hundred_out()
    {
        var start = new DateTime(2026, 1, 1, 0, 0, 0, DateTimeKind.Utc);
        // 200 slow ones, a second each; then 100 in ten seconds with 20 lines each.
        var slow = Enumerable.Range(1, 200).Select(second => (start.AddSeconds(second), 1));
        var fast = Enumerable.Range(1, 100).Select(tenth => (start.AddSeconds(200).AddMilliseconds(tenth * 100), 20));
        var pace = Pace.Of(fast.Concat(slow))!;
        Assert.Equal((10.0, 200.0, 100), (Math.Round(pace.OrdersPerSecond, 3), Math.Round(pace.LinesPerSecond, 3), pace.Counted));
    }

    [Fact]
    public void Two_hundred_orders_give_no_figure() =>
        Assert.Null(Pace.Of(Enumerable.Range(0, 200).Select(second => (DateTime.UnixEpoch.AddSeconds(second), 1))));

    [Fact]
    public void Percentiles_are_values_that_occurred()
    {
        var latencies = Latencies.Of(Enumerable.Range(1, 100).Select(value => (double)value))!;
        Assert.Equal((50, 95, 99, 100), (latencies.P50, latencies.P95, latencies.P99, latencies.Max));
    }
}
