using System.Diagnostics;
using Dapr;
using Dapr.Client;
using Grpc.Core;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Hosting;

/// <summary>
/// Sends what the outbox holds, at least once. Per lane one loop: claim, send, mark, with the claimed rows locked in between.
/// <para>
/// Order: only the first unsent row of an aggregate (its head) can be claimed, and who holds it also takes the rows behind it. Another
/// replica skips the locked head and cannot claim the rows behind, because in its eyes they are no heads until the marks have
/// committed. A row that failed or is parked stays unsent and so holds back its aggregate, and no other.
/// </para>
/// </summary>
internal sealed partial class OutboxRelay(
    NpgsqlDataSource database,
    DaprClient dapr,
    OutboxSignal signal,
    IEnumerable<OutboxLane> lanes,
    IOptions<OutboxOptions> options,
    IConfiguration configuration,
    IServiceProvider services,
    ILogger<OutboxRelay> log) : BackgroundService
{
    private static readonly ActivitySource Activities = new("Marketplace.Outbox");
    private const int RowsPerAggregate = 50;

    /// <summary>
    /// Between two looks while events keep coming. The first after a silence goes out at once; of a stream, those of a breath share one claim,
    /// one mark and one commit, which cost more than sending them.
    /// </summary>
    private static readonly TimeSpan Breath = TimeSpan.FromMilliseconds(15);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan LongestBackOff = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan LastDrain = TimeSpan.FromSeconds(5);
    private readonly OutboxOptions options = options.Value;

    protected override Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var running = new List<Task>();
        if (options.Publish)
            running.Add(RunAsync(new OutboxLane(Outbox.Events, PublishAsync), stoppingToken));
        if (configuration.GetValue("Outbox:Lanes", options.Publish))
            running.AddRange(lanes.Select(lane => RunAsync(lane, stoppingToken)));
        return Task.WhenAll(running);
    }

    private async Task RunAsync(OutboxLane lane, CancellationToken stopping)
    {
        await Task.Yield();                                     // the host's start does not wait for the first look
        var hints = OutboxHints.Of(lane.Name);
        var health = new LaneHealth();
        var pause = TimeSpan.Zero;
        while (!stopping.IsCancellationRequested)
        {
            var (woken, hinted, began) = (signal.Next, hints.Next, Environment.TickCount64);
            var batch = await TrySendBatchAsync(lane, hints, health, stopping);
            if (batch == Batch.Blocked)
            {
                pause = pause == TimeSpan.Zero ? TimeSpan.FromMilliseconds(100) : Min(pause * 2, LongestPause);
                await SleepAsync(pause, stopping);
                continue;
            }

            pause = TimeSpan.Zero;
            if (batch == Batch.SentAndMore)
                continue;

            await WaitAsync(woken, hinted, hints, stopping);
            if (batch == Batch.Sent && Breath.TotalMilliseconds - (Environment.TickCount64 - began) is > 0 and var rest)
                await SleepAsync(TimeSpan.FromMilliseconds(rest), stopping);
        }

        await DrainAsync(lane, hints, health);
    }

    /// <summary>Until somebody committed, or probably did, or the poll is due.</summary>
    private async Task WaitAsync(Task woken, Task hinted, OutboxHints hints, CancellationToken stopping)
    {
        if (!hints.Pending)
            await FirstOfAsync(options.Poll, stopping, woken, hinted);
        if (woken.IsCompleted || !hints.Pending)
            return;

        // Rows were added in a transaction that may be about to commit: the row is looked for a little later, then less and less often.
        var sinceAdded = TimeSpan.FromMilliseconds(hints.Looks < 6 ? 4 << hints.Looks : options.Poll.TotalMilliseconds);
        hints.Looks++;
        await FirstOfAsync(Min(sinceAdded, options.Poll), stopping, woken);
    }

    private async Task DrainAsync(OutboxLane lane, OutboxHints hints, LaneHealth health)
    {
        // What the last requests committed should not wait for the next start. Bounded: a sidecar that is gone too ends it at once.
        using var deadline = new CancellationTokenSource(LastDrain);
        while (!deadline.IsCancellationRequested && await TrySendBatchAsync(lane, hints, health, deadline.Token) is Batch.Sent or Batch.SentAndMore)
        {
        }
    }

    private async Task<Batch> TrySendBatchAsync(OutboxLane lane, OutboxHints hints, LaneHealth health, CancellationToken stopping)
    {
        try
        {
            return await SendBatchAsync(lane, hints, health, stopping);
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            return Batch.Empty;
        }
        catch (Exception fault)                                 // whatever it is (a dropped connection, a full disk): the rows are still there
        {
            LogRelayFailed(lane.Name, fault.GetType().Name, fault.Message);
            return Batch.Blocked;
        }
    }

    private async Task<Batch> SendBatchAsync(OutboxLane lane, OutboxHints hints, LaneHealth health, CancellationToken stopping)
    {
        await using var connection = await database.OpenConnectionAsync(stopping);
        await using var tx = await connection.BeginTransactionAsync(stopping);
        var claimed = await ClaimAsync(connection, tx, lane.Name, stopping);
        if (claimed.Count == 0)
            return Batch.Empty;

        hints.Taken(claimed.Count);
        var results = await SendAsync(lane, claimed, health);
        if (results.Sent.Count == 0 && results.Failed.Count == 0)
        {
            LogBlocked(lane.Name, claimed.Count, results.Obstacle ?? "unknown");
            return Batch.Blocked;
        }

        // From here not to be interrupted by a stop: what was sent should be marked.
        await MarkAsync(connection, tx, results);
        await tx.CommitAsync(CancellationToken.None);
        if (results.Sent.Count == 0)
            return Batch.Empty;
        return claimed.Count >= options.BatchSize || claimed.GroupBy(message => message.AggregateId).Any(aggregate => aggregate.Count() >= RowsPerAggregate)
            ? Batch.SentAndMore
            : Batch.Sent;
    }

    private async Task<List<OutboxMessage>> ClaimAsync(NpgsqlConnection connection, NpgsqlTransaction tx, string lane, CancellationToken ct)
    {
        await using var batch = new NpgsqlBatch(connection, tx)
        {
            BatchCommands =
            {
                // A lost mark means one more delivery, which everybody bears: no need to wait for the disk. And a relay that hangs
                // (SIGSTOP, a dead network) gives its rows back. The plan is kept for the connection's life and is often made when the
                // table is nearly empty: it must not be the one that reads all of it.
                new("""
                    SELECT set_config('synchronous_commit', 'off', true), set_config('idle_in_transaction_session_timeout', '60s', true),
                           set_config('enable_seqscan', 'off', true)
                    """),
                new($"""
                    WITH heads AS MATERIALIZED (
                        SELECT head.position, head.aggregate_id FROM outbox AS head
                        WHERE head.lane = $1 AND head.sent_at IS NULL AND head.parked_at IS NULL
                          AND (head.not_before IS NULL OR head.not_before <= now())
                          AND head.position = (                       -- one probe of the index each; NOT EXISTS becomes a join with all that waits
                              SELECT first.position FROM outbox AS first
                              WHERE first.lane = $1 AND first.aggregate_id = head.aggregate_id AND first.sent_at IS NULL
                              ORDER BY first.position LIMIT 1)
                        ORDER BY head.position
                        LIMIT $2
                        FOR UPDATE SKIP LOCKED)
                    SELECT row.position, row.event_id, row.topic, row.aggregate_id, row.payload, row.attempts, row.created_at, row.trace_parent
                    FROM heads CROSS JOIN LATERAL (
                        SELECT position, event_id, topic, aggregate_id, payload, attempts, created_at, trace_parent FROM outbox
                        WHERE lane = $1 AND aggregate_id = heads.aggregate_id AND position >= heads.position AND sent_at IS NULL
                        ORDER BY position
                        LIMIT {RowsPerAggregate}) AS row
                    ORDER BY row.position
                    """)
                { Parameters = { new() { Value = lane }, new() { Value = options.BatchSize } } },
            },
        };
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        var rows = new List<OutboxMessage>();
        while (await reader.ReadAsync(ct))
        {
            rows.Add(new OutboxMessage(
                reader.GetInt64(0),
                reader.GetGuid(1),
                lane,
                reader.IsDBNull(2) ? null : reader.GetString(2),
                reader.GetGuid(3),
                reader.GetFieldValue<byte[]>(4),
                reader.GetInt32(5),
                reader.GetFieldValue<DateTimeOffset>(6),
                reader.IsDBNull(7) ? null : reader.GetString(7)));
        }

        return rows;
    }

    /// <summary>Aggregates go side by side, the rows of one aggregate one after the other; the first that fails holds back those behind it.</summary>
    private async Task<Results> SendAsync(OutboxLane lane, List<OutboxMessage> claimed, LaneHealth health)
    {
        var results = new Results();
        await Parallel.ForEachAsync(
            claimed.GroupBy(message => message.AggregateId),
            new ParallelOptions { MaxDegreeOfParallelism = options.Concurrency },
            async (aggregate, _) =>
            {
                foreach (var message in aggregate)
                {
                    if (results.GiveUp || await SendAsync(lane, message) is { } fault && results.Failing(message, fault))
                        return;
                    results.Succeeded(message);
                }
            });

        if (results.Sent.Count > 0)
            health.Succeeded();
        results.Decide(options, health, log: this, lane.Name);
        return results;
    }

    private async Task<Exception?> SendAsync(OutboxLane lane, OutboxMessage message)
    {
        using var timeout = new CancellationTokenSource(options.SendTimeout);
        using var activity = message.TraceParent is { } parent && ActivityContext.TryParse(parent, null, out var context)
            ? Activities.StartActivity($"outbox {message.Topic ?? lane.Name}", ActivityKind.Producer, context)
            : null;
        try
        {
            await using var scope = services.CreateAsyncScope();
            await lane.Handler(scope.ServiceProvider, message, timeout.Token);
            return null;
        }
        catch (Exception fault)                                 // sorted and written beside the row by the caller
        {
            activity?.SetStatus(ActivityStatusCode.Error);
            return fault;
        }
    }

    private Task PublishAsync(IServiceProvider scope, OutboxMessage message, CancellationToken ct)
    {
        var aggregate = message.AggregateId.ToString();
        var metadata = new Dictionary<string, string>
        {
            ["cloudevent.id"] = message.EventId.ToString(),
            ["cloudevent.type"] = message.Topic!,
            ["cloudevent.subject"] = aggregate,
            ["partitionKey"] = aggregate,
        };
        if (Activity.Current?.Id is null && message.TraceParent is { } parent)
            metadata["cloudevent.traceparent"] = parent;
        return dapr.PublishByteEventAsync(PubSub.Name, message.Topic!, message.Payload, "application/json", metadata, ct);
    }

    private static async Task MarkAsync(NpgsqlConnection connection, NpgsqlTransaction tx, Results results)
    {
        await using var marks = new NpgsqlBatch(connection, tx);
        if (results.Sent.Count > 0)
            marks.BatchCommands.Add(new NpgsqlBatchCommand("UPDATE outbox SET sent_at = now(), last_error = NULL WHERE position = ANY($1)")
            {
                Parameters = { new() { Value = results.Sent.ToArray() } },
            });
        if (results.Failed.Count > 0)
            marks.BatchCommands.Add(new NpgsqlBatchCommand("""
                UPDATE outbox SET attempts = attempts + failed.counted, not_before = now() + failed.back_off, last_error = failed.error,
                                  parked_at = CASE WHEN failed.parked THEN now() END
                FROM unnest($1, $2, $3, $4, $5) AS failed (position, counted, back_off, error, parked)
                WHERE outbox.position = failed.position
                """)
            {
                Parameters =
                {
                    new() { Value = results.Failed.Select(failed => failed.Position).ToArray() },
                    new() { Value = results.Failed.Select(failed => failed.Counted ? 1 : 0).ToArray() },
                    new() { Value = results.Failed.Select(failed => failed.BackOff).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Interval },
                    new() { Value = results.Failed.Select(failed => failed.Error).ToArray() },
                    new() { Value = results.Failed.Select(failed => failed.Parked).ToArray() },
                },
            });
        await marks.ExecuteNonQueryAsync(CancellationToken.None);
    }

    private static async Task FirstOfAsync(TimeSpan longest, CancellationToken stopping, params Task[] signals)
    {
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        await Task.WhenAny([.. signals, Task.Delay(longest, cancel.Token)]);
        await cancel.CancelAsync();
    }

    private static Task SleepAsync(TimeSpan time, CancellationToken stopping) => FirstOfAsync(time, stopping);

    private static TimeSpan Min(TimeSpan one, TimeSpan other) => one < other ? one : other;

    private enum Batch
    {
        Empty,
        Sent,

        /// <summary>The claim stopped at its limits.</summary>
        SentAndMore,

        /// <summary>Nothing gets through.</summary>
        Blocked,
    }

    /// <summary>Whether the lane as a whole gets through: an error of a lane that does is more likely the row's own.</summary>
    private sealed class LaneHealth
    {
        private long lastSuccess = long.MinValue / 2;

        public void Succeeded() => lastSuccess = Environment.TickCount64;

        public bool GetsThrough => Environment.TickCount64 - lastSuccess < 60_000;
    }

    private sealed record Failure(long Position, bool Counted, TimeSpan BackOff, string Error, bool Parked);

    private sealed class Results
    {
        private const int EnoughToGiveUp = 4;
        private readonly Lock gate = new();
        private readonly List<(OutboxMessage Message, Exception Fault)> faults = [];

        public List<long> Sent { get; } = [];

        public List<Failure> Failed { get; } = [];

        /// <summary>What stands in the way of all of them.</summary>
        public string? Obstacle { get; private set; }

        /// <summary>The first few failed and none got through: the rest would only wait for the same time-out.</summary>
        public bool GiveUp
        {
            get
            {
                lock (gate)
                    return Sent.Count == 0 && faults.Count >= EnoughToGiveUp && faults.TrueForAll(failed => Blame(failed.Fault) != Fault.Own);
            }
        }

        public void Succeeded(OutboxMessage message)
        {
            lock (gate)
                Sent.Add(message.Position);
        }

        public bool Failing(OutboxMessage message, Exception fault)
        {
            lock (gate)
                faults.Add((message, fault));
            return true;
        }

        /// <summary>
        /// A neighbour that is away parks nothing: when nothing got through, the rows stay as they are and the lane pauses. Only a row
        /// that fails while others pass, or by an error that is surely its own, uses up its tries.
        /// </summary>
        public void Decide(OutboxOptions options, LaneHealth health, OutboxRelay log, string lane)
        {
            foreach (var (message, fault) in faults)
            {
                var blame = Blame(fault);
                if (blame == Fault.Doubtful && health.GetsThrough)
                    blame = Fault.Own;
                if (blame != Fault.Own && Sent.Count == 0)
                {
                    Obstacle = Describe(fault);
                    continue;
                }

                var counted = blame == Fault.Own;
                var parked = counted && message.Attempts + 1 >= options.Tries;
                var backOff = counted
                    ? Min(TimeSpan.FromMilliseconds(200) * Math.Pow(2, Math.Min(message.Attempts, 12)), LongestBackOff) * (0.8 + (Random.Shared.NextDouble() * 0.4))
                    : TimeSpan.FromSeconds(1);
                Failed.Add(new Failure(message.Position, counted, backOff, Describe(fault), parked));
                if (parked)
                    log.LogParked(lane, message.Position, message.AggregateId, message.Attempts + 1, Describe(fault));
                else
                    log.LogRetried(lane, message.Position, message.AggregateId, message.Attempts + 1, Describe(fault));
            }
        }

        private static Fault Blame(Exception fault) => fault switch
        {
            _ when Faults.IsTransient(fault) => Fault.NeighbourAway,
            // What daprd says when the broker refuses, for whatever reason.
            DaprException { InnerException: RpcException { StatusCode: StatusCode.Internal or StatusCode.Unknown or StatusCode.Aborted or StatusCode.Unauthenticated } } => Fault.Doubtful,
            RpcException { StatusCode: StatusCode.Internal or StatusCode.Unknown or StatusCode.Aborted or StatusCode.Unauthenticated } => Fault.Doubtful,
            _ => Fault.Own,
        };

        private static string Describe(Exception fault)
        {
            var cause = fault is DaprException { InnerException: { } inner } ? inner : fault;
            var text = cause is RpcException call ? $"{call.StatusCode}: {call.Status.Detail}" : $"{cause.GetType().Name}: {cause.Message}";
            return text.Length <= 500 ? text : text[..500];
        }

        private enum Fault
        {
            NeighbourAway,
            Doubtful,
            Own,
        }
    }

    [LoggerMessage(LogLevel.Warning, "The outbox lane {Lane} cannot be worked on now ({Kind}: {Reason})")]
    private partial void LogRelayFailed(string lane, string kind, string reason);

    [LoggerMessage(LogLevel.Warning, "Nothing of the outbox lane {Lane} gets through, {Count} rows wait ({Reason})")]
    private partial void LogBlocked(string lane, int count, string reason);

    [LoggerMessage(LogLevel.Warning, "Outbox lane {Lane}: row {Position} of {AggregateId} failed on try {Attempt}, will be retried ({Reason})")]
    private partial void LogRetried(string lane, long position, Guid aggregateId, int attempt, string reason);

    [LoggerMessage(LogLevel.Error, "Outbox lane {Lane}: row {Position} of {AggregateId} is parked after {Attempts} tries and holds back what follows it ({Reason})")]
    private partial void LogParked(string lane, long position, Guid aggregateId, int attempts, string reason);
}
