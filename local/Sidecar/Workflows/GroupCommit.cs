using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Marketplace.Local.Sidecar.State;

namespace Marketplace.Local.Sidecar.Workflows;

/// <summary>
/// Writes of many instances in one transaction of the store. While one transaction is under way the next one gathers, so the load itself
/// makes the batches and a lone write waits for nobody. Writes are applied in the order they were given; while the store is away they are
/// tried until it is back, since whoever gave them cannot take the turn back. What the store will never take is found by halving the
/// transaction and told to its giver; the others go on.
/// </summary>
internal sealed partial class GroupCommit : IAsyncDisposable
{
    private const int LargestBatch = 1000;
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);

    private readonly IStateStore store;
    private readonly TimeProvider time;
    private readonly ILogger log;
    private readonly CancellationTokenSource stop = new();
    private readonly Channel<Gift> writes = Channel.CreateUnbounded<Gift>(new() { SingleReader = true });
    private readonly ConditionalWeakTable<object, string> broken = [];
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

    /// <summary>Calls back once the writes are durable or refused for good, in the order of the writes.</summary>
    /// <param name="chain">Writes of one chain build on each other: when one is refused, so are those behind it.</param>
    public void Write(StateWrite[] changes, object chain, Action committed, Action<string> refused) => writes.Writer.TryWrite(new Gift(changes, chain, committed, refused));

    /// <exception cref="Grpc.Core.RpcException">The store will never take them.</exception>
    public Task WriteAsync(StateWrite[] changes, CancellationToken ct)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Write(changes, done, done.SetResult, why => done.SetException(Refusal(why)));
        return done.Task.WaitAsync(ct);
    }

    public static Grpc.Core.RpcException Refusal(string why) => new(new Grpc.Core.Status(Grpc.Core.StatusCode.Internal, $"the actor state store refused the workflow's state: {why}"));

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
        var gifts = new List<Gift>();
        while (await writes.Reader.WaitToReadAsync(ct))
        {
            gifts.Clear();
            while (gifts.Count < LargestBatch && writes.Reader.TryRead(out var next)) gifts.Add(next);
            var outcomes = new List<Action>(gifts.Count);
            await CommitAsync(gifts, outcomes, ct);
            told.Writer.TryWrite(outcomes);
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

    /// <summary>Applies the gifts in their order and adds what to call for each.</summary>
    private async Task CommitAsync(List<Gift> gifts, List<Action> outcomes, CancellationToken ct)
    {
        foreach (var gift in gifts)
        {
            if (!broken.TryGetValue(gift.Chain, out _)) continue;
            await CommitUnbrokenAsync(gifts, outcomes, ct);
            return;
        }

        if (await TryAsync(gifts, ct) is not { } why)
        {
            foreach (var gift in gifts) outcomes.Add(gift.Committed);
        }
        else if (gifts is [var culprit])
        {
            broken.AddOrUpdate(culprit.Chain, why);
            outcomes.Add(() => culprit.Refused(why));
        }
        else
        {
            await CommitAsync(gifts[..(gifts.Count / 2)], outcomes, ct);
            await CommitAsync(gifts[(gifts.Count / 2)..], outcomes, ct);
        }
    }

    /// <summary>What builds on something refused is refused in its place, between what goes on before and behind it.</summary>
    private async Task CommitUnbrokenAsync(List<Gift> gifts, List<Action> outcomes, CancellationToken ct)
    {
        var sound = new List<Gift>();
        foreach (var gift in gifts)
        {
            if (!broken.TryGetValue(gift.Chain, out var why))
            {
                sound.Add(gift);
                continue;
            }

            if (sound.Count > 0) await CommitAsync(sound, outcomes, ct);
            sound = [];
            outcomes.Add(() => gift.Refused(why));
        }

        if (sound.Count > 0) await CommitAsync(sound, outcomes, ct);
    }

    /// <summary>One transaction, tried until the store answers; null when it is done, else why it never will be.</summary>
    private async Task<string?> TryAsync(List<Gift> gifts, CancellationToken ct)
    {
        var batch = new List<StateWrite>();
        var places = new Dictionary<string, int>();
        foreach (var write in gifts.SelectMany(gift => gift.Writes))
        {
            // One statement of the store may not touch a key twice; the later write is the truth.
            if (places.TryAdd(write.Key, batch.Count)) batch.Add(write);
            else batch[places[write.Key]] = write;
        }

        for (var pause = TimeSpan.FromMilliseconds(50); ; pause = pause * 2 < LongestPause ? pause * 2 : LongestPause)
        {
            try
            {
                var result = await store.TransactAsync(batch, ct);
                return result.Ok ? null : result.Message ?? $"{result.Verdict}";
            }
            catch (Exception e) when (store.IsRefusal(e))
            {
                return e.Message;
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

    [LoggerMessage(LogLevel.Error, "Writing {Count} workflow records to the actor state store failed, trying again")]
    private partial void LogWriteFailed(Exception exception, int count);

    private readonly record struct Gift(StateWrite[] Writes, object Chain, Action Committed, Action<string> Refused);
}
