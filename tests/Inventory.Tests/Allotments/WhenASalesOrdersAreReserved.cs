using Marketplace.Contracts;
using Marketplace.Inventory.Allotments;

namespace Marketplace.Inventory.Tests.Allotments;

public sealed class WhenASalesOrdersAreReserved : IAsyncLifetime
{
    private readonly Guid sale = Guid.CreateVersion7();
    private Warehouse warehouse = null!;

    public async ValueTask InitializeAsync() => warehouse = await Warehouse.OpenAsync();

    public ValueTask DisposeAsync() => warehouse.DisposeAsync();

    [Fact]
    public async Task A_thousand_at_once_over_two_replicas_get_exactly_the_hundred_there_are()
    {
        await using var other = await warehouse.SecondReplicaAsync();
        var sneaker = await warehouse.HasAsync(("north", 200), ("midlands", 40), ("south", 30));
        await warehouse.AllotAsync(sale, sneaker, 100);
        await warehouse.AllotAsync(sale, sneaker, 230, version: 2);        // over all three, and back to a hundred
        await warehouse.AllotAsync(sale, sneaker, 100, version: 3);

        var replies = await Task.WhenAll(Enumerable.Range(0, 1_000).Select(at =>
            (at % 2 == 0 ? warehouse : other).ReserveOfSaleAsync(sale, Guid.CreateVersion7(), sneaker)));

        Assert.Equal(100, replies.Count(reply => reply.Refusal is null));
        Assert.Equal(900, replies.Count(reply => reply.Refusal == "out_of_stock"));
        Assert.Equal((100, 100, 0), await warehouse.AllotmentAsync(sale));
        Assert.Equal((270, 100), await warehouse.LevelAsync(sneaker));
        Assert.Equal(100, (await warehouse.EventsAsync<InventoryReserved>()).Count);
        await warehouse.BooksBalanceAsync();
    }

    [Fact]
    public async Task It_takes_nothing_but_the_sales_units_however_much_else_there_is()
    {
        var sneaker = await warehouse.HasAsync(("north", 50));
        await warehouse.AllotAsync(sale, sneaker, 2);

        Assert.Equal(2, Assert.Single((await warehouse.ReserveOfSaleAsync(sale, Guid.CreateVersion7(), sneaker, 3)).Shortages).Available);
        Assert.Null((await warehouse.ReserveOfSaleAsync(sale, Guid.CreateVersion7(), sneaker, 2)).Refusal);
        Assert.Equal("out_of_stock", (await warehouse.ReserveOfSaleAsync(sale, Guid.CreateVersion7(), sneaker)).Refusal);
        Assert.Equal((50, 2), await warehouse.LevelAsync(sneaker));
    }

    [Fact]
    public async Task Another_product_or_an_unknown_sale_has_nothing()
    {
        var (sneaker, boot) = (await warehouse.HasAsync(("north", 50)), await warehouse.HasAsync(("north", 50)));
        await warehouse.AllotAsync(sale, sneaker, 10);

        Assert.Equal("out_of_stock", (await warehouse.ReserveOfSaleAsync(sale, Guid.CreateVersion7(), boot)).Refusal);
        Assert.Equal("out_of_stock", (await warehouse.ReserveOfSaleAsync(Guid.CreateVersion7(), Guid.CreateVersion7(), sneaker)).Refusal);
        Assert.Equal((50, 0), await warehouse.LevelAsync(boot));
        Assert.Equal((10, 0, 0), await warehouse.AllotmentAsync(sale));
    }

    [Fact]
    public async Task The_same_call_many_times_at_once_takes_once()
    {
        var (sneaker, order) = (await warehouse.HasAsync(("north", 50)), Guid.CreateVersion7());
        await warehouse.AllotAsync(sale, sneaker, 20);

        var replies = await Task.WhenAll(Enumerable.Range(0, 12).Select(_ => warehouse.ReserveOfSaleAsync(sale, order, sneaker, 2)));

        Assert.All(replies, reply => Assert.Equal([new Allocation(sneaker, "north", 2)], reply.Allocations));
        Assert.Equal((20, 2, 0), await warehouse.AllotmentAsync(sale));
        Assert.Single(await warehouse.EventsAsync<InventoryReserved>());
    }

