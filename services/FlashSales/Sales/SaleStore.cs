using Marketplace.Hosting;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.FlashSales.Sales;

/// <summary>The SQL of sales as people change and read them. What inventory sets aside follows in <see cref="AllotmentStore"/>.</summary>
public sealed class SaleStore(NpgsqlDataSource database, TimeProvider time)
{
    // Counts of the shards that have decided something; a sale nobody claimed from has none.
    private const string Counted = $"""
        SELECT {SaleSql.Columns}, coalesce(c.taken, 0)::integer, coalesce(c.paid, 0)::integer, coalesce(c.waiting, 0)::integer
        FROM sales s LEFT JOIN LATERAL (
            SELECT sum(taken) AS taken, sum(paid) AS paid, sum(waiting) AS waiting FROM claim_counts WHERE sale_id = s.sale_id) c ON true
        """;

    public async Task<Sale?> FindAsync(Guid saleId, CancellationToken ct)
    {
        await using var find = database.CreateCommand($"SELECT {SaleSql.Columns} FROM sales s WHERE s.sale_id = $1");
        find.Parameters.Add(new() { Value = saleId });
        await using var row = await find.ExecuteReaderAsync(ct);
        return await row.ReadAsync(ct) ? SaleSql.Read(row) : null;
    }

    /// <summary>Scheduled sales that start before <paramref name="startBefore"/>, and those over since <paramref name="overSince"/>.</summary>
    public async Task<IReadOnlyList<Sale>> AroundNowAsync(DateTimeOffset startBefore, DateTimeOffset overSince, CancellationToken ct)
    {
        await using var list = database.CreateCommand($"""
            SELECT {SaleSql.Columns} FROM sales s WHERE status IN ('preparing', 'scheduled') AND status = 'scheduled' AND starts_at < $1
            UNION ALL
            SELECT {SaleSql.Columns} FROM sales s WHERE status IN ('cancelled', 'ended') AND ended_at > $2
            """);
        list.Parameters.Add(new() { Value = startBefore });
        list.Parameters.Add(new() { Value = overSince });
        await using var row = await list.ExecuteReaderAsync(ct);
        var sales = new List<Sale>();
        while (await row.ReadAsync(ct))
            sales.Add(SaleSql.Read(row));
        return sales;
    }

    /// <summary>One that shoppers may know of, over or not.</summary>
    public async Task<CountedSale?> AnnouncedAsync(Guid saleId, CancellationToken ct)
    {
        await using var find = database.CreateCommand($"{Counted} WHERE s.sale_id = $1 AND s.status IN ('scheduled', 'cancelled', 'ended')");
        find.Parameters.Add(new() { Value = saleId });
        return await ListAsync(find, ct) is [var found] ? found : null;
    }

    /// <summary>What runs or will, the next to start first.</summary>
    public async Task<IReadOnlyList<CountedSale>> UpcomingAsync(
        Guid? productId, Guid? sellerId, (DateTimeOffset StartsAt, Guid SaleId)? after, int limit, CancellationToken ct)
    {
        await using var list = database.CreateCommand($"""
            {Counted} WHERE s.status IN ('preparing', 'scheduled') AND s.status = 'scheduled' AND s.ends_at > $1
              AND ($2::uuid IS NULL OR s.product_id = $2) AND ($3::uuid IS NULL OR s.seller_id = $3)
              AND ($4::timestamptz IS NULL OR (s.starts_at, s.sale_id) > ($4, $5))
            ORDER BY s.starts_at, s.sale_id LIMIT $6
            """);
        list.Parameters.AddRange((NpgsqlParameter[])
        [
            new() { Value = time.GetUtcNow() }, Id(productId), Id(sellerId),
            new() { Value = (object?)after?.StartsAt ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.TimestampTz }, Id(after?.SaleId), new() { Value = limit },
        ]);
        return await ListAsync(list, ct);
    }

    public Task<CountedSale?> OfSellerAsync(SellerId seller, Guid saleId, CancellationToken ct) => ManagedAsync(saleId, seller, ct);

    public Task<CountedSale?> AsOperatorAsync(Guid saleId, CancellationToken ct) => ManagedAsync(saleId, null, ct);

