using Marketplace.Contracts;
using Marketplace.Inventory.Reservations;
using Microsoft.Extensions.Options;
using Npgsql;

namespace Marketplace.Inventory.Allotments;

/// <summary>
/// Moves units between ordinary stock and a sale, and holds them for the sale's orders. Setting is a wish with a version, carried out in
/// one transaction: repeated, overtaken or cut off it ends where the newest wish says. A reserve is what it is for ordinary stock (read,
/// then one statement that does all or nothing), on rows of the sale's own, so that a storm on the sale meets no ordinary order.
/// </summary>
public sealed partial class AllotmentStore(
    NpgsqlDataSource database, TimeProvider time, IOptions<ReservationOptions> options, InventoryMeter meter, ILogger<AllotmentStore> log)
{
    public async Task<AllotmentReply> SetAsync(Guid saleId, AllotmentRequest wish, CancellationToken ct)
    {
        while (true)
        {
            try
            {
                return await TrySetAsync(saleId, wish, ct);
            }
            catch (PostgresException conflict) when (conflict.SqlState is PostgresErrorCodes.DeadlockDetected or PostgresErrorCodes.SerializationFailure)
            {
                LogDatabaseConflict(saleId, conflict.SqlState);
            }
        }
    }

    private async Task<AllotmentReply> TrySetAsync(Guid saleId, AllotmentRequest wish, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        NpgsqlParameter Sale() => new() { Value = saleId };
        NpgsqlParameter Product() => new() { Value = wish.ProductId };
        NpgsqlParameter Seller() => new() { Value = wish.SellerId };

        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);

        // A sale nobody asked about before starts with nothing, at version 0. Two first wishes at once take turns here.
        await using var open = new NpgsqlBatch(connection, tx)
        {
            BatchCommands =
            {
                new("""
                    INSERT INTO allotments (sale_id, product_id, seller_id, wanted, version, changed_at) VALUES ($1, $2, $3, 0, 0, $4) ON CONFLICT DO NOTHING
                    """) { Parameters = { Sale(), Product(), Seller(), new() { Value = now } } },
                new("SELECT product_id, seller_id, version FROM allotments WHERE sale_id = $1 FOR NO KEY UPDATE") { Parameters = { Sale() } },
                new("""
                    SELECT s.product_id, s.warehouse, w.position, s.stock - s.reserved, s.version
                    FROM stock_levels s JOIN warehouses w ON w.code = s.warehouse
                    WHERE s.product_id = $1 AND s.seller_id = $2
                    ORDER BY s.warehouse COLLATE "C"
                    FOR NO KEY UPDATE OF s
                    """) { Parameters = { Product(), Seller() } },
                AllotmentSql.LockLevels(saleId),
            },
        };
        long known;
        bool same;
        List<WarehouseLevel> shelves;
        List<AllotmentLevel> has;
        await using (var reader = await open.ExecuteReaderAsync(ct))
        {
            await reader.ReadAsync(ct);
            (same, known) = (reader.GetGuid(0) == wish.ProductId && reader.GetGuid(1) == wish.SellerId, reader.GetInt64(2));
            await reader.NextResultAsync(ct);
            shelves = await ReservationStore.ReadLevelsAsync(reader, ct);
            await reader.NextResultAsync(ct);
            has = await AllotmentSql.ReadLevelsAsync(reader, ct);
        }

        AllotmentReply Answer(string? refusal, long version, int moved = 0) => new(
            refusal, has.Sum(level => level.Allotted) + moved, has.Sum(level => level.Taken), shelves.Sum(level => level.Available) - moved, version);

        if (!same) return Answer(AllotmentRefusals.OtherProduct, known);
        if (known > wish.Version) return Answer(null, known);             // overtaken by a newer wish

        var (moves, refusal) = AllotmentMoves.Towards(wish.ProductId, wish.Units, has, shelves);
        if (refusal is AllotmentRefusals.OutOfStock or AllotmentRefusals.UnknownProduct)
        {
            LogRefused(saleId, wish.Units, refusal);
            return Answer(refusal, known);
        }

        await using var write = new NpgsqlBatch(connection, tx)
        {
            BatchCommands =
            {
                new("UPDATE allotments SET wanted = $2, version = $3, changed_at = $4 WHERE sale_id = $1")
                {
                    Parameters = { Sale(), new() { Value = wish.Units }, new() { Value = wish.Version }, new() { Value = now } },
                },
            },
        };
        if (moves.Count > 0)
        {
            NpgsqlParameter Warehouses() => new() { Value = moves.Select(move => move.Warehouse).ToArray() };
            NpgsqlParameter Units() => new() { Value = moves.Select(move => move.Units).ToArray() };
            write.BatchCommands.Add(new("INSERT INTO allotment_levels (sale_id, warehouse) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING")
            {
                Parameters = { Sale(), Warehouses() },
            });
            write.BatchCommands.Add(new("""
                UPDATE stock_levels s SET reserved = s.reserved + m.units, version = s.version + 1
                FROM unnest($2::text[], $3::integer[]) AS m(warehouse, units) WHERE s.product_id = $1 AND s.warehouse = m.warehouse
                """) { Parameters = { Product(), Warehouses(), Units() } });
            write.BatchCommands.Add(new("""
                UPDATE allotment_levels l SET allotted = l.allotted + m.units
                FROM unnest($2::text[], $3::integer[]) AS m(warehouse, units) WHERE l.sale_id = $1 AND l.warehouse = m.warehouse
                """) { Parameters = { Sale(), Warehouses(), Units() } });
            write.BatchCommands.Add(new("INSERT INTO touches (products) VALUES (ARRAY[$1::uuid])") { Parameters = { Product() } });
        }

        await write.ExecuteNonQueryAsync(ct);
        await tx.CommitAsync(ct);

        var moved = moves.Sum(move => move.Units);
        meter.Allotted(moved);
        if (moved != 0) LogMoved(saleId, moved, wish.ProductId, wish.Units);
        return Answer(refusal, wish.Version, moved);
    }

    /// <summary>What the sale has. Nothing, of a sale nobody asked anything for.</summary>
    public async Task<AllotmentFigures> FiguresAsync(Guid saleId, CancellationToken ct)
    {
        await using var read = database.CreateCommand("""
            SELECT coalesce(sum(l.allotted), 0)::integer, coalesce(sum(l.taken), 0)::integer, coalesce(sum(l.committed), 0)::integer,
                   coalesce((SELECT version FROM allotments WHERE sale_id = $1), 0)
            FROM allotment_levels l WHERE l.sale_id = $1
            """);
        read.Parameters.Add(new() { Value = saleId });
        await using var reader = await read.ExecuteReaderAsync(ct);
        await reader.ReadAsync(ct);
        return new AllotmentFigures(reader.GetInt32(0), reader.GetInt32(1), reader.GetInt32(2), reader.GetInt64(3));
    }

    /// <summary>
    /// Units of the sale for one of its orders, all or none. A try is lost only to somebody who took units, so this ends: with units, or
    /// with none left.
    /// </summary>
    public async Task<ReservationOutcome> ReserveAsync(AttemptKey key, Guid saleId, WantedUnits wanted, CancellationToken ct)
    {
        while (true)
        {
            if (await TryReserveAsync(key, saleId, wanted, ct) is { } outcome) return outcome;
            meter.Conflict();
            await Task.Delay(options.Value.ConflictPause * Random.Shared.NextDouble(), time, ct);
        }
    }

    private async Task<ReservationOutcome?> TryReserveAsync(AttemptKey key, Guid saleId, WantedUnits wanted, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var read = new NpgsqlBatch(connection)
        {
            BatchCommands =
            {
                Sql.ReadAttempt(key),
                new("SELECT product_id FROM allotments WHERE sale_id = $1") { Parameters = { new() { Value = saleId } } },
                AllotmentSql.ReadLevels(saleId),
            },
        };
        ReservationOutcome? known;
        bool ours;
        List<AllotmentLevel> levels;
        await using (var reader = await read.ExecuteReaderAsync(ct))
        {
            known = await ReservationStore.ReadKnownAsync(reader, ct);
            await reader.NextResultAsync(ct);
            ours = await reader.ReadAsync(ct) && reader.GetGuid(0) == wanted.ProductId;
            await reader.NextResultAsync(ct);
            levels = await AllotmentSql.ReadLevelsAsync(reader, ct);
        }

        if (known is not null) return known;

        var (plan, shortages) = Split.Plan([wanted], ours ? ShelvesOf(wanted.ProductId, levels) : []);
        var now = time.GetUtcNow();
        if (shortages.Count > 0)
        {
            await using var refuse = new NpgsqlBatch(connection) { BatchCommands = { Sql.Refuse(key, shortages, now) } };
            if (await refuse.ExecuteNonQueryAsync(ct) == 0) return null;
            meter.AllotmentShort();
            LogShort(key.OrderId, saleId, shortages[0].Wanted, shortages[0].Available);
            return ReservationOutcome.Refused(Refusals.OutOfStock, shortages);
        }

        var expiresAt = now + options.Value.HeldFor;
        Allocation[] allocations = [.. plan.Select(units => units.ToAllocation())];
        await using var take = AllotmentSql.TakeIfAllAreThere(
            connection, key, saleId, plan, expiresAt, now, new InventoryReserved(key.OrderId, key.Attempt, allocations));
        if (!(bool)(await take.ExecuteScalarAsync(ct))!) return null;     // somebody was faster, or the same call came twice at once

        meter.AllotmentReserved(wanted.Quantity);
        return ReservationOutcome.Held(allocations, expiresAt);
    }

    /// <summary>The allotment's free units as shelves to plan from.</summary>
    internal static List<WarehouseLevel> ShelvesOf(Guid productId, IReadOnlyList<AllotmentLevel> levels) =>
        [.. levels.Select(level => new WarehouseLevel(productId, level.Warehouse, level.Position, level.Free, Version: 0))];

    [LoggerMessage(LogLevel.Information, "{Units} units of product {ProductId} moved into sale {SaleId}, which wants {Wanted}")]
    private partial void LogMoved(Guid saleId, int units, Guid productId, int wanted);

    [LoggerMessage(LogLevel.Information, "Sale {SaleId} cannot have {Units} units: {Refusal}")]
    private partial void LogRefused(Guid saleId, int units, string refusal);

    [LoggerMessage(LogLevel.Warning, "Order {OrderId} finds {Available} units in the allotment of sale {SaleId} and wants {Wanted}")]
    private partial void LogShort(Guid orderId, Guid saleId, int wanted, int available);

    [LoggerMessage(LogLevel.Information, "Setting the allotment of sale {SaleId} met another transaction ({SqlState}); trying again")]
    private partial void LogDatabaseConflict(Guid saleId, string sqlState);
}
