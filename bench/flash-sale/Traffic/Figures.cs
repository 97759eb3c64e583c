using System.Collections.Concurrent;
using System.Diagnostics;

namespace Marketplace.Bench.FlashSale.Traffic;

internal enum Kind
{
    Chore,
    Join,
    Poll,
    Claim,
    Outcome,
    Watch,
}

/// <summary>What was asked and how it was answered: times by kind, counts by second, and what went wrong in words.</summary>
internal sealed class Figures
{
    private const int MostSeconds = 3600;
    private static readonly int Kinds = Enum.GetValues<Kind>().Length;

    private readonly long began = Stopwatch.GetTimestamp();
    private readonly Histogram[] times = [.. Enumerable.Range(0, Kinds).Select(_ => new Histogram())];
    private readonly int[][] answered = [.. Enumerable.Range(0, Kinds).Select(_ => new int[MostSeconds])];
    private readonly ConcurrentDictionary<string, int> trouble = new();

    public Histogram Times(Kind kind) => times[(int)kind];

    public IReadOnlyDictionary<string, int> Trouble => trouble;

    public TimeSpan Now => Stopwatch.GetElapsedTime(began);

    /// <summary>From the moment it was due, so that waiting for a free connection or a busy generator counts as much as waiting for the answer.</summary>
    public void Record(Kind kind, long due)
    {
        times[(int)kind].Record(Stopwatch.GetElapsedTime(due));
        Interlocked.Increment(ref answered[(int)kind][Math.Min((int)Now.TotalSeconds, MostSeconds - 1)]);
    }

    public void Note(string what) => trouble.AddOrUpdate(what, 1, (_, before) => before + 1);

    /// <summary>Answers in each second since the beginning.</summary>
    public IReadOnlyList<int> BySecond(Kind kind) => answered[(int)kind].AsSpan(0, Math.Min((int)Now.TotalSeconds + 1, MostSeconds)).ToArray();

    /// <summary>The most that was answered over so many seconds in a row, as a rate.</summary>
    public double Sustained(Kind kind, int seconds)
    {
        var all = BySecond(kind);
        var (best, sum) = (0, 0);
        for (var at = 0; at < all.Count; at++)
        {
            sum += all[at] - (at >= seconds ? all[at - seconds] : 0);
            best = Math.Max(best, sum);
        }

        return (double)best / seconds;
    }
}
