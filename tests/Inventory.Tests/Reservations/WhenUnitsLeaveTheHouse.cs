using System.Net;
using Marketplace.Contracts;

namespace Marketplace.Inventory.Tests.Reservations;

public sealed class WhenUnitsLeaveTheHouse : IAsyncLifetime
{
    private Warehouse warehouse = null!;

    public async ValueTask InitializeAsync() => warehouse = await Warehouse.OpenAsync();

    public ValueTask DisposeAsync() => warehouse.DisposeAsync();

    [Fact]
    public async Task Stock_and_hold_fall_together_once_however_often_it_is_asked()
    {
        var (lamp, mug, order) = (await warehouse.HasAsync(("north", 3), ("south", 3)), await warehouse.HasAsync(("south", 9)), Guid.CreateVersion7());
        var held = await warehouse.ReserveAsync(order, (lamp, 4), (mug, 2));

        var replies = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => warehouse.CommitAsync(order)));

        Assert.All(replies, reply => Assert.Null(reply.Refusal));
        Assert.All(replies, reply => Assert.Equal(Sorted(held.Allocations), Sorted(reply.Allocations)));
        Assert.Equal((2, 0), await warehouse.LevelAsync(lamp));
        Assert.Equal((7, 0), await warehouse.LevelAsync(mug));
        await warehouse.BooksBalanceAsync();
    }

    [Fact]
    public async Task Units_the_sweep_gave_back_are_taken_anew()
    {
        var (lamp, order) = (await warehouse.HasAsync(("north", 3), ("south", 3)), Guid.CreateVersion7());
        await warehouse.ReserveAsync(order, (lamp, 3));
        await ExpireAsync();
        await warehouse.ReserveAsync(Guid.CreateVersion7(), (lamp, 2));            // somebody took from the same shelf meanwhile

        var reply = await warehouse.CommitAsync(order);

        Assert.Null(reply.Refusal);
        Assert.Equal(3, reply.Allocations.Sum(each => each.Quantity));
        Assert.Equal((3, 2), await warehouse.LevelAsync(lamp));
        Assert.Equal(reply.Allocations, (await warehouse.CommitAsync(order)).Allocations);
        await warehouse.BooksBalanceAsync();
    }

    [Fact]
    public async Task Units_the_sweep_gave_back_and_others_bought_are_refused()
    {
        var (lamp, order) = (await warehouse.HasAsync(("north", 3)), Guid.CreateVersion7());
        await warehouse.ReserveAsync(order, (lamp, 3));
        await ExpireAsync();
        await warehouse.ReserveAsync(Guid.CreateVersion7(), (lamp, 1));

        Assert.Equal("out_of_stock", (await warehouse.CommitAsync(order)).Refusal);
        Assert.Equal((3, 1), await warehouse.LevelAsync(lamp));
        await warehouse.BooksBalanceAsync();
    }

    [Fact]
    public async Task A_commit_after_the_orders_own_release_is_refused()
    {
        var (lamp, order) = (await warehouse.HasAsync(("north", 3)), Guid.CreateVersion7());
        await warehouse.ReserveAsync(order, (lamp, 3));
        await warehouse.ReleaseAsync(order);

        Assert.Equal("released", (await warehouse.CommitAsync(order)).Refusal);
        Assert.Equal((3, 0), await warehouse.LevelAsync(lamp));
    }

    [Fact]
    public async Task A_release_after_the_commit_brings_the_goods_back_in_once()
    {
        var (lamp, order) = (await warehouse.HasAsync(("north", 3)), Guid.CreateVersion7());
        await warehouse.ReserveAsync(order, (lamp, 2));
        await warehouse.CommitAsync(order);

        await warehouse.ReleaseAsync(order);
        await warehouse.ReleaseAsync(order);

        Assert.Equal((3, 0), await warehouse.LevelAsync(lamp));
        Assert.Equal(2L, await warehouse.Service.ScalarAsync<long>("SELECT sum(quantity) FROM movements WHERE kind = 'return'"));
        Assert.Equal("released", (await warehouse.CommitAsync(order)).Refusal);
        await warehouse.BooksBalanceAsync();
    }

    [Fact]
    public async Task A_commit_and_a_release_at_the_same_time_leave_the_books_straight()
    {
        var lamp = await warehouse.HasAsync(("north", 60));
        Guid[] orders = [.. Enumerable.Range(0, 30).Select(_ => Guid.CreateVersion7())];
        await Task.WhenAll(orders.Select(order => warehouse.ReserveAsync(order, (lamp, 2))));

        await Task.WhenAll(orders.SelectMany(order => new[] { warehouse.CommitAsync(order), (Task)warehouse.ReleaseAsync(order) }));

        Assert.Equal((60, 0), await warehouse.LevelAsync(lamp));    // whoever came first: in the end each order was released
        await warehouse.BooksBalanceAsync();
    }

    [Fact]
    public async Task What_was_refused_cannot_be_sent()
    {
        var (lamp, order) = (await warehouse.HasAsync(("north", 1)), Guid.CreateVersion7());
        await warehouse.ReserveAsync(order, (lamp, 2));
        Assert.Equal("out_of_stock", (await warehouse.CommitAsync(order)).Refusal);
    }

    [Fact]
    public async Task What_was_never_reserved_is_not_found()
    {
        using var response = await warehouse.PostCommitAsync(Guid.CreateVersion7());
        Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
    }

    private async Task ExpireAsync()
    {
        warehouse.Clock.Advance(TimeSpan.FromMinutes(16));
        warehouse.OrderingSays("payment_failed", needsStock: false);
        Assert.Equal(1, await warehouse.SweepAsync());
    }

    private static IEnumerable<(Guid, string, int)> Sorted(IEnumerable<Allocation> allocations) =>
        allocations.Select(each => (each.ProductId, each.Warehouse, each.Quantity)).Order();
}
