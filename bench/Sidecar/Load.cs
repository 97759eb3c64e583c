using System.Diagnostics;

namespace Marketplace.Bench.Sidecar;

/// <summary>What one measure found. CPU is per operation: the sidecar host, the other server (Redis), this process with client and app.</summary>
internal sealed record Measure(string What, int Callers, bool IsFloor, int Count, TimeSpan Median, TimeSpan P95, double PerSecond, TimeSpan Host, TimeSpan Server, TimeSpan Client)
{
    public TimeSpan Cpu => Host + Server + Client;
}

/// <summary>A closed loop: so many callers, each with its next operation as soon as the last one is done.</summary>
internal static class Load
{
    /// <param name="operation">Of one caller (its number) the n-th; it throws where the answer is wrong.</param>
    public static async Task<Measure> RunAsync(SidecarBed bed, string what, int callers, bool isFloor, TimeSpan warmUp, TimeSpan duration, Func<int, int, Task> operation)
    {
        await LoopAsync(callers, warmUp, operation);
        GC.Collect();
        var before = bed.Cpu();
        var clock = Stopwatch.StartNew();
        var took = await LoopAsync(callers, duration, operation);
        var elapsed = clock.Elapsed;
        var after = bed.Cpu();
        Array.Sort(took);
        return new Measure(what, callers, isFloor, took.Length, took[took.Length / 2], took[(int)(took.Length * 0.95)], took.Length / elapsed.TotalSeconds,
            (after.Host - before.Host) / took.Length, (after.Redis - before.Redis) / took.Length, (after.Self - before.Self) / took.Length);
    }

    private static async Task<TimeSpan[]> LoopAsync(int callers, TimeSpan duration, Func<int, int, Task> operation)
    {
        var clock = Stopwatch.StartNew();
        var perCaller = await Task.WhenAll(Enumerable.Range(0, callers).Select(caller => Task.Run(async () =>
        {
            var took = new List<TimeSpan>(10_000);
            for (var n = 0; clock.Elapsed < duration; n++)
            {
                var began = Stopwatch.GetTimestamp();
                await operation(caller, n);
                took.Add(Stopwatch.GetElapsedTime(began));
            }

            return took;
        })));
        return [.. perCaller.SelectMany(took => took)];
    }
}
