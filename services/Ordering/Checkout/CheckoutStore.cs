using System.Text.Json;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Marketplace.Ordering.Checkout.Activities;
using Marketplace.Ordering.Clients;
using Marketplace.Ordering.Orders;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Ordering.Checkout;

/// <summary>The saga's side of the tables: placing an order, and the steps that end one.</summary>
public sealed partial class CheckoutStore(NpgsqlDataSource database, TimeProvider time, OutboxSignal outbox, CheckoutOptions options, ILogger<CheckoutStore> log)
{
    /// <summary>Order, lines, first attempt, event and the command that starts the saga, in the caller's transaction.</summary>
    public async Task PlaceAsync(NpgsqlTransaction tx, NewOrder order, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        var lines = order.Lines;
        await using var place = new NpgsqlBatch(tx.Connection!, tx)
        {
            BatchCommands =
            {
                new("""
                    INSERT INTO orders (order_id, buyer_id, cart_id, status, total_minor, currency, ship_to, contact, created_at, updated_at, sale_id)
                    VALUES ($1, $2, $3, 'PENDING', $4, $5, $6, $7, $8, $8, $9)
                    """)
                {
                    Parameters =
                    {
                        new() { Value = order.OrderId }, new() { Value = order.BuyerId }, new() { Value = order.CartId },
                        new() { Value = order.Total.Minor }, new() { Value = order.Total.Currency },
                        Json(order.ShipTo), Json(order.Contact), new() { Value = now },
                        new() { Value = (object?)order.SaleId ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Uuid },
                    },
                },
                new("""
                    INSERT INTO order_lines (order_id, line_no, product_id, seller_id, title, quantity, unit_price_minor)
                    SELECT $1, line_no, product_id, seller_id, title, quantity, unit_price_minor
                    FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::integer[], $6::bigint[]) WITH ORDINALITY
                         AS l(product_id, seller_id, title, quantity, unit_price_minor, line_no)
                    """)
                {
                    Parameters =
                    {
                        new() { Value = order.OrderId },
                        new() { Value = lines.Select(line => line.ProductId).ToArray() }, new() { Value = lines.Select(line => line.SellerId).ToArray() },
                        new() { Value = lines.Select(line => line.Title).ToArray() }, new() { Value = lines.Select(line => line.Quantity).ToArray() },
                        new() { Value = lines.Select(line => line.UnitPrice.Minor).ToArray() },
                    },
                },
                // A flash order may wait long for its turn: its saga is watched from its start, and until then only the lane is.
                OpenAttempt(order.OrderId, 1, order.PaymentMethod, now, order.SaleId is null ? options.WatchAfter : options.StuckAfter),
                Outbox.Command(new OrderCreated(order.OrderId, order.BuyerId, order.Total, lines), order.OrderId),
                Outbox.Command(StartSaga.LaneOf(order.SaleId), order.OrderId, new StartSaga(order.OrderId, 1)),
            },
        };
        await place.ExecuteNonQueryAsync(ct);
    }

    /// <summary>Another try to pay an order that waits for it, in the caller's transaction; null when it does not.</summary>
    public async Task<PlacedOrder?> PayAgainAsync(NpgsqlTransaction tx, Guid orderId, Guid buyerId, string? paymentMethod, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await using var again = new NpgsqlCommand("""
            UPDATE orders SET status = 'PENDING', reason = NULL, attempt = attempt + 1, version = version + 1, updated_at = $3
            WHERE order_id = $1 AND buyer_id = $2 AND status = 'PAYMENT_FAILED' AND sale_id IS NULL
            RETURNING attempt, total_minor, currency
            """, tx.Connection, tx) { Parameters = { new() { Value = orderId }, new() { Value = buyerId }, new() { Value = now } } };
        int attempt;
        Money total;
        await using (var reader = await again.ExecuteReaderAsync(ct))
        {
            if (!await reader.ReadAsync(ct)) return null;
            attempt = reader.GetInt16(0);
            total = new Money(reader.GetInt64(1), reader.GetString(2));
        }

        await using var open = new NpgsqlBatch(tx.Connection!, tx)
        {
            BatchCommands = { OpenAttempt(orderId, attempt, paymentMethod, now, options.WatchAfter), Outbox.Command(StartSaga.Lane, orderId, new StartSaga(orderId, attempt)) },
        };
        await open.ExecuteNonQueryAsync(ct);
        return new PlacedOrder(orderId, OrderStatus.Pending, total);
    }

