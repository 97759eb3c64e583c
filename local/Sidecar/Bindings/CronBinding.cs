using System.Globalization;
using Cronos;
using Marketplace.Local.Sidecar.Resources;

namespace Marketplace.Local.Sidecar.Bindings;

/// <summary>bindings.cron: every instance of the app gets every tick; a tick that passed while nobody was there is not made up for.</summary>
internal sealed class CronBinding : BindingComponent
{
    private readonly TimeProvider time;
    private readonly Func<DateTimeOffset, DateTimeOffset?> next;
    private readonly TimeZoneInfo zone;

    public CronBinding(Component component, TimeProvider time)
        : base(component)
    {
        this.time = time;
        var schedule = component.Require("schedule");
        zone = time.LocalTimeZone;
        if (schedule.StartsWith("CRON_TZ=", StringComparison.Ordinal) || schedule.StartsWith("TZ=", StringComparison.Ordinal))
        {
            var name = schedule.Split(' ')[0];
            zone = TimeZoneInfo.TryFindSystemTimeZoneById(name.Split('=')[1], out var found)
                ? found
                : throw component.Error("schedule", $"names an unknown time zone: {name}.");
            schedule = schedule[name.Length..].Trim();
        }

        next = Parse(component, schedule, zone);
    }

    public override Func<BindingHandler, CancellationToken, Task>? Input => ReadAsync;

    public override Task<BindingReply> InvokeAsync(BindingCall call, CancellationToken ct) => Task.FromResult(BindingReply.Empty);

    private static Func<DateTimeOffset, DateTimeOffset?> Parse(Component component, string schedule, TimeZoneInfo zone)
    {
        if (schedule.StartsWith("@every ", StringComparison.Ordinal))
        {
            if (!GoDuration.TryParse(schedule.AsSpan("@every ".Length), out var interval) || interval < TimeSpan.FromSeconds(1))
                throw component.Error("schedule", $"must be an interval of a second or more, not {schedule}.");
            return now => now + interval;
        }

        try
        {
            var fields = schedule.Split(' ', StringSplitOptions.RemoveEmptyEntries).Length;
            var expression = CronExpression.Parse(schedule, fields == 6 ? CronFormat.IncludeSeconds : CronFormat.Standard);
            return now => expression.GetNextOccurrence(now, zone);
        }
        catch (CronFormatException e)
        {
            throw component.Error("schedule", $"is no schedule: {e.Message}");
        }
    }

    private async Task ReadAsync(BindingHandler handle, CancellationToken ct)
    {
        while (next(time.GetUtcNow()) is { } due)
        {
            // A task cannot wait longer than seven weeks at once.
            for (var left = due - time.GetUtcNow(); left > TimeSpan.Zero; left = due - time.GetUtcNow())
                await Task.Delay(left < TimeSpan.FromDays(1) ? left : TimeSpan.FromDays(1), time, ct);

            var metadata = new Dictionary<string, string>
            {
                ["readTimeUTC"] = time.GetUtcNow().UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss.fffffff '+0000 UTC'", CultureInfo.InvariantCulture),
                ["timeZone"] = zone.Id,
            };
            await handle(ReadOnlyMemory<byte>.Empty, metadata, ct);
        }
    }
}
