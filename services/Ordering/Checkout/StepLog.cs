using System.Threading.Channels;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Ordering.Checkout;

/// <summary>
/// The saga's diary. A step with a transaction of its own writes its line there; the others hand it over here, and many orders'
/// lines share one commit. A crash may lose the last fraction of a second of the diary, never anything the saga stands on.
/// </summary>
public sealed partial class StepLog(NpgsqlDataSource database, TimeProvider time, ILogger<StepLog> log) : BackgroundService
{
    private const int LinesPerCommit = 1000;
    private static readonly TimeSpan Gathering = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan PauseAfterFault = TimeSpan.FromSeconds(1);

    private readonly Channel<StepLine> lines = Channel.CreateBounded<StepLine>(
        new BoundedChannelOptions(50_000) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = true });

    public async Task<T> NoteAsync<T>(CheckoutAttempt checkout, string step, Func<T, StepNote> note, Func<Task<T>> work)
    {
        var reply = await NoteFaultsAsync(checkout, step, work);
        Add(checkout, step, note(reply));
        return reply;
    }

    /// <summary>For a step that writes its own line when it succeeds.</summary>
    public async Task<T> NoteFaultsAsync<T>(CheckoutAttempt checkout, string step, Func<Task<T>> work)
    {
        using var scope = log.BeginScope(new Dictionary<string, object> { ["OrderId"] = checkout.OrderId, ["Attempt"] = checkout.Attempt });
        try
        {
            return await work();
        }
        catch (Exception fault)
        {
            LogFailed(fault, step, checkout.OrderId);
            Add(checkout, step, StepNote.Failed(fault));
            throw;
        }
    }

    private void Add(CheckoutAttempt checkout, string step, StepNote note) =>
        lines.Writer.TryWrite(new StepLine(checkout.OrderId, checkout.Attempt, step, note, time.GetUtcNow()));

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var batch = new List<StepLine>();
        try
        {
            while (batch.Count > 0 || await lines.Reader.WaitToReadAsync(stoppingToken))
            {
                await Task.Delay(Gathering, time, stoppingToken);
                Gather(batch);
                try
                {
                    await WriteAsync(batch, stoppingToken);
                    batch.Clear();
                }
                catch (NpgsqlException fault)
                {
                    LogNotWritten(fault, batch.Count);
                    await Task.Delay(PauseAfterFault, time, stoppingToken);
                }
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            for (Gather(batch); batch.Count > 0; Gather(batch))
            {
                await WriteAsync(batch, CancellationToken.None);
                batch.Clear();
            }
        }
    }

    private void Gather(List<StepLine> batch)
    {
        while (batch.Count < LinesPerCommit && lines.Reader.TryRead(out var line)) batch.Add(line);
    }

    private async Task WriteAsync(IReadOnlyList<StepLine> batch, CancellationToken ct)
    {
        // One row per key in a statement: an upsert cannot touch the same row twice.
        StepLine[] last = [.. batch.GroupBy(line => (line.OrderId, line.Attempt, line.Step)).Select(same => same.Last() with { Times = same.Count() })];
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var write = new NpgsqlBatch(connection) { BatchCommands = { Upsert(last) } };
        StepLine[] settling = [.. last.Where(line => line.Note.Settles)];
        if (settling.Length > 0) write.BatchCommands.Add(Settle(settling));
        await write.ExecuteNonQueryAsync(ct);
    }

    /// <summary>The diary line of one step, to go along in a transaction.</summary>
    public static NpgsqlBatchCommand Upsert(CheckoutAttempt checkout, string step, StepNote note, DateTimeOffset now) =>
        Upsert([new StepLine(checkout.OrderId, checkout.Attempt, step, note, now)]);

    private static NpgsqlBatchCommand Upsert(StepLine[] lines) => new("""
        INSERT INTO saga_steps (order_id, attempt, step, outcome, error, times, first_at, at)
        SELECT order_id, attempt, step, outcome, error, times, at, at
        FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::timestamptz[])
             AS l(order_id, attempt, step, outcome, error, times, at)
        ORDER BY order_id, attempt, step
        ON CONFLICT (order_id, attempt, step) DO UPDATE
        SET outcome = excluded.outcome, error = excluded.error, times = saga_steps.times + excluded.times, at = excluded.at
        """)
    {
        Parameters =
        {
            new() { Value = Array.ConvertAll(lines, line => line.OrderId) },
            new() { Value = Array.ConvertAll(lines, line => (short)line.Attempt) },
            new() { Value = Array.ConvertAll(lines, line => line.Step) },
            new() { Value = Array.ConvertAll(lines, line => line.Note.Outcome) },
            new() { Value = Array.ConvertAll(lines, line => line.Note.Error), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text },
            new() { Value = Array.ConvertAll(lines, line => line.Times) },
            new() { Value = Array.ConvertAll(lines, line => line.At) },
        },
    };

    // The last step of a checkout has no transaction here; that it is over is noted with its line. If this is lost, the watch finds out.
    private static NpgsqlBatchCommand Settle(StepLine[] lines) => new("""
        UPDATE attempts a SET settled_at = l.at
        FROM unnest($1::uuid[], $2::smallint[], $3::timestamptz[]) AS l(order_id, attempt, at)
        WHERE a.order_id = l.order_id AND a.attempt = l.attempt AND a.saga = 'checkout' AND a.status = 'confirmed' AND a.settled_at IS NULL
        """)
    {
        Parameters =
        {
            new() { Value = Array.ConvertAll(lines, line => line.OrderId) },
            new() { Value = Array.ConvertAll(lines, line => (short)line.Attempt) },
            new() { Value = Array.ConvertAll(lines, line => line.At) },
        },
    };

    private sealed record StepLine(Guid OrderId, int Attempt, string Step, StepNote Note, DateTimeOffset At, int Times = 1);

    [LoggerMessage(LogLevel.Warning, "{Step} of order {OrderId} failed and will be tried again")]
    private partial void LogFailed(Exception fault, string step, Guid orderId);

    [LoggerMessage(LogLevel.Error, "{Count} lines of the sagas' diary could not be written and wait")]
    private partial void LogNotWritten(Exception fault, int count);
}

/// <summary>How a step went. <see cref="Settles"/>: nothing comes after it.</summary>
public sealed record StepNote(string Outcome, string? Error, bool Settles = false)
{
    public static readonly StepNote Done = new("done", null);
    public static readonly StepNote Processing = new("processing", null);

    public static StepNote Of(string? refusal, bool settles = false) => refusal is null ? Done with { Settles = settles } : new("refused", refusal);

    public static StepNote Failed(Exception fault)
    {
        var text = $"{fault.GetType().Name}: {fault.Message}";
        return new("failed", text.Length <= 500 ? text : text[..500]);
    }
}
