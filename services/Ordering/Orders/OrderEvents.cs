using Marketplace.Contracts;
using Marketplace.Hosting;

namespace Marketplace.Ordering.Orders;

/// <summary>Fulfilment's news. Each kind says how far one parcel is; the order follows.</summary>
public static class OrderEvents
{
    public static void MapOrderEvents(this IEndpointRouteBuilder routes)
    {
        routes.MapEvent(ShipmentCreated.Topic, async (ShipmentCreated told, OrderStore orders, CancellationToken ct) => Answer(await orders.ParcelCreatedAsync(
            new(told.EventId, told.ShipmentId, told.OrderId, told.SellerId, ParcelStage.Created, told.ShipmentsOfOrder, told.Warehouse), ct)));
        routes.MapEvent(ShipmentShipped.Topic, (ShipmentShipped told, OrderStore orders, CancellationToken ct) => HeardAsync(orders,
            new(told.EventId, told.ShipmentId, told.OrderId, told.SellerId, ParcelStage.Shipped, told.ShipmentsOfOrder, null, told.Carrier, told.TrackingNumber), ct));
        routes.MapEvent(ShipmentOutForDelivery.Topic, (ShipmentOutForDelivery told, OrderStore orders, CancellationToken ct) => HeardAsync(orders,
            new(told.EventId, told.ShipmentId, told.OrderId, told.SellerId, ParcelStage.OutForDelivery, told.ShipmentsOfOrder), ct));
        routes.MapEvent(ShipmentDelivered.Topic, (ShipmentDelivered told, OrderStore orders, CancellationToken ct) => HeardAsync(orders,
            new(told.EventId, told.ShipmentId, told.OrderId, told.SellerId, ParcelStage.Delivered, told.ShipmentsOfOrder), ct));
    }

    private static async Task<IResult> HeardAsync(OrderStore orders, ParcelNews news, CancellationToken ct) => Answer(await orders.ParcelAsync(news, ct));

    // An order exists before any parcel of it can: one we do not know will not turn up later.
    private static IResult Answer(bool known) => known ? TypedResults.Ok() : Delivery.Drop();
}
