using Marketplace.Contracts;

namespace Marketplace.Inventory.Tests.Reservations;

public sealed class WhenReservationsExpire : IAsyncLifetime
{
    private readonly Guid order = Guid.CreateVersion7();
    private Warehouse warehouse = null!;
    private Guid lamp;

    public async ValueTask InitializeAsync()
    {
        warehouse = await Warehouse.OpenAsync();
        lamp = await warehouse.HasAsync(("north", 4));
        await warehouse.ReserveAsync(order, (lamp, 3));
    }

    public ValueTask DisposeAsync() => warehouse.DisposeAsync();

    [Fact]
    public async Task Nobody_is_asked_before_their_time()
    {
        warehouse.Clock.Advance(TimeSpan.FromMinutes(14));
        Assert.Equal(0, await warehouse.SweepAsync());              // an unannounced call would fail the test
        Assert.Equal((4, 3), await warehouse.LevelAsync(lamp));
    }

    [Fact]
    public async Task What_nobody_needs_is_freed_and_told()
    {
        warehouse.Clock.Advance(TimeSpan.FromMinutes(16));
        warehouse.OrderingSays("payment_failed", needsStock: false);

        Assert.Equal(1, await warehouse.SweepAsync());

        Assert.Equal((4, 0), await warehouse.LevelAsync(lamp));
        Assert.Equal("expired", Assert.Single(await warehouse.EventsAsync<InventoryReleased>()).Reason);
        Assert.Equal(0, await warehouse.SweepAsync());
        Assert.Equal("released", (await warehouse.ReserveAsync(order, (lamp, 3))).Refusal);
        await warehouse.BooksBalanceAsync();
    }

    [Fact]
    public async Task The_sweep_during_a_slow_capture_keeps_the_units_and_the_order_gets_them()
    {
        warehouse.Clock.Advance(TimeSpan.FromMinutes(16));
        warehouse.OrderingSays("pending", needsStock: true);

        Assert.Equal(0, await warehouse.SweepAsync());

        Assert.Equal((4, 3), await warehouse.LevelAsync(lamp));
        Assert.Null((await warehouse.CommitAsync(order)).Refusal);
        Assert.Equal((1, 0), await warehouse.LevelAsync(lamp));
    }

    [Fact]
    public async Task Without_an_answer_the_units_stay_and_ordering_is_asked_again()
    {
        warehouse.Clock.Advance(TimeSpan.FromMinutes(16));
        warehouse.OrderingIsSilent();
        Assert.Equal(0, await warehouse.SweepAsync());
        Assert.Equal((4, 3), await warehouse.LevelAsync(lamp));

        warehouse.OrderingSays("failed", needsStock: false);
        Assert.Equal(0, await warehouse.SweepAsync());              // not so soon
        warehouse.Clock.Advance(TimeSpan.FromMinutes(2));
        Assert.Equal(1, await warehouse.SweepAsync());
        Assert.Equal((4, 0), await warehouse.LevelAsync(lamp));
    }

    [Fact]
    public async Task Two_sweeps_at_once_free_it_once()
    {
        await using var other = await warehouse.SecondReplicaAsync();
        warehouse.Clock.Advance(TimeSpan.FromMinutes(16));
        other.Clock.Advance(TimeSpan.FromMinutes(16));
        warehouse.OrderingSays("cancelled", needsStock: false);
        other.OrderingSays("cancelled", needsStock: false);

        var freed = await Task.WhenAll(warehouse.SweepAsync(), other.SweepAsync());

        Assert.Equal(1, freed.Sum());
        Assert.Equal((4, 0), await warehouse.LevelAsync(lamp));
        Assert.Single(await warehouse.EventsAsync<InventoryReleased>());
    }
}
