using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Contracts;

namespace Marketplace.Inventory.Tests.Reservations;

public sealed class WhenAnOrderIsReserved : IAsyncLifetime
{
    private Warehouse warehouse = null!;

    public async ValueTask InitializeAsync() => warehouse = await Warehouse.OpenAsync();

    public ValueTask DisposeAsync() => warehouse.DisposeAsync();

    [Fact]
    public async Task All_its_lines_are_held_and_the_event_says_where()
    {
        var (lamp, mug, order) = (await warehouse.HasAsync(("north", 7)), await warehouse.HasAsync(("north", 2), ("south", 9)), Guid.CreateVersion7());

        var reply = await warehouse.ReserveAsync(order, (lamp, 3), (mug, 2));

        Assert.Null(reply.Refusal);
        Assert.Equal(warehouse.Clock.GetUtcNow() + TimeSpan.FromMinutes(15), reply.ExpiresAt);
        Assert.Equal((7, 3), await warehouse.LevelAsync(lamp));
        Assert.Equal((11, 2), await warehouse.LevelAsync(mug));
        var reserved = Assert.Single(await warehouse.EventsAsync<InventoryReserved>());
        Assert.Equal(order, reserved.OrderId);
        Assert.Equal([(lamp, "north", 3), (mug, "north", 2)], reserved.Allocations.Select(each => (each.ProductId, each.Warehouse, each.Quantity)).Order());
        await warehouse.BooksBalanceAsync();
    }

    [Fact]
    public async Task One_short_line_holds_none_of_them()
    {
        var (lamp, mug, order) = (await warehouse.HasAsync(("north", 7)), await warehouse.HasAsync(("north", 1)), Guid.CreateVersion7());

        var reply = await warehouse.ReserveAsync(order, (lamp, 3), (mug, 2));

        Assert.Equal("out_of_stock", reply.Refusal);
        Assert.Equal([(mug, 2, 1)], reply.Shortages.Select(shortage => (shortage.ProductId, shortage.Wanted, shortage.Available)));
        Assert.Equal((7, 0), await warehouse.LevelAsync(lamp));
        Assert.Equal((1, 0), await warehouse.LevelAsync(mug));
        Assert.Empty(await warehouse.EventsAsync<InventoryReserved>());
    }

    [Fact]
    public async Task Trap_5_two_lines_that_share_a_product_are_checked_by_their_sum()
    {
        var lamp = await warehouse.HasAsync(("north", 5));

        Assert.Equal("out_of_stock", (await warehouse.ReserveAsync(Guid.CreateVersion7(), (lamp, 3), (lamp, 3))).Refusal);
        Assert.Equal((5, 0), await warehouse.LevelAsync(lamp));

        Assert.Null((await warehouse.ReserveAsync(Guid.CreateVersion7(), (lamp, 3), (lamp, 2))).Refusal);
        Assert.Equal((5, 5), await warehouse.LevelAsync(lamp));
    }

    [Fact]
    public async Task Trap_13_more_than_there_is_never_becomes_a_silent_smaller_decrement()
    {
        var lamp = await warehouse.HasAsync(("north", 4), ("south", 4));

        var reply = await warehouse.ReserveAsync(Guid.CreateVersion7(), (lamp, 9));

        Assert.Equal("out_of_stock", reply.Refusal);
        Assert.Empty(reply.Allocations);
        Assert.Equal((8, 0), await warehouse.LevelAsync(lamp));
    }

    [Fact]
    public async Task Trap_14_two_places_of_10_and_15_serve_13_counting_what_is_held_already()
    {
        var lamp = await warehouse.HasAsync(("north", 10), ("south", 15));
        Assert.Equal([new Allocation(lamp, "south", 13)], (await warehouse.ReserveAsync(Guid.CreateVersion7(), (lamp, 13))).Allocations);   // one parcel

        // 10 and 2 are free now: another 13 is too much, 12 takes both to the last unit.
        Assert.Equal(12, Assert.Single((await warehouse.ReserveAsync(Guid.CreateVersion7(), (lamp, 13))).Shortages).Available);
        Assert.Equal([new Allocation(lamp, "north", 10), new Allocation(lamp, "south", 2)], (await warehouse.ReserveAsync(Guid.CreateVersion7(), (lamp, 12))).Allocations);
        Assert.Equal((25, 25), await warehouse.LevelAsync(lamp));

        var chair = await warehouse.HasAsync(("north", 10), ("south", 15));
        await warehouse.ReserveAsync(Guid.CreateVersion7(), (chair, 12));
        Assert.Equal([new Allocation(chair, "north", 10), new Allocation(chair, "south", 3)], (await warehouse.ReserveAsync(Guid.CreateVersion7(), (chair, 13))).Allocations);
        await warehouse.BooksBalanceAsync();
    }

