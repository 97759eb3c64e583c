using System.Threading.Channels;
using Marketplace.Local.Sidecar.State;

namespace Marketplace.Local.Sidecar.Workflows;

/// <summary>
/// Writes of many instances in one transaction of the store. While one transaction is under way the next one gathers, so the load itself
/// makes the batches and a lone write waits for nobody. Writes are applied in the order they were given; each is tried until it succeeds,
/// since whoever gave it cannot take the turn back.
/// </summary>
internal sealed partial class GroupCommit : IAsyncDisposable
{
    private const int LargestBatch = 1000;
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);

    private readonly IStateStore store;
    private readonly TimeProvider time;
    private readonly ILogger log;
    private readonly CancellationTokenSource stop = new();
    private readonly Channel<(StateWrite[] Writes, Action Committed)> writes = Channel.CreateUnbounded<(StateWrite[], Action)>(new() { SingleReader = true });
    private readonly Channel<(string[] Keys, TaskCompletionSource<StateEntry?[]> Found)> reads =
        Channel.CreateUnbounded<(string[], TaskCompletionSource<StateEntry?[]>)>(new() { SingleReader = true });

    private readonly Channel<List<Action>> told = Channel.CreateUnbounded<List<Action>>(new() { SingleReader = true, SingleWriter = true });

    private readonly Task writing;
    private readonly Task telling;
    private readonly Task reading;

    public GroupCommit(IStateStore store, TimeProvider time, ILogger log)
    {
        this.store = store;
        this.time = time;
        this.log = log;
        writing = Task.Run(() => WriteLoopAsync(stop.Token));
        telling = Task.Run(() => TellLoopAsync(stop.Token));
        reading = Task.Run(() => ReadLoopAsync(stop.Token));
    }

    /// <summary>Calls back once the writes are durable, in the order of the writes.</summary>
    public void Write(StateWrite[] changes, Action committed) => writes.Writer.TryWrite((changes, committed));

    public Task WriteAsync(StateWrite[] changes, CancellationToken ct)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Write(changes, done.SetResult);
        return done.Task.WaitAsync(ct);
    }

    /// <summary>Reads of concurrent callers share a round trip too.</summary>
    public Task<StateEntry?[]> ReadAsync(string[] keys, CancellationToken ct)
    {
        var found = new TaskCompletionSource<StateEntry?[]>(TaskCreationOptions.RunContinuationsAsynchronously);
        reads.Writer.TryWrite((keys, found));
        return found.Task.WaitAsync(ct);
    }

    public IAsyncEnumerable<string> ListKeysAsync(string prefix, CancellationToken ct) => store.ListKeysAsync(prefix, ct);

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await Task.WhenAll(writing, telling, reading).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        stop.Dispose();
    }

    private async Task WriteLoopAsync(CancellationToken ct)
    {
        var batch = new List<StateWrite>();
        var places = new Dictionary<string, int>();
        while (await writes.Reader.WaitToReadAsync(ct))
        {
            batch.Clear();
            places.Clear();
            var committed = new List<Action>();
            while (committed.Count < LargestBatch && writes.Reader.TryRead(out var next))
            {
                committed.Add(next.Committed);
                foreach (var write in next.Writes)
                {
                    // One statement of the store may not touch a key twice; the later write is the truth.
                    if (places.TryAdd(write.Key, batch.Count)) batch.Add(write);
                    else batch[places[write.Key]] = write;
                }
            }

            await CommitAsync(batch, ct);
            told.Writer.TryWrite(committed);
        }
    }

    /// <summary>Beside the next transaction, and one after the other: what an instance wrote first takes effect first.</summary>
    private async Task TellLoopAsync(CancellationToken ct)
    {
        await foreach (var committed in told.Reader.ReadAllAsync(ct))
        {
            foreach (var callback in committed)
            {
                try
                {
                    callback();
                }
                catch (Exception e)
                {
                    // One instance broken by a bug of ours must not hold up all others.
                    LogEffectFailed(e);
                }
            }
        }
    }

    private async Task CommitAsync(List<StateWrite> batch, CancellationToken ct)
    {
        for (var pause = TimeSpan.FromMilliseconds(50); ; pause = pause * 2 < LongestPause ? pause * 2 : LongestPause)
        {
            try
            {
                var result = await store.TransactAsync(batch, ct);
                if (result.Ok) return;
                LogRefused(batch.Count, result.Message);
            }
            catch (Exception e) when (!ct.IsCancellationRequested)
            {
                LogWriteFailed(e, batch.Count);
            }

            await Task.Delay(pause, time, ct);
        }
    }

    private async Task ReadLoopAsync(CancellationToken ct)
    {
        var keys = new List<string>();
        var asked = new List<(string[] Keys, TaskCompletionSource<StateEntry?[]> Found)>();
        while (await reads.Reader.WaitToReadAsync(ct))
        {
            keys.Clear();
            asked.Clear();
            while (keys.Count < LargestBatch && reads.Reader.TryRead(out var next))
            {
                asked.Add(next);
                keys.AddRange(next.Keys);
            }

            try
            {
                var entries = await store.GetManyAsync(keys, ct);
                var at = 0;
                foreach (var (wanted, found) in asked)
                {
                    var mine = new StateEntry?[wanted.Length];
                    for (var i = 0; i < mine.Length; i++) mine[i] = entries[at++];
                    found.SetResult(mine);
                }
            }
            catch (Exception e)
            {
                foreach (var (_, found) in asked)
                    found.TrySetException(e);
            }
        }
    }

    [LoggerMessage(LogLevel.Critical, "The effects of a committed workflow record could not be carried out; that workflow stands still until the host restarts")]
    private partial void LogEffectFailed(Exception exception);

    [LoggerMessage(LogLevel.Error, "The actor state store refused {Count} workflow records, trying again: {Reason}")]
    private partial void LogRefused(int count, string? reason);

    [LoggerMessage(LogLevel.Error, "Writing {Count} workflow records to the actor state store failed, trying again")]
    private partial void LogWriteFailed(Exception exception, int count);
}
