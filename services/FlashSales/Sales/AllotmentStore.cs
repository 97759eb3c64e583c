using Npgsql;

namespace Marketplace.FlashSales.Sales;

/// <param name="Wanted">Units to ask for.</param>
/// <param name="Status">The sale's, when the question was written down.</param>
public sealed record AllotmentQuestion(Guid SaleId, Guid ProductId, Guid SellerId, int Wanted, long Version, string Status);

/// <summary>
/// What inventory is asked to set aside, and what it answered, written down before and after each question. Questions of a sale are
/// numbered under the lock of its row, so the one that inventory obeys is the one that knew most. Between asking and the answer a lease
/// (<c>allotment_due_at</c>) keeps others away; when it runs out, whoever asked is dead or was not answered, and the next one asks anew.
/// </summary>
public sealed class AllotmentStore(NpgsqlDataSource database, TimeProvider time)
{
    /// <summary>Longer than a call to inventory may take.</summary>
    public static readonly TimeSpan Lease = TimeSpan.FromSeconds(10);

    // What a sale should have: while it lasts its units, then what somebody claimed (and has not lost again), never more.
    private const string Wanted = """
        CASE WHEN status IN ('preparing', 'scheduled') THEN units
             WHEN status = 'refused' THEN 0
             ELSE least(units, coalesce((SELECT sum(taken) FROM claim_counts c WHERE c.sale_id = s.sale_id), 0)) END::integer
        """;

    /// <summary>Sales whose allotment somebody should look at now.</summary>
    public async Task<IReadOnlyList<Guid>> DueAsync(int limit, CancellationToken ct)
    {
        await using var list = database.CreateCommand("SELECT sale_id FROM sales WHERE allotment_due_at <= $1 ORDER BY allotment_due_at LIMIT $2");
        list.Parameters.Add(new() { Value = time.GetUtcNow() });
        list.Parameters.Add(new() { Value = limit });
        await using var row = await list.ExecuteReaderAsync(ct);
        var due = new List<Guid>();
        while (await row.ReadAsync(ct))
            due.Add(row.GetGuid(0));
        return due;
    }

    /// <summary>
    /// The next question for inventory, if one is due and nobody else is asking. Null also when all is as it should be; then nothing is due any
    /// more, or while claims of an ended sale are still open, in a while.
    /// </summary>
    public async Task<AllotmentQuestion?> AskAsync(Guid saleId, TimeSpan lookAgain, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);

        await using (var hold = new NpgsqlCommand("SELECT 1 FROM sales WHERE sale_id = $1 AND allotment_due_at <= $2 FOR NO KEY UPDATE", connection, tx)
        { Parameters = { new() { Value = saleId }, new() { Value = now } } })
        {
            if (await hold.ExecuteScalarAsync(ct) is null)
                return null;                                    // not due, or somebody was faster
        }

        // A statement of its own after the lock, so that it sees every claim that was committed before.
        await using var ask = new NpgsqlBatch(connection, tx)
        {
            BatchCommands =
            {
                // Too late to begin: a sale that could not be prepared before its start does not take place.
                new("""
                    UPDATE sales SET status = 'refused', ended_at = $2, updated_at = $2, asked_key = NULL
                    WHERE sale_id = $1 AND status = 'preparing' AND starts_at <= $2
                    """)
                { Parameters = { new() { Value = saleId }, new() { Value = now } } },
                new($"""
                    WITH ask AS (
                        SELECT sale_id, wanted, open, wanted <> allotted OR allotment_version <> allotted_version OR status IN ('preparing', 'refused') AS needed
                        FROM (SELECT sale_id, status, allotted, allotment_version, allotted_version, {Wanted} AS wanted,
                                     status IN ('cancelled', 'ended') AND EXISTS (SELECT FROM claim_counts c WHERE c.sale_id = s.sale_id AND c.taken > c.paid) AS open
                              FROM sales s WHERE sale_id = $1) s
                    )
                    UPDATE sales s SET
                        allotment_wanted = CASE WHEN needed THEN wanted ELSE allotment_wanted END,
                        allotment_version = CASE WHEN needed THEN allotment_version + 1 ELSE allotment_version END,
                        allotment_due_at = CASE WHEN needed THEN $2 WHEN open THEN $3::timestamptz END
                    FROM ask WHERE s.sale_id = ask.sale_id
                    RETURNING s.sale_id, product_id, seller_id, allotment_wanted, allotment_version, status, needed
                    """)
                { Parameters = { new() { Value = saleId }, new() { Value = now + Lease }, new() { Value = now + lookAgain } } },
            },
        };
        AllotmentQuestion? question = null;
        await using (var row = await ask.ExecuteReaderAsync(ct))
        {
            if (await row.ReadAsync(ct) && row.GetBoolean(6))
                question = new AllotmentQuestion(row.GetGuid(0), row.GetGuid(1), row.GetGuid(2), row.GetInt32(3), row.GetInt64(4), row.GetString(5));
        }

