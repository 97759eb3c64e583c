using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Sidecar.Tests.Actors;

/// <summary>Reminders outlive everything but their removal; timers live with their app.</summary>
[EverySidecar]
public sealed class WhenActorsAreReminded : IClassFixture<PostgresFixture>
{
    [Fact]
    public async Task A_reminder_comes_with_its_data_even_to_a_till_that_was_put_away()
    {
        await using var tills = await Tills.StartAsync(options: actors => actors.ActorIdleTimeout = TimeSpan.FromMilliseconds(500));
        await tills.Till("one").RemindAsync("rent", dueMilliseconds: 2000, periodMilliseconds: -1, repetitions: 0);
        await Eventually.Async(() => tills.Book.Count("one", "deactivated") == 1, "the till is put away");
        await Eventually.Async(() => tills.Book.Count("one", "reminded of rent with note") == 1, "the reminder comes");
        Assert.Equal(2, tills.Book.Count("one", "activated"));
        await Eventually.Async(async () => await tills.Till("one").PeriodOfAsync("rent") == "none", "it is used up");
    }

    [Fact]
    public async Task A_periodic_reminder_goes_on_until_it_is_removed_also_from_within_itself()
    {
        await using var tills = await Tills.StartAsync();
        await tills.Till("one").RemindAsync("rent", dueMilliseconds: 100, periodMilliseconds: 200, repetitions: 0);
        await tills.Till("one").RemindAsync("once-a", dueMilliseconds: 100, periodMilliseconds: 200, repetitions: 0);
        await Eventually.Async(() => tills.Book.Count("one", "reminded of rent with note") >= 3, "the reminder repeats");
        Assert.Equal("00:00:00.2000000", await tills.Till("one").PeriodOfAsync("rent"));
        Assert.Equal(1, tills.Book.Count("one", "reminded of once-a with note"));
        Assert.Equal("none", await tills.Till("one").PeriodOfAsync("once-a"));

        await tills.Till("one").ForgetAsync("rent");
        var seen = tills.Book.Count("one", "reminded of rent with note");
        await tills.Till("one").RemindAsync("marker", dueMilliseconds: 600, periodMilliseconds: -1, repetitions: 0);
        await Eventually.Async(() => tills.Book.Count("one", "reminded of marker with note") == 1, "three periods pass");
        Assert.Equal(seen, tills.Book.Count("one", "reminded of rent with note"));
    }

    [Fact]
    public async Task Repetitions_are_counted()
    {
        await using var tills = await Tills.StartAsync();
        await tills.Till("one").RemindAsync("three", dueMilliseconds: 0, periodMilliseconds: 1000, repetitions: 3);
        await Eventually.Async(() => tills.Book.Count("one", "reminded of three with note") == 3, "it comes three times");
        await Eventually.Async(async () => await tills.Till("one").PeriodOfAsync("three") == "none", "and is gone");
    }

    [Fact]
    public async Task A_failing_reminder_is_tried_again()
    {
        await using var tills = await Tills.StartAsync();
        tills.Book.Failing["rent"] = 2;
        await tills.Till("one").RemindAsync("rent", dueMilliseconds: 0, periodMilliseconds: -1, repetitions: 0);
        await Eventually.Async(() => tills.Book.Count("one", "reminded of rent with note") == 3, "the third try succeeds");
    }

    [Fact]
    public async Task A_reminder_survives_the_death_of_its_host_and_of_the_app()
    {
        await using var tills = await Tills.StartAsync(database: await TestDatabase.CreateAsync(), ownProcess: true);
        await tills.Till("one").RemindAsync("rent", dueMilliseconds: 1000, periodMilliseconds: 500, repetitions: 0);
        await tills.Till("two").RemindAsync("gone", dueMilliseconds: 1500, periodMilliseconds: 500, repetitions: 0);
        await tills.Till("two").ForgetAsync("gone");
        await tills.KillAsync();
        await tills.AppDownAsync(0);
        tills.Book.Lines.Clear();

        await tills.AppUpAsync(0);
        await tills.UpProcessAsync();
        await Eventually.Async(() => tills.Book.Count("one", "reminded of rent with note") >= 2, "the reminder goes on", TimeSpan.FromSeconds(20));
        Assert.Equal(0, tills.Book.Count("two", "reminded of gone with note"));
    }

    [Fact]
    public async Task A_timer_ticks_until_it_is_stopped()
    {
        await using var tills = await Tills.StartAsync();
        await tills.Till("one").TickAsync("clock", periodMilliseconds: 100);
        await Eventually.Async(() => tills.Book.Count("one", "ticked") >= 3, "the timer ticks");
        await tills.Till("one").StopTickingAsync("clock");
        var seen = tills.Book.Count("one", "ticked");
        await tills.Till("one").RemindAsync("marker", dueMilliseconds: 400, periodMilliseconds: -1, repetitions: 0);
        await Eventually.Async(() => tills.Book.Count("one", "reminded of marker with note") == 1, "four periods pass");
        Assert.Equal(seen, tills.Book.Count("one", "ticked"));
    }
}
