extern alias local;

using System.Diagnostics;
using local::Marketplace.Local.Launcher;

namespace Marketplace.Bench.FlashSale;

/// <summary>Who used the processors between two moments. What a killed process had used by then is not known any more.</summary>
internal sealed class CpuShare(Shop shop)
{
    private Dictionary<string, (int Pid, TimeSpan Used)> before = [];
    private long began;

    /// <summary>Processors' worth of work, by part; the most first.</summary>
    public IReadOnlyList<(string Name, double Cores)> Shares { get; private set; } = [];

    public void Begin()
    {
        before = Now();
        began = Stopwatch.GetTimestamp();
    }

    public void End()
    {
        var time = Stopwatch.GetElapsedTime(began);
        Shares = [.. Now().Select(one => (one.Key, (one.Value.Used - (before.TryGetValue(one.Key, out var was) && was.Pid == one.Value.Pid ? was.Used : TimeSpan.Zero)) / time)).OrderByDescending(one => one.Item2)];
    }

    private Dictionary<string, (int Pid, TimeSpan Used)> Now()
    {
        var all = shop.Parts().Where(part => part.Pid is not null).ToDictionary(part => part.Name, part => (part.Pid!.Value, CpuTime.OfTree(part.Pid.Value)));
        all["this load generator"] = (Environment.ProcessId, Process.GetCurrentProcess().TotalProcessorTime);
        return all;
    }
}
