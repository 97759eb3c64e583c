using Marketplace.Contracts;
using Marketplace.Hosting;
using Npgsql;

namespace Marketplace.Inventory.Stock;

public sealed class StockStore(NpgsqlDataSource database, TimeProvider time)
{
    public async Task<IReadOnlyList<WarehouseStock>> OfProductAsync(Guid productId, CancellationToken ct)
    {
        await using var read = database.CreateCommand("""
            SELECT s.product_id, s.warehouse, s.stock, s.reserved
            FROM stock_levels s JOIN warehouses w ON w.code = s.warehouse
            WHERE s.product_id = $1
            ORDER BY w.position
            """);
        read.Parameters.Add(new() { Value = productId });
        return await ReadAsync(read, ct);
    }

    /// <summary>One statement, one snapshot: the level belongs to the version, as in the announcement.</summary>
    public async Task<IReadOnlyList<StockLevel>> LevelsAsync(IReadOnlyList<Guid> productIds, CancellationToken ct)
    {
        await using var read = database.CreateCommand("""
            SELECT product_id, sum(stock - reserved)::integer, sum(version)::bigint FROM stock_levels
            WHERE product_id = ANY($1)
            GROUP BY product_id
            """);
        read.Parameters.Add(new() { Value = productIds as Guid[] ?? [.. productIds] });
        await using var reader = await read.ExecuteReaderAsync(ct);
        var levels = new List<StockLevel>(productIds.Count);
        while (await reader.ReadAsync(ct)) levels.Add(new StockLevel(reader.GetGuid(0), reader.GetInt32(1), reader.GetInt64(2)));
        return levels;
    }

    public async Task<IReadOnlyList<WarehouseStock>> OfSellerAsync(SellerId seller, (Guid Product, string Warehouse) after, int limit, CancellationToken ct)
    {
        await using var read = database.CreateCommand("""
            SELECT product_id, warehouse, stock, reserved FROM stock_levels
            WHERE seller_id = $1 AND (product_id, warehouse) > ($2, $3)
            ORDER BY product_id, warehouse LIMIT $4
            """);
        read.Parameters.Add(new() { Value = seller.Value });
        read.Parameters.Add(new() { Value = after.Product });
        read.Parameters.Add(new() { Value = after.Warehouse });
        read.Parameters.Add(new() { Value = limit });
        return await ReadAsync(read, ct);
    }

    /// <summary>Sets what is on hand, all lines or none. The difference goes into the book; what is held for orders must stay covered.</summary>
    public async Task<CountOutcome> CountAsync(SellerId seller, IReadOnlyList<CountedLine> lines, CancellationToken ct)
    {
        CountedLine[] ordered = [.. lines.OrderBy(line => line.ProductId).ThenBy(line => line.Warehouse, StringComparer.Ordinal)];
        NpgsqlParameter Products() => new() { Value = ordered.Select(line => line.ProductId).ToArray() };
        NpgsqlParameter Warehouses() => new() { Value = ordered.Select(line => line.Warehouse).ToArray() };
        NpgsqlParameter OnHand() => new() { Value = ordered.Select(line => line.OnHand).ToArray() };

        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);

        // New rows start empty, so that a product's first goods are a movement like any later ones. The rows are then locked in order.
        await using var open = new NpgsqlBatch(connection, tx)
        {
            BatchCommands =
            {
                new("""
                    INSERT INTO stock_levels (product_id, warehouse, seller_id, stock)
                    SELECT product_id, warehouse, $3, 0 FROM unnest($1::uuid[], $2::text[]) AS l(product_id, warehouse)
                    ON CONFLICT DO NOTHING
                    """) { Parameters = { Products(), Warehouses(), new() { Value = seller.Value } } },
                new("""
                    SELECT s.product_id, s.warehouse, s.stock, s.reserved
                    FROM stock_levels s JOIN unnest($1::uuid[], $2::text[]) AS l(product_id, warehouse)
                      ON s.product_id = l.product_id AND s.warehouse = l.warehouse
                    ORDER BY s.product_id, s.warehouse COLLATE "C"
                    FOR NO KEY UPDATE OF s
                    """) { Parameters = { Products(), Warehouses() } },
            },
        };
        var known = (await ReadAsync(open, ct)).ToDictionary(level => (level.ProductId, level.Warehouse));
        foreach (var line in ordered)
            if (known[(line.ProductId, line.Warehouse)] is var level && line.OnHand < level.Reserved)
                return new CountOutcome.BelowReserved(line, level.Reserved);

