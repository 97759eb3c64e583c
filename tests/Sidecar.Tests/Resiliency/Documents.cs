using Marketplace.Local.Sidecar.Resiliency;
using Marketplace.Local.Sidecar.Resources;

namespace Marketplace.Sidecar.Tests.Resiliency;

internal static class Documents
{
    public const string File = "resiliency.yaml";

    /// <summary>The policies of an app whose folder holds these specs, one document each.</summary>
    public static ResiliencyPolicies Policies(params IReadOnlyList<string> specs) => new([.. specs.Select(Manifest)]);

    /// <summary>The spec stands from line 5 on.</summary>
    public static ResiliencyManifest Manifest(string spec)
    {
        var lines = spec.Split('\n').Select(line => "  " + line);
        var text = $"apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata: {{name: guards}}\nspec:\n{string.Join('\n', lines)}\n";
        return ResiliencyManifest.Of(YamlView.Documents(File, new StringReader(text)).Single());
    }
}

/// <summary>A clock on which every wait is over at once: the time jumps to its end, and the wait is noted.</summary>
internal sealed class ImpatientTime : TimeProvider
{
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    public List<TimeSpan> Waits { get; } = [];

    public TimeSpan Elapsed { get; set; }

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override DateTimeOffset GetUtcNow() => Start + Elapsed;

    public override long GetTimestamp() => Elapsed.Ticks;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        Waits.Add(dueTime);
        Elapsed += dueTime;
        ThreadPool.QueueUserWorkItem(_ => callback(state));
        return new Over();
    }

    private sealed class Over : ITimer
    {
        public bool Change(TimeSpan dueTime, TimeSpan period) => true;

        public void Dispose()
        {
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