    public Task<IReadOnlyList<CountedSale>> OfSellerAsync(SellerId seller, string? status, Guid? before, int limit, CancellationToken ct) =>
        ManagedAsync(seller.Value, status, before, limit, ct);

    public Task<IReadOnlyList<CountedSale>> AsOperatorAsync(Guid? sellerId, string? status, Guid? before, int limit, CancellationToken ct) =>
        ManagedAsync(sellerId, status, before, limit, ct);

    /// <summary>The sale that this request began before, if it was cut off.</summary>
    public async Task<(Sale Sale, byte[] RequestHash, long AllotmentVersion)?> FindAskedAsync(string askedKey, CancellationToken ct)
    {
        await using var find = database.CreateCommand($"SELECT {SaleSql.Columns}, s.asked_hash, s.allotment_version FROM sales s WHERE s.asked_key = $1");
        find.Parameters.Add(new() { Value = askedKey });
        await using var row = await find.ExecuteReaderAsync(ct);
        return await row.ReadAsync(ct)
            ? (SaleSql.Read(row), row.GetFieldValue<byte[]>(SaleSql.ColumnCount), row.GetInt64(SaleSql.ColumnCount + 1))
            : null;
    }

    /// <summary>
    /// Writes down what is intended, before inventory hears of it: if this process dies, another finishes when <paramref name="givenUpAt"/> has
    /// come. Nothing happens when the same request did it already.
    /// </summary>
    public async Task PrepareAsync(Guid saleId, Guid sellerId, Guid productId, string title, SaleTerms terms, string askedKey, byte[] requestHash, DateTimeOffset givenUpAt, CancellationToken ct)
    {
        await using var insert = database.CreateCommand("""
            INSERT INTO sales (sale_id, seller_id, product_id, title, units, price_minor, currency, starts_at, ends_at, limit_per_customer, admission_rate,
                               inside_limit, admission_seconds, waiting_list, shards, status, asked_key, asked_hash, allotment_wanted, allotment_due_at, created_at, updated_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 'preparing', $16, $17, $5, $18, $19, $19)
            ON CONFLICT (asked_key) DO NOTHING
            """);
        foreach (var value in (object[])[
            saleId, sellerId, productId, title, terms.Units, terms.Price.Minor, terms.Price.Currency, terms.StartsAt, terms.EndsAt, (short)terms.LimitPerCustomer,
            terms.AdmissionRate, terms.InsideLimit, terms.AdmissionSeconds, terms.WaitingList, (short)terms.Shards, askedKey, requestHash, givenUpAt, time.GetUtcNow()])
            insert.Parameters.Add(new() { Value = value });
        await insert.ExecuteNonQueryAsync(ct);
    }

    /// <summary>
    /// Other terms for a sale that has not started, by whoever knew its revision. More units than are allotted only with the question inventory
    /// granted (<paramref name="granted"/>): if anybody asked another since, nothing changes.
    /// </summary>
    public async Task<bool> ChangeAsync(Guid saleId, long revision, SaleTerms terms, Allotted? granted, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await using var change = database.CreateCommand("""
            UPDATE sales SET
                units = $3, price_minor = $4, starts_at = $5, ends_at = $6, limit_per_customer = $7, admission_rate = $8, inside_limit = $9,
                admission_seconds = $10, waiting_list = $11, shards = $12, revision = revision + 1, updated_at = $13,
                allotted = coalesce($14, allotted), allotted_version = coalesce($15, allotted_version),
                allotment_due_at = CASE WHEN coalesce($14, allotted) <> $3 THEN $13 WHEN $15::bigint IS NULL THEN allotment_due_at END
            WHERE sale_id = $1 AND revision = $2 AND status = 'scheduled' AND starts_at > $13 AND drawn_at IS NULL
              AND coalesce($14, allotted) >= $3 AND ($15::bigint IS NULL OR allotment_version = $15)
            """);
        foreach (var value in (object[])[
            saleId, revision, terms.Units, terms.Price.Minor, terms.StartsAt, terms.EndsAt, (short)terms.LimitPerCustomer, terms.AdmissionRate, terms.InsideLimit,
            terms.AdmissionSeconds, terms.WaitingList, (short)terms.Shards, now])
            change.Parameters.Add(new() { Value = value });
        change.Parameters.Add(new() { Value = (object?)granted?.Units ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Integer });
        change.Parameters.Add(new() { Value = (object?)granted?.Version ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Bigint });
        return await change.ExecuteNonQueryAsync(ct) == 1;
    }

