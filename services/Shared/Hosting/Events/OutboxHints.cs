using System.Collections.Concurrent;

namespace Marketplace.Hosting;

/// <summary>
/// Npgsql tells nobody that a transaction committed. Adding a row therefore makes the lane's relay look more often for a moment, which
/// finds the row soon after its commit even where a service forgets <see cref="OutboxSignal.Notify"/>. Only a hint: a wrong count
/// costs a few looks at the table.
/// </summary>
internal sealed class OutboxHints
{
    private static readonly TimeSpan Lifetime = TimeSpan.FromMilliseconds(500);
    private static readonly ConcurrentDictionary<string, OutboxHints> Lanes = new(StringComparer.Ordinal);

    private readonly OutboxSignal added = new();
    private long pending;
    private long lastAdded;

    public static OutboxHints Of(string lane) => Lanes.GetOrAdd(lane, static _ => new OutboxHints());

    public static void Added(string lane, int rows)
    {
        var hints = Of(lane);
        Volatile.Write(ref hints.lastAdded, Environment.TickCount64);
        Interlocked.Add(ref hints.pending, rows);
        hints.Looks = 0;
        hints.added.Notify();
    }

    public Task Next => added.Next;

    /// <summary>How often the relay looked in vain since the last row was added.</summary>
    public int Looks { get; set; }

    public bool Pending => Volatile.Read(ref pending) > 0 && Environment.TickCount64 - Volatile.Read(ref lastAdded) < Lifetime.TotalMilliseconds;

    public void Taken(int rows)
    {
        if (Interlocked.Add(ref pending, -rows) < 0)
            Interlocked.Exchange(ref pending, 0);
    }
}