    /// <summary>What is to be held for the order; null when it was called off meanwhile.</summary>
    public async Task<IReadOnlyList<WantedLine>?> WantedAsync(Guid orderId)
    {
        await using var read = database.CreateCommand("""
            SELECT l.product_id, l.quantity, o.cancel_requested_at IS NOT NULL
            FROM order_lines l JOIN orders o USING (order_id) WHERE l.order_id = $1 ORDER BY l.line_no
            """);
        read.Parameters.Add(new() { Value = orderId });
        var lines = new List<WantedLine>();
        await using var reader = await read.ExecuteReaderAsync();
        while (await reader.ReadAsync())
        {
            if (reader.GetBoolean(2)) return null;
            lines.Add(new WantedLine(reader.GetGuid(0), reader.GetInt32(1)));
        }

        return lines;
    }

    /// <summary>The point of no return: order, attempt, diary and event together. A repeat finds it done; a buyer's wish to cancel is a clear no.</summary>
    public async Task<StepReply> ConfirmAsync(Confirmation confirmation)
    {
        var checkout = confirmation.Checkout;
        var now = time.GetUtcNow();
        await using var connection = await database.OpenConnectionAsync();
        await using (var tx = await connection.BeginTransactionAsync())
        {
            await using var confirm = new NpgsqlBatch(connection, tx)
            {
                BatchCommands =
                {
                    new("""
                        WITH confirmed AS (
                            UPDATE orders SET status = 'CONFIRMED', reason = NULL, parked_reason = NULL, parked_at = NULL,
                                              allocations = $3, version = version + 1, updated_at = $4
                            WHERE order_id = $1 AND attempt = $2 AND status = 'PENDING' AND cancel_requested_at IS NULL
                            RETURNING order_id, buyer_id, cart_id, total_minor, currency, ship_to, contact
                        ), ended AS (
                            UPDATE attempts a SET status = 'confirmed', ended_at = $4 FROM confirmed c WHERE a.order_id = c.order_id AND a.attempt = $2
                        )
                        SELECT buyer_id, cart_id, total_minor, currency, ship_to, contact FROM confirmed
                        """) { Parameters = { Order(checkout), Attempt(checkout), Json(confirmation.Allocations), new() { Value = now } } },
                    OrderSql.Lines(checkout.OrderId),
                    StepLog.Upsert(checkout, nameof(ConfirmOrder), StepNote.Done, now),
                },
            };
            OrderConfirmed? confirmed = null;
            await using (var reader = await confirm.ExecuteReaderAsync())
            {
                if (await reader.ReadAsync())
                {
                    var total = new Money(reader.GetInt64(2), reader.GetString(3));
                    confirmed = new OrderConfirmed(
                        checkout.OrderId, checkout.Attempt, reader.GetGuid(0), reader.GetGuid(1), total, [], confirmation.Allocations,
                        Read<PostalAddress>(reader, 4), Read<OrderContact>(reader, 5));
                    await reader.NextResultAsync();
                    confirmed = confirmed with { Lines = await OrderSql.ReadLinesAsync(reader, total.Currency, default) };
                }
            }

            if (confirmed is not null)
            {
                await Outbox.AddAsync(tx, confirmed, checkout.OrderId, default);
                await tx.CommitAsync();
                outbox.Notify();
                LogConfirmed(checkout.OrderId);
                return StepReply.Done;
            }

            await tx.RollbackAsync();
        }

        return await WhyNotConfirmedAsync(connection, checkout, now);
    }

