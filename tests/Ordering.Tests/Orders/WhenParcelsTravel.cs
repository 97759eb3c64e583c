using System.Net;
using System.Text.Json;
using Marketplace.Contracts;

namespace Marketplace.Ordering.Tests.Orders;

public sealed class WhenParcelsTravel : IAsyncLifetime
{
    private static readonly OrderContact Contact = new("ada@example.com", "Ada");
    private readonly Guid ada = Guid.CreateVersion7();
    private readonly Guid lamps = Guid.CreateVersion7();
    private readonly Guid mugs = Guid.CreateVersion7();
    private Shop shop = null!;
    private Guid order;

    public async ValueTask InitializeAsync()
    {
        shop = await Shop.OpenAsync();
        order = await shop.SoldAsync(ada);
    }

    public ValueTask DisposeAsync() => shop.DisposeAsync();

    public static TheoryData<string> Kinds => ["created", "shipped", "out_for_delivery", "delivered"];

    [Fact]
    public async Task The_order_follows_them_and_is_delivered_with_the_last_one()
    {
        await HearAsync("created", lamps);
        await HearAsync("created", mugs);
        Assert.Equal("CONFIRMED", await shop.StatusAsync(order));

        await HearAsync("shipped", lamps);
        Assert.Equal("SHIPPED", await shop.StatusAsync(order));
        await HearAsync("out_for_delivery", lamps);
        await HearAsync("delivered", lamps);
        Assert.Equal("SHIPPED", await shop.StatusAsync(order));
        Assert.Empty(await shop.Service.EventsAsync<OrderDelivered>());

        await HearAsync("shipped", mugs);
        await HearAsync("delivered", mugs);

        Assert.Equal("DELIVERED", await shop.StatusAsync(order));
        var told = Assert.Single(await shop.Service.EventsAsync<OrderDelivered>());
        Assert.Equal([2, 3], told.Lines.Select(line => line.Quantity));
        var shipments = (await shop.ReadAsync(order)).GetProperty("shipments").EnumerateArray().ToList();
        Assert.All(shipments, shipment => Assert.Equal(("north", "delivered", "T1"), (Text(shipment, "warehouse"), Text(shipment, "status"), Text(shipment, "trackingNumber"))));
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task A_second_copy_changes_nothing(string kind)
    {
        var news = News(kind, lamps, parcels: 1);
        Assert.Equal(HttpStatusCode.OK, (await shop.Service.DeliverAsync(news)).StatusCode);
        var before = await shop.ReadAsync(order);

        Assert.Equal(HttpStatusCode.OK, (await shop.Service.DeliverAsync(news)).StatusCode);

        Assert.Equal(before.ToString(), (await shop.ReadAsync(order)).ToString());
        Assert.Equal(kind == "delivered" ? 1 : 0, (await shop.Service.EventsAsync<OrderDelivered>()).Count);
    }

    [Fact]
    public async Task News_out_of_order_still_ends_right()
    {
        foreach (var kind in new[] { "delivered", "created", "out_for_delivery", "shipped" })
        {
            await HearAsync(kind, mugs);
            await HearAsync(kind, lamps);
        }

        Assert.Equal("DELIVERED", await shop.StatusAsync(order));
        Assert.Single(await shop.Service.EventsAsync<OrderDelivered>());
        var shipment = (await shop.ReadAsync(order)).GetProperty("shipments")[0];
        Assert.Equal(("north", "delivered", "T1"), (Text(shipment, "warehouse"), Text(shipment, "status"), Text(shipment, "trackingNumber")));
    }

    [Fact]
    public async Task Both_last_parcels_at_once_deliver_the_order_once()
    {
        await Task.WhenAll(HearAsync("delivered", lamps), HearAsync("delivered", mugs));
        Assert.Equal("DELIVERED", await shop.StatusAsync(order));
        Assert.Single(await shop.Service.EventsAsync<OrderDelivered>());
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task After_the_end_it_is_ignored(string kind)
    {
        var cancelled = await shop.SoldAsync(ada, "pm_card_declined");
        await shop.CancelAsync(cancelled, ada);

        Assert.Equal(HttpStatusCode.OK, (await shop.Service.DeliverAsync(News(kind, Guid.NewGuid(), parcels: 1, of: cancelled))).StatusCode);

        Assert.Equal("CANCELLED", await shop.StatusAsync(cancelled));
        Assert.Empty(await shop.Service.EventsAsync<OrderDelivered>());
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task News_of_an_order_nobody_knows_becomes_a_dead_letter(string kind)
    {
        using var response = await shop.Service.DeliverAsync(News(kind, Guid.NewGuid(), parcels: 1, of: Guid.NewGuid()));
        Assert.Equal("DROP", JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement.GetProperty("status").GetString());
    }

    private async Task HearAsync(string kind, Guid parcel)
    {
        using var response = await shop.Service.DeliverAsync(News(kind, parcel, parcels: 2));
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal("", await response.Content.ReadAsStringAsync());
    }

    private DomainEvent News(string kind, Guid parcel, int parcels, Guid? of = null)
    {
        var (about, seller) = (of ?? order, parcel == mugs ? Shop.MugSeller : Shop.LampSeller);
        return kind switch
        {
            "created" => new ShipmentCreated(parcel, about, ada, seller, "north", parcels, [], Contact),
            "shipped" => new ShipmentShipped(parcel, about, ada, seller, "Post", "T1", parcels, Contact),
            "out_for_delivery" => new ShipmentOutForDelivery(parcel, about, ada, seller, parcels, Contact),
            _ => new ShipmentDelivered(parcel, about, ada, seller, parcels, Contact),
        };
    }

    private static string? Text(JsonElement element, string name) => element.GetProperty(name).GetString();
}
