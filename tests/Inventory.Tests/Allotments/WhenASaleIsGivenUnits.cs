using System.Net;
using Marketplace.Contracts;
using Marketplace.Inventory.Allotments;
using Marketplace.Inventory.Stock;
using Npgsql;

namespace Marketplace.Inventory.Tests.Allotments;

public sealed class WhenASaleIsGivenUnits : IAsyncLifetime
{
    private readonly Guid sale = Guid.CreateVersion7();
    private Warehouse warehouse = null!;

    public async ValueTask InitializeAsync() => warehouse = await Warehouse.OpenAsync();

    public ValueTask DisposeAsync() => warehouse.DisposeAsync();

    [Fact]
    public async Task They_leave_ordinary_stock_and_nobody_else_can_buy_them()
    {
        var sneaker = await warehouse.HasAsync(("north", 60), ("south", 70));

        var reply = await warehouse.AllotAsync(sale, sneaker, 100);

        Assert.Equal(new AllotmentReply(null, 100, 0, 30, 1), reply);
        Assert.Equal((130, 100), await warehouse.LevelAsync(sneaker));
        Assert.Equal((100, 0, 0), await warehouse.AllotmentAsync(sale));
        Assert.Equal(30, Assert.Single((await warehouse.ReserveAsync(Guid.CreateVersion7(), (sneaker, 31))).Shortages).Available);
        Assert.Null((await warehouse.ReserveAsync(Guid.CreateVersion7(), (sneaker, 30))).Refusal);
        await warehouse.BooksBalanceAsync();
    }

    [Fact]
    public async Task More_than_is_free_is_refused_with_the_figure_and_nothing_changes()
    {
        var sneaker = await warehouse.HasAsync(("north", 60), ("south", 40));
        await warehouse.ReserveAsync(Guid.CreateVersion7(), (sneaker, 5));

        var reply = await warehouse.AllotAsync(sale, sneaker, 96);

        Assert.Equal(new AllotmentReply("out_of_stock", 0, 0, 95, 0), reply);
        Assert.Equal((100, 5), await warehouse.LevelAsync(sneaker));
        Assert.Equal(0L, await warehouse.Service.ScalarAsync<long>("SELECT count(*) FROM allotments"));

        await warehouse.AllotAsync(sale, sneaker, 50);
        Assert.Equal(new AllotmentReply("out_of_stock", 50, 0, 45, 1), await warehouse.AllotAsync(sale, sneaker, 96, version: 2));
        Assert.Equal(new AllotmentReply(null, 95, 0, 0, 2), await warehouse.AllotAsync(sale, sneaker, 95, version: 2));
        await warehouse.BooksBalanceAsync();
    }

    [Fact]
    public async Task A_product_nobody_counted_or_of_another_seller_is_unknown()
    {
        Assert.Equal("unknown_product", (await warehouse.AllotAsync(sale, Guid.CreateVersion7(), 1)).Refusal);
        var sneaker = await warehouse.HasAsync(("north", 60));
        Assert.Equal(new AllotmentReply("unknown_product", 0, 0, 0, 0), await warehouse.AllotAsync(sale, sneaker, 1, seller: Guid.CreateVersion7()));
        Assert.Equal((60, 0), await warehouse.LevelAsync(sneaker));
    }

    [Fact]
    public async Task A_sale_cannot_turn_to_another_product()
    {
        var (sneaker, boot) = (await warehouse.HasAsync(("north", 60)), await warehouse.HasAsync(("north", 60)));
        await warehouse.AllotAsync(sale, sneaker, 10);

        Assert.Equal("other_product", (await warehouse.AllotAsync(sale, boot, 10, version: 2)).Refusal);

        Assert.Equal((60, 0), await warehouse.LevelAsync(boot));
        Assert.Equal((10, 0, 0), await warehouse.AllotmentAsync(sale));
    }

