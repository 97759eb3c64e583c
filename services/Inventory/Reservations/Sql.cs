using Npgsql;

namespace Marketplace.Inventory.Reservations;

/// <summary>
/// Statements the reservation transactions are put together from. Counters move relatively; every statement that writes stock rows
/// locks them one by one in the order of its list first (a plain UPDATE … FROM takes them in whatever order the plan reads them, and
/// two orders with the same products could then wait for each other).
/// </summary>
internal static class Sql
{
    /// <summary>The rows of a list (product_id, warehouse, quantity), each locked when its turn comes: LATERAL keeps the list's order.</summary>
    public static string LockEachOf(string list, string and = "") => $"""
        SELECT p.product_id, p.warehouse, p.quantity FROM {list} p CROSS JOIN LATERAL (
            SELECT 1 FROM stock_levels s WHERE s.product_id = p.product_id AND s.warehouse = p.warehouse {and} FOR NO KEY UPDATE) locked_row
        """;

    public static NpgsqlBatchCommand Open(AttemptKey key, DateTimeOffset expiresAt, DateTimeOffset now) => new("""
        INSERT INTO reservation_attempts (order_id, attempt, state, expires_at, due_at, changed_at)
        VALUES ($1, $2, 'held', $3, $3, $4)
        ON CONFLICT DO NOTHING
        """) { Parameters = { key.Order(), key.Number(), new() { Value = expiresAt }, new() { Value = now } } };

    public static NpgsqlBatchCommand ReadLevels(IReadOnlyList<WantedUnits> wanted) => new("""
        SELECT s.product_id, s.warehouse, w.position, s.stock - s.reserved, s.version
        FROM stock_levels s JOIN warehouses w ON w.code = s.warehouse
        WHERE s.product_id = ANY ($1)
        """) { Parameters = { new() { Value = wanted.Select(line => line.ProductId).ToArray() } } };

    public static NpgsqlBatchCommand LockLevels(IReadOnlyList<WantedUnits> wanted) => new("""
        SELECT s.product_id, s.warehouse, w.position, s.stock - s.reserved, s.version
        FROM stock_levels s JOIN warehouses w ON w.code = s.warehouse
        WHERE s.product_id = ANY ($1)
        ORDER BY s.product_id, s.warehouse COLLATE "C"
        FOR NO KEY UPDATE OF s
        """) { Parameters = { new() { Value = wanted.Select(line => line.ProductId).ToArray() } } };

    public static NpgsqlBatchCommand TakeWhereUnchanged(IReadOnlyList<PlannedUnits> plan) => new($"""
        WITH planned AS MATERIALIZED (
            SELECT product_id, warehouse, quantity, version FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::bigint[]) AS u(product_id, warehouse, quantity, version)
        ), locked AS MATERIALIZED (
            {LockEachOf("planned", and: "AND s.version = p.version")}
        )
        UPDATE stock_levels s SET reserved = s.reserved + l.quantity, version = s.version + 1
        FROM locked l WHERE s.product_id = l.product_id AND s.warehouse = l.warehouse
        RETURNING s.product_id, s.warehouse
        """) { Parameters = { Products(plan), Warehouses(plan), Quantities(plan), new() { Value = plan.Select(units => units.Version).ToArray() } } };

    public static NpgsqlBatchCommand Take(IReadOnlyList<PlannedUnits> plan) => new("""
        UPDATE stock_levels s SET reserved = s.reserved + p.quantity, version = s.version + 1
        FROM unnest($1::uuid[], $2::text[], $3::integer[]) AS p(product_id, warehouse, quantity)
        WHERE s.product_id = p.product_id AND s.warehouse = p.warehouse
        """) { Parameters = { Products(plan), Warehouses(plan), Quantities(plan) } };

