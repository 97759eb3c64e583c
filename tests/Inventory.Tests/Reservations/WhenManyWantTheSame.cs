using Marketplace.Contracts;

namespace Marketplace.Inventory.Tests.Reservations;

public sealed class WhenManyWantTheSame
{
    [Theory, InlineData("3"), InlineData("0")]   // without locks first, and under locks from the start
    public async Task Two_hundred_buyers_over_two_replicas_cannot_buy_the_last_seven(string optimisticTries)
    {
        var settings = new Dictionary<string, string?> { ["Reservations:OptimisticTries"] = optimisticTries };
        await using var one = await Warehouse.OpenAsync(settings: settings);
        await using var two = await one.SecondReplicaAsync(settings);
        var lamp = await one.HasAsync(("north", 3), ("midlands", 2), ("south", 2));

        var replies = await Task.WhenAll(Enumerable.Range(0, 200).Select(buyer =>
            (buyer % 2 == 0 ? one : two).ReserveAsync(Guid.CreateVersion7(), (lamp, 1))));

        Assert.Equal(7, replies.Count(reply => reply.Refusal is null));
        Assert.Equal(193, replies.Count(reply => reply.Refusal == "out_of_stock"));
        Assert.Equal((7, 7), await one.LevelAsync(lamp));
        Assert.Equal(7, (await one.EventsAsync<InventoryReserved>()).Count);
        await one.BooksBalanceAsync();
    }

    [Fact]
    public async Task Orders_of_the_same_goods_in_any_order_never_wait_in_a_circle()
    {
        await using var one = await Warehouse.OpenAsync();
        await using var two = await one.SecondReplicaAsync();
        var goods = await Task.WhenAll(Enumerable.Range(0, 12).Select(_ => one.HasAsync(("north", 40), ("south", 40))));
        var random = new Random(7);
        (Guid, int)[][] orders = [.. Enumerable.Range(0, 60).Select(_ => goods.OrderBy(_ => random.Next()).Take(8).Select(product => (product, 1)).ToArray())];

        // Half of them are given back and a quarter sent while the others are still reserving.
        await Task.WhenAll(orders.Select(async (lines, at) =>
        {
            var (replica, order) = (at % 2 == 0 ? one : two, Guid.CreateVersion7());
            Assert.Null((await replica.ReserveAsync(order, lines)).Refusal);
            if (at % 4 < 2) await replica.ReleaseAsync(order);
            if (at % 4 == 2) Assert.Null((await replica.CommitAsync(order)).Refusal);
        }));

        await one.BooksBalanceAsync();
        Assert.Equal(15L * 8, -(await one.Service.ScalarAsync<long>("SELECT sum(quantity) FROM movements WHERE kind = 'commit'")));
        Assert.Equal(15L * 8, await one.Service.ScalarAsync<long>("SELECT sum(reserved) FROM stock_levels"));
        Assert.Equal(0L, await one.Service.ScalarAsync<long>("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"));
    }

    [Fact]
    public async Task Trap_4_four_buyers_with_four_carts_and_one_unit_make_one_order_and_leave_no_stray_hold()
    {
        await using var warehouse = await Warehouse.OpenAsync();
        var (last, plenty) = (await warehouse.HasAsync(("south", 1)), await warehouse.HasAsync(("north", 100)));

        var replies = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => warehouse.ReserveAsync(Guid.CreateVersion7(), (plenty, 2), (last, 1))));

        Assert.Single(replies, reply => reply.Refusal is null);
        Assert.Equal((1, 1), await warehouse.LevelAsync(last));
        Assert.Equal((100, 2), await warehouse.LevelAsync(plenty));
    }
}
