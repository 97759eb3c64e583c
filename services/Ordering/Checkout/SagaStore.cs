using Marketplace.Contracts;
using Marketplace.Hosting;
using Npgsql;

namespace Marketplace.Ordering.Checkout;

/// <summary>Which sagas should be running, for those who start them, watch them and pick them up.</summary>
public sealed class SagaStore(NpgsqlDataSource database, TimeProvider time, OutboxSignal outbox, CheckoutOptions options)
{
    /// <summary>The saga a command asks for, or null when there is nothing left to do: a command may come long after its saga ended.</summary>
    public async Task<Saga?> ToStartAsync(StartSaga command, CancellationToken ct)
    {
        await using var read = database.CreateCommand("""
            SELECT a.order_id, a.attempt, a.saga, a.status, a.started_at, o.buyer_id, o.total_minor, o.currency, a.payment_method, o.sale_id
            FROM attempts a JOIN orders o USING (order_id)
            WHERE a.order_id = $1 AND a.attempt = $2 AND a.settled_at IS NULL AND ($3 OR a.status = 'pending' OR a.saga = 'cancellation')
              AND o.parked_reason IS NULL
            """);
        read.Parameters.Add(new() { Value = command.OrderId });
        read.Parameters.Add(new() { Value = (short)command.Attempt });
        read.Parameters.Add(new() { Value = command.Retry });
        await using var reader = await read.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? ReadSaga(reader) : null;
    }

    /// <summary>From now on the watch asks after the attempt's saga in the usual time.</summary>
    public async Task WatchFromNowAsync(StartSaga command, CancellationToken ct)
    {
        await using var watch = database.CreateCommand("UPDATE attempts SET check_at = $3 WHERE order_id = $1 AND attempt = $2 AND settled_at IS NULL");
        watch.Parameters.Add(new() { Value = command.OrderId });
        watch.Parameters.Add(new() { Value = (short)command.Attempt });
        watch.Parameters.Add(new() { Value = time.GetUtcNow() + options.WatchAfter });
        await watch.ExecuteNonQueryAsync(ct);
    }

