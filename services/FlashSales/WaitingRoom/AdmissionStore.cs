using Marketplace.FlashSales.Sales;
using Marketplace.WaitingRoom;
using Microsoft.Extensions.Options;
using Npgsql;

namespace Marketplace.FlashSales.WaitingRoom;

/// <summary>The SQL of the draw and of admission.</summary>
public sealed class AdmissionStore(NpgsqlDataSource database, NewSeed newSeed, IOptions<WaitingRoomOptions> options)
{
    private const int MostTold = 1_000;

    // Ranks on both sides of the head among which lost numbers are looked for, and how long a number may take from the block to its row.
    private const int LookAround = 1_000;
    private static readonly TimeSpan LostAfter = TimeSpan.FromSeconds(5);

    // In an admission's time: so finely it is told when somebody was let in.
    private const int PastPoints = 32;

    /// <summary>
    /// Scheduled sales and those that are over since <paramref name="overSince"/>: how far each has come. Should there be more than can be told, each
    /// seller's first comes before anybody's second, so that nobody pushes other people's sales off the list by scheduling many.
    /// </summary>
    public async Task<IReadOnlyList<Admission>> ReadAsync(DateTimeOffset now, DateTimeOffset overSince, CancellationToken ct)
    {
        await using var list = database.CreateCommand($"""
            WITH told AS (
                (SELECT sale_id FROM sales WHERE status IN ('preparing', 'scheduled') AND status = 'scheduled'
                 ORDER BY row_number() OVER (PARTITION BY seller_id ORDER BY starts_at), starts_at LIMIT {MostTold})
                UNION ALL
                (SELECT sale_id FROM sales WHERE status IN ('cancelled', 'ended') AND ended_at > $1
                 ORDER BY row_number() OVER (PARTITION BY seller_id ORDER BY ended_at DESC), ended_at DESC LIMIT {MostTold})
            )
            SELECT {SaleSql.Columns}, a.at, a.head, a.room, a.expired_below, c.taken, c.paid, past.at, past.let_in
            FROM told JOIN sales s USING (sale_id)
            LEFT JOIN LATERAL (SELECT at, head, room, expired_below FROM admissions WHERE sale_id = s.sale_id ORDER BY step DESC LIMIT 1) a ON true
            LEFT JOIN LATERAL (SELECT sum(taken)::integer AS taken, sum(paid)::integer AS paid FROM claim_counts WHERE sale_id = s.sale_id) c ON true
            LEFT JOIN LATERAL (
                SELECT array_agg(p.at ORDER BY p.at) AS at, array_agg(p.let_in ORDER BY p.at) AS let_in
                FROM (
                    SELECT min(at) AS at, min(let_in) AS let_in FROM admissions
                    WHERE sale_id = s.sale_id AND at > a.at - s.admission_seconds * interval '1 second'
                    GROUP BY floor(extract(epoch FROM at) * {PastPoints} / s.admission_seconds)) p
                ) past ON s.status = 'scheduled'
            """);
        list.Parameters.Add(new() { Value = overSince });
        await using var row = await list.ExecuteReaderAsync(ct);
        var told = new List<Admission>();
        while (await row.ReadAsync(ct))
        {
            var sale = SaleSql.Read(row);
            var (first, hasStep) = (SaleSql.ColumnCount, !row.IsDBNull(SaleSql.ColumnCount));
            var counts = new SaleCounts(row.IsDBNull(first + 4) ? 0 : row.GetInt32(first + 4), row.IsDBNull(first + 5) ? 0 : row.GetInt32(first + 5));
            told.Add(new Admission(
                sale.SaleId, sale.Phase(counts, now), sale.StartsAt, sale.EndsAt, sale.Seed, sale.Early,
                hasStep ? row.GetFieldValue<DateTimeOffset>(first) : sale.StartsAt, hasStep ? row.GetInt64(first + 1) : 0, sale.AdmissionRate,
                hasStep ? row.GetInt32(first + 2) : 0, hasStep ? row.GetInt64(first + 3) : 0, sale.AdmissionSeconds, sale.Remaining(counts))
            {
                Past = row.IsDBNull(first + 6) ? null : [.. row.GetFieldValue<DateTimeOffset[]>(first + 6).Zip(row.GetFieldValue<long[]>(first + 7), (at, letIn) => new HeadPoint(at, letIn))],
            });
        }

        return told;
    }