    [Fact]
    public async Task A_release_gives_the_unit_back_to_the_sale_once_and_another_order_gets_it()
    {
        var (sneaker, order) = (await warehouse.HasAsync(("north", 50)), Guid.CreateVersion7());
        await warehouse.AllotAsync(sale, sneaker, 1);
        await warehouse.ReserveOfSaleAsync(sale, order, sneaker);

        await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => warehouse.ReleaseAsync(order)));

        Assert.Equal((1, 0, 0), await warehouse.AllotmentAsync(sale));
        Assert.Equal((50, 1), await warehouse.LevelAsync(sneaker));
        Assert.Single(await warehouse.EventsAsync<InventoryReleased>());
        Assert.Equal("released", (await warehouse.ReserveOfSaleAsync(sale, order, sneaker)).Refusal);
        Assert.Null((await warehouse.ReserveOfSaleAsync(sale, Guid.CreateVersion7(), sneaker)).Refusal);
        await warehouse.BooksBalanceAsync();
    }

    [Fact]
    public async Task A_commit_takes_stock_and_hold_down_together_once()
    {
        var (sneaker, order) = (await warehouse.HasAsync(("north", 3), ("south", 3)), Guid.CreateVersion7());
        await warehouse.AllotAsync(sale, sneaker, 5);
        var held = await warehouse.ReserveOfSaleAsync(sale, order, sneaker, 4);

        var replies = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => warehouse.CommitAsync(order)));

        Assert.All(replies, reply => Assert.Null(reply.Refusal));
        Assert.All(replies, reply => Assert.Equal(held.Allocations.Select(each => (each.Warehouse, each.Quantity)).Order(), reply.Allocations.Select(each => (each.Warehouse, each.Quantity)).Order()));
        Assert.Equal((2, 1), await warehouse.LevelAsync(sneaker));
        Assert.Equal((5, 4, 4), await warehouse.AllotmentAsync(sale));
        await warehouse.BooksBalanceAsync();
    }

    [Fact]
    public async Task A_commit_undone_brings_the_units_back_into_the_sale()
    {
        var (sneaker, order) = (await warehouse.HasAsync(("north", 3), ("south", 3)), Guid.CreateVersion7());
        await warehouse.AllotAsync(sale, sneaker, 5);
        await warehouse.ReserveOfSaleAsync(sale, order, sneaker, 4);
        await warehouse.CommitAsync(order);

        await warehouse.ReleaseAsync(order);
        await warehouse.ReleaseAsync(order);

        Assert.Equal((6, 5), await warehouse.LevelAsync(sneaker));
        Assert.Equal((5, 0, 0), await warehouse.AllotmentAsync(sale));
        Assert.Equal("released", (await warehouse.CommitAsync(order)).Refusal);
        Assert.Equal(4L, await warehouse.Service.ScalarAsync<long>("SELECT sum(quantity) FROM movements WHERE kind = 'return'"));
        await warehouse.BooksBalanceAsync();
    }

    [Theory, InlineData("reserve"), InlineData("commit"), InlineData("release"), InlineData("return")]
    public async Task A_call_cut_off_while_committing_did_nothing_and_its_repeat_does_it_once(string call)
    {
        var (sneaker, order) = (await warehouse.HasAsync(("north", 3), ("south", 3)), Guid.CreateVersion7());
        await warehouse.AllotAsync(sale, sneaker, 5);
        if (call != "reserve") await warehouse.ReserveOfSaleAsync(sale, order, sneaker, 4);
        if (call == "return") await warehouse.CommitAsync(order);
        var before = (await warehouse.AllotmentAsync(sale), await warehouse.LevelAsync(sneaker));
        Func<Task> ask = call switch
        {
            "reserve" => () => warehouse.ReserveOfSaleAsync(sale, order, sneaker, 4),
            "commit" => () => warehouse.CommitAsync(order),
            _ => () => warehouse.ReleaseAsync(order),
        };

        await warehouse.CutOffAtCommitAsync("allotment_levels");
        await Assert.ThrowsAsync<HttpRequestException>(ask);
        Assert.Equal(before, (await warehouse.AllotmentAsync(sale), await warehouse.LevelAsync(sneaker)));
        await warehouse.BooksBalanceAsync();
        await warehouse.ConnectAgainAsync("allotment_levels");
        await ask();
        await ask();

        Assert.Equal(call switch { "reserve" => (5, 4, 0), "commit" => (5, 4, 4), _ => (5, 0, 0) }, await warehouse.AllotmentAsync(sale));
        Assert.Equal(call == "commit" ? (2, 1) : (6, 5), await warehouse.LevelAsync(sneaker));
        await warehouse.BooksBalanceAsync();
    }

    [Fact]
    public async Task An_expired_unit_is_the_sales_again_and_a_late_commit_takes_one_of_the_sale_anew()
    {
        var (sneaker, order) = (await warehouse.HasAsync(("north", 9)), Guid.CreateVersion7());
        await warehouse.AllotAsync(sale, sneaker, 2);
        await warehouse.ReserveOfSaleAsync(sale, order, sneaker);
        await ExpireAsync();
        Assert.Equal((2, 0, 0), await warehouse.AllotmentAsync(sale));
        Assert.Equal((9, 2), await warehouse.LevelAsync(sneaker));

        Assert.Null((await warehouse.CommitAsync(order)).Refusal);

        Assert.Equal((2, 1, 1), await warehouse.AllotmentAsync(sale));
        Assert.Equal((8, 1), await warehouse.LevelAsync(sneaker));
        await warehouse.BooksBalanceAsync();
    }

    [Fact]
    public async Task A_late_commit_is_refused_when_the_sale_sold_the_unit_to_another_though_ordinary_stock_has_more()
    {
        var (sneaker, order) = (await warehouse.HasAsync(("north", 9)), Guid.CreateVersion7());
        await warehouse.AllotAsync(sale, sneaker, 1);
        await warehouse.ReserveOfSaleAsync(sale, order, sneaker);
        await ExpireAsync();
        await warehouse.ReserveOfSaleAsync(sale, Guid.CreateVersion7(), sneaker);

        Assert.Equal("out_of_stock", (await warehouse.CommitAsync(order)).Refusal);

        Assert.Equal((9, 1), await warehouse.LevelAsync(sneaker));
        Assert.Equal((1, 1, 0), await warehouse.AllotmentAsync(sale));
        await warehouse.BooksBalanceAsync();
    }

    [Fact]
    public async Task Shrinking_gives_back_what_nobody_holds_and_says_how_much_is_taken()
    {
        var sneaker = await warehouse.HasAsync(("north", 60), ("south", 60));
        await warehouse.AllotAsync(sale, sneaker, 100);
        Guid[] orders = [.. Enumerable.Range(0, 30).Select(_ => Guid.CreateVersion7())];
        foreach (var order in orders) await warehouse.ReserveOfSaleAsync(sale, order, sneaker);
        foreach (var order in orders[..10]) await warehouse.CommitAsync(order);

        Assert.Equal(new AllotmentReply("below_taken", 30, 30, 90, 2), await warehouse.AllotAsync(sale, sneaker, 12, version: 2));
        Assert.Equal((110, 20), await warehouse.LevelAsync(sneaker));

        foreach (var order in orders[10..28]) await warehouse.ReleaseAsync(order);
        Assert.Equal(new AllotmentReply(null, 12, 12, 108, 2), await warehouse.AllotAsync(sale, sneaker, 12, version: 2));
        Assert.Equal((110, 2), await warehouse.LevelAsync(sneaker));
        await warehouse.BooksBalanceAsync();
    }

    [Fact]
    public async Task Shrinking_while_orders_are_reserved_released_and_sent_never_takes_a_unit_from_an_order()
    {
        await using var other = await warehouse.SecondReplicaAsync();
        var sneaker = await warehouse.HasAsync(("north", 100), ("midlands", 50), ("south", 60));
        await warehouse.AllotAsync(sale, sneaker, 200);

        var orders = Enumerable.Range(0, 200).Select(async at =>
        {
            var (replica, order) = (at % 2 == 0 ? warehouse : other, Guid.CreateVersion7());
            if ((await replica.ReserveOfSaleAsync(sale, order, sneaker, 1 + (at % 2))).Refusal is not null) return;
            if (at % 4 < 2) await replica.ReleaseAsync(order);
            else if (at % 8 < 4) Assert.Null((await replica.CommitAsync(order)).Refusal);
        });
        var wishes = Enumerable.Range(2, 20).Select(version => (version % 2 == 0 ? warehouse : other).AllotAsync(sale, sneaker, 200 - (version * 9), version));
        await Task.WhenAll([.. orders, .. wishes]);

        var settled = await warehouse.AllotAsync(sale, sneaker, 0, version: 99);
        Assert.Equal(settled.Taken, settled.Units);
        await warehouse.BooksBalanceAsync();
        Assert.Equal(0L, await warehouse.Service.ScalarAsync<long>("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"));
    }

    private async Task ExpireAsync()
    {
        warehouse.Clock.Advance(TimeSpan.FromMinutes(16));
        warehouse.OrderingSays("failed", needsStock: false);
        Assert.Equal(1, await warehouse.SweepAsync());
    }
}