        await tx.CommitAsync(ct);
        return question;
    }

    /// <summary>
    /// A question on behalf of a change that is not made yet: that the sale may have <paramref name="units"/>. If the change is never made, the next
    /// look at the allotment takes it back. Null: somebody is asking something, or the sale is not what it was.
    /// </summary>
    public async Task<AllotmentQuestion?> AskForMoreAsync(Guid saleId, long revision, int units, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await using var ask = database.CreateCommand("""
            UPDATE sales SET allotment_wanted = $3, allotment_version = allotment_version + 1, allotment_due_at = $5
            WHERE sale_id = $1 AND revision = $2 AND status = 'scheduled' AND starts_at > $4 AND drawn_at IS NULL AND (allotment_due_at IS NULL OR allotment_due_at <= $4)
            RETURNING sale_id, product_id, seller_id, allotment_wanted, allotment_version, status
            """);
        foreach (var value in (object[])[saleId, revision, units, now, now + Lease])
            ask.Parameters.Add(new() { Value = value });
        await using var row = await ask.ExecuteReaderAsync(ct);
        return await row.ReadAsync(ct)
            ? new AllotmentQuestion(row.GetGuid(0), row.GetGuid(1), row.GetGuid(2), row.GetInt32(3), row.GetInt64(4), row.GetString(5))
            : null;
    }

    /// <summary>Inventory has the units of a sale that is being prepared: it is scheduled. False: it is not being prepared any more, or its start has passed.</summary>
    public async Task<bool> ScheduleAsync(Guid saleId, Allotted allotted, CancellationToken ct)
    {
        await using var schedule = database.CreateCommand("""
            UPDATE sales SET status = 'scheduled', allotted = $2, allotted_version = $3, updated_at = $4,
                             allotment_due_at = CASE WHEN $2 <> units THEN $4 END
            WHERE sale_id = $1 AND status = 'preparing' AND allotment_version = $3 AND starts_at > $4
            """);
        foreach (var value in (object[])[saleId, allotted.Units, allotted.Version, time.GetUtcNow()])
            schedule.Parameters.Add(new() { Value = value });
        return await schedule.ExecuteNonQueryAsync(ct) == 1;
    }

    /// <summary>A sale that is being prepared will not be; the request may be made again. What inventory may hold for it goes back.</summary>
    public async Task<bool> RefuseAsync(Guid saleId, CancellationToken ct)
    {
        await using var refuse = database.CreateCommand("""
            UPDATE sales SET status = 'refused', ended_at = $2, updated_at = $2, asked_key = NULL, allotment_due_at = $2 WHERE sale_id = $1 AND status = 'preparing'
            """);
        refuse.Parameters.Add(new() { Value = saleId });
        refuse.Parameters.Add(new() { Value = time.GetUtcNow() });
        return await refuse.ExecuteNonQueryAsync(ct) == 1;
    }

    /// <summary>
    /// What inventory has for the sale, as of our question; without effect when another was asked since. Looked at again at
    /// <paramref name="lookAgain"/> if it is not as asked for, and at once if something else may be wanted by now.
    /// </summary>
    public async Task AnsweredAsync(Guid saleId, Allotted allotted, TimeSpan lookAgain, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await using var answered = database.CreateCommand("""
            UPDATE sales SET allotted = $2, allotted_version = $3,
                             allotment_due_at = CASE WHEN $2 <> allotment_wanted THEN $4::timestamptz
                                                     WHEN status IN ('cancelled', 'ended') OR $2 <> units THEN $5 END
            WHERE sale_id = $1 AND allotment_version = $3
            """);
        foreach (var value in (object[])[saleId, allotted.Units, allotted.Version, now + lookAgain, now])
            answered.Parameters.Add(new() { Value = value });
        await answered.ExecuteNonQueryAsync(ct);
    }

    /// <summary>Inventory holds nothing for a sale that never was and will take no late question about it: nothing is left to know.</summary>
    public async Task ForgetRefusedAsync(Guid saleId, long version, CancellationToken ct)
    {
        await using var forget = database.CreateCommand("DELETE FROM sales WHERE sale_id = $1 AND status = 'refused' AND allotment_version = $2");
        forget.Parameters.Add(new() { Value = saleId });
        forget.Parameters.Add(new() { Value = version });
        await forget.ExecuteNonQueryAsync(ct);
    }

    /// <summary>Look now: a change was not made, or inventory knows a later question than we do (our database is from a backup).</summary>
    public async Task LookNowAsync(Guid saleId, long version, long atLeast, CancellationToken ct)
    {
        await using var look = database.CreateCommand("""
            UPDATE sales SET allotment_due_at = $4, allotment_version = greatest(allotment_version, $3) WHERE sale_id = $1 AND allotment_version = $2
            """);
        foreach (var value in (object[])[saleId, version, atLeast, time.GetUtcNow()])
            look.Parameters.Add(new() { Value = value });
        await look.ExecuteNonQueryAsync(ct);
    }

    /// <summary>Requests that nobody repeats any more: their keys may be used anew.</summary>
    public async Task ForgetKeysAsync(DateTimeOffset before, CancellationToken ct)
    {
        await using var forget = database.CreateCommand(
            "UPDATE sales SET asked_key = NULL, asked_hash = NULL WHERE asked_key IS NOT NULL AND status <> 'preparing' AND created_at < $1");
        forget.Parameters.Add(new() { Value = before });
        await forget.ExecuteNonQueryAsync(ct);
    }

    /// <summary>
    /// Sales that have other than what they should and that nobody is looking at: claims that came to nothing long after the end. Those that
    /// ended before <paramref name="since"/> are left alone.
    /// </summary>
    public async Task<int> FindStrayAsync(DateTimeOffset since, CancellationToken ct)
    {
        await using var find = database.CreateCommand($"""
            UPDATE sales s SET allotment_due_at = $1
            WHERE (status = 'scheduled' OR (status IN ('cancelled', 'ended') AND ended_at > $2)) AND allotment_due_at IS NULL AND allotted <> {Wanted}
            """);
        find.Parameters.Add(new() { Value = time.GetUtcNow() });
        find.Parameters.Add(new() { Value = since });
        return await find.ExecuteNonQueryAsync(ct);
    }
}