    /// <summary>Attempts that should long have been settled, claimed for a while so that replicas do not ask twice.</summary>
    public async Task<IReadOnlyList<Saga>> ClaimLateAsync(CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await using var claim = database.CreateCommand("""
            WITH late AS (
                SELECT order_id, attempt FROM attempts WHERE settled_at IS NULL AND check_at <= $1
                ORDER BY check_at LIMIT $3 FOR UPDATE SKIP LOCKED
            ), claimed AS (
                UPDATE attempts a SET check_at = $2 FROM late l WHERE a.order_id = l.order_id AND a.attempt = l.attempt
                RETURNING a.order_id, a.attempt, a.saga, a.status, a.started_at, a.payment_method
            )
            SELECT c.order_id, c.attempt, c.saga, c.status, c.started_at, o.buyer_id, o.total_minor, o.currency, c.payment_method, o.sale_id
            FROM claimed c JOIN orders o USING (order_id)
            WHERE o.parked_reason IS NULL
            """);
        claim.Parameters.Add(new() { Value = now });
        claim.Parameters.Add(new() { Value = now + options.WatchAgainAfter });
        claim.Parameters.Add(new() { Value = options.WatchBatch });
        var late = new List<Saga>();
        await using var reader = await claim.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) late.Add(ReadSaga(reader));
        return late;
    }

    public async Task SettleAsync(Saga saga, CancellationToken ct)
    {
        await using var settle = database.CreateCommand("""
            UPDATE attempts SET settled_at = $4 WHERE order_id = $1 AND attempt = $2 AND saga = $3 AND settled_at IS NULL AND status <> 'pending'
            """);
        settle.Parameters.Add(new() { Value = saga.Checkout.OrderId });
        settle.Parameters.Add(new() { Value = (short)saga.Checkout.Attempt });
        settle.Parameters.Add(new() { Value = saga.Name });
        settle.Parameters.Add(new() { Value = time.GetUtcNow() });
        await settle.ExecuteNonQueryAsync(ct);
    }

    /// <summary>Puts the order where the operator looks. Only while its saga is still the one we asked after.</summary>
    public async Task<bool> ParkAsync(Saga saga, string reason, CancellationToken ct)
    {
        await using var park = database.CreateCommand("""
            UPDATE orders o SET parked_reason = $4, parked_at = $5, version = version + 1, updated_at = $5
            FROM attempts a
            WHERE o.order_id = $1 AND a.order_id = o.order_id AND a.attempt = $2 AND a.saga = $3 AND a.settled_at IS NULL AND o.parked_reason IS NULL
            """);
        park.Parameters.Add(new() { Value = saga.Checkout.OrderId });
        park.Parameters.Add(new() { Value = (short)saga.Checkout.Attempt });
        park.Parameters.Add(new() { Value = saga.Name });
        park.Parameters.Add(new() { Value = reason.Length <= 500 ? reason : reason[..500] });
        park.Parameters.Add(new() { Value = time.GetUtcNow() });
        return await park.ExecuteNonQueryAsync(ct) > 0;
    }

    public static NpgsqlBatchCommand Park(Guid orderId, string reason, DateTimeOffset now) => new("""
        UPDATE orders SET parked_reason = $2, parked_at = $3, version = version + 1, updated_at = $3 WHERE order_id = $1 AND parked_reason IS NULL
        """) { Parameters = { new() { Value = orderId }, new() { Value = reason }, new() { Value = now } } };

    /// <summary>Takes a parked order's saga up again, if any of it is left; a person has looked in any case. False when it is not parked.</summary>
    public async Task<bool> RetryAsync(Guid orderId, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        await using var unpark = new NpgsqlCommand("""
            UPDATE orders o SET parked_reason = NULL, parked_at = NULL, version = version + 1, updated_at = $2
            FROM attempts a
            WHERE o.order_id = $1 AND o.parked_reason IS NOT NULL AND a.order_id = o.order_id AND a.attempt = o.attempt
            RETURNING CASE WHEN a.settled_at IS NULL THEN o.attempt ELSE 0 END::smallint
            """, connection, tx) { Parameters = { new() { Value = orderId }, new() { Value = time.GetUtcNow() } } };
        if (await unpark.ExecuteScalarAsync(ct) is not short attempt) return false;

        if (attempt > 0) await Outbox.AddCommandAsync(tx, StartSaga.Lane, orderId, new StartSaga(orderId, attempt, Retry: true), ct);
        await tx.CommitAsync(ct);
        outbox.Notify();
        return true;
    }

    /// <summary>
    /// A saga that should be there and is not: the command that starts it goes out again. Not while one still waits in the lane, or a lane
    /// that is behind would be given more of the same with every look.
    /// </summary>
    public async Task<bool> StartAgainAsync(Saga saga, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        await using (var waiting = new NpgsqlCommand("SELECT 1 FROM outbox WHERE lane = $1 AND aggregate_id = $2 AND sent_at IS NULL LIMIT 1", connection, tx)
        {
            Parameters = { new() { Value = StartSaga.LaneOf(saga.Checkout.SaleId) }, new() { Value = saga.Checkout.OrderId } },
        })
        {
            if (await waiting.ExecuteScalarAsync(ct) is not null) return false;
        }

        await Outbox.AddCommandAsync(tx, StartSaga.LaneOf(saga.Checkout.SaleId), saga.Checkout.OrderId, new StartSaga(saga.Checkout.OrderId, saga.Checkout.Attempt, Retry: true), ct);
        await tx.CommitAsync(ct);
        outbox.Notify();
        return true;
    }

    private static Saga ReadSaga(NpgsqlDataReader reader) => new(
        reader.GetString(2),
        reader.GetString(3),
        reader.GetFieldValue<DateTimeOffset>(4),
        new CheckoutAttempt(
            reader.GetGuid(0), reader.GetInt16(1), reader.GetGuid(5), new Money(reader.GetInt64(6), reader.GetString(7)), reader.IsDBNull(8) ? null : reader.GetString(8),
            reader.IsDBNull(9) ? null : reader.GetGuid(9)));
}

/// <summary>A saga as the tables want it: whose it is and how far the attempt came.</summary>
public sealed record Saga(string Name, string AttemptStatus, DateTimeOffset StartedAt, CheckoutAttempt Checkout)
{
    public bool IsCancellation => Name == "cancellation";

    public string Workflow => IsCancellation ? nameof(CancellationWorkflow) : nameof(CheckoutWorkflow);

    public string Id => IsCancellation ? SagaIds.Cancellation(Checkout.OrderId, Checkout.Attempt) : Checkout.SagaId;
}