    private async Task<StepReply> WhyNotConfirmedAsync(NpgsqlConnection connection, CheckoutAttempt checkout, DateTimeOffset now)
    {
        await using var read = new NpgsqlCommand("SELECT status FROM attempts WHERE order_id = $1 AND attempt = $2", connection)
        {
            Parameters = { Order(checkout), Attempt(checkout) },
        };
        switch ((string?)await read.ExecuteScalarAsync())
        {
            case AttemptStatus.Confirmed: return StepReply.Done;                       // said so before
            case null: throw new InvalidOperationException($"Order {checkout.OrderId} has no attempt {checkout.Attempt}.");
        }

        await using var note = new NpgsqlBatch(connection) { BatchCommands = { StepLog.Upsert(checkout, nameof(ConfirmOrder), StepNote.Of(Refusals.Cancelled), now) } };
        await note.ExecuteNonQueryAsync();
        LogCancelledMeanwhile(checkout.OrderId);
        return new StepReply(Refusals.Cancelled);
    }

    /// <summary>Writes down the end of a checkout that came to nothing, with the event that tells the buyer.</summary>
    public async Task<StepReply> RefuseAsync(RefusedCheckout refused)
    {
        var checkout = refused.Checkout;
        var now = time.GetUtcNow();
        await using var connection = await database.OpenConnectionAsync();
        await using var tx = await connection.BeginTransactionAsync();
        string status;
        string? cancelReason;
        bool cancelRequested, attemptOver;
        OrderContact contact;
        Guid? saleId;
        await using (var read = new NpgsqlCommand("""
            SELECT o.status, o.cancel_requested_at IS NOT NULL, o.cancel_reason, o.contact, o.attempt <> $2 OR (a.settled_at IS NOT NULL AND a.status <> 'confirmed'), o.sale_id
            FROM orders o JOIN attempts a USING (order_id)
            WHERE o.order_id = $1 AND a.attempt = $2
            FOR UPDATE OF o
            """, connection, tx) { Parameters = { Order(checkout), Attempt(checkout) } })
        await using (var reader = await read.ExecuteReaderAsync())
        {
            if (!await reader.ReadAsync()) throw new InvalidOperationException($"Order {checkout.OrderId} has no attempt {checkout.Attempt}.");
            status = reader.GetString(0);
            cancelRequested = reader.GetBoolean(1);
            cancelReason = reader.IsDBNull(2) ? null : reader.GetString(2);
            contact = Read<OrderContact>(reader, 3);
            attemptOver = reader.GetBoolean(4);
            saleId = reader.IsDBNull(5) ? null : reader.GetGuid(5);
        }

        if (attemptOver) return StepReply.Done;                                        // said so before

        var reason = OrderMoves.ReasonOf(refused.Reason);
        switch (OrderMoves.AfterRefusal(status, cancelRequested, refused.Reason, ofSale: saleId is not null))
        {
            case Refused.PaymentFailed:
                await EndAsync(OrderStatus.PaymentFailed, AttemptStatus.PaymentFailed, reason,
                    new OrderPaymentFailed(checkout.OrderId, checkout.Attempt, checkout.BuyerId, checkout.Total, reason, contact));
                break;
            case Refused.Failed:
                await EndAsync(OrderStatus.Failed, AttemptStatus.Failed, reason,
                    new OrderFailed(checkout.OrderId, checkout.Attempt, checkout.BuyerId, checkout.Total, reason, contact, saleId));
                break;
            case Refused.Cancelled:
                reason = cancelReason ?? reason;
                await EndAsync(OrderStatus.Cancelled, AttemptStatus.Cancelled, reason,
                    new OrderCancelled(checkout.OrderId, checkout.Attempt, checkout.BuyerId, checkout.Total, reason, refused.Refunded, contact));
                break;
            case Refused.OnItsWay:
                await using (var park = new NpgsqlBatch(connection, tx)
                {
                    BatchCommands =
                    {
                        SagaStore.Park(checkout.OrderId, "Money and units were given back after a parcel had left.", now),
                        new("UPDATE attempts SET settled_at = $3 WHERE order_id = $1 AND attempt = $2") { Parameters = { Order(checkout), Attempt(checkout), new() { Value = now } } },
                    },
                })
                    await park.ExecuteNonQueryAsync();
                LogOnItsWay(checkout.OrderId);
                break;
            case Refused.AlreadyEnded:
                break;
        }

        await tx.CommitAsync();
        outbox.Notify();
        return StepReply.Done;

        async Task EndAsync(string orderStatus, string attemptStatus, string why, DomainEvent told)
        {
            await using var end = new NpgsqlBatch(connection, tx)
            {
                BatchCommands =
                {
                    new("""
                        UPDATE orders SET status = $2, reason = $3, parked_reason = NULL, parked_at = NULL, version = version + 1, updated_at = $4 WHERE order_id = $1
                        """) { Parameters = { Order(checkout), new() { Value = orderStatus }, new() { Value = why }, new() { Value = now } } },
                    new("UPDATE attempts SET status = $3, ended_at = $4, settled_at = $4 WHERE order_id = $1 AND attempt = $2")
                    {
                        Parameters = { Order(checkout), Attempt(checkout), new() { Value = attemptStatus }, new() { Value = now } },
                    },
                    StepLog.Upsert(checkout, nameof(RefuseOrder), StepNote.Done, now),
                },
            };
            await end.ExecuteNonQueryAsync();
            await Outbox.AddAsync(tx, told, checkout.OrderId, default);
            LogRefused(checkout.OrderId, orderStatus, why);
        }
    }

