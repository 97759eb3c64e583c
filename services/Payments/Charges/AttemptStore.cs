using Marketplace.Contracts;
using Marketplace.Hosting;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Payments.Charges;

/// <summary>What beginning an attempt found: a fresh row of ours, or the one that was there, and the older attempts of the order that are not closed.</summary>
public sealed record AttemptBegun(bool Ours, PaymentAttempt? Row, IReadOnlyList<PaymentAttempt> Older);

/// <summary>
/// The attempts. Every write that follows a call to the provider names the fence it holds: a process that slept past its lease and wakes after
/// somebody else took over changes nothing. Leases run by the database's clock, which all replicas share.
/// </summary>
public sealed class AttemptStore(NpgsqlDataSource database, OutboxSignal outbox, TimeProvider time)
{
    private const string Columns = """
        order_id, attempt, payment_id, buyer_id, amount_minor, currency, payment_method, provider_customer, reservation_expires_at,
        status, refusal, intent_id, fence, lease_until > now() AS lease_is_live, close_intent, captured_at IS NOT NULL AS was_captured
        """;

    /// <summary>
    /// Writes the row before the provider is called. One round trip and one commit: the order's lock keeps two attempts from missing each other, and an
    /// attempt older than one that exists is not begun any more. One that is refused at once is announced in the same transaction.
    /// </summary>
    public async Task<AttemptBegun> BeginAsync(ChargeRequest charge, string? method, string? customer, string? refusal, TimeSpan lease, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = refusal is null ? null : await connection.BeginTransactionAsync(ct);   // a batch alone is a transaction already
        await using var batch = new NpgsqlBatch(connection, tx)
        {
            BatchCommands =
            {
                new("SELECT pg_advisory_xact_lock(hashtextextended($1, 4711))") { Parameters = { new() { Value = charge.OrderId.ToString() } } },
                new("""
                    INSERT INTO payment_attempts (order_id, attempt, payment_id, buyer_id, amount_minor, currency, payment_method, provider_customer,
                        reservation_expires_at, status, refusal, lease_until, created_at, updated_at)
                    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, CASE WHEN $10::text IS NULL THEN 'charging' ELSE 'refused' END, $10, now() + $11, $12, $12
                    WHERE NOT EXISTS (SELECT FROM payment_attempts WHERE order_id = $1 AND attempt > $2)
                    ON CONFLICT (order_id, attempt) DO NOTHING
                    """)
                {
                    Parameters =
                    {
                        new() { Value = charge.OrderId }, new() { Value = (short)charge.Attempt }, new() { Value = Guid.CreateVersion7(now) }, new() { Value = charge.BuyerId },
                        new() { Value = charge.Amount.Minor }, new() { Value = charge.Amount.Currency },
                        Text(method), Text(customer), new() { Value = charge.ReservationExpiresAt.ToUniversalTime() },
                        Text(refusal), new() { Value = lease, NpgsqlDbType = NpgsqlDbType.Interval }, new() { Value = now },
                    },
                },
                new($"SELECT {Columns} FROM payment_attempts WHERE order_id = $1 ORDER BY attempt") { Parameters = { new() { Value = charge.OrderId } } },
            },
        };

        PaymentAttempt? row = null;
        var older = new List<PaymentAttempt>();
        await using (var reader = await batch.ExecuteReaderAsync(ct))
        {
            await reader.NextResultAsync(ct);                        // the lock returns a row, the insert none: this is the list
            while (await reader.ReadAsync(ct))
            {
                var found = Read(reader);
                if (found.Attempt == charge.Attempt)
                    row = found;
                else if (found.Attempt < charge.Attempt && found.IsOpen)
                    older.Add(found);
            }
        }

        var ours = batch.BatchCommands[1].RecordsAffected == 1;
        if (tx is not null)
        {
            if (ours)
                await Outbox.AddAsync(tx, FailedEvent(row!, refusal!), charge.OrderId, ct);
            await tx.CommitAsync(ct);
            outbox.Notify();
        }

        return new AttemptBegun(ours, row, older);
    }

    public async Task<PaymentAttempt?> FindAsync(Guid orderId, int attempt, CancellationToken ct)
    {
        await using var find = database.CreateCommand($"SELECT {Columns} FROM payment_attempts WHERE order_id = $1 AND attempt = $2");
        find.Parameters.Add(new() { Value = orderId });
        find.Parameters.Add(new() { Value = (short)attempt });
        return await OneAsync(find, ct);
    }

