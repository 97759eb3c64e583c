using Marketplace.FlashSales.Sales;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.FlashSales.WaitingRoom;

/// <summary>The SQL of taking places, for many at once.</summary>
public sealed class JoinStore(NpgsqlDataSource database, TimeProvider time)
{
    /// <summary>Those who need a number: no place yet, and an order could be made of their claim.</summary>
    public async Task<Guid[]> NewcomersAsync(Guid saleId, Guid[] buyers, CancellationToken ct)
    {
        await using var find = database.CreateCommand("""
            SELECT a.buyer_id FROM unnest($2) AS a (buyer_id)
            WHERE (SELECT true FROM places WHERE sale_id = $1 AND buyer_id = a.buyer_id) IS NULL
              AND (SELECT true FROM express_checkouts e WHERE e.buyer_id = a.buyer_id)
            """);
        find.Parameters.Add(new() { Value = saleId });
        find.Parameters.Add(new() { Value = buyers, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Uuid });
        await using var row = await find.ExecuteReaderAsync(ct);
        var newcomers = new List<Guid>(buyers.Length);
        while (await row.ReadAsync(ct))
            newcomers.Add(row.GetGuid(0));
        return [.. newcomers];
    }

    /// <summary>
    /// One round trip, one transaction: a place for every taker who has none and has left what an order needs, and then what place everybody has. Nothing
    /// is written unless the sale is scheduled and, as the numbers say, not drawn yet or drawn.
    /// </summary>
    /// <param name="takers">Each once, with the number of the same index.</param>
    /// <param name="everybody">Whose places are told, takers too.</param>
    /// <param name="lostRanks">Of numbers that nobody got: noted along.</param>
    public async Task<Lot> TakeAsync(Guid saleId, bool late, Guid[] takers, long[] numbers, Guid[] everybody, long[] lostRanks, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var batch = new NpgsqlBatch(connection)                     // without BEGIN PostgreSQL runs it as one transaction
        {
            BatchCommands =
            {
                // Whoever makes the draw waits for us, or we see it made.
                late ? new NpgsqlBatchCommand($"SELECT {SaleSql.Columns} FROM sales s WHERE s.sale_id = $1") { Parameters = { new() { Value = saleId } } } : SaleSql.Hold(saleId),
                // In order of buyer: two replicas with the same people wait for each other, not in a circle. Sub-selects, for each by the key: a join
                // would be planned as a reading of the whole table.
                new("""
                    INSERT INTO places (sale_id, buyer_id, late, number, joined_at)
                    SELECT $1, a.buyer_id, $4, a.number, $5
                    FROM unnest($2, $3) AS a (buyer_id, number)
                    WHERE (SELECT true FROM express_checkouts e WHERE e.buyer_id = a.buyer_id)
                      AND (SELECT s.status = 'scheduled' AND (s.drawn_at IS NOT NULL) = $4 FROM sales s WHERE s.sale_id = $1)
                    ORDER BY a.buyer_id
                    ON CONFLICT (sale_id, buyer_id) DO NOTHING
                    """)
                {
                    Parameters =
                    {
                        new() { Value = saleId }, new() { Value = takers, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Uuid },
                        new() { Value = numbers, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bigint }, new() { Value = late }, new() { Value = time.GetUtcNow() },
                    },
                },
                new("""
                    SELECT a.buyer_id, p.late, p.number, p.left_at IS NOT NULL, (SELECT true FROM express_checkouts e WHERE e.buyer_id = a.buyer_id)
                    FROM unnest($2) AS a (buyer_id)
                    LEFT JOIN LATERAL (SELECT late, number, left_at FROM places WHERE sale_id = $1 AND buyer_id = a.buyer_id LIMIT 1) p ON true
                    """)
                {
                    Parameters = { new() { Value = saleId }, new() { Value = everybody, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Uuid } },
                },
            },
        };
        if (lostRanks.Length > 0)
            batch.BatchCommands.Add(Places.Done(saleId, lostRanks, gap: true));

        await using var row = await batch.ExecuteReaderAsync(ct);
        var sale = await row.ReadAsync(ct) ? SaleSql.Read(row) : null;
        await row.NextResultAsync(ct);                          // the insert has no rows and is no result of its own
        var standing = new Dictionary<Guid, (Place? Place, bool HasCheckout)>(everybody.Length);
        while (await row.ReadAsync(ct))
            standing[row.GetGuid(0)] = (row.IsDBNull(1) ? null : new Place(row.GetBoolean(1), row.GetInt64(2), row.GetBoolean(3)), !row.IsDBNull(4));
        while (await row.NextResultAsync(ct)) ;                 // or a fault of what follows would go unnoticed
        return new Lot(sale, standing);
    }

