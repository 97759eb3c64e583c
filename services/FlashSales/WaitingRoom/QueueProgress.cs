using Npgsql;

namespace Marketplace.FlashSales.WaitingRoom;

/// <summary>How the queue of a sale is going, for an operator: exact, and read as a whole, so not for everybody.</summary>
public sealed class QueueProgress(NpgsqlDataSource database, TimeProvider time)
{
    private const int PaceOver = 5;

    public async Task<QueueFigures> OfAsync(Guid saleId, CancellationToken ct)
    {
        await using var count = database.CreateCommand("""
            SELECT p.joined, p.lately, p.here, coalesce(a.let_in - a.gaps, 0), coalesce(a.inside, 0)
            FROM sales s
            CROSS JOIN LATERAL (
                SELECT count(*) AS joined, count(*) FILTER (WHERE joined_at > $2) AS lately, count(*) FILTER (WHERE left_at IS NULL) AS here
                FROM places WHERE sale_id = s.sale_id) p
            LEFT JOIN LATERAL (
                SELECT let_in, inside, (SELECT count(*) FROM ranks_done d WHERE d.sale_id = a.sale_id AND d.rank < a.let_in AND d.gap) AS gaps
                FROM admissions a WHERE sale_id = s.sale_id ORDER BY step DESC LIMIT 1) a ON true
            WHERE s.sale_id = $1
            """);
        var now = time.GetUtcNow();
        count.Parameters.Add(new() { Value = saleId });
        count.Parameters.Add(new() { Value = now.AddSeconds(-PaceOver) });
        await using var row = await count.ExecuteReaderAsync(ct);
        if (!await row.ReadAsync(ct))
            return new QueueFigures(0, 0, 0, 0, 0);
        var (joined, lately, here, admitted) = (row.GetInt64(0), row.GetInt64(1), row.GetInt64(2), row.GetInt64(3));
        return new QueueFigures(joined, (double)lately / PaceOver, Math.Max(0, here - admitted), admitted, row.GetInt32(4));
    }
}

/// <param name="Joined">Accounts that took a place, whether they left it since or not.</param>
/// <param name="JoinsPerSecond">Over the last five seconds.</param>
/// <param name="Waiting">In the queue and not let in yet.</param>
/// <param name="Admitted">Let in since the start, whatever became of them.</param>
/// <param name="Inside">Of those, the ones without an answer; as of the last step, half a second ago.</param>
public sealed record QueueFigures(long Joined, double JoinsPerSecond, long Waiting, long Admitted, int Inside);
