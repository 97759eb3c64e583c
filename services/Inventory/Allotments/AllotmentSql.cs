using Marketplace.Contracts;
using Marketplace.Hosting;
using Marketplace.Inventory.Reservations;
using Npgsql;

namespace Marketplace.Inventory.Allotments;

/// <summary>
/// Statements about allotments. Whoever locks several things does it in this order: the attempt, the allotment, stock rows, the
/// allotment's levels; and rows of one kind by warehouse.
/// </summary>
internal static class AllotmentSql
{
    private const string LevelsByWarehouse = """
        SELECT l.warehouse, w.position, l.allotted, l.taken, l.committed
        FROM allotment_levels l JOIN warehouses w ON w.code = l.warehouse
        WHERE l.sale_id = $1
        ORDER BY l.warehouse COLLATE "C"
        """;

    public static NpgsqlBatchCommand ReadLevels(Guid saleId) => new(LevelsByWarehouse) { Parameters = { new() { Value = saleId } } };

    public static NpgsqlBatchCommand LockLevels(Guid saleId) => new($"{LevelsByWarehouse} FOR NO KEY UPDATE OF l") { Parameters = { new() { Value = saleId } } };

    public static async Task<List<AllotmentLevel>> ReadLevelsAsync(NpgsqlDataReader reader, CancellationToken ct)
    {
        var levels = new List<AllotmentLevel>();
        while (await reader.ReadAsync(ct))
            levels.Add(new AllotmentLevel(reader.GetString(0), reader.GetInt16(1), reader.GetInt32(2), reader.GetInt32(3), reader.GetInt32(4)));
        return levels;
    }

    /// <summary>Holds the whole plan out of the allotment wherever there is still enough for it, or does nothing. Answers whether it did.</summary>
    public static NpgsqlCommand TakeIfAllAreThere(
        NpgsqlConnection connection, AttemptKey key, Guid saleId, IReadOnlyList<PlannedUnits> plan, DateTimeOffset expiresAt, DateTimeOffset now, InventoryReserved told)
    {
        var ordered = plan.OrderBy(units => units.Warehouse, StringComparer.Ordinal).ToArray();
        var take = new NpgsqlCommand(TakeWhereEnough, connection)
        {
            Parameters =
            {
                key.Order(), key.Number(), new() { Value = expiresAt }, new() { Value = now }, new() { Value = saleId }, new() { Value = plan[0].ProductId },
                new() { Value = Array.ConvertAll(ordered, units => units.Warehouse) }, new() { Value = Array.ConvertAll(ordered, units => units.Quantity) },
            },
        };
        take.Parameters.AddRange(Outbox.Parameters(told, told.OrderId));
        return take;
    }

    private static readonly string TakeWhereEnough = $"""
        WITH planned AS MATERIALIZED (
            SELECT warehouse, quantity FROM unnest($7::text[], $8::integer[]) AS u(warehouse, quantity)
        ), locked AS MATERIALIZED (
            SELECT p.warehouse, p.quantity FROM planned p CROSS JOIN LATERAL (
                SELECT 1 FROM allotment_levels l
                WHERE l.sale_id = $5 AND l.warehouse = p.warehouse AND l.allotted - l.taken >= p.quantity
                FOR NO KEY UPDATE) locked_row
        ), mine AS (
            INSERT INTO reservation_attempts (order_id, attempt, state, sale_id, expires_at, due_at, changed_at)
            SELECT $1, $2, 'held', $5, $3, $3, $4 WHERE (SELECT count(*) FROM locked) = (SELECT count(*) FROM planned)
            ON CONFLICT DO NOTHING
            RETURNING order_id
        ), taken AS (
            UPDATE allotment_levels l SET taken = l.taken + p.quantity
            FROM locked p WHERE l.sale_id = $5 AND l.warehouse = p.warehouse AND EXISTS (SELECT FROM mine)
        ), kept AS (
            INSERT INTO reservations (order_id, attempt, product_id, warehouse, quantity)
            SELECT $1, $2, $6, warehouse, quantity FROM planned WHERE EXISTS (SELECT FROM mine)
        ), told AS (
            {Outbox.InsertFor("mine", first: 9)}
        )
        SELECT EXISTS (SELECT FROM mine)
        """;