    [Fact]
    public async Task A_repeat_answers_what_was_answered_before()
    {
        var (lamp, order) = (await warehouse.HasAsync(("north", 4)), Guid.CreateVersion7());
        var first = await warehouse.ReserveAsync(order, (lamp, 4));
        warehouse.Clock.Advance(TimeSpan.FromMinutes(2));

        var again = await warehouse.ReserveAsync(order, (lamp, 4));

        Assert.Equal(first.Allocations, again.Allocations);
        Assert.Equal(first.ExpiresAt!.Value, again.ExpiresAt!.Value, TimeSpan.FromMilliseconds(1));
        Assert.Equal((4, 4), await warehouse.LevelAsync(lamp));
        Assert.Single(await warehouse.EventsAsync<InventoryReserved>());
    }

    [Fact]
    public async Task A_refusal_is_repeated_even_when_goods_have_come_in()
    {
        var (lamp, order) = (await warehouse.HasAsync(("north", 1)), Guid.CreateVersion7());
        Assert.Equal("out_of_stock", (await warehouse.ReserveAsync(order, (lamp, 2))).Refusal);
        await warehouse.CountAsync(lamp, ("north", 50));

        var again = await warehouse.ReserveAsync(order, (lamp, 2));

        Assert.Equal("out_of_stock", again.Refusal);
        Assert.Equal(1, Assert.Single(again.Shortages).Available);
        Assert.Equal((50, 0), await warehouse.LevelAsync(lamp));
        Assert.Null((await warehouse.ReserveAsync(order, attempt: 2, (lamp, 2))).Refusal);   // a new attempt is a new question
    }

    [Fact]
    public async Task The_same_call_many_times_at_once_holds_once()
    {
        var (lamp, order) = (await warehouse.HasAsync(("north", 20)), Guid.CreateVersion7());

        var replies = await Task.WhenAll(Enumerable.Range(0, 12).Select(_ => warehouse.ReserveAsync(order, (lamp, 2))));

        Assert.All(replies, reply => Assert.Equal([new Allocation(lamp, "north", 2)], reply.Allocations));
        Assert.Equal((20, 2), await warehouse.LevelAsync(lamp));
        Assert.Single(await warehouse.EventsAsync<InventoryReserved>());
    }

    [Fact]
    public async Task A_reserve_that_lands_after_its_own_release_is_refused()
    {
        var (lamp, order) = (await warehouse.HasAsync(("north", 4)), Guid.CreateVersion7());
        await warehouse.ReleaseAsync(order);

        Assert.Equal("released", (await warehouse.ReserveAsync(order, (lamp, 2))).Refusal);
        Assert.Equal((4, 0), await warehouse.LevelAsync(lamp));
        Assert.Empty(await warehouse.EventsAsync<InventoryReleased>());   // nothing had been held
    }

    [Fact]
    public async Task A_release_gives_all_of_it_back_once()
    {
        var (lamp, mug, order) = (await warehouse.HasAsync(("north", 4), ("south", 2)), await warehouse.HasAsync(("south", 3)), Guid.CreateVersion7());
        await warehouse.ReserveAsync(order, (lamp, 5), (mug, 3));

        await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => warehouse.ReleaseAsync(order)));

        Assert.Equal((6, 0), await warehouse.LevelAsync(lamp));
        Assert.Equal((3, 0), await warehouse.LevelAsync(mug));
        Assert.Equal("card_declined", Assert.Single(await warehouse.EventsAsync<InventoryReleased>()).Reason);
        await warehouse.BooksBalanceAsync();
    }

    [Fact]
    public async Task A_release_at_the_same_time_as_its_reserve_leaves_nothing_held()
    {
        var lamp = await warehouse.HasAsync(("north", 50));
        Guid[] orders = [.. Enumerable.Range(0, 40).Select(_ => Guid.CreateVersion7())];

        await Task.WhenAll(orders.SelectMany(order => new[] { warehouse.ReserveAsync(order, (lamp, 1)), (Task)warehouse.ReleaseAsync(order) }));

        Assert.Equal((50, 0), await warehouse.LevelAsync(lamp));
        await warehouse.BooksBalanceAsync();
    }

    [Theory, InlineData(0), InlineData(-1), InlineData(100)]
    public async Task A_quantity_out_of_range_is_named_and_nothing_is_stored(int quantity)
    {
        var lamp = await warehouse.HasAsync(("north", 200));

        using var response = await warehouse.PostReserveAsync(Guid.CreateVersion7(), 1, (lamp, 1), (lamp, quantity));

        Assert.Equal(HttpStatusCode.UnprocessableEntity, response.StatusCode);
        var problem = await response.Content.ReadFromJsonAsync<JsonElement>();
        Assert.True(problem.GetProperty("errors").TryGetProperty("lines[1].quantity", out _), problem.ToString());
        Assert.Equal((200, 0), await warehouse.LevelAsync(lamp));
        Assert.Equal(0L, await warehouse.Service.ScalarAsync<long>("SELECT count(*) FROM reservation_attempts"));
    }

    [Fact]
    public async Task Nobody_without_the_app_token_gets_in()
    {
        using var shopper = warehouse.Service.As(TestKit.TestTokens.Buyer(Guid.NewGuid()));
        using var response = await shopper.PostAsJsonAsync("/internal/reservations", new { });
        Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
    }
}
