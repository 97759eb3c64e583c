using System.Net;
using System.Net.Http.Json;
using Marketplace.Contracts;
using Marketplace.Fulfilment.Parcels;
using Marketplace.TestKit;

namespace Marketplace.Fulfilment.Tests;

public sealed class WhenAnOrderIsConfirmed
{
    [Fact]
    public async Task Its_parcels_are_planned_and_announced()
    {
        await using var fulfilment = await ServiceUnderTest<Program>.StartAsync("fulfilment");
        var order = A.Order();

        await DeliveredAsync(fulfilment, order);

        var created = await fulfilment.EventsAsync<ShipmentCreated>();
        Assert.Equal(3, created.Count);
        Assert.All(created, parcel => Assert.Equal((order.OrderId, A.Ada, 3, order.Contact), (parcel.OrderId, parcel.BuyerId, parcel.ShipmentsOfOrder, parcel.Contact)));
        Assert.Equal(6, created.SelectMany(parcel => parcel.Lines).Sum(line => line.Quantity));
        Assert.Equal(new HashSet<(Guid, string)> { (A.Bruno, "north"), (A.Clara, "north"), (A.Bruno, "south") }, created.Select(p => (p.SellerId, p.Warehouse)).ToHashSet());

        using var ada = fulfilment.As(TestTokens.Buyer(A.Ada));
        var mine = (await ada.GetFromJsonAsync<ShipmentPage>($"/api/v1/shipments?orderId={order.OrderId}", TestContext.Current.CancellationToken))!.Items;
        Assert.Equal(3, mine.Count);
        Assert.All(mine, parcel => Assert.Equal("created", parcel.Status));
    }

    [Fact]
    public async Task A_second_delivery_plans_nothing_more()
    {
        await using var fulfilment = await ServiceUnderTest<Program>.StartAsync("fulfilment");
        var order = A.Order();

        await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => DeliveredAsync(fulfilment, order)));
        await DeliveredAsync(fulfilment, order with { EventId = Guid.CreateVersion7() });        // told again under another id

        Assert.Equal(3, (await fulfilment.EventsAsync<ShipmentCreated>()).Count);
        Assert.Equal((3, 4), (await CountAsync(fulfilment, "shipments"), await CountAsync(fulfilment, "shipment_lines")));
    }

    [Fact]
    public async Task One_that_was_cancelled_before_is_not_planned()
    {
        await using var fulfilment = await ServiceUnderTest<Program>.StartAsync("fulfilment");
        var order = A.Order();

        await DeliveredAsync(fulfilment, A.Cancelled(order));
        await DeliveredAsync(fulfilment, order);

        Assert.Equal(0, await CountAsync(fulfilment, "shipments"));
        Assert.Empty(await fulfilment.EventsAsync<ShipmentCreated>());
    }

    [Fact]
    public async Task One_whose_allocations_do_not_fit_is_dropped_to_the_dead_letters()
    {
        await using var fulfilment = await ServiceUnderTest<Program>.StartAsync("fulfilment");

        using var reply = await fulfilment.DeliverAsync(A.Order() with { Allocations = [] });

        Assert.Equal("""{"status":"DROP"}""", await reply.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
        Assert.Equal(0, await CountAsync(fulfilment, "shipments"));
    }

    [Fact]
    public async Task Cancelled_afterwards_only_what_has_not_left_stays()
    {
        await using var fulfilment = await ServiceUnderTest<Program>.StartAsync("fulfilment");
        var order = A.Order();
        await DeliveredAsync(fulfilment, order);
        var parcels = await fulfilment.EventsAsync<ShipmentCreated>();
        using var desk = fulfilment.As(TestTokens.Operator());
        using var sent = await desk.PostAsync(new Uri($"/api/v1/operations/shipments/{parcels[0].ShipmentId}/advance", UriKind.Relative), null, TestContext.Current.CancellationToken);

        await DeliveredAsync(fulfilment, A.Cancelled(order));
        await DeliveredAsync(fulfilment, A.Cancelled(order));
        await DeliveredAsync(fulfilment, order with { EventId = Guid.CreateVersion7() });

        Assert.Equal((1L, 2L), (await fulfilment.ScalarAsync<long>("SELECT count(*) FROM shipments WHERE status = 'shipped'"), await fulfilment.ScalarAsync<long>("SELECT count(*) FROM shipments WHERE status = 'cancelled'")));
        using var again = await desk.PostAsync(new Uri($"/api/v1/operations/shipments/{parcels[1].ShipmentId}/advance", UriKind.Relative), null, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.Conflict, again.StatusCode);
        Assert.Equal(3, (await fulfilment.EventsAsync<ShipmentCreated>()).Count);
    }

    [Fact]
    public async Task A_cancellation_after_the_last_delivery_changes_nothing()
    {
        await using var fulfilment = await ServiceUnderTest<Program>.StartAsync("fulfilment");
        var order = A.Order();
        await DeliveredAsync(fulfilment, order);
        using var desk = fulfilment.As(TestTokens.Operator());
        foreach (var parcel in await fulfilment.EventsAsync<ShipmentCreated>())
        {
            for (var stage = 0; stage < 3; stage++)
                using (await desk.PostAsync(new Uri($"/api/v1/operations/shipments/{parcel.ShipmentId}/advance", UriKind.Relative), null, TestContext.Current.CancellationToken)) { }
        }

        await DeliveredAsync(fulfilment, A.Cancelled(order));

        Assert.Equal(3, await fulfilment.ScalarAsync<long>("SELECT count(*) FROM shipments WHERE status = 'delivered'"));
        Assert.Equal(3, (await fulfilment.EventsAsync<ShipmentDelivered>()).Count);
    }

    private static async Task DeliveredAsync<TEvent>(ServiceUnderTest<Program> fulfilment, TEvent @event) where TEvent : DomainEvent
    {
        using var reply = await fulfilment.DeliverAsync(@event);
        Assert.Equal((HttpStatusCode.OK, ""), (reply.StatusCode, await reply.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)));
    }

    private static Task<long> CountAsync(ServiceUnderTest<Program> fulfilment, string table) => fulfilment.ScalarAsync<long>($"SELECT count(*) FROM {table}")!;
}