    /// <summary>Free units leave the house at once, without having been held.</summary>
    public static NpgsqlBatchCommand TakeOut(IReadOnlyList<PlannedUnits> plan) => new("""
        UPDATE stock_levels s SET stock = s.stock - p.quantity, version = s.version + 1
        FROM unnest($1::uuid[], $2::text[], $3::integer[]) AS p(product_id, warehouse, quantity)
        WHERE s.product_id = p.product_id AND s.warehouse = p.warehouse
        """) { Parameters = { Products(plan), Warehouses(plan), Quantities(plan) } };

    /// <summary>A twin of the call may have been faster; its lines are then there already and this transaction is rolled back.</summary>
    public static NpgsqlBatchCommand KeepLines(AttemptKey key, IReadOnlyList<PlannedUnits> plan) => new("""
        INSERT INTO reservations (order_id, attempt, product_id, warehouse, quantity)
        SELECT $1, $2, product_id, warehouse, quantity
        FROM unnest($3::uuid[], $4::text[], $5::integer[]) AS p(product_id, warehouse, quantity)
        ON CONFLICT DO NOTHING
        """) { Parameters = { key.Order(), key.Number(), Products(plan), Warehouses(plan), Quantities(plan) } };

    public static NpgsqlBatchCommand ForgetLines(AttemptKey key) => new("DELETE FROM reservations WHERE order_id = $1 AND attempt = $2")
    {
        Parameters = { key.Order(), key.Number() },
    };

    public static NpgsqlBatchCommand GiveBack(AttemptKey key) => new($"""
        {LinesLocked}
        UPDATE stock_levels s SET reserved = s.reserved - l.quantity, version = s.version + 1
        FROM locked l WHERE s.product_id = l.product_id AND s.warehouse = l.warehouse
        """) { Parameters = { key.Order(), key.Number() } };

    public static NpgsqlBatchCommand TakeBackIn(AttemptKey key) => new($"""
        {LinesLocked}
        UPDATE stock_levels s SET stock = s.stock + l.quantity, version = s.version + 1
        FROM locked l WHERE s.product_id = l.product_id AND s.warehouse = l.warehouse
        """) { Parameters = { key.Order(), key.Number() } };

    public static NpgsqlBatchCommand Book(AttemptKey key, string kind, int sign, DateTimeOffset now) => new("""
        INSERT INTO movements (product_id, warehouse, quantity, kind, order_id, attempt, moved_at)
        SELECT product_id, warehouse, quantity * $3, $4, $1, $2, $5 FROM reservations WHERE order_id = $1 AND attempt = $2
        """) { Parameters = { key.Order(), key.Number(), new() { Value = sign }, new() { Value = kind }, new() { Value = now } } };

    public static NpgsqlBatchCommand Touch(IReadOnlyList<PlannedUnits> plan) => new("INSERT INTO touches (products) VALUES ($1)")
    {
        Parameters = { new() { Value = plan.Select(units => units.ProductId).Distinct().ToArray() } },
    };

    public static NpgsqlBatchCommand TouchLines(AttemptKey key) => new("""
        INSERT INTO touches (products) SELECT array_agg(DISTINCT product_id) FROM reservations WHERE order_id = $1 AND attempt = $2
        """) { Parameters = { key.Order(), key.Number() } };

    private static readonly string LinesLocked = $"""
        WITH lines AS MATERIALIZED (
            SELECT product_id, warehouse, quantity FROM reservations WHERE order_id = $1 AND attempt = $2 ORDER BY product_id, warehouse COLLATE "C"
        ), locked AS MATERIALIZED (
            {LockEachOf("lines")}
        )
        """;

    private static NpgsqlParameter Products(IReadOnlyList<PlannedUnits> plan) => new() { Value = plan.Select(units => units.ProductId).ToArray() };
    private static NpgsqlParameter Warehouses(IReadOnlyList<PlannedUnits> plan) => new() { Value = plan.Select(units => units.Warehouse).ToArray() };
    private static NpgsqlParameter Quantities(IReadOnlyList<PlannedUnits> plan) => new() { Value = plan.Select(units => units.Quantity).ToArray() };
}
