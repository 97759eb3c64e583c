using System.Diagnostics;
using System.Text.Json;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Marketplace.Ordering.Checkout;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Ordering.Orders;

/// <summary>Orders as buyers and operators see them. A buyer's question never finds somebody else's order: the id is in every WHERE clause.</summary>
public sealed partial class OrderStore(NpgsqlDataSource database, TimeProvider time, OutboxSignal outbox, CheckoutOptions options, ILogger<OrderStore> log)
{
    /// <summary>What a poll needs: one row by its key. Null when there is no such order for this viewer.</summary>
    public async Task<int?> VersionAsync(Guid orderId, Viewer viewer, CancellationToken ct)
    {
        await using var read = database.CreateCommand("SELECT version FROM orders WHERE order_id = $1 AND ($2::uuid IS NULL OR buyer_id = $2)");
        read.Parameters.Add(new() { Value = orderId });
        read.Parameters.Add(viewer.Parameter());
        return (int?)await read.ExecuteScalarAsync(ct);
    }

    public async Task<OrderView?> FindAsync(Guid orderId, Viewer viewer, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var read = new NpgsqlBatch(connection)
        {
            BatchCommands =
            {
                new($"SELECT {SummaryColumns} FROM orders WHERE order_id = $1 AND ($2::uuid IS NULL OR buyer_id = $2)")
                {
                    Parameters = { new() { Value = orderId }, viewer.Parameter() },
                },
                OrderSql.Lines(orderId),
                new("""
                    SELECT shipment_id, warehouse, seller_id, stage, carrier, tracking_number FROM shipments WHERE order_id = $1 ORDER BY shipment_id
                    """) { Parameters = { new() { Value = orderId } } },
            },
        };
        await using var reader = await read.ExecuteReaderAsync(ct);
        if (!await reader.ReadAsync(ct)) return null;
        var order = ReadSummary(reader);
        await reader.NextResultAsync(ct);
        var lines = await OrderSql.ReadLinesAsync(reader, order.Total.Currency, ct);
        await reader.NextResultAsync(ct);
        var shipments = new List<ShipmentView>();
        while (await reader.ReadAsync(ct))
            shipments.Add(new ShipmentView(
                reader.GetGuid(0), Text(reader, 1), reader.GetGuid(2), ((ParcelStage)reader.GetInt16(3)).Text(), Text(reader, 4), Text(reader, 5)));
        return new OrderView(order, lines, shipments);
    }

    public async Task<IReadOnlyList<OrderSummary>> OfBuyerAsync(Guid buyerId, Guid before, int limit, CancellationToken ct)
    {
        await using var read = database.CreateCommand($"""
            SELECT {SummaryColumns} FROM orders WHERE buyer_id = $1 AND order_id < $2 ORDER BY order_id DESC LIMIT $3
            """);
        read.Parameters.Add(new() { Value = buyerId });
        read.Parameters.Add(new() { Value = before });
        read.Parameters.Add(new() { Value = limit });
        return await ReadSummariesAsync(read, ct);
    }

    /// <summary>For the operator: by status, or what is parked, newest first.</summary>
    public async Task<IReadOnlyList<OrderSummary>> InStateAsync(string? status, bool parked, Guid before, int limit, CancellationToken ct)
    {
        var rule = (status, parked) switch
        {
            (_, true) => "parked_reason IS NOT NULL",
            // Spelt out, not a parameter: the planner must see that the partial index of open orders answers it.
            (OrderStatus.Pending or OrderStatus.PaymentFailed, _) => $"status = '{status}'",
            (not null, _) => "status = $3",
            _ => "true",
        };
        await using var read = database.CreateCommand($"SELECT {SummaryColumns} FROM orders WHERE {rule} AND order_id < $1 ORDER BY order_id DESC LIMIT $2");
        read.Parameters.Add(new() { Value = before });
        read.Parameters.Add(new() { Value = limit });
        if (rule.Contains("$3", StringComparison.Ordinal)) read.Parameters.Add(new() { Value = status });
        return await ReadSummariesAsync(read, ct);
    }

    public async Task<IReadOnlyList<SagaStep>?> HistoryAsync(Guid orderId, Viewer viewer, CancellationToken ct)
    {
        if (await VersionAsync(orderId, viewer, ct) is null) return null;
        await using var read = database.CreateCommand("""
            SELECT attempt, step, outcome, error, times, at FROM saga_steps WHERE order_id = $1 ORDER BY attempt, first_at, at
            """);
        read.Parameters.Add(new() { Value = orderId });
        var steps = new List<SagaStep>();
        await using var reader = await read.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            var (outcome, error) = (reader.GetString(2), Text(reader, 3));
            // What a machine said when it failed is for those who run the machines.
            if (outcome == "failed" && !viewer.IsOperator) error = "A service did not answer; the step is tried again.";
            steps.Add(new SagaStep(reader.GetInt16(0), reader.GetString(1), outcome, error, reader.GetInt32(4), reader.GetFieldValue<DateTimeOffset>(5)));
        }