        await using var write = new NpgsqlBatch(connection, tx)
        {
            BatchCommands =
            {
                new("""
                    INSERT INTO movements (product_id, warehouse, quantity, kind, moved_at)
                    SELECT s.product_id, s.warehouse, l.on_hand - s.stock, CASE WHEN l.on_hand > s.stock THEN 'receive' ELSE 'adjust' END, $4
                    FROM unnest($1::uuid[], $2::text[], $3::integer[]) AS l(product_id, warehouse, on_hand)
                    JOIN stock_levels s ON s.product_id = l.product_id AND s.warehouse = l.warehouse
                    WHERE l.on_hand <> s.stock
                    """) { Parameters = { Products(), Warehouses(), OnHand(), new() { Value = time.GetUtcNow() } } },
                new("""
                    WITH changed AS (
                        UPDATE stock_levels s SET stock = l.on_hand, version = s.version + 1
                        FROM unnest($1::uuid[], $2::text[], $3::integer[]) AS l(product_id, warehouse, on_hand)
                        WHERE s.product_id = l.product_id AND s.warehouse = l.warehouse AND s.stock <> l.on_hand
                        RETURNING s.product_id
                    )
                    INSERT INTO touches (products) SELECT array_agg(DISTINCT product_id) FROM changed HAVING count(*) > 0
                    """) { Parameters = { Products(), Warehouses(), OnHand() } },
            },
        };
        await write.ExecuteNonQueryAsync(ct);
        await tx.CommitAsync(ct);
        return new CountOutcome.Counted(
            [.. ordered.Select(line => new WarehouseStock(line.ProductId, line.Warehouse, line.OnHand, known[(line.ProductId, line.Warehouse)].Reserved))]);
    }

    public async Task<IReadOnlySet<string>> WarehousesAsync(CancellationToken ct)
    {
        await using var read = database.CreateCommand("SELECT code FROM warehouses");
        var codes = new HashSet<string>(StringComparer.Ordinal);
        await using var reader = await read.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) codes.Add(reader.GetString(0));
        return codes;
    }

    private static async Task<List<WarehouseStock>> ReadAsync(NpgsqlCommand command, CancellationToken ct)
    {
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await ReadAsync(reader, ct);
    }

    private static async Task<List<WarehouseStock>> ReadAsync(NpgsqlBatch batch, CancellationToken ct)
    {
        await using var reader = await batch.ExecuteReaderAsync(ct);
        return await ReadAsync(reader, ct);
    }

    private static async Task<List<WarehouseStock>> ReadAsync(NpgsqlDataReader reader, CancellationToken ct)
    {
        var levels = new List<WarehouseStock>();
        while (await reader.ReadAsync(ct)) levels.Add(new WarehouseStock(reader.GetGuid(0), reader.GetString(1), reader.GetInt32(2), reader.GetInt32(3)));
        return levels;
    }
}

public sealed record WarehouseStock(Guid ProductId, string Warehouse, int OnHand, int Reserved)
{
    public int Available => OnHand - Reserved;
}

public abstract record CountOutcome
{
    public sealed record Counted(IReadOnlyList<WarehouseStock> Levels) : CountOutcome;
    public sealed record BelowReserved(CountedLine Line, int Reserved) : CountOutcome;
}