    /// <summary>The captured attempt of an order, or one whose refund is under way or done.</summary>
    public async Task<PaymentAttempt?> FindPaidAsync(Guid orderId, CancellationToken ct)
    {
        await using var find = database.CreateCommand($"SELECT {Columns} FROM payment_attempts WHERE order_id = $1 AND captured_at IS NOT NULL ORDER BY attempt DESC LIMIT 1");
        find.Parameters.Add(new() { Value = orderId });
        return await OneAsync(find, ct);
    }

    /// <summary>Takes over an attempt whose lease ran out. Null: somebody else was faster, or it is settled.</summary>
    public async Task<PaymentAttempt?> TakeOverAsync(Guid orderId, int attempt, TimeSpan lease, CancellationToken ct)
    {
        await using var take = database.CreateCommand($"""
            UPDATE payment_attempts SET fence = fence + 1, lease_until = now() + $3, updated_at = $4
            WHERE order_id = $1 AND attempt = $2 AND lease_until <= now() AND (status IN ('charging', 'undoing') OR close_intent)
            RETURNING {Columns}
            """);
        take.Parameters.AddRange((NpgsqlParameter[])[new() { Value = orderId }, new() { Value = (short)attempt }, new() { Value = lease, NpgsqlDbType = NpgsqlDbType.Interval }, new() { Value = time.GetUtcNow() }]);
        return await OneAsync(take, ct);
    }

    /// <summary>The same for whatever is due, oldest first; replicas pass over each other's rows.</summary>
    public async Task<IReadOnlyList<PaymentAttempt>> TakeOverDueAsync(int limit, TimeSpan lease, CancellationToken ct)
    {
        await using var take = database.CreateCommand($"""
            UPDATE payment_attempts a SET fence = fence + 1, lease_until = now() + $2, updated_at = $3
            FROM (SELECT order_id AS due_order, attempt AS due_attempt FROM payment_attempts
                  WHERE (status IN ('charging', 'undoing') OR close_intent) AND lease_until <= now()
                  ORDER BY lease_until LIMIT $1 FOR UPDATE SKIP LOCKED) due
            WHERE a.order_id = due.due_order AND a.attempt = due.due_attempt
            RETURNING {Columns}
            """);
        take.Parameters.AddRange((NpgsqlParameter[])[new() { Value = limit }, new() { Value = lease, NpgsqlDbType = NpgsqlDbType.Interval }, new() { Value = time.GetUtcNow() }]);
        return await AllAsync(take, ct);
    }

    /// <summary>
    /// Stores the intent before it may be confirmed, and makes the lease full again. False: the attempt is not ours any more, and the intent must not be confirmed.
    /// </summary>
    public async Task<bool> IntentMadeAsync(PaymentAttempt mine, string intentId, TimeSpan lease, CancellationToken ct)
    {
        await using var store = database.CreateCommand("""
            UPDATE payment_attempts SET intent_id = $4, lease_until = now() + $5, updated_at = $6
            WHERE order_id = $1 AND attempt = $2 AND fence = $3 AND status = 'charging' AND lease_until > now()
            """);
        store.Parameters.AddRange((NpgsqlParameter[])[new() { Value = mine.OrderId }, new() { Value = (short)mine.Attempt }, new() { Value = mine.Fence }, new() { Value = intentId },
            new() { Value = lease, NpgsqlDbType = NpgsqlDbType.Interval }, new() { Value = time.GetUtcNow() }]);
        return await store.ExecuteNonQueryAsync(ct) == 1;
    }

    /// <summary>
    /// The money is taken; whoever learns it may write it, since it is a fact and not a plan. Only an undo that began before stands against it: that one is then
    /// told that there is something to pay back. False: it was not charging any more.
    /// </summary>
    public async Task<bool> CapturedAsync(PaymentAttempt attempt, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        await using var capture = new NpgsqlCommand("""
            UPDATE payment_attempts SET status = 'captured', captured_at = $3, updated_at = $3
            WHERE order_id = $1 AND attempt = $2 AND status = 'charging'
            """, connection, tx)
        { Parameters = { new() { Value = attempt.OrderId }, new() { Value = (short)attempt.Attempt }, new() { Value = time.GetUtcNow() } } };
        if (await capture.ExecuteNonQueryAsync(ct) == 0)
            return false;

        await Outbox.AddAsync(tx, new PaymentCaptured(attempt.OrderId, attempt.Attempt, attempt.BuyerId!.Value, attempt.Amount!.Value), attempt.OrderId, ct);
        await tx.CommitAsync(ct);
        outbox.Notify();
        return true;
    }