        return steps;
    }

    /// <summary>How an attempt stands, for inventory's sweep.</summary>
    public async Task<string> AttemptStatusAsync(Guid orderId, int attempt, CancellationToken ct)
    {
        await using var read = database.CreateCommand("SELECT status FROM attempts WHERE order_id = $1 AND attempt = $2");
        read.Parameters.Add(new() { Value = orderId });
        read.Parameters.Add(new() { Value = (short)attempt });
        return (string?)await read.ExecuteScalarAsync(ct) ?? AttemptStatus.Unknown;
    }

    /// <summary>Calls an order off as far as its state allows. What must be given back first is given back by a saga.</summary>
    public Task<Cancellation> CancelAsync(Guid orderId, Viewer viewer, string reason, CancellationToken ct) =>
        CallOffAsync(orderId, viewer, reason, OrderMoves.Cancel, ct);

    /// <summary>Calls a flash order off for its sale, as long as it is not sold.</summary>
    public Task<Cancellation> AbandonAsync(Guid orderId, string reason, CancellationToken ct) =>
        CallOffAsync(orderId, Viewer.Sale, reason, OrderMoves.Abandon, ct);

    private async Task<Cancellation> CallOffAsync(
        Guid orderId, Viewer viewer, string reason, Func<string, bool, bool, Cancellation> rule, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        string status;
        bool cancelRequested, parked;
        short attempt;
        OrderCancelled cancelled;
        await using (var read = new NpgsqlCommand("""
            SELECT status, cancel_requested_at IS NOT NULL, parked_reason IS NOT NULL, attempt, buyer_id, total_minor, currency, contact
            FROM orders WHERE order_id = $1 AND ($2::uuid IS NULL OR buyer_id = $2) FOR UPDATE
            """, connection, tx) { Parameters = { new() { Value = orderId }, viewer.Parameter() } })
        await using (var reader = await read.ExecuteReaderAsync(ct))
        {
            if (!await reader.ReadAsync(ct)) return Cancellation.NotYours;
            status = reader.GetString(0);
            cancelRequested = reader.GetBoolean(1);
            parked = reader.GetBoolean(2);
            attempt = reader.GetInt16(3);
            cancelled = new OrderCancelled(
                orderId, attempt, reader.GetGuid(4), new Money(reader.GetInt64(5), reader.GetString(6)), reason, Refunded: false,
                JsonSerializer.Deserialize<OrderContact>(reader.GetString(7), JsonSerializerOptions.Web)!);
        }

        NpgsqlParameter[] Change() => [new() { Value = orderId }, new() { Value = reason }, new() { Value = now }];
        var move = rule(status, cancelRequested, parked);
        switch (move)
        {
            case Cancellation.AtOnce:
                await ExecuteAsync("""
                    UPDATE orders SET status = 'CANCELLED', reason = $2, cancel_reason = $2, cancel_requested_at = $3,
                                      parked_reason = NULL, parked_at = NULL, version = version + 1, updated_at = $3
                    WHERE order_id = $1
                    """, Change());
                await Outbox.AddAsync(tx, cancelled, orderId, ct);
                break;
            case Cancellation.WhenItsSagaConfirms:
                await ExecuteAsync(RequestCancellation, Change());
                break;
            case Cancellation.ByUndoing:
                await ExecuteAsync(RequestCancellation, Change());
                await ExecuteAsync("""
                    UPDATE attempts SET saga = 'cancellation', started_at = $3, settled_at = NULL, check_at = $4 WHERE order_id = $1 AND attempt = $2
                    """, new() { Value = orderId }, new() { Value = attempt }, new() { Value = now }, new() { Value = now + options.WatchAfter });
                await Outbox.AddCommandAsync(tx, StartSaga.Lane, orderId, new StartSaga(orderId, attempt), ct);
                break;
            case Cancellation.AlreadyAsked or Cancellation.AlreadyCancelled or Cancellation.AlreadyShipped or Cancellation.AlreadyClosed or Cancellation.AlreadySold:
                return move;
            default:
                throw new UnreachableException($"{move}");
        }

        await tx.CommitAsync(ct);
        outbox.Notify();
        LogCancellation(orderId, move);
        return move;

        async Task ExecuteAsync(string sql, params NpgsqlParameter[] parameters)
        {
            await using var command = new NpgsqlCommand(sql, connection, tx);
            command.Parameters.AddRange(parameters);
            await command.ExecuteNonQueryAsync(ct);
        }
    }

    /// <summary>
    /// A parcel exists. The commonest news by far and one that moves no order, so it is one statement: one round trip, one commit.
    /// False when there is no such order.
    /// </summary>
    public async Task<bool> ParcelCreatedAsync(ParcelNews news, CancellationToken ct)
    {
        await using var write = database.CreateCommand("""
            WITH known AS (
                SELECT order_id FROM orders WHERE order_id = $3
            ), first AS (
                INSERT INTO inbox (event_id) SELECT $1 FROM known ON CONFLICT DO NOTHING RETURNING event_id
            ), parcel AS (
                INSERT INTO shipments (shipment_id, order_id, seller_id, warehouse, stage, updated_at)
                SELECT $2, known.order_id, $4, $5, $6, $7 FROM known CROSS JOIN first
                ON CONFLICT (shipment_id) DO UPDATE SET warehouse = coalesce(shipments.warehouse, excluded.warehouse), updated_at = excluded.updated_at
            ), seen AS (
                UPDATE orders SET version = version + 1, updated_at = $7 FROM first WHERE order_id = $3
            )
            SELECT EXISTS (SELECT FROM known)
            """);
        write.Parameters.Add(new() { Value = news.EventId });
        write.Parameters.Add(new() { Value = news.ShipmentId });
        write.Parameters.Add(new() { Value = news.OrderId });
        write.Parameters.Add(new() { Value = news.SellerId });
        write.Parameters.Add(OrNull(news.Warehouse));
        write.Parameters.Add(new() { Value = (short)ParcelStage.Created });
        write.Parameters.Add(new() { Value = time.GetUtcNow() });
        return (bool)(await write.ExecuteScalarAsync(ct))!;
    }

    /// <summary>News of a parcel. It may be the second copy, or late: a stage never goes back, and an order follows its parcels only forward.</summary>
    public async Task<bool> ParcelAsync(ParcelNews news, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        if (!await Inbox.FirstTimeAsync(tx, news.EventId, ct)) return true;

        // The order first: two parcels of one order take turns, or each would miss that the other one arrived too.
        await using var write = new NpgsqlBatch(connection, tx)
        {
            BatchCommands =
            {
                new("SELECT status, cancel_requested_at IS NOT NULL, buyer_id, currency, contact FROM orders WHERE order_id = $1 FOR UPDATE")
                {
                    Parameters = { new() { Value = news.OrderId } },
                },
                new("""
                    INSERT INTO shipments (shipment_id, order_id, seller_id, warehouse, stage, carrier, tracking_number, updated_at)
                    SELECT $1, order_id, $3, $4, $5, $6, $7, $8 FROM orders WHERE order_id = $2
                    ON CONFLICT (shipment_id) DO UPDATE
                    SET stage = greatest(shipments.stage, excluded.stage), updated_at = excluded.updated_at,
                        warehouse = coalesce(shipments.warehouse, excluded.warehouse), carrier = coalesce(shipments.carrier, excluded.carrier),
                        tracking_number = coalesce(shipments.tracking_number, excluded.tracking_number)
                    """)
                {
                    Parameters =
                    {
                        new() { Value = news.ShipmentId }, new() { Value = news.OrderId }, new() { Value = news.SellerId }, OrNull(news.Warehouse),
                        new() { Value = (short)news.Stage }, OrNull(news.Carrier), OrNull(news.TrackingNumber), new() { Value = now },
                    },
                },
                new("""
                    SELECT count(*) FILTER (WHERE stage >= 2)::integer, count(*) FILTER (WHERE stage = 4)::integer FROM shipments WHERE order_id = $1
                    """) { Parameters = { new() { Value = news.OrderId } } },
            },
        };
        string status, currency;
        bool cancelRequested;
        int underWay, arrived;
        Guid buyer;
        OrderContact contact;
        await using (var reader = await write.ExecuteReaderAsync(ct))
        {
            if (!await reader.ReadAsync(ct)) return false;
            status = reader.GetString(0);
            cancelRequested = reader.GetBoolean(1);
            (buyer, currency, contact) = (reader.GetGuid(2), reader.GetString(3), JsonSerializer.Deserialize<OrderContact>(reader.GetString(4), JsonSerializerOptions.Web)!);
            await reader.NextResultAsync(ct);
            await reader.ReadAsync(ct);
            (underWay, arrived) = (reader.GetInt32(0), reader.GetInt32(1));
        }

        // A cancellation under way gives the money back: it decides what the order becomes, and finds the parcel out there.
        var next = cancelRequested ? status : OrderMoves.AfterParcels(status, news.ShipmentsOfOrder, underWay, arrived);
        await using var move = new NpgsqlBatch(connection, tx)
        {
            BatchCommands =
            {
                new("UPDATE orders SET status = $2, version = version + 1, updated_at = $3 WHERE order_id = $1")
                {
                    Parameters = { new() { Value = news.OrderId }, new() { Value = next }, new() { Value = now } },
                },
            },
        };
        if (cancelRequested && news.Stage >= ParcelStage.Shipped) move.BatchCommands.Add(SagaStore.Park(news.OrderId, "A parcel left although the order was called off.", now));
        await move.ExecuteNonQueryAsync(ct);
        if (next == OrderStatus.Delivered && status != OrderStatus.Delivered)
        {
            await using var read = new NpgsqlBatch(connection, tx) { BatchCommands = { OrderSql.Lines(news.OrderId) } };
            await using var reader = await read.ExecuteReaderAsync(ct);
            var delivered = new OrderDelivered(news.OrderId, buyer, await OrderSql.ReadLinesAsync(reader, currency, ct), contact);
            await reader.DisposeAsync();
            await Outbox.AddAsync(tx, delivered, news.OrderId, ct);
        }

        await tx.CommitAsync(ct);
        outbox.Notify();
        return true;
    }

    private const string RequestCancellation = """
        UPDATE orders SET cancel_requested_at = $3, cancel_reason = $2, parked_reason = NULL, parked_at = NULL, version = version + 1, updated_at = $3
        WHERE order_id = $1
        """;

    private const string SummaryColumns = "order_id, buyer_id, status, reason, attempt, total_minor, currency, version, created_at, updated_at, cancel_requested_at IS NOT NULL, parked_reason, parked_at, sale_id";

    private static async Task<IReadOnlyList<OrderSummary>> ReadSummariesAsync(NpgsqlCommand command, CancellationToken ct)
    {
        var orders = new List<OrderSummary>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) orders.Add(ReadSummary(reader));
        return orders;
    }

    private static OrderSummary ReadSummary(NpgsqlDataReader reader) => new(
        reader.GetGuid(0), reader.GetGuid(1), reader.GetString(2), Text(reader, 3), reader.GetInt16(4), new Money(reader.GetInt64(5), reader.GetString(6)), reader.GetInt32(7),
        reader.GetFieldValue<DateTimeOffset>(8), reader.GetFieldValue<DateTimeOffset>(9), reader.GetBoolean(10), Text(reader, 11),
        reader.IsDBNull(12) ? null : reader.GetFieldValue<DateTimeOffset>(12), reader.IsDBNull(13) ? null : reader.GetGuid(13));

    private static string? Text(NpgsqlDataReader reader, int column) => reader.IsDBNull(column) ? null : reader.GetString(column);

    private static NpgsqlParameter OrNull(string? text) => new() { Value = (object?)text ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text };

    [LoggerMessage(LogLevel.Information, "Order {OrderId} is called off: {Move}")]
    private partial void LogCancellation(Guid orderId, Cancellation move);
}

