using Marketplace.Contracts;
using Marketplace.Hosting;
using Npgsql;

namespace Marketplace.Fulfilment.Parcels;

/// <summary>What we listen to: an order to fulfil, and one that is not to be.</summary>
public static partial class ShipmentEvents
{
    public static void MapShipmentEvents(this IEndpointRouteBuilder routes)
    {
        routes.MapEvent(OrderConfirmed.Topic, OnOrderConfirmedAsync);
        routes.MapEvent(OrderCancelled.Topic, OnOrderCancelledAsync);
    }

    private static async Task<IResult> OnOrderConfirmedAsync(
        OrderConfirmed order, NpgsqlDataSource database, ShipmentStore shipments, OutboxSignal outbox, ILogger<ShipmentStore> log, CancellationToken ct)
    {
        if (ParcelPlan.Of(order) is not { } parcels)
        {
            LogUnplannable(log, order.OrderId);
            return Delivery.Drop();
        }

        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        if (await Inbox.FirstTimeAsync(tx, order.EventId, ct) && !await ShipmentStore.LockOrderAsync(tx, order.OrderId, cancel: false, ct))
            await shipments.PlanAsync(tx, order, parcels, ct);
        await tx.CommitAsync(ct);
        outbox.Notify();
        return TypedResults.Ok();
    }

    private static async Task<IResult> OnOrderCancelledAsync(OrderCancelled order, NpgsqlDataSource database, TimeProvider time, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        if (await Inbox.FirstTimeAsync(tx, order.EventId, ct))
        {
            await ShipmentStore.LockOrderAsync(tx, order.OrderId, cancel: true, ct);     // also before the confirmation: then nothing is planned at all
            await ShipmentStore.CancelAsync(tx, order.OrderId, time.GetUtcNow(), ct);
        }

        await tx.CommitAsync(ct);
        return TypedResults.Ok();
    }

    [LoggerMessage(LogLevel.Error, "Order {OrderId} was confirmed with allocations that do not cover its lines; it cannot be shipped and is among the dead letters")]
    private static partial void LogUnplannable(ILogger log, Guid orderId);
}
