namespace Marketplace.Local.Sidecar.Workflows;

/// <summary>Many timers, most of which never ring, on one timer of the clock.</summary>
internal sealed class TimerQueue : IDisposable
{
    // A timer of the clock takes 49 days at most; a far one is simply set again.
    private static readonly TimeSpan Longest = TimeSpan.FromDays(1);

    private readonly TimeProvider time;
    private readonly ITimer clock;
    private readonly SortedSet<Entry> entries = [];
    private long sequence;
    private bool disposed;

    public TimerQueue(TimeProvider time)
    {
        this.time = time;
        clock = time.CreateTimer(static queue => ((TimerQueue)queue!).Ring(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public Entry Add(DateTimeOffset due, Action ring)
    {
        lock (entries)
        {
            var entry = new Entry(due.UtcTicks, ++sequence, ring);
            entries.Add(entry);
            if (entries.Min == entry) Arm();
            return entry;
        }
    }

    public void Remove(Entry entry)
    {
        lock (entries) entries.Remove(entry);
    }

    public void Dispose()
    {
        lock (entries)
        {
            disposed = true;
            entries.Clear();
        }

        clock.Dispose();
    }

    private void Arm()
    {
        if (disposed || entries.Min is not { } first) return;
        var wait = new TimeSpan(Math.Max(0, first.DueTicks - time.GetUtcNow().UtcTicks));

        // Milliseconds are the grain of the clock: one more, or it rings just before the time and again.
        clock.Change(wait > Longest ? Longest : wait == TimeSpan.Zero ? wait : wait + TimeSpan.FromMilliseconds(1), Timeout.InfiniteTimeSpan);
    }

    private void Ring()
    {
        List<Entry> due = [];
        lock (entries)
        {
            var now = time.GetUtcNow().UtcTicks;
            while (entries.Min is { } first && first.DueTicks <= now)
            {
                entries.Remove(first);
                due.Add(first);
            }

            Arm();
        }

        foreach (var entry in due)
            entry.Ring();
    }

    internal sealed class Entry(long dueTicks, long sequence, Action ring) : IComparable<Entry>
    {
        public long DueTicks { get; } = dueTicks;
        public Action Ring { get; } = ring;

        public int CompareTo(Entry? other) => other is null ? 1 : (DueTicks, Sequence).CompareTo((other.DueTicks, other.Sequence));

        private long Sequence { get; } = sequence;
    }
}