    /// <summary>Counters of the allotment move by what an attempt's lines say, in units of <paramref name="taken"/> and <paramref name="committed"/>.</summary>
    public static NpgsqlBatchCommand MoveLines(AttemptKey key, Guid saleId, int taken, int committed) => new("""
        WITH lines AS MATERIALIZED (
            SELECT warehouse, quantity FROM reservations WHERE order_id = $1 AND attempt = $2 ORDER BY warehouse COLLATE "C"
        ), locked AS MATERIALIZED (
            SELECT p.warehouse, p.quantity FROM lines p CROSS JOIN LATERAL (
                SELECT 1 FROM allotment_levels l WHERE l.sale_id = $3 AND l.warehouse = p.warehouse FOR NO KEY UPDATE) locked_row
        )
        UPDATE allotment_levels l SET taken = l.taken + p.quantity * $4, committed = l.committed + p.quantity * $5
        FROM locked p WHERE l.sale_id = $3 AND l.warehouse = p.warehouse
        """)
    {
        Parameters = { key.Order(), key.Number(), new() { Value = saleId }, new() { Value = taken }, new() { Value = committed } },
    };

    /// <summary>The attempt's held units leave the house: stock, what is held of it, and the allotment, in one statement.</summary>
    public static readonly string CommitHeld = $"""
        WITH mine AS (
            UPDATE reservation_attempts SET state = 'committed', changed_at = $3
            WHERE order_id = $1 AND attempt = $2 AND state = 'held' AND sale_id IS NOT NULL
            RETURNING order_id, attempt, sale_id
        ), lines AS MATERIALIZED (
            SELECT r.product_id, r.warehouse, r.quantity FROM mine JOIN reservations r USING (order_id, attempt)
            ORDER BY r.product_id, r.warehouse COLLATE "C"
        ), locked AS MATERIALIZED (
            {Sql.LockEachOf("lines")}
        ), gone AS (
            UPDATE stock_levels s SET stock = s.stock - l.quantity, reserved = s.reserved - l.quantity
            FROM locked l WHERE s.product_id = l.product_id AND s.warehouse = l.warehouse
            RETURNING s.product_id, s.warehouse, l.quantity
        ), booked AS (
            INSERT INTO movements (product_id, warehouse, quantity, kind, order_id, attempt, moved_at)
            SELECT product_id, warehouse, -quantity, 'commit', $1, $2, $3 FROM gone
        ), leaving AS MATERIALIZED (
            SELECT mine.sale_id, gone.warehouse, gone.quantity FROM gone CROSS JOIN mine ORDER BY gone.warehouse COLLATE "C"
        ), ours AS MATERIALIZED (
            SELECT p.sale_id, p.warehouse, p.quantity FROM leaving p CROSS JOIN LATERAL (
                SELECT 1 FROM allotment_levels a WHERE a.sale_id = p.sale_id AND a.warehouse = p.warehouse FOR NO KEY UPDATE) locked_row
        ), sold AS (
            UPDATE allotment_levels a SET committed = a.committed + p.quantity
            FROM ours p WHERE a.sale_id = p.sale_id AND a.warehouse = p.warehouse
        )
        SELECT product_id, warehouse, quantity FROM gone
        """;

    /// <summary>Units of an attempt that come back into the house stay the sale's: on hand again, and held again.</summary>
    public static NpgsqlBatchCommand TakeBackIn(AttemptKey key) => MoveStock(key, sign: 1);

    /// <summary>Units of the sale leave the house.</summary>
    public static NpgsqlBatchCommand TakeOut(AttemptKey key) => MoveStock(key, sign: -1);

    // What anybody can buy does not change, so the version stays.
    private static NpgsqlBatchCommand MoveStock(AttemptKey key, int sign) => new($"""
        {Sql.LinesLocked}
        UPDATE stock_levels s SET stock = s.stock + l.quantity * $3, reserved = s.reserved + l.quantity * $3
        FROM locked l WHERE s.product_id = l.product_id AND s.warehouse = l.warehouse
        """) { Parameters = { key.Order(), key.Number(), new() { Value = sign } } };
}