    /// <summary>Before the draw whoever left takes the same place again: its number says nothing yet. Those who changed it meanwhile are absent from the answer.</summary>
    public Task<IReadOnlyDictionary<Guid, Place>> ReturnAsync(Guid saleId, Guid[] buyers, CancellationToken ct) => UpdateAsync("""
        UPDATE places SET left_at = NULL, joined_at = $3
        WHERE sale_id = $1 AND buyer_id = ANY ($2) AND NOT late AND left_at IS NOT NULL
        RETURNING buyer_id, late, number
        """, [new() { Value = saleId }, new() { Value = buyers }, new() { Value = time.GetUtcNow() }], ct);

    /// <summary>Gives these another place, at the back, instead of the one that they left or let lapse. Those who changed it meanwhile are absent from the answer.</summary>
    public Task<IReadOnlyDictionary<Guid, Place>> MoveBackAsync(Guid saleId, IReadOnlyList<(Guid Buyer, Place From, long To)> moves, CancellationToken ct) => UpdateAsync("""
        UPDATE places p SET late = true, number = m.new_number, joined_at = $6, left_at = NULL
        FROM unnest($2, $3, $4, $5) AS m (buyer_id, late, number, new_number)
        WHERE p.sale_id = $1 AND p.buyer_id = m.buyer_id AND p.late = m.late AND p.number = m.number
        RETURNING p.buyer_id, p.late, p.number
        """,
        [
            new() { Value = saleId }, new() { Value = moves.Select(move => move.Buyer).ToArray() }, new() { Value = moves.Select(move => move.From.Late).ToArray() },
            new() { Value = moves.Select(move => move.From.Number).ToArray() }, new() { Value = moves.Select(move => move.To).ToArray() }, new() { Value = time.GetUtcNow() },
        ], ct);

    /// <summary>Ranks of these buyers that have had their claim, and that came to nothing.</summary>
    public async Task<IReadOnlySet<(Guid Buyer, long Rank)>> UsedUpAsync(Guid saleId, Guid[] buyers, CancellationToken ct)
    {
        await using var find = database.CreateCommand(
            "SELECT buyer_id, rank FROM claims WHERE sale_id = $1 AND buyer_id = ANY ($2) AND state IN ('released', 'missed')");
        find.Parameters.Add(new() { Value = saleId });
        find.Parameters.Add(new() { Value = buyers });
        await using var row = await find.ExecuteReaderAsync(ct);
        var usedUp = new HashSet<(Guid, long)>();
        while (await row.ReadAsync(ct))
            usedUp.Add((row.GetGuid(0), row.GetInt64(1)));
        return usedUp;
    }

    private async Task<IReadOnlyDictionary<Guid, Place>> UpdateAsync(string sql, NpgsqlParameter[] parameters, CancellationToken ct)
    {
        await using var update = database.CreateCommand(sql);
        update.Parameters.AddRange(parameters);
        await using var row = await update.ExecuteReaderAsync(ct);
        var places = new Dictionary<Guid, Place>();
        while (await row.ReadAsync(ct))
            places[row.GetGuid(0)] = new Place(row.GetBoolean(1), row.GetInt64(2), false);
        return places;
    }
}

/// <param name="Sale">As it was in that transaction; null: there is none.</param>
public sealed record Lot(Sale? Sale, IReadOnlyDictionary<Guid, (Place? Place, bool HasCheckout)> Standing);