    /// <summary>Calls a sale off before its start, ends it afterwards. False: it was over already, or never announced.</summary>
    public async Task<bool> EndAsync(Guid saleId, string reason, CancellationToken ct)
    {
        await using var end = database.CreateCommand("""
            UPDATE sales SET
                status = CASE WHEN starts_at > $3 AND drawn_at IS NULL THEN 'cancelled' ELSE 'ended' END, end_reason = CASE WHEN ends_at <= $3 THEN 'time' ELSE $2 END,
                ended_at = $3, updated_at = $3, allotment_due_at = $3, revision = revision + 1
            WHERE sale_id = $1 AND status = 'scheduled'
            """);
        foreach (var value in (object[])[saleId, reason, time.GetUtcNow()])
            end.Parameters.Add(new() { Value = value });
        return await end.ExecuteNonQueryAsync(ct) == 1;
    }

    /// <summary>Ends the sales whose time is up, each once, whoever asks.</summary>
    public async Task<IReadOnlyList<Guid>> EndDueAsync(CancellationToken ct)
    {
        await using var end = database.CreateCommand("""
            UPDATE sales SET status = 'ended', end_reason = 'time', ended_at = $1, updated_at = $1, allotment_due_at = $1, revision = revision + 1
            WHERE sale_id IN (
                SELECT sale_id FROM sales WHERE status IN ('preparing', 'scheduled') AND status = 'scheduled' AND starts_at <= $1 AND ends_at <= $1
                ORDER BY sale_id FOR NO KEY UPDATE)
            RETURNING sale_id
            """);
        end.Parameters.Add(new() { Value = time.GetUtcNow() });
        await using var row = await end.ExecuteReaderAsync(ct);
        var ended = new List<Guid>();
        while (await row.ReadAsync(ct))
            ended.Add(row.GetGuid(0));
        return ended;
    }

    private async Task<CountedSale?> ManagedAsync(Guid saleId, SellerId? seller, CancellationToken ct)
    {
        await using var find = database.CreateCommand($"{Counted} WHERE s.sale_id = $1 AND ($2::uuid IS NULL OR s.seller_id = $2) AND s.status IN ('scheduled', 'cancelled', 'ended')");
        find.Parameters.Add(new() { Value = saleId });
        find.Parameters.Add(Id(seller?.Value));
        return await ListAsync(find, ct) is [var found] ? found : null;
    }

    private async Task<IReadOnlyList<CountedSale>> ManagedAsync(Guid? sellerId, string? status, Guid? before, int limit, CancellationToken ct)
    {
        await using var list = database.CreateCommand($"""
            {Counted} WHERE ($1::uuid IS NULL OR s.seller_id = $1) AND s.status IN ('scheduled', 'cancelled', 'ended')
              AND ($2::text IS NULL OR s.status = $2) AND ($3::uuid IS NULL OR s.sale_id < $3)
            ORDER BY s.sale_id DESC LIMIT $4
            """);
        list.Parameters.AddRange((NpgsqlParameter[])
        [
            Id(sellerId), new() { Value = (object?)status ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text }, Id(before), new() { Value = limit },
        ]);
        return await ListAsync(list, ct);
    }

    private static async Task<IReadOnlyList<CountedSale>> ListAsync(NpgsqlCommand command, CancellationToken ct)
    {
        await using var row = await command.ExecuteReaderAsync(ct);
        var sales = new List<CountedSale>();
        while (await row.ReadAsync(ct))
        {
            sales.Add(new CountedSale(
                SaleSql.Read(row), new SaleCounts(row.GetInt32(SaleSql.ColumnCount), row.GetInt32(SaleSql.ColumnCount + 1)), row.GetInt32(SaleSql.ColumnCount + 2)));
        }

        return sales;
    }

    private static NpgsqlParameter Id(Guid? value) => new() { Value = (object?)value ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Uuid };
}

/// <summary>What inventory has for a sale, as of which question.</summary>
public sealed record Allotted(int Units, long Version);
