using Marketplace.WaitingRoom;

namespace Marketplace.FlashSales.Tests.WaitingRoom;

public sealed class WhatStandingsSay
{
    private static readonly DateTimeOffset Noon = new(2026, 6, 1, 12, 0, 0, TimeSpan.Zero);

    private static readonly Admission Sneakers = new(
        Guid.CreateVersion7(), SalePhase.Open, Noon, Noon.AddHours(1), new byte[32], 1000, Noon.AddSeconds(30), 310, Rate: 100, Room: 10, ExpiredBelow: 0, AdmissionSeconds: 60, Remaining: 50)
    {
        // Three hundred at once, and then only as people inside were done.
        Past = [new(Noon, 0), new(Noon.AddSeconds(3), 300), new(Noon.AddSeconds(20), 300), new(Noon.AddSeconds(25), 305), new(Noon.AddSeconds(30), 310)],
    };

    [Theory]
    [InlineData(0, 60)]
    [InlineData(299, 62.99)]
    [InlineData(302, 80.02)]
    [InlineData(307, 85.02)]
    [InlineData(312, 90.02)]
    public void An_admission_lapses_its_time_after_the_head_came_by_and_is_not_said_to_last_longer(long rank, double seconds)
    {
        var standing = Standing.Of(Sneakers, TicketOf(rank), rank, Noon.AddSeconds(31));
        Assert.Equal((StandingState.Admitted, seconds), (standing.State, Math.Round((standing.AdmittedUntil!.Value - Noon).TotalSeconds, 2)));
    }

    [Fact]
    public void Of_somebody_let_in_long_ago_it_is_known_that_the_admission_has_not_lapsed()
    {
        var standing = Standing.Of(Sneakers with { At = Noon.AddSeconds(90), ExpiredBelow = 200, Past = null }, TicketOf(250), 250, Noon.AddSeconds(90));
        Assert.Equal(Noon.AddSeconds(90.5), standing.AdmittedUntil);
    }

    [Theory]
    [InlineData(320, StandingState.Waiting, 1L, 0L)]
    [InlineData(829, StandingState.Waiting, 510L, 509L)]
    public void Whoever_waits_is_told_how_many_are_ahead(long rank, string state, long position, long ahead)
    {
        var standing = Standing.Of(Sneakers, TicketOf(rank), rank, Noon.AddSeconds(31));
        Assert.Equal((state, position, ahead, null), (standing.State, standing.Position, standing.PeopleAhead, standing.AdmittedUntil));
        Assert.InRange(standing.PollAfterSeconds, Standing.Often, Standing.Rarely);
    }

    [Fact]
    public void Whatever_a_clients_clock_says_the_answer_is_by_ours()
    {
        var standing = Standing.Of(Sneakers with { Seed = null, Early = null, StartsAt = Noon.AddMinutes(5) }, TicketOf(3), Noon);
        Assert.Equal((StandingState.BeforeStart, Noon, 300L), (standing.State, standing.ServerTime, standing.StartsInSeconds));
    }

    [Fact]
    public void Those_of_one_moment_come_back_at_different_ones()
    {
        var intervals = Enumerable.Range(0, 200).Select(_ => Standing.Of(Sneakers, TicketOf(5_000), 5_000, Noon.AddSeconds(31)).PollAfterSeconds).Distinct().Count();
        Assert.True(intervals >= 3);
    }

    private static Ticket TicketOf(long rank) => new(Sneakers.SaleId, Guid.NewGuid(), true, rank - 1000, Sneakers.EndsAt);
}