    /// <summary>A definite no, by whoever holds the attempt. <paramref name="closeIntent"/>: the intent could still be confirmed, so the worker cancels it.</summary>
    public async Task<bool> RefusedAsync(PaymentAttempt mine, string refusal, bool closeIntent, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        await using var refuse = new NpgsqlCommand("""
            UPDATE payment_attempts SET status = 'refused', refusal = $4, close_intent = $5 AND intent_id IS NOT NULL, lease_until = now(), updated_at = $6
            WHERE order_id = $1 AND attempt = $2 AND fence = $3 AND status = 'charging'
            """, connection, tx)
        {
            Parameters =
            {
                new() { Value = mine.OrderId }, new() { Value = (short)mine.Attempt }, new() { Value = mine.Fence }, new() { Value = refusal }, new() { Value = closeIntent },
                new() { Value = time.GetUtcNow() },
            },
        };
        if (await refuse.ExecuteNonQueryAsync(ct) == 0)
            return false;

        await Outbox.AddAsync(tx, FailedEvent(mine, refusal), mine.OrderId, ct);
        await tx.CommitAsync(ct);
        outbox.Notify();
        return true;
    }

    /// <summary>Lets anybody go on at once: what is left to find out can be found out by the next one who asks.</summary>
    public async Task ReleaseAsync(PaymentAttempt mine, CancellationToken ct)
    {
        await using var release = database.CreateCommand(
            "UPDATE payment_attempts SET lease_until = now() WHERE order_id = $1 AND attempt = $2 AND fence = $3 AND status = 'charging'");
        release.Parameters.AddRange((NpgsqlParameter[])[new() { Value = mine.OrderId }, new() { Value = (short)mine.Attempt }, new() { Value = mine.Fence }]);
        await release.ExecuteNonQueryAsync(ct);
    }

    /// <summary>
    /// Forbids the attempt to charge from here on, whether it exists or not, and tells where it stood. What can have touched the provider is left 'undoing';
    /// the higher fence makes whoever is charging write nothing more.
    /// </summary>
    public async Task<PaymentAttempt> ForbidAsync(Guid orderId, int attempt, string reason, TimeSpan lease, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        var now = time.GetUtcNow();
        await using var batch = new NpgsqlBatch(connection)
        {
            BatchCommands =
            {
                new("SELECT pg_advisory_xact_lock(hashtextextended($1, 4711))") { Parameters = { new() { Value = orderId.ToString() } } },
                new($"""
                    INSERT INTO payment_attempts AS a (order_id, attempt, payment_id, status, undo_reason, lease_until, created_at, updated_at)
                    VALUES ($1, $2, $3, 'cancelled', $4, now(), $5, $5)
                    ON CONFLICT (order_id, attempt) DO UPDATE SET
                        status = CASE WHEN a.status IN ('cancelled', 'refunded') THEN a.status
                                      WHEN a.intent_id IS NULL THEN 'cancelled'
                                      ELSE 'undoing' END,
                        close_intent = false, fence = a.fence + 1, undo_reason = coalesce(a.undo_reason, excluded.undo_reason),
                        lease_until = now() + $6, updated_at = excluded.updated_at
                    RETURNING {Columns}
                    """)
                {
                    Parameters =
                    {
                        new() { Value = orderId }, new() { Value = (short)attempt }, new() { Value = Guid.CreateVersion7(now) }, new() { Value = reason }, new() { Value = now },
                        new() { Value = lease, NpgsqlDbType = NpgsqlDbType.Interval },
                    },
                },
            },
        };
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        await reader.ReadAsync(ct);
        return Read(reader);
    }

