using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text.Json;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Marketplace.Inventory.Allotments;
using Microsoft.Extensions.Options;
using Npgsql;

namespace Marketplace.Inventory.Reservations;

/// <summary>
/// Holds, takes and gives back units. A reserve reads and plans without a lock and writes where no version moved; for a product that
/// was fought over a moment ago it writes where there is still enough, whatever its version; who loses too often takes the rows under
/// lock, so it always ends. Stock rows are locked by product and warehouse everywhere, and nobody who waits for an attempt's row holds
/// stock that its owner could need, so nobody waits in a circle.
/// </summary>
public sealed partial class ReservationStore(
    NpgsqlDataSource database, TimeProvider time, IOptions<ReservationOptions> options, InventoryMeter meter, ILogger<ReservationStore> log)
{
    private readonly ConcurrentDictionary<Guid, DateTimeOffset> hot = new();   // product, until when

    /// <summary>All lines or none. A repeat answers what was answered before; after its own release the answer is no.</summary>
    public async Task<ReservationOutcome> ReserveAsync(AttemptKey key, IReadOnlyList<WantedUnits> lines, CancellationToken ct)
    {
        // Two lines of one product compete for the same units: what counts is their sum.
        var wanted = lines.GroupBy(line => line.ProductId)
            .Select(product => new WantedUnits(product.Key, product.Sum(line => line.Quantity)))
            .OrderBy(product => product.ProductId)
            .ToList();

        for (var tries = 0; ; tries++)
        {
            try
            {
                var outcome = tries < options.Value.OptimisticTries
                    ? await TryReserveAsync(key, wanted, ct)
                    : await ReserveUnderLockAsync(key, wanted, ct);
                if (outcome is not null) return outcome;
            }
            catch (PostgresException conflict) when (conflict.SqlState is PostgresErrorCodes.DeadlockDetected or PostgresErrorCodes.SerializationFailure)
            {
                LogDatabaseConflict(key.OrderId, conflict.SqlState);
            }

            meter.Conflict();
            await Task.Delay(options.Value.ConflictPause * Random.Shared.NextDouble(), time, ct);
        }
    }

    // Two round trips: read, and one statement that does all or nothing, so that rows are locked only while it runs. Null means that
    // somebody was faster: read again.
    private async Task<ReservationOutcome?> TryReserveAsync(AttemptKey key, IReadOnlyList<WantedUnits> wanted, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        var (known, levels) = await ReadAsync(connection, key, wanted, ct);
        if (known is not null) return known;

        var (plan, shortages) = Split.Plan(wanted, levels);
        if (shortages.Count > 0) return await RefuseAsync(connection, key, shortages, ct);

        var now = time.GetUtcNow();
        var expiresAt = now + options.Value.HeldFor;
        Allocation[] allocations = [.. plan.Select(units => units.ToAllocation())];
        await using var take = Sql.TakeIfAllAreThere(
            connection, key, plan, exactly: !IsHot(wanted), expiresAt, now, new InventoryReserved(key.OrderId, key.Attempt, allocations));
        await using var reader = await take.ExecuteReaderAsync(ct);
        await reader.ReadAsync(ct);
        if (reader.GetBoolean(0)) return ReservationOutcome.Held(allocations, expiresAt);

        // Either rows had moved, or the same call came twice at once and the other one decided: the next read tells.
        var there = reader.GetFieldValue<Guid[]>(1);
        MarkHot(plan.Select(units => units.ProductId).Except(there));
        return null;
    }

    private async Task<ReservationOutcome?> ReserveUnderLockAsync(AttemptKey key, IReadOnlyList<WantedUnits> wanted, CancellationToken ct)
    {
        meter.Locked();
        var now = time.GetUtcNow();
        var expiresAt = now + options.Value.HeldFor;
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        await using var open = new NpgsqlBatch(connection, tx) { BatchCommands = { Sql.Open(key, expiresAt, now), Sql.LockLevels(wanted) } };
        List<WarehouseLevel> levels;
        await using (var reader = await open.ExecuteReaderAsync(ct))
        {
            levels = await ReadLevelsAsync(reader, ct);
        }

        if (open.BatchCommands[0].RecordsAffected == 0)
        {
            await tx.RollbackAsync(ct);
            return (await ReadAsync(connection, key, wanted, ct)).Known;
        }

        var (plan, shortages) = Split.Plan(wanted, levels);
        if (shortages.Count > 0)
        {
            await tx.RollbackAsync(ct);
            return await RefuseAsync(connection, key, shortages, ct);
        }

        await using var write = new NpgsqlBatch(connection, tx) { BatchCommands = { Sql.Take(plan), Sql.KeepLines(key, plan), Sql.Touch(plan) } };
        await write.ExecuteNonQueryAsync(ct);
        return await CommitHoldAsync(tx, key, plan, expiresAt, ct);
    }

    private static async Task<ReservationOutcome> CommitHoldAsync(
        NpgsqlTransaction tx, AttemptKey key, IReadOnlyList<PlannedUnits> plan, DateTimeOffset expiresAt, CancellationToken ct)
    {
        Allocation[] allocations = [.. plan.Select(units => units.ToAllocation())];
        await Outbox.AddAsync(tx, new InventoryReserved(key.OrderId, key.Attempt, allocations), key.OrderId, ct);
        await tx.CommitAsync(ct);
        return ReservationOutcome.Held(allocations, expiresAt);
    }

    private async Task<ReservationOutcome?> RefuseAsync(NpgsqlConnection connection, AttemptKey key, IReadOnlyList<Shortage> shortages, CancellationToken ct)
    {
        await using var refuse = new NpgsqlBatch(connection) { BatchCommands = { Sql.Refuse(key, shortages, time.GetUtcNow()) } };
        if (await refuse.ExecuteNonQueryAsync(ct) == 0) return null;

        LogRefused(key.OrderId, shortages.Count);
        return ReservationOutcome.Refused(Refusals.OutOfStock, shortages);
    }

    /// <summary>
    /// Units leave the house. One statement and so one round trip: this is the last step of every order. What was given back by the
    /// sweep is taken anew, what the order itself gave back stays given back.
    /// </summary>
    public async Task<CommitOutcome> CommitAsync(AttemptKey key, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        Guid? sale = null;
        while (true)
        {
            await using (var commit = new NpgsqlCommand(sale is null ? Sql.CommitHeld : AllotmentSql.CommitHeld, connection)
            {
                Parameters = { key.Order(), key.Number(), new() { Value = time.GetUtcNow() } },
            })
            {
                var gone = await ReadAllocationsAsync(commit, ct);
                if (gone.Count > 0) return CommitOutcome.Committed(gone);
            }

            (var state, sale) = await StateAsync(connection, key, ct);
            switch (state)
            {
                case "held": continue;                                                  // became so in between, or is a sale's
                case "committed": return CommitOutcome.Committed(await LinesAsync(connection, key, ct));
                case "released": return CommitOutcome.Refused(Refusals.Released);
                case "refused": return CommitOutcome.Refused(Refusals.OutOfStock);
                case "expired":
                    if (await (sale is { } of ? TakeAnewAsync(connection, key, of, ct) : TakeAnewAsync(connection, key, ct)) is { } outcome) return outcome;
                    continue;
                case null: return CommitOutcome.Unknown;
                case var other: throw new UnreachableException(other);
            }
        }
    }

    private async Task<CommitOutcome?> TakeAnewAsync(NpgsqlConnection connection, AttemptKey key, CancellationToken ct)
    {
        await using var tx = await connection.BeginTransactionAsync(ct);
        if (!await ReopenAsync(tx, key, ct)) return null;

        var wanted = (await LinesAsync(connection, key, ct))
            .GroupBy(line => line.ProductId)
            .Select(product => new WantedUnits(product.Key, product.Sum(line => line.Quantity)))
            .OrderBy(product => product.ProductId)
            .ToList();
        await using var read = new NpgsqlBatch(connection, tx) { BatchCommands = { Sql.LockLevels(wanted) } };
        List<WarehouseLevel> levels;
        await using (var reader = await read.ExecuteReaderAsync(ct))
        {
            levels = await ReadLevelsAsync(reader, ct);
        }

        var (plan, shortages) = Split.Plan(wanted, levels);
        if (shortages.Count > 0) return CommitOutcome.Refused(Refusals.OutOfStock);   // stays expired: goods that come in may still serve a later call

        await using var write = new NpgsqlBatch(connection, tx)
        {
            BatchCommands = { Sql.ForgetLines(key), Sql.KeepLines(key, plan), Sql.TakeOut(plan), Sql.Book(key, "commit", sign: -1, time.GetUtcNow()), Sql.Touch(plan) },
        };
        await write.ExecuteNonQueryAsync(ct);
        await tx.CommitAsync(ct);
        LogTakenAnew(key.OrderId);
        return CommitOutcome.Committed([.. plan.Select(units => units.ToAllocation())]);
    }

    // A sale's units come out of the sale's allotment or not at all: what the seller keeps for others is not sold at the sale's price.
    private async Task<CommitOutcome?> TakeAnewAsync(NpgsqlConnection connection, AttemptKey key, Guid saleId, CancellationToken ct)
    {
        await using var tx = await connection.BeginTransactionAsync(ct);
        if (!await ReopenAsync(tx, key, ct)) return null;

        var had = await LinesAsync(connection, key, ct);
        var wanted = new WantedUnits(had[0].ProductId, had.Sum(line => line.Quantity));
        await using var read = new NpgsqlBatch(connection, tx) { BatchCommands = { Sql.LockLevels([wanted]), AllotmentSql.LockLevels(saleId) } };
        List<AllotmentLevel> levels;
        await using (var reader = await read.ExecuteReaderAsync(ct))
        {
            await reader.NextResultAsync(ct);
            levels = await AllotmentSql.ReadLevelsAsync(reader, ct);
        }

        var (plan, shortages) = Split.Plan([wanted], AllotmentStore.ShelvesOf(wanted.ProductId, levels));
        if (shortages.Count > 0) return CommitOutcome.Refused(Refusals.OutOfStock);

        await using var write = new NpgsqlBatch(connection, tx)
        {
            BatchCommands =
            {
                Sql.ForgetLines(key), Sql.KeepLines(key, plan), AllotmentSql.TakeOut(key), AllotmentSql.MoveLines(key, saleId, taken: 1, committed: 1),
                Sql.Book(key, "commit", sign: -1, time.GetUtcNow()),
            },
        };
        await write.ExecuteNonQueryAsync(ct);
        await tx.CommitAsync(ct);
        LogTakenAnew(key.OrderId);
        return CommitOutcome.Committed([.. plan.Select(units => units.ToAllocation())]);
    }

    private async Task<bool> ReopenAsync(NpgsqlTransaction tx, AttemptKey key, CancellationToken ct)
    {
        await using var open = new NpgsqlCommand("""
            UPDATE reservation_attempts SET state = 'committed', changed_at = $3 WHERE order_id = $1 AND attempt = $2 AND state = 'expired'
            """, tx.Connection, tx) { Parameters = { key.Order(), key.Number(), new() { Value = time.GetUtcNow() } } };
        return await open.ExecuteNonQueryAsync(ct) > 0;
    }

    /// <summary>
    /// Gives back whatever the attempt has: held units become free, committed ones come back into the house. It leaves a tombstone,
    /// so that a reserve or commit still under way is refused when it arrives.
    /// </summary>
    public async Task ReleaseAsync(AttemptKey key, string reason, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        await using var settle = new NpgsqlBatch(connection, tx)
        {
            BatchCommands =
            {
                new("""
                    INSERT INTO reservation_attempts (order_id, attempt, state, expires_at, due_at, changed_at)
                    VALUES ($1, $2, 'released', $3, $3, $3)
                    ON CONFLICT DO NOTHING
                    """) { Parameters = { key.Order(), key.Number(), new() { Value = now } } },
                new("SELECT state, sale_id FROM reservation_attempts WHERE order_id = $1 AND attempt = $2 FOR UPDATE") { Parameters = { key.Order(), key.Number() } },
            },
        };
        string state;
        Guid? saleId;
        await using (var reader = await settle.ExecuteReaderAsync(ct))
        {
            await reader.ReadAsync(ct);
            (state, saleId) = (reader.GetString(0), SaleOf(reader, 1));
        }

        if (state != "released")
        {
            await CloseAsync(tx, key, saleId, state, "released", now, ct);
            if (state is "held" or "committed")
                await Outbox.AddAsync(tx, new InventoryReleased(key.OrderId, key.Attempt, reason), key.OrderId, ct);
        }

        await tx.CommitAsync(ct);
    }

    /// <summary>Reservations past their time, claimed for a while so that two replicas do not ask about the same ones.</summary>
    public async Task<IReadOnlyList<AttemptKey>> ClaimExpiredAsync(CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await using var claim = database.CreateCommand("""
            UPDATE reservation_attempts a SET due_at = $2
            FROM (SELECT order_id, attempt FROM reservation_attempts WHERE state = 'held' AND due_at <= $1
                  ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED) due
            WHERE a.order_id = due.order_id AND a.attempt = due.attempt
            RETURNING a.order_id, a.attempt
            """);
        claim.Parameters.Add(new() { Value = now });
        claim.Parameters.Add(new() { Value = now + options.Value.AskAgainAfter });
        claim.Parameters.Add(new() { Value = options.Value.SweepBatch });

        var due = new List<AttemptKey>();
        await using var reader = await claim.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) due.Add(new AttemptKey(reader.GetGuid(0), reader.GetInt16(1)));
        return due;
    }

    /// <summary>The sweep's release: only what is still held, and open to a commit that comes after all.</summary>
    public async Task<bool> ExpireAsync(AttemptKey key, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        Guid? saleId;
        await using (var mine = new NpgsqlCommand("""
            SELECT sale_id FROM reservation_attempts WHERE order_id = $1 AND attempt = $2 AND state = 'held' AND expires_at <= $3 FOR UPDATE
            """, connection, tx) { Parameters = { key.Order(), key.Number(), new() { Value = now } } })
        await using (var reader = await mine.ExecuteReaderAsync(ct))
        {
            if (!await reader.ReadAsync(ct)) return false;
            saleId = SaleOf(reader, 0);
        }

        await CloseAsync(tx, key, saleId, "held", "expired", now, ct);
        await Outbox.AddAsync(tx, new InventoryReleased(key.OrderId, key.Attempt, "expired"), key.OrderId, ct);
        await tx.CommitAsync(ct);
        return true;
    }

    private static async Task CloseAsync(
        NpgsqlTransaction tx, AttemptKey key, Guid? saleId, string was, string becomes, DateTimeOffset now, CancellationToken ct)
    {
        await using var close = new NpgsqlBatch(tx.Connection!, tx)
        {
            BatchCommands =
            {
                new("UPDATE reservation_attempts SET state = $3, changed_at = $4 WHERE order_id = $1 AND attempt = $2")
                {
                    Parameters = { key.Order(), key.Number(), new() { Value = becomes }, new() { Value = now } },
                },
            },
        };
        switch (was, saleId)
        {
            case ("held", null):
                close.BatchCommands.Add(Sql.GiveBack(key));
                close.BatchCommands.Add(Sql.TouchLines(key));
                break;
            case ("committed", null):
                close.BatchCommands.Add(Sql.TakeBackIn(key));
                close.BatchCommands.Add(Sql.Book(key, "return", sign: 1, now));
                close.BatchCommands.Add(Sql.TouchLines(key));
                break;
            case ("held", { } sale):                       // the sale's again; to others nothing changed
                close.BatchCommands.Add(AllotmentSql.MoveLines(key, sale, taken: -1, committed: 0));
                break;
            case ("committed", { } sale):
                close.BatchCommands.Add(AllotmentSql.TakeBackIn(key));
                close.BatchCommands.Add(AllotmentSql.MoveLines(key, sale, taken: -1, committed: -1));
                close.BatchCommands.Add(Sql.Book(key, "return", sign: 1, now));
                break;
        }

        await close.ExecuteNonQueryAsync(ct);
    }

    private static async Task<(ReservationOutcome? Known, List<WarehouseLevel> Levels)> ReadAsync(
        NpgsqlConnection connection, AttemptKey key, IReadOnlyList<WantedUnits> wanted, CancellationToken ct)
    {
        await using var read = new NpgsqlBatch(connection) { BatchCommands = { Sql.ReadAttempt(key), Sql.ReadLevels(wanted) } };
        await using var reader = await read.ExecuteReaderAsync(ct);
        var known = await ReadKnownAsync(reader, ct);
        await reader.NextResultAsync(ct);
        return (known, await ReadLevelsAsync(reader, ct));
    }

    /// <summary>What <see cref="Sql.ReadAttempt"/> found was answered before; null when nothing was.</summary>
    internal static async Task<ReservationOutcome?> ReadKnownAsync(NpgsqlDataReader reader, CancellationToken ct)
    {
        string? state = null, shortages = null;
        var expiresAt = default(DateTimeOffset);
        var allocations = new List<Allocation>();
        while (await reader.ReadAsync(ct))
        {
            state = reader.GetString(0);
            shortages = reader.IsDBNull(1) ? null : reader.GetString(1);
            expiresAt = reader.GetFieldValue<DateTimeOffset>(2);
            if (!reader.IsDBNull(3)) allocations.Add(new Allocation(reader.GetGuid(3), reader.GetString(4), reader.GetInt32(5)));
        }

        return state switch
        {
            null => null,
            "held" or "committed" => ReservationOutcome.Held(allocations, expiresAt),
            "refused" => ReservationOutcome.Refused(Refusals.OutOfStock, JsonSerializer.Deserialize<List<Shortage>>(shortages!)!),
            _ => ReservationOutcome.Refused(Refusals.Released, []),
        };
    }

    internal static async Task<List<WarehouseLevel>> ReadLevelsAsync(NpgsqlDataReader reader, CancellationToken ct)
    {
        var levels = new List<WarehouseLevel>();
        while (await reader.ReadAsync(ct))
            levels.Add(new WarehouseLevel(reader.GetGuid(0), reader.GetString(1), reader.GetInt16(2), reader.GetInt32(3), reader.GetInt64(4)));
        return levels;
    }

    private static async Task<(string? State, Guid? SaleId)> StateAsync(NpgsqlConnection connection, AttemptKey key, CancellationToken ct)
    {
        await using var read = new NpgsqlCommand("SELECT state, sale_id FROM reservation_attempts WHERE order_id = $1 AND attempt = $2", connection)
        {
            Parameters = { key.Order(), key.Number() },
        };
        await using var reader = await read.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? (reader.GetString(0), SaleOf(reader, 1)) : (null, null);
    }

    private static Guid? SaleOf(NpgsqlDataReader reader, int column) => reader.IsDBNull(column) ? null : reader.GetGuid(column);

    private static async Task<IReadOnlyList<Allocation>> LinesAsync(NpgsqlConnection connection, AttemptKey key, CancellationToken ct)
    {
        await using var read = new NpgsqlCommand("""
            SELECT product_id, warehouse, quantity FROM reservations WHERE order_id = $1 AND attempt = $2 ORDER BY product_id, warehouse
            """, connection) { Parameters = { key.Order(), key.Number() } };
        return await ReadAllocationsAsync(read, ct);
    }

    private static async Task<IReadOnlyList<Allocation>> ReadAllocationsAsync(NpgsqlCommand command, CancellationToken ct)
    {
        var allocations = new List<Allocation>();
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) allocations.Add(new Allocation(reader.GetGuid(0), reader.GetString(1), reader.GetInt32(2)));
        return allocations;
    }

    private bool IsHot(IReadOnlyList<WantedUnits> wanted)
    {
        if (hot.IsEmpty) return false;
        var now = time.GetUtcNow();
        foreach (var (product, until) in hot)
            if (until <= now) hot.TryRemove(new(product, until));
        return wanted.Any(line => hot.ContainsKey(line.ProductId));
    }

    private void MarkHot(IEnumerable<Guid> products)
    {
        var until = time.GetUtcNow() + options.Value.HotFor;
        foreach (var product in products) hot[product] = until;
    }

    [LoggerMessage(LogLevel.Information, "Order {OrderId} refused: {Products} of its products are short")]
    private partial void LogRefused(Guid orderId, int products);

    [LoggerMessage(LogLevel.Warning, "Units of order {OrderId} had been given back and were taken anew for its commit")]
    private partial void LogTakenAnew(Guid orderId);

    [LoggerMessage(LogLevel.Information, "Reserving for order {OrderId} met another order ({SqlState}); trying again")]
    private partial void LogDatabaseConflict(Guid orderId, string sqlState);
}

