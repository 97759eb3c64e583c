using Marketplace.WaitingRoom;
using Xunit;

namespace Marketplace.Gateway.Tests.FlashSales;

public sealed class StandingTests
{
    private static readonly DateTimeOffset Noon = new(2026, 11, 25, 12, 0, 0, TimeSpan.Zero);

    private static readonly Admission Open = new(
        Guid.CreateVersion7(), SalePhase.Open, Noon, Noon.AddHours(1), new byte[StartDraw.SeedSize], 0, Noon.AddMinutes(5), Head: 3_000, Rate: 10, Room: 1_000, ExpiredBelow: 1_800, AdmissionSeconds: 120, Remaining: 50);

    [Fact]
    public void Far_from_ones_turn_one_asks_rarely_and_near_it_often()
    {
        var before = int.MaxValue;
        foreach (var ahead in new[] { 100_000, 1_000, 250, 100, 40, 1 })
        {
            var slowest = Enumerable.Range(0, 200).Max(_ => At(3_000 + ahead).PollAfterSeconds);
            Assert.InRange(slowest, Standing.Often, Math.Min(Standing.Rarely, before));
            before = slowest;
        }
        Assert.Equal(Standing.Often, before);
    }

    [Fact]
    public void Nobody_is_told_to_ask_later_than_it_would_be_their_turn()
    {
        for (var ahead = 0; ahead < 2_000; ahead++)
        {
            var standing = At(3_000 + ahead);
            Assert.InRange(standing.PollAfterSeconds, Standing.Often, Math.Max(Standing.Often, standing.WaitSeconds!.Value));
        }
    }

    [Fact]
    public void Those_who_wait_for_the_start_come_back_spread_over_some_seconds_after_it_and_not_before()
    {
        var scheduled = Open with { Phase = SalePhase.Scheduled, Seed = null, Early = null };
        var now = Noon.AddSeconds(-3);
        var asks = Enumerable.Range(0, 1_000).Select(_ => Standing.Of(scheduled, Ticket(7, late: false), now).PollAfterSeconds).ToList();
        Assert.All(asks, ask => Assert.InRange(ask, 3, 10));
        Assert.True(asks.GroupBy(ask => ask).Max(second => second.Count()) < 250, "no second gets a quarter of them");

        foreach (var left in new[] { 11, 15, 20 })
        {
            var before = Enumerable.Range(0, 1_000).Select(_ => left - Standing.Of(scheduled, Ticket(7, late: false), Noon.AddSeconds(-left)).PollAfterSeconds).ToList();
            Assert.All(before, seconds => Assert.InRange(seconds, 2, Standing.Rarely - 1));
            Assert.True(before.GroupBy(second => second).Max(second => second.Count()) < 250, "those who ask once more do not come in one second either");
        }

        foreach (var minutes in new[] { 1, 60, 24 * 60 })
            Assert.All(Enumerable.Range(0, 50), _ => Assert.InRange(Standing.Of(scheduled, Ticket(7, late: false), Noon.AddMinutes(-minutes)).PollAfterSeconds, 8, Standing.Rarely));
    }

    [Fact]
    public void Between_the_start_and_the_draw_nobody_is_told_a_place_that_the_draw_may_change()
    {
        var undrawn = Open with { Seed = null, Early = null };
        var standing = Standing.Of(undrawn, Ticket(7, late: false), Noon.AddSeconds(1));
        Assert.Equal((StandingState.BeforeStart, 0L, null, Standing.Often), (standing.State, standing.StartsInSeconds, standing.Position, standing.PollAfterSeconds));
    }

    [Theory]
    [InlineData(2_999, 120)]            // let in just now
    [InlineData(2_400, 60)]             // sixty seconds ago at the full rate
    [InlineData(1_800, 0)]              // the next that lapses
    public void An_admission_lasts_from_the_moment_in_which_the_head_passed_the_rank(long rank, int secondsLeft)
    {
        var standing = At(rank);
        Assert.Equal(StandingState.Admitted, standing.State);
        Assert.InRange(standing.AdmittedUntil!.Value, Open.At.AddSeconds(secondsLeft - 1), Open.At.AddSeconds(secondsLeft));
    }

    [Fact]
    public void Nobody_was_let_in_before_the_start()
    {
        var justOpened = Open with { StartsAt = Open.At.AddSeconds(-1), Head = 10, ExpiredBelow = 0 };
        Assert.Equal(justOpened.StartsAt.AddSeconds(justOpened.AdmissionSeconds), Standing.Of(justOpened, Ticket(0), justOpened.At).AdmittedUntil);
    }

    [Fact]
    public void Where_those_inside_made_it_wait_the_end_is_told_by_when_the_head_came_by()
    {
        // In the last two minutes only 120 people were let in, one a second, though ten would have been possible.
        var slow = Open with
        {
            ExpiredBelow = 2_880,
            Past = [.. Enumerable.Range(0, 13).Select(ten => new HeadPoint(Open.At.AddSeconds(10 * ten - 120), 2_880 + 10 * ten))],
        };
        var standing = Standing.Of(slow, Ticket(2_940), slow.At);
        Assert.Equal(slow.At.AddSeconds(60), standing.AdmittedUntil);
    }

    [Fact]
    public void Final_is_what_no_later_answer_changes()
    {
        Assert.True(Standing.Of(Open with { Phase = SalePhase.SoldOut }, Ticket(9_000), Open.At).IsFinal);
        Assert.True(Standing.Of(Open with { Phase = SalePhase.Ended }, null, Open.At).IsFinal);
        Assert.True(At(1_799).IsFinal);
        Assert.False(Standing.Of(Open with { Phase = SalePhase.Allocated }, Ticket(9_000), Open.At).IsFinal);
        Assert.False(At(2_500).IsFinal);
    }

    private static Standing At(long rank) => Standing.Of(Open, Ticket(rank), Open.At);

    private static Ticket Ticket(long number, bool late = true) => new(Open.SaleId, Guid.NewGuid(), late, number, Noon.AddHours(2));
}
