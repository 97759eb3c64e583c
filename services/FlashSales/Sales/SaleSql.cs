using Marketplace.Contracts;
using Npgsql;

namespace Marketplace.FlashSales.Sales;

/// <summary>What every reader of the table shares, and what other slices do to a sale in their own transactions.</summary>
public static class SaleSql
{
    /// <summary>In the order of <see cref="Read"/>; the table's alias is <c>s</c>.</summary>
    public const string Columns = """
        s.sale_id, s.seller_id, s.product_id, s.title, s.units, s.price_minor, s.currency, s.starts_at, s.ends_at,
        s.limit_per_customer, s.admission_rate, s.inside_limit, s.admission_seconds, s.waiting_list, s.shards,
        s.status, s.end_reason, s.revision, s.drawn_at, s.seed, s.early, s.allotted, s.created_at, s.updated_at, s.ended_at
        """;

    /// <summary>How many columns <see cref="Columns"/> has: what comes after them begins here.</summary>
    public const int ColumnCount = 25;

    public static Sale Read(NpgsqlDataReader row) => new(
        row.GetGuid(0), row.GetGuid(1), row.GetGuid(2), row.GetString(3), row.GetInt32(4), new Money(row.GetInt64(5), row.GetString(6)),
        row.GetFieldValue<DateTimeOffset>(7), row.GetFieldValue<DateTimeOffset>(8),
        row.GetInt16(9), row.GetInt32(10), row.GetInt32(11), row.GetInt32(12), row.GetInt32(13), row.GetInt16(14),
        row.GetString(15), row.IsDBNull(16) ? null : row.GetString(16), row.GetInt64(17),
        Time(row, 18), row.IsDBNull(19) ? null : row.GetFieldValue<byte[]>(19), row.IsDBNull(20) ? null : row.GetInt64(20),
        row.GetInt32(21), row.GetFieldValue<DateTimeOffset>(22), row.GetFieldValue<DateTimeOffset>(23), Time(row, 24));

    /// <summary>
    /// Reads a sale and keeps it from ending, or being changed, until the caller's transaction is over: what is written under it (a place, a
    /// claim) is seen by whoever ends the sale afterwards. Many may hold it at once.
    /// </summary>
    public static NpgsqlBatchCommand Hold(Guid saleId) =>
        new($"SELECT {Columns} FROM sales s WHERE s.sale_id = $1 FOR SHARE OF s") { Parameters = { new() { Value = saleId } } };

    /// <summary>
    /// Ends a running sale in the caller's transaction; what nobody has goes back to ordinary stock. False: it was not running, so somebody else
    /// ended it and told of it.
    /// </summary>
    public static async Task<bool> EndAsync(NpgsqlTransaction tx, Guid saleId, string reason, DateTimeOffset now, CancellationToken ct)
    {
        await using var end = new NpgsqlCommand("""
            UPDATE sales SET status = 'ended', end_reason = $2, ended_at = $3, updated_at = $3, allotment_due_at = $3, revision = revision + 1
            WHERE sale_id = $1 AND status = 'scheduled'
            """, tx.Connection, tx)
        { Parameters = { new() { Value = saleId }, new() { Value = reason }, new() { Value = now } } };
        return await end.ExecuteNonQueryAsync(ct) == 1;
    }

    /// <summary>A claim of the sale came to nothing: should the sale be over, its units are not wanted any more and go back.</summary>
    public static NpgsqlBatchCommand LookAtAllotment(Guid saleId, DateTimeOffset now) =>
        new("UPDATE sales SET allotment_due_at = $2 WHERE sale_id = $1 AND status IN ('ended', 'cancelled') AND allotment_due_at IS NULL")
        { Parameters = { new() { Value = saleId }, new() { Value = now } } };

    private static DateTimeOffset? Time(NpgsqlDataReader row, int column) => row.IsDBNull(column) ? null : row.GetFieldValue<DateTimeOffset>(column);
}
