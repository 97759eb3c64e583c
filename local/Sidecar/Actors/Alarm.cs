namespace Marketplace.Local.Sidecar.Actors;

/// <summary>Waiting for an instant that may be farther away than one timer reaches.</summary>
internal static class Alarm
{
    private static readonly TimeSpan Longest = TimeSpan.FromDays(30);

    public static async Task UntilAsync(this TimeProvider time, DateTimeOffset instant, CancellationToken ct)
    {
        while (true)
        {
            var left = instant - time.GetUtcNow();
            if (left <= TimeSpan.Zero) return;
            await Task.Delay(left < Longest ? left : Longest, time, ct);
        }
    }
}
