using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Marketplace.Bench.Reads;

/// <param name="Rate">Answers a second.</param>
/// <param name="CpuMs">Of the process that answered, per answer.</param>
internal sealed record Load(double Rate, double MedianMs, double P99Ms, double CpuMs, long Errors);

/// <summary>wrk as Debian packages it: 2 threads, 64 connections, the same for everything that is compared.</summary>
internal static partial class Wrk
{
    public static async Task<Load> RunAsync(string url, TimeSpan time, int pid, params string[] script)
    {
        var cpu = CpuTime.OfTree(pid);
        var start = new ProcessStartInfo("wrk") { RedirectStandardOutput = true };
        foreach (var argument in (string[])["-t2", "-c64", $"-d{(int)time.TotalSeconds}s", "--latency", .. script.Take(1).SelectMany(file => new[] { "-s", file }), url, .. script.Length > 1 ? (string[])["--", .. script[1..]] : []])
            start.ArgumentList.Add(argument);
        using var wrk = Process.Start(start)!;
        var text = await wrk.StandardOutput.ReadToEndAsync();
        await wrk.WaitForExitAsync();
        cpu = CpuTime.OfTree(pid) - cpu;
        if (!Rate().IsMatch(text)) throw new InvalidOperationException(text);
        var answers = double.Parse(Answers().Match(text).Groups[1].Value, CultureInfo.InvariantCulture);
        var errors = Refused().Match(text) is { Success: true } refused ? long.Parse(refused.Groups[1].Value, CultureInfo.InvariantCulture) : 0;
        return new Load(
            double.Parse(Rate().Match(text).Groups[1].Value, CultureInfo.InvariantCulture), Milliseconds(text, "50"), Milliseconds(text, "99"), cpu.TotalMilliseconds / answers, errors);
    }

    private static double Milliseconds(string text, string percentile)
    {
        var match = Regex.Match(text, $@"\b{percentile}%\s+([\d.]+)(us|ms|s)\b");
        return double.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture) * match.Groups[2].Value switch { "us" => 0.001, "ms" => 1, _ => 1000 };
    }

    [GeneratedRegex(@"Requests/sec:\s+([\d.]+)")]
    private static partial Regex Rate();

    [GeneratedRegex(@"(\d+) requests in")]
    private static partial Regex Answers();

    [GeneratedRegex(@"Non-2xx or 3xx responses: (\d+)")]
    private static partial Regex Refused();
}
