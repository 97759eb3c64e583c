using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Payments.Webhooks;

public sealed record RecordedWebhook(string EventId, string Type, Guid? OrderId, int? Attempt, string? IntentId, int Tries);

/// <summary>Events of the provider by their own id.</summary>
public sealed class WebhookLog(NpgsqlDataSource database, WebhookSignal signal)
{
    private static readonly TimeSpan Moment = TimeSpan.FromSeconds(1);

    /// <summary>
    /// A success whose attempt is captured already is news to nobody and is settled as it is written: that is nearly every one, since the reply to the charge is faster. One that
    /// overtakes the reply is given a moment, in which whoever is charging mostly learns the same from it.
    /// </summary>
    public async Task RecordOnceAsync(Notice notice, CancellationToken ct)
    {
        await using var insert = database.CreateCommand("""
            INSERT INTO webhooks (event_id, type, order_id, attempt, intent_id, outcome, not_before)
            SELECT $1, $2, $3, $4, $5,
                   CASE WHEN $2 = 'payment_intent.succeeded' AND a.status = 'captured' THEN 'known' END,
                   now() + CASE WHEN a.status = 'charging' AND a.lease_until > now() THEN $6 ELSE interval '0' END
            FROM (SELECT 1) one LEFT JOIN payment_attempts a ON a.order_id = $3 AND a.attempt = $4
            ON CONFLICT (event_id) DO NOTHING
            RETURNING outcome IS NULL AND not_before <= now()
            """);
        insert.Parameters.AddRange((NpgsqlParameter[])[
            new() { Value = notice.EventId },
            new() { Value = notice.Type },
            new() { Value = (object?)notice.OrderId ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Uuid },
            new() { Value = (object?)(short?)notice.Attempt ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Smallint },
            new() { Value = (object?)notice.IntentId ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text },
            new() { Value = Moment, NpgsqlDbType = NpgsqlDbType.Interval },
        ]);
        if (await insert.ExecuteScalarAsync(ct) is true)
            signal.Notify();
    }

    public async Task<IReadOnlyList<RecordedWebhook>> ClaimDueAsync(int limit, TimeSpan pause, CancellationToken ct)
    {
        await using var claim = database.CreateCommand("""
            UPDATE webhooks w SET tries = tries + 1, not_before = now() + $2 * least(power(2, w.tries), 64)
            FROM (SELECT event_id FROM webhooks WHERE outcome IS NULL AND not_before <= now() ORDER BY not_before LIMIT $1 FOR UPDATE SKIP LOCKED) due
            WHERE w.event_id = due.event_id
            RETURNING w.event_id, w.type, w.order_id, w.attempt, w.intent_id, w.tries
            """);
        claim.Parameters.AddRange((NpgsqlParameter[])[new() { Value = limit }, new() { Value = pause, NpgsqlDbType = NpgsqlDbType.Interval }]);
        await using var row = await claim.ExecuteReaderAsync(ct);
        var due = new List<RecordedWebhook>();
        while (await row.ReadAsync(ct))
        {
            due.Add(new RecordedWebhook(
                row.GetString(0), row.GetString(1), row.IsDBNull(2) ? null : row.GetGuid(2), row.IsDBNull(3) ? null : row.GetInt16(3), row.IsDBNull(4) ? null : row.GetString(4), row.GetInt32(5)));
        }

        return due;
    }

    public async Task SettledAsync(string eventId, string outcome, CancellationToken ct)
    {
        await using var settle = database.CreateCommand("UPDATE webhooks SET outcome = $2 WHERE event_id = $1");
        settle.Parameters.AddRange((NpgsqlParameter[])[new() { Value = eventId }, new() { Value = outcome }]);
        await settle.ExecuteNonQueryAsync(ct);
    }
}

/// <summary>Wakes the worker of this process; the others look by the clock.</summary>
public sealed class WebhookSignal
{
    private TaskCompletionSource wake = New();

    public Task Next => Volatile.Read(ref wake).Task;

    public void Notify() => Interlocked.Exchange(ref wake, New()).TrySetResult();

    private static TaskCompletionSource New() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