    private static NpgsqlBatchCommand OpenAttempt(Guid orderId, int attempt, string? paymentMethod, DateTimeOffset now, TimeSpan watchAfter) => new("""
        INSERT INTO attempts (order_id, attempt, status, payment_method, started_at, check_at) VALUES ($1, $2, 'pending', $3, $4, $5)
        """)
    {
        Parameters =
        {
            new() { Value = orderId }, new() { Value = (short)attempt }, new() { Value = (object?)paymentMethod ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text },
            new() { Value = now }, new() { Value = now + watchAfter },
        },
    };

    private static NpgsqlParameter Order(CheckoutAttempt checkout) => new() { Value = checkout.OrderId };

    private static NpgsqlParameter Attempt(CheckoutAttempt checkout) => new() { Value = (short)checkout.Attempt };

    private static NpgsqlParameter Json<T>(T value) => new() { Value = JsonSerializer.Serialize(value, JsonSerializerOptions.Web), NpgsqlDbType = NpgsqlDbType.Jsonb };

    private static T Read<T>(NpgsqlDataReader reader, int column) =>
        JsonSerializer.Deserialize<T>(reader.GetString(column), JsonSerializerOptions.Web) ?? throw new InvalidDataException($"Column {column} holds null.");

    [LoggerMessage(LogLevel.Information, "Order {OrderId} confirmed")]
    private partial void LogConfirmed(Guid orderId);

    [LoggerMessage(LogLevel.Information, "Order {OrderId} was cancelled while it was being paid")]
    private partial void LogCancelledMeanwhile(Guid orderId);

    [LoggerMessage(LogLevel.Information, "Order {OrderId} ended {Status}: {Reason}")]
    private partial void LogRefused(Guid orderId, string status, string reason);

    [LoggerMessage(LogLevel.Error, "Order {OrderId} was undone after a parcel had left: it is parked")]
    private partial void LogOnItsWay(Guid orderId);
}

public sealed record NewOrder(
    Guid OrderId, Guid BuyerId, Guid CartId, Money Total, IReadOnlyList<OrderedLine> Lines, PostalAddress ShipTo, OrderContact Contact, string? PaymentMethod,
    Guid? SaleId = null);

public sealed record PlacedOrder(Guid OrderId, string Status, Money Total);