/// <summary>Who is looking: a buyer sees their own orders, the operator all of them.</summary>
public readonly record struct Viewer
{
    private Viewer(Guid? buyerId) => BuyerId = buyerId;

    /// <summary>A flash sale, which may touch the orders it made.</summary>
    public static readonly Viewer Sale = new(null);

    public Guid? BuyerId { get; }

    public bool IsOperator => BuyerId is null;

    public static Viewer Of(System.Security.Claims.ClaimsPrincipal user) => user.IsInRole(Roles.Operator) ? new(null) : new(Buyer.Id(user));

    /// <summary>For what only the buyer may do, whoever else they are.</summary>
    public static Viewer BuyerOf(System.Security.Claims.ClaimsPrincipal user) => new(Buyer.Id(user));

    internal NpgsqlParameter Parameter() => new() { Value = (object?)BuyerId ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Uuid };
}

public sealed record OrderSummary(
    Guid OrderId, Guid BuyerId, string Status, string? Reason, int Attempt, Money Total, int Version,
    DateTimeOffset CreatedAt, DateTimeOffset UpdatedAt, bool CancelRequested, string? ParkedReason, DateTimeOffset? ParkedAt, Guid? SaleId);

public sealed record OrderView(OrderSummary Order, IReadOnlyList<OrderedLine> Lines, IReadOnlyList<ShipmentView> Shipments);

public sealed record ShipmentView(Guid ShipmentId, string? Warehouse, Guid SellerId, string Status, string? Carrier, string? TrackingNumber);

public sealed record SagaStep(int Attempt, string Step, string Outcome, string? Error, int Times, DateTimeOffset At);

public sealed record ParcelNews(
    Guid EventId, Guid ShipmentId, Guid OrderId, Guid SellerId, ParcelStage Stage, int ShipmentsOfOrder, string? Warehouse = null, string? Carrier = null, string? TrackingNumber = null);