    [Fact]
    public async Task A_wish_repeated_many_times_on_two_replicas_moves_its_units_once()
    {
        await using var other = await warehouse.SecondReplicaAsync();
        var sneaker = await warehouse.HasAsync(("north", 60), ("south", 70));

        var replies = await Task.WhenAll(Enumerable.Range(0, 24).Select(at => (at % 2 == 0 ? warehouse : other).AllotAsync(sale, sneaker, 100)));

        Assert.All(replies, reply => Assert.Equal(new AllotmentReply(null, 100, 0, 30, 1), reply));
        Assert.Equal((130, 100), await warehouse.LevelAsync(sneaker));
        await warehouse.BooksBalanceAsync();
    }

    [Fact]
    public async Task The_newest_wish_wins_in_whatever_order_they_arrive()
    {
        await using var other = await warehouse.SecondReplicaAsync();
        var sneaker = await warehouse.HasAsync(("north", 60), ("south", 70));
        var random = new Random(5);

        await Task.WhenAll(Enumerable.Range(1, 40).OrderBy(_ => random.Next()).Select(version =>
            (version % 2 == 0 ? warehouse : other).AllotAsync(sale, sneaker, version == 40 ? 33 : random.Next(0, 130), version)));

        Assert.Equal((33, 0, 0), await warehouse.AllotmentAsync(sale));
        Assert.Equal((130, 33), await warehouse.LevelAsync(sneaker));
        Assert.Equal(new AllotmentReply(null, 33, 0, 97, 40), await warehouse.AllotAsync(sale, sneaker, 99, version: 39));
        await warehouse.BooksBalanceAsync();
    }

    [Fact]
    public async Task Giving_up_before_the_first_wish_arrives_leaves_it_without_effect()
    {
        var sneaker = await warehouse.HasAsync(("north", 60));
        await warehouse.AllotAsync(sale, sneaker, 0, version: 2);

        Assert.Equal(new AllotmentReply(null, 0, 0, 60, 2), await warehouse.AllotAsync(sale, sneaker, 50, version: 1));
        Assert.Equal((60, 0), await warehouse.LevelAsync(sneaker));
    }

    [Fact]
    public async Task A_wish_whose_connection_dies_at_the_last_moment_changed_nothing_and_may_be_repeated()
    {
        var sneaker = await warehouse.HasAsync(("north", 60));
        await warehouse.CutOffAtCommitAsync("allotment_levels");
        using (var broken = await warehouse.PutAllotmentAsync(sale, new { productId = sneaker, sellerId = Warehouse.BrunosShop, units = 50, version = 1 }))
            Assert.False(broken.IsSuccessStatusCode);
        Assert.Equal((60, 0), await warehouse.LevelAsync(sneaker));
        Assert.Equal((0, 0, 0), await warehouse.AllotmentAsync(sale));

        await warehouse.ConnectAgainAsync("allotment_levels");
        Assert.Equal(new AllotmentReply(null, 50, 0, 10, 1), await warehouse.AllotAsync(sale, sneaker, 50));
        await warehouse.BooksBalanceAsync();
    }

    [Fact]
    public async Task Ordinary_orders_and_sales_fight_for_the_same_units_and_nobody_is_sold_what_another_has()
    {
        await using var other = await warehouse.SecondReplicaAsync();
        var sneaker = await warehouse.HasAsync(("north", 60), ("south", 60));

        var orders = Enumerable.Range(0, 150).Select(at => (at % 2 == 0 ? warehouse : other).ReserveAsync(Guid.CreateVersion7(), (sneaker, 1)));
        var wishes = Enumerable.Range(1, 20).Select(version => (version % 2 == 0 ? warehouse : other).AllotAsync(sale, sneaker, version * 5, version));
        var counts = Enumerable.Range(0, 10).Select(at => warehouse.CountAsync(sneaker, ("north", 60 + at)));
        await Task.WhenAll([.. orders, .. wishes.Select(wish => (Task)wish), .. counts]);

        await warehouse.BooksBalanceAsync();
        var (onHand, reserved) = await warehouse.LevelAsync(sneaker);
        Assert.True(reserved <= onHand);
        Assert.Equal(0L, await warehouse.Service.ScalarAsync<long>("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"));
    }

