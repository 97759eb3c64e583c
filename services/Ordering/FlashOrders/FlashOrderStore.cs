using Marketplace.Contracts;
using Marketplace.Hosting;
using Marketplace.Ordering.Checkout;
using Marketplace.Ordering.Orders;
using Npgsql;

namespace Marketplace.Ordering.FlashOrders;

/// <summary>
/// Claims become orders, or are given up before they do. Both begin by writing the row of the order id, so one of them is first,
/// and the second waits for it and finds out.
/// </summary>
public sealed partial class FlashOrderStore(
    NpgsqlDataSource database, TimeProvider time, CheckoutStore checkouts, OrderStore orders, OutboxSignal outbox, FlashOrderMeter meter, ILogger<FlashOrderStore> log)
{
    public const string Lane = "flash-checkout";

    /// <summary>The order of a claim, once, however often the claim is delivered; or the news that it was given up.</summary>
    public async Task PlaceAsync(FlashSaleClaimed claim, CancellationToken ct)
    {
        var total = claim.Line.UnitPrice * claim.Line.Quantity;
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        await using var open = new NpgsqlCommand("INSERT INTO flash_orders (order_id) VALUES ($1) ON CONFLICT DO NOTHING", connection, tx)
        {
            Parameters = { new() { Value = claim.OrderId } },
        };
        if (await open.ExecuteNonQueryAsync(ct) > 0)
        {
            // A cart id nobody has: what the buyer has in the cart stays there.
            await checkouts.PlaceAsync(tx, new NewOrder(
                claim.OrderId, claim.BuyerId, CartId: Guid.CreateVersion7(time.GetUtcNow()), total, [claim.Line], claim.ShipTo, claim.Contact, claim.PaymentMethod, claim.SaleId), ct);
            await tx.CommitAsync(ct);
            meter.Placed();
            LogPlaced(claim.OrderId, claim.SaleId);
        }
        else
        {
            await using var tell = new NpgsqlCommand("""
                UPDATE flash_orders SET told_at = $2 WHERE order_id = $1 AND abandoned_at IS NOT NULL AND told_at IS NULL RETURNING reason
                """, connection, tx) { Parameters = { new() { Value = claim.OrderId }, new() { Value = time.GetUtcNow() } } };
            if (await tell.ExecuteScalarAsync(ct) is not string reason) return;        // delivered again
            await Outbox.AddAsync(tx, new OrderFailed(claim.OrderId, 1, claim.BuyerId, total, reason, claim.Contact, claim.SaleId), claim.OrderId, ct);
            await tx.CommitAsync(ct);
            LogTooLate(claim.OrderId, claim.SaleId, reason);
        }

        outbox.Notify();
    }

    /// <summary>
    /// The unit goes to somebody else unless it is sold already: an order that nobody heard of will not come to be, one under way is called
    /// off. Null when there is such an order and it is of no sale.
    /// </summary>
    public async Task<Abandonment?> AbandonAsync(Guid orderId, string reason, CancellationToken ct)
    {
        await using var settle = database.CreateCommand("""
            INSERT INTO flash_orders (order_id, abandoned_at, reason)
            SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT FROM orders WHERE order_id = $1)
            ON CONFLICT DO NOTHING
            """);
        settle.Parameters.Add(new() { Value = orderId });
        settle.Parameters.Add(new() { Value = time.GetUtcNow() });
        settle.Parameters.Add(new() { Value = reason });
        if (await settle.ExecuteNonQueryAsync(ct) > 0)
        {
            meter.Abandoned();
            LogTombstone(orderId, reason);
            return Abandonment.Abandoned;
        }

        await using var read = database.CreateCommand("SELECT abandoned_at IS NOT NULL FROM flash_orders WHERE order_id = $1");
        read.Parameters.Add(new() { Value = orderId });
        if (await read.ExecuteScalarAsync(ct) is not bool tombstone) return null;
        if (tombstone) return Abandonment.Abandoned;

        switch (await orders.AbandonAsync(orderId, reason, ct))
        {
            case Cancellation.WhenItsSagaConfirms or Cancellation.ByUndoing:
                meter.Abandoned();
                return Abandonment.Pending;
            case Cancellation.AlreadyAsked: return Abandonment.Pending;
            case Cancellation.AtOnce or Cancellation.AlreadyCancelled: return Abandonment.Cancelled;
            case Cancellation.AlreadyClosed: return Abandonment.Failed;
            case Cancellation.AlreadySold: return Abandonment.Confirmed;
            case var other: throw new InvalidOperationException($"Flash order {orderId} cannot be given up: {other}.");
        }
    }

    [LoggerMessage(LogLevel.Information, "Order {OrderId} of sale {SaleId} placed")]
    private partial void LogPlaced(Guid orderId, Guid saleId);

    [LoggerMessage(LogLevel.Warning, "Order {OrderId} of sale {SaleId} had been given up before it came: {Reason}")]
    private partial void LogTooLate(Guid orderId, Guid saleId, string reason);

    [LoggerMessage(LogLevel.Warning, "Flash order {OrderId} is given up before it was heard of: {Reason}")]
    private partial void LogTombstone(Guid orderId, string reason);
}

/// <summary>Where a flash order stands that its sale gave up. Pending: it is being called off, its end is told by an event.</summary>
public enum Abandonment { Abandoned, Pending, Confirmed, Failed, Cancelled }
