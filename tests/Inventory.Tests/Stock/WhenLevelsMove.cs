using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Contracts;

namespace Marketplace.Inventory.Tests.Stock;

public sealed class WhenLevelsMove : IAsyncLifetime
{
    private Warehouse warehouse = null!;

    public async ValueTask InitializeAsync() => warehouse = await Warehouse.OpenAsync();

    public ValueTask DisposeAsync() => warehouse.DisposeAsync();

    [Fact]
    public async Task A_windows_worth_of_sales_is_one_event_with_the_level_at_its_end()
    {
        var (lamp, mug) = (await warehouse.HasAsync(("north", 9), ("south", 5)), await warehouse.HasAsync(("north", 4)));
        foreach (var _ in Enumerable.Range(0, 5)) await warehouse.ReserveAsync(Guid.CreateVersion7(), (lamp, 2));

        await warehouse.AnnounceAsync();
        await warehouse.AnnounceAsync();

        var told = Assert.Single(await warehouse.EventsAsync<InventoryUpdated>());
        Assert.Equal([(lamp, 4), (mug, 4)], told.Levels.OrderBy(level => level.ProductId).Select(level => (level.ProductId, level.Available)));
    }

    [Fact]
    public async Task The_version_of_a_product_only_grows()
    {
        var (lamp, order) = (await warehouse.HasAsync(("north", 9)), Guid.CreateVersion7());
        await warehouse.AnnounceAsync();
        await warehouse.ReserveAsync(order, (lamp, 2));
        await warehouse.AnnounceAsync();
        await warehouse.ReleaseAsync(order);
        await warehouse.AnnounceAsync();
        await warehouse.CountAsync(lamp, ("south", 3));
        await warehouse.AnnounceAsync();

        var told = (await warehouse.EventsAsync<InventoryUpdated>()).Select(update => Assert.Single(update.Levels)).ToList();
        Assert.Equal([9, 7, 9, 12], told.Select(level => level.Available));
        Assert.Equal(told.Select(level => level.Version).Distinct().Order(), told.Select(level => level.Version));
    }

    [Fact]
    public async Task Sending_what_was_held_changes_nothing_that_can_be_bought()
    {
        var (lamp, order) = (await warehouse.HasAsync(("north", 9)), Guid.CreateVersion7());
        await warehouse.ReserveAsync(order, (lamp, 2));
        await warehouse.AnnounceAsync();
        await warehouse.CommitAsync(order);
        await warehouse.AnnounceAsync();
        Assert.Single(await warehouse.EventsAsync<InventoryUpdated>());
    }

    [Fact]
    public async Task A_neighbour_that_begins_anew_is_told_of_many_at_once_what_the_events_said()
    {
        var (lamp, mug, nobodys) = (await warehouse.HasAsync(("north", 9), ("south", 5)), await warehouse.HasAsync(("north", 4)), Guid.CreateVersion7());
        await warehouse.ReserveAsync(Guid.CreateVersion7(), (lamp, 2));
        await warehouse.AnnounceAsync();
        using var client = warehouse.Service.AsNeighbour();

        using var reply = await client.PostAsJsonAsync("/internal/stock/levels", new { productIds = (Guid[])[mug, nobodys, lamp] });

        var told = (await warehouse.EventsAsync<InventoryUpdated>()).SelectMany(update => update.Levels).OrderBy(level => level.ProductId);
        var levels = (await reply.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("levels").Deserialize<StockLevel[]>(JsonSerializerOptions.Web)!;
        Assert.Equal(told, levels.OrderBy(level => level.ProductId));
        using var tooMany = await client.PostAsJsonAsync("/internal/stock/levels", new { productIds = Enumerable.Range(0, 1_001).Select(_ => Guid.CreateVersion7()) });
        Assert.Equal(HttpStatusCode.UnprocessableEntity, tooMany.StatusCode);
        using var shopper = warehouse.Service.As(null);
        Assert.Equal(HttpStatusCode.Unauthorized, (await shopper.PostAsJsonAsync("/internal/stock/levels", new { productIds = (Guid[])[lamp] })).StatusCode);
    }

    [Fact]
    public async Task Two_replicas_share_the_notes_and_each_change_is_told()
    {
        await using var other = await warehouse.SecondReplicaAsync();
        var goods = await Task.WhenAll(Enumerable.Range(0, 30).Select(at => (at % 2 == 0 ? warehouse : other).HasAsync(("north", at + 1))));

        await Task.WhenAll(warehouse.AnnounceAsync(), other.AnnounceAsync());

        var told = (await warehouse.EventsAsync<InventoryUpdated>()).SelectMany(update => update.Levels).ToLookup(level => level.ProductId, level => level.Available);
        Assert.All(goods.Select((product, at) => (product, at)), each => Assert.Contains(each.at + 1, told[each.product]));
    }
}