    [Fact]
    public async Task A_sellers_count_cannot_go_below_what_the_sale_has()
    {
        var sneaker = await warehouse.HasAsync(("north", 60));
        await warehouse.AllotAsync(sale, sneaker, 50);

        Assert.Equal(50, Assert.IsType<CountOutcome.BelowReserved>(await warehouse.CountAsync(sneaker, ("north", 49))).Reserved);
        Assert.IsType<CountOutcome.Counted>(await warehouse.CountAsync(sneaker, ("north", 50)));

        Assert.Equal(new AllotmentReply("out_of_stock", 50, 0, 0, 1), await warehouse.AllotAsync(sale, sneaker, 51, version: 2));
        await warehouse.BooksBalanceAsync();
    }

    [Fact]
    public async Task The_world_hears_of_units_that_move_and_not_of_those_the_sale_sells()
    {
        var (sneaker, order) = (await warehouse.HasAsync(("north", 60)), Guid.CreateVersion7());
        await warehouse.AnnounceAsync();
        await warehouse.AllotAsync(sale, sneaker, 50);
        await warehouse.AnnounceAsync();

        await warehouse.ReserveOfSaleAsync(sale, order, sneaker);
        await warehouse.AnnounceAsync();
        await warehouse.CommitAsync(order);
        await warehouse.AnnounceAsync();
        await warehouse.ReleaseAsync(order);
        await warehouse.AllotAsync(sale, sneaker, 50, version: 2);
        await warehouse.AnnounceAsync();

        await warehouse.AllotAsync(sale, sneaker, 0, version: 3);
        await warehouse.AnnounceAsync();

        var told = (await warehouse.EventsAsync<InventoryUpdated>()).Select(update => Assert.Single(update.Levels)).ToList();
        Assert.Equal([60, 10, 60], told.Select(level => level.Available));
        Assert.Equal(told.Select(level => level.Version).Distinct().Order(), told.Select(level => level.Version));
    }

    [Theory, InlineData(-1, 1), InlineData(100_001, 1), InlineData(1, 0)]
    public async Task A_wish_out_of_range_is_named(int units, long version)
    {
        var sneaker = await warehouse.HasAsync(("north", 60));

        using var response = await warehouse.PutAllotmentAsync(sale, new { productId = sneaker, sellerId = Warehouse.BrunosShop, units, version });

        Assert.Equal(HttpStatusCode.UnprocessableEntity, response.StatusCode);
        Assert.Equal((60, 0), await warehouse.LevelAsync(sneaker));
    }

    [Fact]
    public async Task Only_flash_sales_may_ask()
    {
        using var shopper = warehouse.Service.As(null);
        Assert.Equal(HttpStatusCode.Unauthorized, (await shopper.GetAsync($"/internal/allotments/{sale}")).StatusCode);
        using var cart = warehouse.Service.AsNeighbour("cart");
        Assert.Equal(HttpStatusCode.Forbidden, (await cart.GetAsync($"/internal/allotments/{sale}")).StatusCode);
        Assert.Equal((0, 0, 0), await warehouse.AllotmentAsync(sale));     // of a sale it never heard of: nothing
    }

    [Fact]
    public async Task The_tables_refuse_by_themselves_what_no_code_should_ever_try()
    {
        var sneaker = await warehouse.HasAsync(("north", 60));
        await warehouse.AllotAsync(sale, sneaker, 50);

        foreach (var wrong in (string[])["taken = 51", "committed = 1", "allotted = -1"])
        {
            var refused = await Assert.ThrowsAsync<PostgresException>(() => warehouse.ExecuteAsync($"UPDATE allotment_levels SET {wrong}"));
            Assert.Equal("never_more_than_allotted", refused.ConstraintName);
        }
    }
}
