using System.Globalization;

namespace Marketplace.Bench;

internal static class CpuTime
{
    private const double MillisecondsPerTick = 10;

    /// <summary>CPU time so far of a process and its children, those that ended included. Linux only.</summary>
    public static TimeSpan OfTree(int root)
    {
        // A child may be wrapped in a process that watches over it; what ended children used is counted with their parent.
        var all = Directory.GetDirectories("/proc").Select(Path.GetFileName).Where(name => int.TryParse(name, out _)).Select(name => int.Parse(name!, CultureInfo.InvariantCulture))
            .Select(pid => (Pid: pid, Stat: Stat(pid))).Where(one => one.Stat.Length > 15).ToDictionary(one => one.Pid, one => one.Stat);
        var members = new HashSet<int> { root };
        while (all.Where(one => members.Contains(int.Parse(one.Value[1], CultureInfo.InvariantCulture)) && members.Add(one.Key)).ToList().Count > 0) ;
        return TimeSpan.FromMilliseconds(members.Where(all.ContainsKey).Sum(pid => MillisecondsPerTick * all[pid][11..15].Sum(ticks => long.Parse(ticks, CultureInfo.InvariantCulture))));
    }

    private static string[] Stat(int pid)
    {
        try
        {
            var text = File.ReadAllText($"/proc/{pid}/stat");
            return text[(text.LastIndexOf(')') + 2)..].Split(' ');
        }
        catch (IOException)
        {
            return [];
        }
    }
}