    /// <summary>The undo is done. False: it had been before.</summary>
    public async Task<bool> UndoneAsync(PaymentAttempt attempt, bool refunded, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        await using var undo = new NpgsqlCommand("""
            UPDATE payment_attempts SET status = $3, captured_at = CASE WHEN $3 = 'refunded' THEN coalesce(captured_at, $4) END, updated_at = $4
            WHERE order_id = $1 AND attempt = $2 AND status = 'undoing'
            RETURNING undo_reason
            """, connection, tx)
        {
            Parameters = { new() { Value = attempt.OrderId }, new() { Value = (short)attempt.Attempt }, new() { Value = refunded ? "refunded" : "cancelled" }, new() { Value = time.GetUtcNow() } },
        };
        if (await undo.ExecuteScalarAsync(ct) is not string reason)
            return false;

        if (refunded)
            await Outbox.AddAsync(tx, new PaymentRefunded(attempt.OrderId, attempt.Attempt, attempt.BuyerId!.Value, attempt.Amount!.Value, reason), attempt.OrderId, ct);
        await tx.CommitAsync(ct);
        outbox.Notify();
        return true;
    }

    /// <summary>The provider gave the money back without being asked by us (its own desk).</summary>
    public async Task<bool> RefundedElsewhereAsync(PaymentAttempt attempt, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        await using var refund = new NpgsqlCommand("""
            UPDATE payment_attempts SET status = 'refunded', undo_reason = 'refunded at the provider', fence = fence + 1, updated_at = $3
            WHERE order_id = $1 AND attempt = $2 AND status = 'captured'
            """, connection, tx)
        { Parameters = { new() { Value = attempt.OrderId }, new() { Value = (short)attempt.Attempt }, new() { Value = time.GetUtcNow() } } };
        if (await refund.ExecuteNonQueryAsync(ct) == 0)
            return false;

        await Outbox.AddAsync(
            tx, new PaymentRefunded(attempt.OrderId, attempt.Attempt, attempt.BuyerId!.Value, attempt.Amount!.Value, "refunded at the provider"), attempt.OrderId, ct);
        await tx.CommitAsync(ct);
        outbox.Notify();
        return true;
    }

    /// <summary>The refused attempt's intent cannot be confirmed any more.</summary>
    public async Task IntentClosedAsync(PaymentAttempt attempt, CancellationToken ct)
    {
        await using var close = database.CreateCommand("UPDATE payment_attempts SET close_intent = false, updated_at = $3 WHERE order_id = $1 AND attempt = $2");
        close.Parameters.AddRange((NpgsqlParameter[])[new() { Value = attempt.OrderId }, new() { Value = (short)attempt.Attempt }, new() { Value = time.GetUtcNow() }]);
        await close.ExecuteNonQueryAsync(ct);
    }

    private static PaymentFailed FailedEvent(PaymentAttempt attempt, string refusal) =>
        new(attempt.OrderId, attempt.Attempt, attempt.BuyerId!.Value, attempt.Amount!.Value, refusal);

    private static NpgsqlParameter Text(string? value) => new() { Value = (object?)value ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text };

    private static async Task<PaymentAttempt?> OneAsync(NpgsqlCommand command, CancellationToken ct)
    {
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? Read(reader) : null;
    }

    private static async Task<IReadOnlyList<PaymentAttempt>> AllAsync(NpgsqlCommand command, CancellationToken ct)
    {
        await using var reader = await command.ExecuteReaderAsync(ct);
        var rows = new List<PaymentAttempt>();
        while (await reader.ReadAsync(ct))
            rows.Add(Read(reader));
        return rows;
    }

    private static PaymentAttempt Read(NpgsqlDataReader row) => new(
        row.GetGuid(0),
        row.GetInt16(1),
        row.GetGuid(2),
        row.IsDBNull(3) ? null : row.GetGuid(3),
        row.IsDBNull(4) ? null : new Money(row.GetInt64(4), row.GetString(5)),
        row.IsDBNull(6) ? null : row.GetString(6),
        row.IsDBNull(7) ? null : row.GetString(7),
        row.IsDBNull(8) ? null : row.GetFieldValue<DateTimeOffset>(8),
        row.GetString(9) switch
        {
            "charging" => AttemptStatus.Charging,
            "captured" => AttemptStatus.Captured,
            "refused" => AttemptStatus.Refused,
            "undoing" => AttemptStatus.Undoing,
            "cancelled" => AttemptStatus.Cancelled,
            _ => AttemptStatus.Refunded,
        },
        row.IsDBNull(10) ? null : row.GetString(10),
        row.IsDBNull(11) ? null : row.GetString(11),
        row.GetInt32(12),
        row.GetBoolean(13),
        row.GetBoolean(14),
        row.GetBoolean(15));
}
