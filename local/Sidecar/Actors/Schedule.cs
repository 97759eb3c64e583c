using System.Globalization;
using Marketplace.Local.Sidecar.Resources;

namespace Marketplace.Local.Sidecar.Actors;

/// <summary>When a reminder or timer fires: first instant, pause between firings, how many in all, and when it ends.</summary>
internal sealed record Schedule(DateTimeOffset Due, TimeSpan? Period, int? Repetitions, DateTimeOffset? Expires)
{
    /// <param name="calendar">Days and longer units in a period: timers take them, the Scheduler behind reminders does not.</param>
    /// <exception cref="FormatException">Says what is wrong.</exception>
    public static Schedule Parse(string? dueTime, string? period, string? ttl, DateTimeOffset now, bool calendar)
    {
        var due = string.IsNullOrEmpty(dueTime) ? now : Instant(dueTime, now, "dueTime");
        if (due < now) due = now;
        var expires = string.IsNullOrEmpty(ttl) ? (DateTimeOffset?)null : Instant(ttl, now, "ttl");
        if (expires <= now) throw new FormatException($"ttl {ttl} has already expired");

        if (string.IsNullOrEmpty(period)) return new Schedule(due, null, null, expires);
        var text = period.StartsWith("@every ", StringComparison.Ordinal) ? period[7..] : period;
        int? repetitions = null;
        if (text.StartsWith('R'))
        {
            var slash = text.IndexOf('/', StringComparison.Ordinal);
            var count = slash < 0 ? text.AsSpan(1) : text.AsSpan(1, slash - 1);
            if (!int.TryParse(count, NumberStyles.None, CultureInfo.InvariantCulture, out var number)) throw new FormatException($"period {period}: the number of repetitions cannot be read");
            if (number == 0) throw new FormatException($"period {period}: it has no repetitions");
            repetitions = number;
            text = slash < 0 ? "" : text[(slash + 1)..];
            if (text.Length == 0) return new Schedule(due, TimeSpan.Zero, repetitions, expires);
        }

        var interval = text.StartsWith('P') ? Iso(text, calendar, "period") : GoDuration.TryParse(text, out var go) ? go : throw new FormatException($"period {period} is no duration");
        if (interval < TimeSpan.Zero) throw new FormatException($"period {period} is negative");
        return new Schedule(due, interval == TimeSpan.Zero && repetitions is null ? null : interval, repetitions, expires);
    }

    /// <summary>What follows a firing; null when that was the last one. Firings missed meanwhile are not made up for, the grid stays.</summary>
    public Schedule? Next(DateTimeOffset now)
    {
        if (Period is not { } period || Repetitions == 1) return null;
        var due = Due + period;
        if (due <= now && period > TimeSpan.Zero) due += period * (double)((now - due).Ticks / period.Ticks + 1);
        if (Expires <= due) return null;
        return this with { Due = due, Repetitions = Repetitions - 1 };
    }

    private static DateTimeOffset Instant(string text, DateTimeOffset now, string field)
    {
        if (text.StartsWith('P')) return now + Iso(text, calendar: true, field);
        if (GoDuration.TryParse(text, out var duration)) return now + duration;
        if (text.Contains('T', StringComparison.Ordinal) && DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var instant)) return instant;
        throw new FormatException($"{field} {text} is neither a duration nor an RFC 3339 time");
    }

    /// <summary>ISO 8601 with whole numbers, as Dapr reads it.</summary>
    private static TimeSpan Iso(string text, bool calendar, string field)
    {
        var total = TimeSpan.Zero;
        var time = false;
        var at = 1;
        if (text.Length < 3) throw Bad();
        while (at < text.Length)
        {
            if (text[at] == 'T' && !time)
            {
                time = true;
                at++;
                continue;
            }

            var start = at;
            while (at < text.Length && char.IsAsciiDigit(text[at])) at++;
            if (at == start || at == text.Length || !int.TryParse(text.AsSpan(start, at - start), NumberStyles.None, CultureInfo.InvariantCulture, out var number)) throw Bad();
            var unit = (time, text[at++]) switch
            {
                (true, 'H') => TimeSpan.FromHours(1),
                (true, 'M') => TimeSpan.FromMinutes(1),
                (true, 'S') => TimeSpan.FromSeconds(1),
                (false, 'D') => Calendar(1),
                (false, 'W') => Calendar(7),
                (false, 'M') => Calendar(30),
                (false, 'Y') => Calendar(365),
                _ => throw Bad(),
            };
            total += unit * number;
        }
        return total;

        TimeSpan Calendar(int days) => calendar ? TimeSpan.FromDays(days) : throw new FormatException($"{field} {text}: days and longer units are not supported here");
        FormatException Bad() => new($"{field} {text} is no ISO 8601 duration");
    }
}
