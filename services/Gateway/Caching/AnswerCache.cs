using System.Collections.Concurrent;

namespace Marketplace.Gateway.Caching;

/// <summary>
/// What an answer depends on, all of it: nothing else of a request is passed on for these, so nobody's identity is part of it. A currency, should
/// prices ever be in several, is asked for in the query.
/// </summary>
public readonly record struct CacheKey(string Path, string Query, string Language)
{
    // Strings are two bytes a letter; the rest is what the dictionary and the queue add.
    public int Size => (Path.Length + Query.Length + Language.Length) * 2 + 128;
}

/// <summary>An answer as it goes to everybody.</summary>
/// <param name="Fresh">How long it may be given without asking: never longer than its service said.</param>
/// <param name="MayBeStale">Not where the service insists on being asked.</param>
/// <param name="Degraded">What the service had to do without.</param>
public sealed record KeptAnswer(
    byte[] Body,
    string? ContentType,
    string? ETag,
    string? LastModified,
    string CacheControl,
    string? Link,
    string? Vary = null,
    string? Degraded = null,
    TimeSpan Fresh = default,
    bool MayBeStale = true);

/// <summary>An answer with when it was last known to be right.</summary>
public sealed class CacheEntry(KeptAnswer answer, DateTimeOffset checkedAt)
{
    private long failedAt = long.MinValue;

    public KeptAnswer Answer { get; } = answer;

    public DateTimeOffset CheckedAt { get; } = checkedAt;

    public bool Used { get; set; }

    /// <summary>What was away when the service could not say whether this still holds.</summary>
    public string Missing { get; private set; } = "";

    public void Failed(DateTimeOffset now, string missing)
    {
        Missing = missing;
        Volatile.Write(ref failedAt, now.UtcTicks);
    }

    /// <summary>The service could not say whether this still holds.</summary>
    public bool HasFailed => Volatile.Read(ref failedAt) != long.MinValue;

    public bool FailedWithin(TimeSpan time, DateTimeOffset now) => Volatile.Read(ref failedAt) is var at && at != long.MinValue && now.UtcTicks - at < time.Ticks;
}

/// <summary>
/// Answers in memory, bounded by their bytes. When it is full the oldest goes, unless it was asked for since it was last considered
/// (the clock algorithm): one pass of a crawler does not push out what shoppers look at.
/// </summary>
public sealed class AnswerCache(long memory)
{
    private readonly ConcurrentDictionary<CacheKey, CacheEntry> entries = new();
    private readonly ConcurrentQueue<CacheKey> clock = new();
    private long bytes;

    public long Bytes => Interlocked.Read(ref bytes);

    public int Count => entries.Count;

    public CacheEntry? Find(CacheKey key)
    {
        if (!entries.TryGetValue(key, out var entry))
            return null;
        if (!entry.Used)
            entry.Used = true;                                  // written once, so that those who only read it keep it in their processors' caches
        return entry;
    }

    public void Put(CacheKey key, CacheEntry entry)
    {
        // Taken in with one call, so that what it displaces is counted exactly once.
        var added = true;
        var before = 0L;
        entries.AddOrUpdate(
            key,
            _ => { added = true; before = 0; return entry; },
            (_, old) => { added = false; before = Size(key, old); entry.Used = old.Used; return entry; });
        Interlocked.Add(ref bytes, Size(key, entry) - before);
        if (added)
            clock.Enqueue(key);

        for (var looked = clock.Count; looked >= 0 && Interlocked.Read(ref bytes) > memory && clock.TryDequeue(out var oldest);)
        {
            if (!entries.TryGetValue(oldest, out var candidate))
                continue;
            if (candidate.Used && looked-- > 0)
            {
                candidate.Used = false;
                clock.Enqueue(oldest);
            }
            else
            {
                Remove(oldest);
            }
        }
    }

    public void Remove(CacheKey key)
    {
        if (entries.TryRemove(key, out var entry))
            Interlocked.Add(ref bytes, -Size(key, entry));
    }

    private static long Size(CacheKey key, CacheEntry entry) => key.Size + entry.Answer.Body.Length + 512;
}
