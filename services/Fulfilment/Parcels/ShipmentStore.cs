using System.Diagnostics;
using System.Security.Cryptography;
using System.Text.Json;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Fulfilment.Parcels;

public enum Advance
{
    Advanced,
    NotFound,
    AtItsEnd,
    NotWhereExpected,
}

public sealed record ShipmentView(
    Guid ShipmentId, Guid OrderId, Guid SellerId, string Warehouse, string Status, string? Carrier, string? TrackingNumber, IReadOnlyList<ShippedLine> Lines,
    PostalAddress? ShipTo, DateTimeOffset CreatedAt, DateTimeOffset UpdatedAt);

public sealed record ShipmentPage(IReadOnlyList<ShipmentView> Items, string? Next);

public sealed class ShipmentStore(NpgsqlDataSource database, OutboxSignal outbox, TimeProvider time)
{
    private const string Carrier = "Parcel Post";

    /// <summary>Locks the order's row, in the state that earlier news left it in. True: it was cancelled.</summary>
    public static async Task<bool> LockOrderAsync(NpgsqlTransaction tx, Guid orderId, bool cancel, CancellationToken ct)
    {
        await using var upsert = new NpgsqlCommand("""
            INSERT INTO orders AS o (order_id, cancelled) VALUES ($1, $2)
            ON CONFLICT (order_id) DO UPDATE SET cancelled = o.cancelled OR excluded.cancelled
            RETURNING cancelled
            """, tx.Connection, tx)
        { Parameters = { new() { Value = orderId }, new() { Value = cancel } } };
        return (bool)(await upsert.ExecuteScalarAsync(ct))!;
    }

    public async Task PlanAsync(NpgsqlTransaction tx, OrderConfirmed order, IReadOnlyList<PlannedParcel> parcels, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        var ids = parcels.Select(_ => Guid.CreateVersion7(now)).ToArray();
        var lines = parcels.SelectMany((parcel, i) => parcel.Lines.Select(line => (ShipmentId: ids[i], line.ProductId, line.Title, line.Quantity))).ToArray();
        await using var batch = new NpgsqlBatch(tx.Connection, tx)
        {
            BatchCommands =
            {
                new("""
                    INSERT INTO shipments (shipment_id, order_id, seller_id, warehouse, buyer_id, status, shipments_of_order, ship_to, contact_email, contact_name, created_at, updated_at)
                    SELECT id, $4, seller_id, warehouse, $5, 'created', $6, $7, $8, $9, $10, $10
                    FROM unnest($1, $2, $3) AS parcel (id, seller_id, warehouse)
                    ON CONFLICT (order_id, seller_id, warehouse) DO NOTHING
                    RETURNING shipment_id
                    """)
                {
                    Parameters =
                    {
                        new() { Value = ids }, new() { Value = parcels.Select(parcel => parcel.SellerId).ToArray() }, new() { Value = parcels.Select(parcel => parcel.Warehouse).ToArray() },
                        new() { Value = order.OrderId }, new() { Value = order.BuyerId }, new() { Value = parcels.Count },
                        new() { Value = JsonSerializer.Serialize(order.ShipTo, JsonSerializerOptions.Web), NpgsqlDbType = NpgsqlDbType.Jsonb },
                        new() { Value = order.Contact.Email }, new() { Value = order.Contact.Name }, new() { Value = now },
                    },
                },
                new("""
                    INSERT INTO shipment_lines (shipment_id, product_id, title, quantity)
                    SELECT line.* FROM unnest($1, $2, $3, $4) AS line (shipment_id, product_id, title, quantity)
                    JOIN shipments USING (shipment_id)
                    """)
                {
                    Parameters =
                    {
                        new() { Value = Array.ConvertAll(lines, line => line.ShipmentId) }, new() { Value = Array.ConvertAll(lines, line => line.ProductId) },
                        new() { Value = Array.ConvertAll(lines, line => line.Title) }, new() { Value = Array.ConvertAll(lines, line => line.Quantity) },
                    },
                },
            },
        };

        var planned = new HashSet<Guid>();
        await using (var row = await batch.ExecuteReaderAsync(ct))
        {
            while (await row.ReadAsync(ct))
                planned.Add(row.GetGuid(0));
        }

        // Under the order's id, not the parcel's: listeners see the news of one order in the order it happened.
        await Outbox.AddAsync(
            tx,
            [.. parcels.Select((parcel, i) => (Id: ids[i], Parcel: parcel)).Where(p => planned.Contains(p.Id)).Select(p => ((DomainEvent)new ShipmentCreated(
                p.Id, order.OrderId, order.BuyerId, p.Parcel.SellerId, p.Parcel.Warehouse, parcels.Count, p.Parcel.Lines, order.Contact), order.OrderId))],
            ct);
    }

