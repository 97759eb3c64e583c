using System.Text.Json;
using Marketplace.Contracts;
using Marketplace.Hosting;
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

    /// <summary>An attempt with what it holds; read it with <see cref="ReservationStore.ReadKnownAsync"/>.</summary>
    public static NpgsqlBatchCommand ReadAttempt(AttemptKey key) => new("""
        SELECT a.state, a.shortages, a.expires_at, r.product_id, r.warehouse, r.quantity
        FROM reservation_attempts a LEFT JOIN reservations r USING (order_id, attempt)
        WHERE a.order_id = $1 AND a.attempt = $2
        """) { Parameters = { key.Order(), key.Number() } };

    public static NpgsqlBatchCommand Refuse(AttemptKey key, IReadOnlyList<Shortage> shortages, DateTimeOffset now) => new("""
        INSERT INTO reservation_attempts (order_id, attempt, state, shortages, expires_at, due_at, changed_at)
        VALUES ($1, $2, 'refused', $3::jsonb, $4, $4, $4)
        ON CONFLICT DO NOTHING
        """) { Parameters = { key.Order(), key.Number(), new() { Value = JsonSerializer.Serialize(shortages) }, new() { Value = now } } };

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

    /// <summary>
    /// Holds the whole plan, or does nothing. <paramref name="exactly"/>: only where levels are as they were read, so that the plan is still
    /// the best one; else wherever there is still enough for it. Answers whether it did, and which products were as wanted.
    /// </summary>
    public static NpgsqlCommand TakeIfAllAreThere(
        NpgsqlConnection connection, AttemptKey key, IReadOnlyList<PlannedUnits> plan, bool exactly, DateTimeOffset expiresAt, DateTimeOffset now, InventoryReserved told)
    {
        var take = new NpgsqlCommand(exactly ? TakeWhereUnchanged : TakeWhereEnough, connection)
        {
            Parameters =
            {
                key.Order(), key.Number(), new() { Value = expiresAt }, new() { Value = now },
                Products(plan), Warehouses(plan), Quantities(plan), new() { Value = plan.Select(units => units.Version).ToArray() },
            },
        };
        take.Parameters.AddRange(Outbox.Parameters(told, told.OrderId));
        return take;
    }

    private static readonly string TakeWhereUnchanged = TakeIfAllAre("s.version = p.version");
    private static readonly string TakeWhereEnough = TakeIfAllAre("s.stock - s.reserved >= p.quantity");

    private static string TakeIfAllAre(string condition) => $"""
        WITH planned AS MATERIALIZED (
            SELECT product_id, warehouse, quantity, version
            FROM unnest($5::uuid[], $6::text[], $7::integer[], $8::bigint[]) AS u(product_id, warehouse, quantity, version)
        ), locked AS MATERIALIZED (
            {LockEachOf("planned", and: $"AND {condition}")}
        ), mine AS (
            INSERT INTO reservation_attempts (order_id, attempt, state, expires_at, due_at, changed_at)
            SELECT $1, $2, 'held', $3, $3, $4 WHERE (SELECT count(*) FROM locked) = (SELECT count(*) FROM planned)
            ON CONFLICT DO NOTHING
            RETURNING order_id
        ), taken AS (
            UPDATE stock_levels s SET reserved = s.reserved + l.quantity, version = s.version + 1
            FROM locked l WHERE s.product_id = l.product_id AND s.warehouse = l.warehouse AND EXISTS (SELECT FROM mine)
        ), kept AS (
            INSERT INTO reservations (order_id, attempt, product_id, warehouse, quantity)
            SELECT $1, $2, product_id, warehouse, quantity FROM planned WHERE EXISTS (SELECT FROM mine)
        ), touched AS (
            INSERT INTO touches (products) SELECT array_agg(DISTINCT product_id) FROM planned WHERE EXISTS (SELECT FROM mine) HAVING count(*) > 0
        ), told AS (
            {Outbox.InsertFor("mine", first: 9)}
        )
        SELECT EXISTS (SELECT FROM mine), coalesce((SELECT array_agg(product_id) FROM locked), '{"{}"}')
        """;

    /// <summary>The attempt's held units leave the house. Those of a sale's order have a statement of their own.</summary>
    public static readonly string CommitHeld = $"""
        WITH mine AS (
            UPDATE reservation_attempts SET state = 'committed', changed_at = $3
            WHERE order_id = $1 AND attempt = $2 AND state = 'held' AND sale_id IS NULL
            RETURNING order_id, attempt
        ), lines AS MATERIALIZED (
            SELECT r.product_id, r.warehouse, r.quantity FROM mine JOIN reservations r USING (order_id, attempt)
            ORDER BY r.product_id, r.warehouse COLLATE "C"
        ), locked AS MATERIALIZED (
            {LockEachOf("lines")}
        ), gone AS (
            UPDATE stock_levels s SET stock = s.stock - l.quantity, reserved = s.reserved - l.quantity
            FROM locked l WHERE s.product_id = l.product_id AND s.warehouse = l.warehouse
            RETURNING s.product_id, s.warehouse, l.quantity
        ), booked AS (
            INSERT INTO movements (product_id, warehouse, quantity, kind, order_id, attempt, moved_at)
            SELECT product_id, warehouse, -quantity, 'commit', $1, $2, $3 FROM gone
        )
        SELECT product_id, warehouse, quantity FROM gone
        """;

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

    public static NpgsqlBatchCommand KeepLines(AttemptKey key, IReadOnlyList<PlannedUnits> plan) => new("""
        INSERT INTO reservations (order_id, attempt, product_id, warehouse, quantity)
        SELECT $1, $2, product_id, warehouse, quantity
        FROM unnest($3::uuid[], $4::text[], $5::integer[]) AS p(product_id, warehouse, quantity)
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

    internal static readonly string LinesLocked = $"""
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
