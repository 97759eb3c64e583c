using Marketplace.Local.Sidecar.Actors;
using Xunit;

namespace Marketplace.Sidecar.Tests.Actors;

/// <summary>Due times, periods and ends, in all the ways Dapr lets an actor write them.</summary>
public sealed class Schedules
{
    private static readonly DateTimeOffset Noon = new(2026, 7, 1, 12, 0, 0, TimeSpan.Zero);

    [Theory]
    [InlineData("", 0)]
    [InlineData("0h0m0s0ms", 0)]
    [InlineData("1h30m", 5400)]
    [InlineData("0h0m2s500ms", 2.5)]
    [InlineData("PT1H30M", 5400)]
    [InlineData("2026-07-01T12:00:10Z", 10)]
    [InlineData("2026-07-01T14:00:10+02:00", 10)]
    [InlineData("2020-01-01T00:00:00Z", 0)]
    public void Due_times(string text, double seconds) =>
        Assert.Equal(Noon.AddSeconds(seconds), Schedule.Parse(text, "", "", Noon, calendar: false).Due);

    [Theory]
    [InlineData("1h0m0s0ms", 3600, null)]
    [InlineData("@every 90s", 90, null)]
    [InlineData("R3/PT10S", 10, 3)]
    [InlineData("PT10S", 10, null)]
    public void Periods(string text, double seconds, int? repetitions)
    {
        var schedule = Schedule.Parse("", text, "", Noon, calendar: false);
        Assert.Equal(TimeSpan.FromSeconds(seconds), schedule.Period);
        Assert.Equal(repetitions, schedule.Repetitions);
    }

    [Theory]
    [InlineData("", "")]
    [InlineData("0h0m0s0ms", "")]
    public void Without_a_period_it_fires_once(string period, string ttl) => Assert.Null(Schedule.Parse("1s", period, ttl, Noon, calendar: false).Next(Noon));

    [Theory]
    [InlineData("P1D")]
    [InlineData("R2/P1W")]
    [InlineData("PT0.5S")]
    [InlineData("R0/PT1S")]
    [InlineData("R/PT1S")]
    [InlineData("whenever")]
    [InlineData("-5s")]
    public void Periods_a_reminder_cannot_have(string period) => Assert.Throws<FormatException>(() => Schedule.Parse("", period, "", Noon, calendar: false));

    [Fact]
    public void A_timer_may_count_days() => Assert.Equal(TimeSpan.FromDays(1), Schedule.Parse("", "P1D", "", Noon, calendar: true).Period);

    [Theory]
    [InlineData("2026-07-01T11:00:00Z")]
    [InlineData("0s")]
    public void An_end_in_the_past_is_refused(string ttl) => Assert.Throws<FormatException>(() => Schedule.Parse("", "1s", ttl, Noon, calendar: false));

    [Fact]
    public void Repetitions_count_the_first_firing()
    {
        var schedule = Schedule.Parse("5s", "R3/PT10S", "", Noon, calendar: false);
        var second = schedule.Next(Noon.AddSeconds(5))!;
        var third = second.Next(Noon.AddSeconds(15))!;
        Assert.Equal([Noon.AddSeconds(5), Noon.AddSeconds(15), Noon.AddSeconds(25)], [schedule.Due, second.Due, third.Due]);
        Assert.Null(third.Next(Noon.AddSeconds(25)));
    }

    [Fact]
    public void Missed_firings_collapse_into_one_and_the_grid_stays()
    {
        var schedule = Schedule.Parse("0s", "10s", "", Noon, calendar: false);
        Assert.Equal(Noon.AddSeconds(50), schedule.Next(Noon.AddSeconds(45))!.Due);
        Assert.Equal(Noon.AddSeconds(60), schedule.Next(Noon.AddSeconds(50))!.Due);
    }

    [Fact]
    public void It_ends_with_its_time_to_live()
    {
        var schedule = Schedule.Parse("0s", "10s", "25s", Noon, calendar: false);
        var third = schedule.Next(Noon)!.Next(Noon.AddSeconds(10))!;
        Assert.Equal(Noon.AddSeconds(20), third.Due);
        Assert.Null(third.Next(Noon.AddSeconds(20)));
    }
}