    /// <summary>What has left cannot be called back; the rest stays in the warehouse.</summary>
    public static async Task<int> CancelAsync(NpgsqlTransaction tx, Guid orderId, DateTimeOffset now, CancellationToken ct)
    {
        await using var cancel = new NpgsqlCommand("UPDATE shipments SET status = 'cancelled', updated_at = $2 WHERE order_id = $1 AND status = 'created'", tx.Connection, tx)
        { Parameters = { new() { Value = orderId }, new() { Value = now } } };
        return await cancel.ExecuteNonQueryAsync(ct);
    }

    public Task<(Advance Outcome, ShipmentView? Shipment)> AdvanceAsync(Guid shipmentId, SellerId seller, string? from, CancellationToken ct) => AdvanceAsync(shipmentId, (SellerId?)seller, from, ct);

    public Task<(Advance Outcome, ShipmentView? Shipment)> AdvanceAsOperatorAsync(Guid shipmentId, string? from, CancellationToken ct) => AdvanceAsync(shipmentId, null, from, ct);

    public async Task<ShipmentPage> OfSellerAsync(SellerId seller, string? status, Guid? before, int limit, CancellationToken ct)
    {
        await using var list = database.CreateCommand($"""
            {Select} WHERE seller_id = $1 AND ($2::text IS NULL OR status = $2) AND ($3::uuid IS NULL OR shipment_id < $3)
            ORDER BY shipment_id DESC LIMIT $4
            """);
        list.Parameters.AddRange((NpgsqlParameter[])[new() { Value = seller.Value }, Text(status), Id(before), new() { Value = limit + 1 }]);
        return await PageAsync(list, limit, withAddress: true, ct);
    }

    public async Task<ShipmentPage> OfBuyerAsync(Guid buyerId, Guid? orderId, Guid? before, int limit, CancellationToken ct)
    {
        await using var list = database.CreateCommand($"""
            {Select} WHERE buyer_id = $1 AND ($2::uuid IS NULL OR order_id = $2) AND ($3::uuid IS NULL OR shipment_id < $3)
            ORDER BY shipment_id DESC LIMIT $4
            """);
        list.Parameters.AddRange((NpgsqlParameter[])[new() { Value = buyerId }, Id(orderId), Id(before), new() { Value = limit + 1 }]);
        return await PageAsync(list, limit, withAddress: false, ct);
    }

    private const string Select = """
        SELECT shipment_id, order_id, seller_id, warehouse, status, carrier, tracking_number, ship_to::text, created_at, updated_at,
               (SELECT json_agg(json_build_object('productId', product_id, 'title', title, 'quantity', quantity) ORDER BY title, product_id)::text
                FROM shipment_lines l WHERE l.shipment_id = s.shipment_id)
        FROM shipments s
        """;

