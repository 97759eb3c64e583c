using Marketplace.Hosting;
using Marketplace.Notifications.Mail;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Notifications.Messages;

public sealed record MessageView(Guid MessageId, string Kind, string Subject, string Text, Guid? OrderId, string Email, DateTimeOffset CreatedAt);

public sealed record MessagePage(IReadOnlyList<MessageView> Items, string? Next);

public sealed record DueMail(Guid MessageId, string Recipient, string Subject, string Text, int Tries);

public sealed class MessageStore(NpgsqlDataSource database, MailSignal signal, TimeProvider time)
{
    /// <summary>
    /// Told, noted and queued by one statement, which is one commit. The unique key stands for the inbox here: it names the event and outlives any pruning.
    /// </summary>
    public async Task AddAsync(Message message, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await using var add = database.CreateCommand("""
            WITH latest AS (
                INSERT INTO told AS t (subject_id, rank) VALUES ($1, $2)
                ON CONFLICT (subject_id) DO UPDATE SET rank = greatest(t.rank, excluded.rank)
                RETURNING rank)
            INSERT INTO messages (message_id, event_id, recipient, buyer_id, order_id, kind, subject, text, created_at, email, not_before)
            SELECT $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $11
            FROM latest WHERE latest.rank <= $2
            ON CONFLICT (event_id, recipient) DO NOTHING
            """);
        add.Parameters.AddRange((NpgsqlParameter[])[
            new() { Value = message.SubjectId },
            new() { Value = message.Rank },
            new() { Value = Guid.CreateVersion7(now) },
            new() { Value = message.EventId },
            new() { Value = message.Recipient },
            new() { Value = message.BuyerId },
            new() { Value = (object?)message.OrderId ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Uuid },
            new() { Value = message.Kind },
            new() { Value = message.Subject },
            new() { Value = message.Text },
            new() { Value = now },
            new() { Value = Message.IsAddress(message.Recipient) ? "waiting" : "undeliverable" },
        ]);
        if (await add.ExecuteNonQueryAsync(ct) > 0)
            signal.Notify();
    }

    public async Task<MessagePage> OfBuyerAsync(Guid buyerId, Guid? before, int limit, CancellationToken ct)
    {
        await using var list = database.CreateCommand("""
            SELECT message_id, kind, subject, text, order_id, email, created_at FROM messages
            WHERE buyer_id = $1 AND ($2::uuid IS NULL OR message_id < $2)
            ORDER BY message_id DESC LIMIT $3
            """);
        list.Parameters.AddRange((NpgsqlParameter[])[
            new() { Value = buyerId }, new() { Value = (object?)before ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Uuid }, new() { Value = limit + 1 }]);
        await using var row = await list.ExecuteReaderAsync(ct);
        var items = new List<MessageView>();
        while (await row.ReadAsync(ct))
        {
            items.Add(new MessageView(
                row.GetGuid(0), row.GetString(1), row.GetString(2), row.GetString(3), row.IsDBNull(4) ? null : row.GetGuid(4), row.GetString(5), row.GetFieldValue<DateTimeOffset>(6)));
        }

        if (items.Count <= limit)
            return new MessagePage(items, null);
        items.RemoveAt(limit);
        return new MessagePage(items, Cursor.Encode(items[^1].MessageId));
    }

    /// <summary>Takes what is due for as long as a sending may take; replicas pass over each other's.</summary>
    public async Task<IReadOnlyList<DueMail>> ClaimDueAsync(int limit, TimeSpan claim, CancellationToken ct)
    {
        await using var take = database.CreateCommand("""
            UPDATE messages m SET tries = m.tries + 1, not_before = $3
            FROM (SELECT message_id FROM messages WHERE email = 'waiting' AND not_before <= $2 ORDER BY not_before LIMIT $1 FOR UPDATE SKIP LOCKED) due
            WHERE m.message_id = due.message_id
            RETURNING m.message_id, m.recipient, m.subject, m.text, m.tries
            """);
        var now = time.GetUtcNow();
        take.Parameters.AddRange((NpgsqlParameter[])[new() { Value = limit }, new() { Value = now }, new() { Value = now + claim }]);
        await using var row = await take.ExecuteReaderAsync(ct);
        var due = new List<DueMail>();
        while (await row.ReadAsync(ct))
            due.Add(new DueMail(row.GetGuid(0), row.GetString(1), row.GetString(2), row.GetString(3), row.GetInt32(4)));
        return due;
    }

    public async Task SentAsync(Guid[] messages, CancellationToken ct)
    {
        await using var sent = database.CreateCommand("UPDATE messages SET email = 'sent', sent_at = $2, last_error = NULL WHERE message_id = ANY($1)");
        sent.Parameters.AddRange((NpgsqlParameter[])[new() { Value = messages }, new() { Value = time.GetUtcNow() }]);
        await sent.ExecuteNonQueryAsync(ct);
    }

    public async Task NotSentAsync(Guid messageId, string error, DateTimeOffset? again, CancellationToken ct)
    {
        await using var failed = database.CreateCommand("""
            UPDATE messages SET last_error = $2, not_before = coalesce($3, not_before), email = CASE WHEN $3 IS NULL THEN 'undeliverable' ELSE email END
            WHERE message_id = $1
            """);
        failed.Parameters.AddRange((NpgsqlParameter[])[
            new() { Value = messageId }, new() { Value = error }, new() { Value = (object?)again ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.TimestampTz }]);
        await failed.ExecuteNonQueryAsync(ct);
    }
}