/// <summary>A reservation's name: one order's n-th try to be paid.</summary>
public readonly record struct AttemptKey(Guid OrderId, int Attempt)
{
    internal NpgsqlParameter Order() => new() { Value = OrderId };
    internal NpgsqlParameter Number() => new() { Value = (short)Attempt };
}

public static class Refusals
{
    public const string OutOfStock = "out_of_stock";
    public const string Released = "released";
}

public sealed record ReservationOutcome(string? Refusal, IReadOnlyList<Shortage> Shortages, IReadOnlyList<Allocation> Allocations, DateTimeOffset? ExpiresAt)
{
    public static ReservationOutcome Held(IReadOnlyList<Allocation> allocations, DateTimeOffset expiresAt) => new(null, [], allocations, expiresAt);
    public static ReservationOutcome Refused(string refusal, IReadOnlyList<Shortage> shortages) => new(refusal, shortages, [], null);
}

public sealed record CommitOutcome(bool Known, string? Refusal, IReadOnlyList<Allocation> Allocations)
{
    public static readonly CommitOutcome Unknown = new(false, null, []);
    public static CommitOutcome Committed(IReadOnlyList<Allocation> allocations) => new(true, null, allocations);
    public static CommitOutcome Refused(string refusal) => new(true, refusal, []);
}