    /// <summary>
    /// Shuffles those who came before the start, and opens admission. Made once, by whoever comes first: true for them alone. Under the sale's lock no
    /// early place is being written, and none will be afterwards.
    /// </summary>
    public async Task<bool> DrawAsync(Guid saleId, DateTimeOffset now, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        // The lock and the draw are two statements: the second one must see the numbers that were taken while the first one waited.
        await using var draw = new NpgsqlBatch(connection, tx)
        {
            BatchCommands =
            {
                new("SELECT FROM sales WHERE sale_id = $1 AND status = 'scheduled' AND drawn_at IS NULL AND starts_at <= $2 FOR NO KEY UPDATE")
                {
                    Parameters = { new() { Value = saleId }, new() { Value = now } },
                },
                new($"""
                    UPDATE sales s SET drawn_at = $2, seed = $3,
                                       early = coalesce((SELECT next FROM queue_numbers q WHERE q.sale_id = $1 AND NOT q.late), 0)
                    WHERE s.sale_id = $1 AND status = 'scheduled' AND drawn_at IS NULL AND starts_at <= $2
                    RETURNING {SaleSql.Columns}
                    """)
                {
                    Parameters = { new() { Value = saleId }, new() { Value = now }, new() { Value = newSeed() } },
                },
            },
        };
        Sale drawn;
        await using (var row = await draw.ExecuteReaderAsync(ct))
        {
            await row.NextResultAsync(ct);
            if (!await row.ReadAsync(ct))
                return false;
            drawn = SaleSql.Read(row);
        }

        await using var open = new NpgsqlBatch(connection, tx) { BatchCommands = { Insert(saleId, AdmissionStep.First(drawn, now)) } };
        await open.ExecuteNonQueryAsync(ct);
        await tx.CommitAsync(ct);
        return true;
    }

    /// <summary>
    /// Takes the next step of a running sale's admission, when it is due. Null: it is not, or another replica has taken it. Nothing is remembered between
    /// steps, so that any replica can take any.
    /// </summary>
    public async Task<AdmissionStep?> StepAsync(Guid saleId, DateTimeOffset now, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        if (await SituationAsync(connection, saleId, now, ct) is not { } situation || now - situation.Last.At < options.Value.StepEvery)
            return null;

        var (sale, last, people, lapsed, mayCome) = situation;
        var passed = last.HeadAt(now, sale.AdmissionRate);
        await using var tx = await connection.BeginTransactionAsync(ct);
        if (last.Step == 0)
            await NoteGapsAsync(tx, sale, ct);
        else
            await NoteLostAsync(tx, sale, last, now, ct);
        var (done, gaps) = await DoneAsync(tx, sale.SaleId, Math.Max(last.ExpiredBelow, lapsed), Math.Max(last.LetIn, Math.Min(passed, people)), last.Head, passed, ct);
        var next = last.Next(sale, now, people, gaps, lapsed, done, mayCome, options.Value.ToldWithin);
        if (last.Step > 0 && !next.IsNews(last, sale.AdmissionRate))
            return null;

        await using var insert = new NpgsqlBatch(connection, tx) { BatchCommands = { Insert(saleId, next) } };
        if (await insert.ExecuteNonQueryAsync(ct) != 1)
            return null;                                        // another replica's; what was noted here, it noted too
        await tx.CommitAsync(ct);
        return next;
    }

    private static async Task<Situation?> SituationAsync(NpgsqlConnection connection, Guid saleId, DateTimeOffset now, CancellationToken ct)
    {
        await using var find = new NpgsqlCommand($"""
            SELECT {SaleSql.Columns}, a.step, a.at, a.head, a.room, a.let_in, a.expired_below, a.inside,
                   s.early + coalesce((SELECT next FROM queue_numbers q WHERE q.sale_id = s.sale_id AND q.late), 0),
                   coalesce((SELECT let_in FROM admissions l WHERE l.sale_id = s.sale_id AND l.at <= $2 - s.admission_seconds * interval '1 second'
                             ORDER BY l.at DESC, l.step DESC LIMIT 1), 0),
                   coalesce((SELECT sum(taken) < s.units OR sum(waiting) < s.waiting_list FROM claim_counts c WHERE c.sale_id = s.sale_id), true)
            FROM sales s
            JOIN LATERAL (SELECT step, at, head, room, let_in, expired_below, inside FROM admissions WHERE sale_id = s.sale_id ORDER BY step DESC LIMIT 1) a ON true
            WHERE s.sale_id = $1 AND s.status = 'scheduled' AND s.ends_at > $2
            """, connection)
        { Parameters = { new() { Value = saleId }, new() { Value = now } } };
        await using var row = await find.ExecuteReaderAsync(ct);
        if (!await row.ReadAsync(ct))
            return null;
        const int First = SaleSql.ColumnCount;
        var last = new AdmissionStep(
            row.GetInt64(First), row.GetFieldValue<DateTimeOffset>(First + 1), row.GetInt64(First + 2), row.GetInt32(First + 3), row.GetInt64(First + 4),
            row.GetInt64(First + 5), row.GetInt32(First + 6));
        return new Situation(SaleSql.Read(row), last, row.GetInt64(First + 7), row.GetInt64(First + 8), row.GetBoolean(First + 9));
    }

