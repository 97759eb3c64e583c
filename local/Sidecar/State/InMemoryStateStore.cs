using System.Runtime.CompilerServices;

namespace Marketplace.Local.Sidecar.State;

/// <summary>state.in-memory: of one sidecar, gone when it ends.</summary>
internal sealed class InMemoryStateStore(TimeProvider time) : IStateStore
{
    private readonly Lock gate = new();
    private readonly Dictionary<string, StateEntry> entries = [];
    private int writesSinceSweep;

    public IReadOnlyList<string> Capabilities { get; } = ["ETAG", "TRANSACTIONAL", "TTL", "DELETE_WITH_PREFIX", "KEYS_LIKE", "ACTOR"];

    public ValueTask<StateEntry?> GetAsync(string key, CancellationToken ct)
    {
        lock (gate)
            return new(Find(key));
    }

    public ValueTask<IReadOnlyList<StateEntry?>> GetManyAsync(IReadOnlyList<string> keys, CancellationToken ct)
    {
        lock (gate)
            return new((StateEntry?[])[.. keys.Select(Find)]);
    }

    public ValueTask<StateResult> SetAsync(StateWrite write, CancellationToken ct)
    {
        lock (gate)
        {
            if (!Accepts(write)) return new(StateResult.Mismatch);
            Apply(write);
            return new(StateResult.Done);
        }
    }

    public ValueTask<StateResult> DeleteAsync(StateWrite write, CancellationToken ct)
    {
        lock (gate)
        {
            if (!Accepts(write with { Delete = true })) return new(StateResult.Mismatch);
            entries.Remove(write.Key);
            return new(StateResult.Done);
        }
    }

    public ValueTask<StateResult> TransactAsync(IReadOnlyList<StateWrite> writes, CancellationToken ct)
    {
        lock (gate)
        {
            // Conditions are judged before the first write, as in the original.
            if (!writes.All(Accepts)) return new(StateResult.Mismatch);
            foreach (var write in writes)
            {
                if (write.Delete) entries.Remove(write.Key);
                else Apply(write);
            }

            return new(StateResult.Done);
        }
    }

    public async IAsyncEnumerable<string> ListKeysAsync(string prefix, [EnumeratorCancellation] CancellationToken ct)
    {
        string[] keys;
        lock (gate)
            keys = [.. entries.Keys.Where(key => key.StartsWith(prefix, StringComparison.Ordinal) && Find(key) is not null).Order(StringComparer.Ordinal)];
        foreach (var key in keys)
            yield return key;
        await Task.CompletedTask;
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private StateEntry? Find(string key) =>
        entries.TryGetValue(key, out var entry) && (entry.ExpiresAt is null || entry.ExpiresAt > time.GetUtcNow()) ? entry : null;

    private bool Accepts(StateWrite write)
    {
        if (!string.IsNullOrEmpty(write.ETag)) return Find(write.Key)?.ETag == write.ETag;
        return write.Delete || write.Concurrency != StateConcurrency.FirstWrite || Find(write.Key) is null;
    }

    private void Apply(StateWrite write)
    {
        DateTimeOffset? expires = write.TtlSeconds is > 0 and var ttl ? time.GetUtcNow().AddSeconds(ttl) : null;
        entries[write.Key] = new StateEntry(write.Value, Guid.NewGuid().ToString(), expires);
        if (++writesSinceSweep < 1024) return;

        writesSinceSweep = 0;
        var now = time.GetUtcNow();
        foreach (var key in entries.Where(pair => pair.Value.ExpiresAt <= now).Select(pair => pair.Key).ToList())
            entries.Remove(key);
    }
}
