using Marketplace.Contracts;
using Marketplace.FlashSales.Sales;
using Marketplace.FlashSales.WaitingRoom;

namespace Marketplace.FlashSales.Tests.WaitingRoom;

public sealed class AdmissionStepFacts
{
    private static readonly DateTimeOffset Noon = new(2026, 6, 1, 12, 0, 0, TimeSpan.Zero);
    private static readonly TimeSpan Told = TimeSpan.FromSeconds(1);

    private static readonly Sale Sneakers = new(
        Guid.CreateVersion7(), Guid.CreateVersion7(), Guid.CreateVersion7(), "Trail shoe", 100, Money.Gbp(4900), Noon, Noon.AddHours(1), 1,
        AdmissionRate: 100, InsideLimit: 300, AdmissionSeconds: 60, WaitingList: 50, Shards: 1,
        SaleStatus.Scheduled, null, 1, Noon, new byte[32], 10_000, 100, Noon.AddDays(-1), Noon.AddDays(-1), null);

    private static readonly AdmissionStep Opened = AdmissionStep.First(Sneakers, Noon);

    [Fact]
    public void People_are_let_in_at_the_rate_and_not_beyond_the_places_inside()
    {
        var half = Next(Opened, 0.5);
        Assert.Equal((50, 250, 50, 50), (half.Head, half.Room, half.LetIn, half.Inside));

        var full = Next(Next(half, 3), 10);
        Assert.Equal((300, 0, 300), (full.Head, full.Room, full.Inside));
    }

    [Fact]
    public void Whoever_has_an_answer_makes_place_for_the_next()
    {
        var full = Next(Next(Opened, 3), 4);
        var freed = Next(full, 4.5, done: 120);
        Assert.Equal((300, 120, 180), (freed.Head, freed.Room, freed.Inside));
        Assert.Equal(420, Next(freed, 60, done: 120).Head);
    }

    [Fact]
    public void An_admission_that_was_not_used_lapses_and_makes_place()
    {
        var full = Next(Next(Opened, 3), 4);
        var lapsed = Next(full, 61, lapsed: 100);
        Assert.Equal((300, 100, 100, 200), (lapsed.Head, lapsed.Room, lapsed.ExpiredBelow, lapsed.Inside));
    }

    [Fact]
    public void When_nothing_is_left_only_those_are_let_in_whom_a_gateway_may_be_telling_so()
    {
        var half = Next(Opened, 0.5);
        var stopped = Next(half, 1, mayCome: false);
        Assert.Equal((100, 100), (stopped.Head, stopped.Room));                 // what the state before gave for another second

        var later = Next(Next(stopped, 1.5, mayCome: false), 20, mayCome: false);
        Assert.Equal((200, 0), (later.Head, later.Room));

        var again = Next(later, 20.5, done: 200);
        Assert.Equal((200, 300), (again.Head, again.Room));
    }

    [Fact]
    public void A_queue_that_is_empty_lets_in_whoever_comes_but_never_more_than_fit()
    {
        var idle = Next(Opened, 100, people: 10, lapsed: 0);
        Assert.Equal((300, 0, 10, 10), (idle.Head, idle.Room, idle.LetIn, idle.Inside));

        // The ten lapse, a crowd comes: their places and no more.
        var crowd = Next(idle, 200, people: 50_000, lapsed: 10);
        Assert.Equal((310, 300, 10), (crowd.Head + crowd.Room, crowd.Head, crowd.ExpiredBelow));
    }

    [Fact]
    public void Numbers_that_are_nobodys_do_not_slow_the_queue()
    {
        var step = Next(Opened, 1, gaps: 30, done: 30);
        Assert.Equal(130, step.Head);
        Assert.Equal(330, step.Head + step.Room);
        Assert.Equal(100, step.Inside);
    }

    [Fact]
    public void Nobody_is_shut_out_again_whatever_happens_from_step_to_step()
    {
        var random = new Random(20261125);
        var (step, now, people, lapsed, done) = (Opened, 0.0, 0L, 0L, 0L);
        for (var i = 0; i < 5_000; i++)
        {
            var before = step;
            now += random.NextDouble() * 3;
            people += random.Next(200);
            var passed = Math.Min(before.HeadAt(Noon.AddSeconds(now), Sneakers.AdmissionRate), people);
            lapsed = Math.Max(lapsed, passed - random.Next(400));
            done = Math.Min(random.Next(300), Math.Max(0, passed - lapsed));
            step = Next(before, now, people, random.Next(5), lapsed, done, mayCome: random.Next(4) > 0);

            for (var ahead = 0.0; ahead <= 1; ahead += 0.25)
            {
                var told = Noon.AddSeconds(now + ahead);
                Assert.True(step.HeadAt(told, 100) >= Math.Min(before.HeadAt(told, 100), before.Head + before.Room));
            }
            Assert.True(step.LetIn >= before.LetIn && step.ExpiredBelow >= before.ExpiredBelow && step.LetIn <= step.Head && step.ExpiredBelow <= step.LetIn && step.Room >= 0);
        }
    }

    [Fact]
    public void A_step_that_says_nothing_new_is_not_written()
    {
        var idle = Next(Next(Opened, 50, people: 10), 51, people: 10);
        Assert.False(Next(idle, 52, people: 10).IsNews(idle, Sneakers.AdmissionRate));
        Assert.True(Next(idle, 52, people: 11).IsNews(idle, Sneakers.AdmissionRate));
        Assert.True(Next(idle, 52, people: 10, done: 1).IsNews(idle, Sneakers.AdmissionRate));
    }

    [Fact]
    public void A_replica_whose_clock_is_behind_takes_nothing_back()
    {
        var step = Next(Next(Opened, 2), 1.5);
        Assert.Equal((Noon.AddSeconds(2), 200L), (step.At, step.Head));
    }

    private static AdmissionStep Next(
        AdmissionStep step, double seconds, long people = 10_000, long gaps = 0, long? lapsed = null, long done = 0, bool mayCome = true) =>
        step.Next(Sneakers, Noon.AddSeconds(seconds), people, gaps, lapsed ?? step.ExpiredBelow, done, mayCome, Told);
}