    private async Task<(Advance, ShipmentView?)> AdvanceAsync(Guid shipmentId, SellerId? seller, string? from, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        // The order's row first, like the listeners: a cancellation is either before the parcel leaves or after.
        await using var advance = new NpgsqlCommand("""
            WITH locked AS (SELECT o.order_id FROM orders o JOIN shipments s USING (order_id) WHERE s.shipment_id = $1 FOR UPDATE OF o)
            UPDATE shipments s SET
                status = CASE status WHEN 'created' THEN 'shipped' WHEN 'shipped' THEN 'out_for_delivery' ELSE 'delivered' END,
                carrier = coalesce(carrier, $4), tracking_number = coalesce(tracking_number, $5), updated_at = $6
            FROM locked
            WHERE s.shipment_id = $1 AND ($2::uuid IS NULL OR seller_id = $2) AND ($3::text IS NULL OR status = $3)
              AND status IN ('created', 'shipped', 'out_for_delivery')
            RETURNING s.order_id, buyer_id, seller_id, status, carrier, tracking_number, shipments_of_order, contact_email, contact_name
            """, connection, tx)
        {
            Parameters =
            {
                new() { Value = shipmentId }, Id(seller?.Value), Text(from), new() { Value = Carrier }, new() { Value = TrackingNumber() }, new() { Value = now },
            },
        };

        DomainEvent news;
        Guid orderId;
        await using (var row = await advance.ExecuteReaderAsync(ct))
        {
            if (!await row.ReadAsync(ct))
            {
                await row.DisposeAsync();
                return (await WhyNotAsync(connection, tx, shipmentId, seller, from, ct), null);
            }

            orderId = row.GetGuid(0);
            var (buyerId, sellerId, shipments, contact) = (row.GetGuid(1), row.GetGuid(2), row.GetInt32(6), new OrderContact(row.GetString(7), row.GetString(8)));
            news = row.GetString(3) switch
            {
                "shipped" => new ShipmentShipped(shipmentId, orderId, buyerId, sellerId, row.GetString(4), row.GetString(5), shipments, contact),
                "out_for_delivery" => new ShipmentOutForDelivery(shipmentId, orderId, buyerId, sellerId, shipments, contact),
                "delivered" => new ShipmentDelivered(shipmentId, orderId, buyerId, sellerId, shipments, contact),
                var other => throw new UnreachableException($"A parcel advanced to {other}."),
            };
        }

        await Outbox.AddAsync(tx, news, orderId, ct);
        await tx.CommitAsync(ct);
        outbox.Notify();

        await using var find = database.CreateCommand($"{Select} WHERE shipment_id = $1");
        find.Parameters.Add(new() { Value = shipmentId });
        return (Advance.Advanced, (await PageAsync(find, 1, withAddress: true, ct)).Items[0]);
    }

    private static async Task<Advance> WhyNotAsync(NpgsqlConnection connection, NpgsqlTransaction tx, Guid shipmentId, SellerId? seller, string? from, CancellationToken ct)
    {
        await using var find = new NpgsqlCommand("SELECT status FROM shipments WHERE shipment_id = $1 AND ($2::uuid IS NULL OR seller_id = $2)", connection, tx)
        { Parameters = { new() { Value = shipmentId }, Id(seller?.Value) } };
        return await find.ExecuteScalarAsync(ct) switch
        {
            null => Advance.NotFound,
            "delivered" or "cancelled" => Advance.AtItsEnd,
            string status when from is not null && status != from => Advance.NotWhereExpected,
            var other => throw new UnreachableException($"A parcel that is {other} did not advance."),
        };
    }

    private static async Task<ShipmentPage> PageAsync(NpgsqlCommand list, int limit, bool withAddress, CancellationToken ct)
    {
        await using var row = await list.ExecuteReaderAsync(ct);
        var items = new List<ShipmentView>();
        while (await row.ReadAsync(ct))
        {
            items.Add(new ShipmentView(
                row.GetGuid(0), row.GetGuid(1), row.GetGuid(2), row.GetString(3), row.GetString(4), row.IsDBNull(5) ? null : row.GetString(5), row.IsDBNull(6) ? null : row.GetString(6),
                row.IsDBNull(10) ? [] : JsonSerializer.Deserialize<List<ShippedLine>>(row.GetString(10), JsonSerializerOptions.Web)!,
                withAddress ? JsonSerializer.Deserialize<PostalAddress>(row.GetString(7), JsonSerializerOptions.Web) : null,
                row.GetFieldValue<DateTimeOffset>(8), row.GetFieldValue<DateTimeOffset>(9)));
        }

        if (items.Count <= limit)
            return new ShipmentPage(items, null);
        items.RemoveAt(limit);
        return new ShipmentPage(items, Cursor.Encode(items[^1].ShipmentId));
    }

    private static string TrackingNumber() => "MP" + RandomNumberGenerator.GetString("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 14);

    private static NpgsqlParameter Text(string? value) => new() { Value = (object?)value ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text };

    private static NpgsqlParameter Id(Guid? value) => new() { Value = (object?)value ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Uuid };
}
