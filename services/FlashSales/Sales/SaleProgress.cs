using Npgsql;

namespace Marketplace.FlashSales.Sales;

/// <summary>How a sale goes, now. People are counted in the queue, units from the first claim on.</summary>
/// <param name="Joined">People who took a place, those who left again among them.</param>
/// <param name="JoinsPerSecond">Over the last five seconds.</param>
/// <param name="Waiting">People in the queue who have not been let in.</param>
/// <param name="Admitted">People let in so far.</param>
/// <param name="Inside">Those of them who have not got their answer, nor left, nor let it lapse.</param>
/// <param name="Claimed">Units that somebody has, paid or not yet.</param>
/// <param name="WaitingList">Units' worth of people on the waiting list.</param>
/// <param name="Released">Units that were somebody's and came back.</param>
/// <param name="Missed">Units' worth of people who stood on the waiting list in vain.</param>
/// <param name="SoldOut">Every unit is paid for.</param>
public sealed record SaleProgress(
    Guid SaleId, string Title, DateTimeOffset ServerTime, DateTimeOffset StartsAt, DateTimeOffset EndsAt, string Status, string? EndReason, string Phase,
    int Units, long Joined, double JoinsPerSecond, long Left, long Waiting, long Admitted, long Inside,
    int Claimed, int WaitingList, int Paid, int Released, int Missed, int Remaining, bool SoldOut);

/// <summary>The SQL behind an operator's view of a running sale. It counts rows, so it is for a few people who watch, not for shoppers.</summary>
public sealed class SaleProgressStore(NpgsqlDataSource database, TimeProvider time)
{
    private static readonly TimeSpan JoinsOver = TimeSpan.FromSeconds(5);

    public async Task<SaleProgress?> ReadAsync(Guid saleId, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await using var read = database.CreateCommand($"""
            SELECT {SaleSql.Columns}, c.taken, c.paid, c.waiting, p.joined, p.lately, p.gone, a.at, a.head, a.room, a.let_in, a.inside, a.gaps, e.released, e.missed
            FROM sales s
            CROSS JOIN LATERAL (
                SELECT coalesce(sum(taken), 0)::integer AS taken, coalesce(sum(paid), 0)::integer AS paid, coalesce(sum(waiting), 0)::integer AS waiting
                FROM claim_counts WHERE sale_id = s.sale_id) c
            CROSS JOIN LATERAL (
                SELECT count(*) AS joined, count(*) FILTER (WHERE joined_at > $2) AS lately, count(left_at) AS gone FROM places WHERE sale_id = s.sale_id) p
            LEFT JOIN LATERAL (
                SELECT at, head, room, let_in, inside, (SELECT count(*) FROM ranks_done r WHERE r.sale_id = s.sale_id AND r.gap AND r.rank < l.let_in) AS gaps
                FROM admissions l WHERE l.sale_id = s.sale_id ORDER BY step DESC LIMIT 1) a ON true
            CROSS JOIN LATERAL (
                SELECT coalesce(sum(quantity) FILTER (WHERE state = 'released'), 0)::integer AS released,
                       coalesce(sum(quantity) FILTER (WHERE state = 'missed'), 0)::integer AS missed
                FROM claims WHERE sale_id = s.sale_id) e
            WHERE s.sale_id = $1 AND s.status IN ('scheduled', 'cancelled', 'ended')
            """);
        read.Parameters.Add(new() { Value = saleId });
        read.Parameters.Add(new() { Value = now - JoinsOver });
        await using var row = await read.ExecuteReaderAsync(ct);
        if (!await row.ReadAsync(ct))
            return null;

        const int First = SaleSql.ColumnCount;
        var sale = SaleSql.Read(row);
        var counts = new SaleCounts(row.GetInt32(First), row.GetInt32(First + 1));
        var (joined, gone) = (row.GetInt64(First + 3), row.GetInt64(First + 5));
        var (admitted, inside) = (0L, 0L);
        if (!row.IsDBNull(First + 6))
        {
            // Head moves on by itself between two steps; nobody stands at a gap, and more than came cannot have been let in.
            var since = Math.Max(0, ((sale.EndedAt ?? now) - row.GetFieldValue<DateTimeOffset>(First + 6)).TotalSeconds);
            var head = row.GetInt64(First + 7) + (long)Math.Min(row.GetInt32(First + 8), Math.Min(since * sale.AdmissionRate, int.MaxValue));
            var letIn = Math.Max(row.GetInt64(First + 9), head);
            admitted = Math.Min(joined, letIn - row.GetInt64(First + 11));
            inside = row.GetInt64(First + 10);
        }

        return new SaleProgress(
            sale.SaleId, sale.Title, now, sale.StartsAt, sale.EndsAt, sale.Status, sale.EndReason, sale.Phase(counts, now), sale.Units,
            joined, Math.Round(row.GetInt64(First + 4) / JoinsOver.TotalSeconds, 1), gone, Math.Max(0, joined - gone - admitted), admitted, sale.IsOver(now) ? 0 : inside,
            counts.Claimed, row.GetInt32(First + 2), counts.Paid, row.GetInt32(First + 12), row.GetInt32(First + 13), sale.Remaining(counts), counts.Paid >= sale.Units);
    }
}