    /// <summary>Once a sale, with the first step: early numbers that are nobody's, lost by a replica or left before the draw.</summary>
    private static async Task NoteGapsAsync(NpgsqlTransaction tx, Sale sale, CancellationToken ct)
    {
        var ranks = new List<long>();
        await using (var find = new NpgsqlCommand("""
            SELECT n FROM generate_series(0, $2 - 1) AS n
            WHERE NOT EXISTS (SELECT FROM places p WHERE p.sale_id = $1 AND NOT p.late AND p.number = n AND p.left_at IS NULL)
            """, tx.Connection, tx)
        { Parameters = { new() { Value = sale.SaleId }, new() { Value = sale.Early!.Value } } })
        {
            await using var row = await find.ExecuteReaderAsync(ct);
            while (await row.ReadAsync(ct))
                ranks.Add(StartDraw.RankOf(sale.Seed!, sale.Early.Value, row.GetInt64(0)));
        }

        if (ranks.Count == 0)
            return;
        await using var note = new NpgsqlBatch(tx.Connection!, tx) { BatchCommands = { Places.Done(sale.SaleId, ranks, gap: true) } };
        await note.ExecuteNonQueryAsync(ct);
    }

    /// <summary>
    /// Late numbers around the head that nobody has and nobody will get: a replica died with them. Numbers are taken in their order, so one below
    /// somebody's who has been there for a while was taken long ago. Without this they would count as people inside until they lapse, and where few
    /// may be inside nobody else would be let in meanwhile.
    /// </summary>
    private static async Task NoteLostAsync(NpgsqlTransaction tx, Sale sale, AdmissionStep last, DateTimeOffset now, CancellationToken ct)
    {
        var (from, to) = (Math.Max(last.ExpiredBelow, last.LetIn - LookAround) - sale.Early!.Value, last.LetIn + LookAround - sale.Early.Value);
        if (to <= 0)
            return;
        await using var note = new NpgsqlCommand("""
            INSERT INTO ranks_done (sale_id, rank, gap)
            SELECT $1, $2 + n, true
            FROM generate_series($3, (SELECT max(number) FROM places WHERE sale_id = $1 AND late AND number BETWEEN $3 AND $4 AND joined_at <= $5)) AS n
            WHERE (SELECT true FROM places p WHERE p.sale_id = $1 AND p.late AND p.number = n) IS NULL
            ORDER BY n
            ON CONFLICT DO NOTHING
            """, tx.Connection, tx)
        {
            Parameters =
            {
                new() { Value = sale.SaleId }, new() { Value = sale.Early.Value }, new() { Value = Math.Max(0, from) }, new() { Value = to }, new() { Value = now - LostAfter },
            },
        };
        await note.ExecuteNonQueryAsync(ct);
    }

    private static async Task<(long Done, long Gaps)> DoneAsync(
        NpgsqlTransaction tx, Guid saleId, long from, long to, long gapsFrom, long gapsTo, CancellationToken ct)
    {
        await using var count = new NpgsqlCommand("""
            SELECT (SELECT count(*) FROM ranks_done WHERE sale_id = $1 AND rank >= $2 AND rank < $3),
                   (SELECT count(*) FROM ranks_done WHERE sale_id = $1 AND rank >= $4 AND rank < $5 AND gap)
            """, tx.Connection, tx)
        {
            Parameters = { new() { Value = saleId }, new() { Value = from }, new() { Value = to }, new() { Value = gapsFrom }, new() { Value = gapsTo } },
        };
        await using var row = await count.ExecuteReaderAsync(ct);
        await row.ReadAsync(ct);
        return (row.GetInt64(0), row.GetInt64(1));
    }

    private static NpgsqlBatchCommand Insert(Guid saleId, AdmissionStep step) => new("""
        INSERT INTO admissions (sale_id, step, at, head, room, let_in, expired_below, inside) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (sale_id, step) DO NOTHING
        """)
    {
        Parameters =
        {
            new() { Value = saleId }, new() { Value = step.Step }, new() { Value = step.At }, new() { Value = step.Head }, new() { Value = step.Room },
            new() { Value = step.LetIn }, new() { Value = step.ExpiredBelow }, new() { Value = step.Inside },
        },
    };

    /// <param name="People">Ranks in the queue, gaps included.</param>
    /// <param name="Lapsed">How many had been let in an admission's time ago.</param>
    /// <param name="MayCome">There is something to be had: a unit, or room on the waiting list.</param>
    private sealed record Situation(Sale Sale, AdmissionStep Last, long People, long Lapsed, bool MayCome);
}

/// <summary>The randomness of a draw.</summary>
public delegate byte[] NewSeed();
