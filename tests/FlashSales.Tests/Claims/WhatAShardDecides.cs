using Marketplace.Contracts;
using Marketplace.FlashSales.Claims;

namespace Marketplace.FlashSales.Tests.Claims;

/// <summary>The rules of one shard, without a database.</summary>
public sealed class WhatAShardDecides
{
    private static readonly DateTimeOffset Noon = new(2026, 11, 27, 12, 0, 0, TimeSpan.Zero);
    private static readonly TimeSpan TenMinutes = TimeSpan.FromMinutes(10);
    private static readonly HashSet<Guid> Nobody = [];
    private readonly Guid ada = Guid.NewGuid(), bruno = Guid.NewGuid(), cleo = Guid.NewGuid(), dora = Guid.NewGuid();

    [Fact]
    public void Units_go_in_the_order_of_asking_then_people_wait_then_it_is_sold_out()
    {
        var shard = Shard(units: 2, waitingList: 1);
        var (plan, answers) = shard.Decide([One(ada), One(bruno), One(cleo), One(dora)], Noon, TenMinutes);

        Assert.Equal([ClaimState.Claimed, ClaimState.Claimed, ClaimState.Waiting, null], answers.Select(answer => answer.Claim?.State));
        Assert.Equal([1, 2], plan.New.SelectMany(claim => claim.Units).Order());
        Assert.Equal(1, answers[2].Position);
        Assert.Equal(Outcome.SoldOut, answers[3].Outcome);
        Assert.Equal((2, 0, 1), (plan.TakenMore, plan.PaidMore, plan.WaitingMore));
        Assert.Equal(Noon + TenMinutes, answers[0].Claim!.PayUntil);
    }

    [Fact]
    public void A_plan_that_was_not_written_has_decided_nothing()
    {
        var shard = Shard(units: 1);
        shard.Decide([One(ada)], Noon, TenMinutes);
        Assert.Equal(1, shard.Free);
        Assert.Null(shard.Of(ada));

        var (plan, _) = shard.Decide([One(bruno)], Noon, TenMinutes);
        shard.Take(plan);
        Assert.Equal(0, shard.Free);
        Assert.Throws<InvalidOperationException>(() => shard.Take(plan));
    }

    [Fact]
    public void A_customer_has_one_claim_in_a_batch_and_over_batches()
    {
        var shard = Shard(units: 5);
        var (plan, first) = shard.Decide([Some(ada, 2), Some(ada, 3), Some(ada, 2)], Noon, TenMinutes);
        Assert.Single(plan.New);
        Assert.Single(first.Select(answer => answer.Claim!.ClaimId).Distinct());
        shard.Take(plan);

        var (again, second) = shard.Decide([Some(ada, 1)], Noon, TenMinutes);
        Assert.True(again.IsEmpty);
        Assert.Equal((first[0].Claim!.ClaimId, 2), (second[0].Claim!.ClaimId, second[0].Claim!.Quantity));
        Assert.Equal(3, shard.Free);
    }

    [Fact]
    public void Who_wants_more_than_is_left_waits_and_who_wants_less_gets_it()
    {
        var shard = Shard(units: 3, waitingList: 3);
        shard.Take(shard.Decide([Some(ada, 2)], Noon, TenMinutes).Plan);

        var (plan, answers) = shard.Decide([Some(bruno, 2), One(cleo)], Noon, TenMinutes);
        Assert.Equal([ClaimState.Waiting, ClaimState.Claimed], answers.Select(answer => answer.Claim!.State));
        shard.Take(plan);
        Assert.Equal(0, shard.Free);
    }

    [Fact]
    public void Who_may_not_wait_here_is_sent_on()
    {
        var shard = Shard(units: 1);
        shard.Take(shard.Decide([One(ada)], Noon, TenMinutes).Plan);
        Assert.Equal(Outcome.NoneHere, shard.Decide([Some(bruno, 1, mayWait: false)], Noon, TenMinutes).Answers[0].Outcome);
    }

    [Theory]
    [InlineData(-1, Outcome.NotStarted)]
    [InlineData(3600, Outcome.Over)]
    public void Outside_of_its_time_a_sale_gives_nothing(int seconds, Outcome outcome)
    {
        var (plan, answers) = Shard().Decide([One(ada)], Noon.AddSeconds(seconds), TenMinutes);
        Assert.True(plan.IsEmpty);
        Assert.Equal(outcome, answers[0].Outcome);
    }

    [Fact]
    public void A_released_unit_goes_to_the_first_who_waits_in_the_same_plan()
    {
        var shard = Shard(units: 1, waitingList: 2);
        shard.Take(shard.Decide([One(ada), One(bruno), One(cleo)], Noon, TenMinutes).Plan);

        var plan = shard.Settle([new(shard.Of(ada)!.ClaimId, Paid: false, "card_declined")], Noon.AddMinutes(1), TenMinutes, Nobody);

        Assert.Equal([(ada, ClaimState.Released), (bruno, ClaimState.Claimed)], plan.Moves.Select(move => (move.To.BuyerId, move.To.State)));
        Assert.True(plan.Moves[1].To.FromWaitingList);
        Assert.Equal((0, 0, -1), (plan.TakenMore, plan.PaidMore, plan.WaitingMore));
        shard.Take(plan);
        Assert.Equal((0, 1), (shard.Free, shard.PositionOf(shard.Of(cleo)!)));
        Assert.Null(shard.Of(ada));
    }

    [Fact]
    public void Released_units_go_to_the_first_for_whom_there_are_enough()
    {
        var shard = Shard(units: 2, waitingList: 4);
        shard.Take(shard.Decide([One(ada), One(bruno), Some(cleo, 2), One(dora)], Noon, TenMinutes).Plan);

        var plan = shard.Settle([new(shard.Of(ada)!.ClaimId, Paid: false, "x")], Noon, TenMinutes, Nobody);
        Assert.Contains(plan.Moves, move => move.To.BuyerId == dora && move.To.State == ClaimState.Claimed);
        Assert.DoesNotContain(plan.Moves, move => move.To.BuyerId == cleo);
    }

    [Fact]
    public void After_the_end_a_released_unit_goes_to_nobody()
    {
        var shard = Shard(units: 1, waitingList: 1);
        shard.Take(shard.Decide([One(ada), One(bruno)], Noon, TenMinutes).Plan);
        var plan = shard.Settle([new(shard.Of(ada)!.ClaimId, Paid: false, "x")], Noon.AddHours(2), TenMinutes, Nobody);
        Assert.Equal((-1, 0, 0), (plan.TakenMore, plan.PaidMore, plan.WaitingMore));
    }

    [Fact]
    public void News_twice_or_of_claims_that_are_over_change_nothing()
    {
        var shard = Shard(units: 2);
        shard.Take(shard.Decide([One(ada), One(bruno)], Noon, TenMinutes).Plan);
        var (adas, brunos) = (shard.Of(ada)!.ClaimId, shard.Of(bruno)!.ClaimId);

        var plan = shard.Settle([new(adas, true, ""), new(adas, true, ""), new(Guid.NewGuid(), true, "")], Noon, TenMinutes, Nobody);
        Assert.Single(plan.Moves);
        shard.Take(plan);
        Assert.Equal(1, shard.PaidUnits);
        Assert.True(shard.Settle([new(adas, true, "")], Noon, TenMinutes, Nobody).IsEmpty);

        shard.Take(shard.Settle([new(brunos, false, "x")], Noon, TenMinutes, Nobody));
        Assert.True(shard.Settle([new(brunos, false, "x"), new(brunos, true, "")], Noon, TenMinutes, Nobody).IsEmpty);
    }

    [Fact]
    public void Paid_and_cancelled_in_either_order_is_cancelled()
    {
        var shard = Shard(units: 1);
        shard.Take(shard.Decide([One(ada)], Noon, TenMinutes).Plan);
        var claim = shard.Of(ada)!.ClaimId;
        Assert.Equal(ClaimState.Released, Assert.Single(shard.Settle([new(claim, true, ""), new(claim, false, "x")], Noon, TenMinutes, Nobody).Moves).To.State);

        shard.Take(shard.Settle([new(claim, true, "")], Noon, TenMinutes, Nobody));
        Assert.True(shard.IsPaidUp);
        var plan = shard.Settle([new(claim, false, "changed my mind")], Noon, TenMinutes, Nobody);
        Assert.Equal((-1, -1, 0), (plan.TakenMore, plan.PaidMore, plan.WaitingMore));
        shard.Take(plan);
        Assert.Equal((1, 0), (shard.Free, shard.PaidUnits));
    }

    [Fact]
    public void What_was_rebuilt_goes_on_where_it_stopped()
    {
        var shard = Shard(units: 3, waitingList: 2);
        shard.Take(shard.Decide([One(ada), One(bruno), One(cleo), One(dora)], Noon, TenMinutes).Plan);
        shard.Take(shard.Settle([new(shard.Of(ada)!.ClaimId, false, "x")], Noon, TenMinutes, Nobody));     // dora moves up

        var rebuilt = new ShardMemory(shard.Terms, shard.Version, new[] { bruno, cleo, dora }.Select(buyer => shard.Of(buyer)!), [ada.GetHashCode()]);
        Assert.Equal((shard.Free, shard.WaitingUnits, shard.PaidUnits), (rebuilt.Free, rebuilt.WaitingUnits, rebuilt.PaidUnits));
        Assert.Equal(Outcome.UsedUp, rebuilt.Decide([One(ada)], Noon, TenMinutes).Answers[0].Outcome);
        Assert.Equal(ClaimState.Waiting, rebuilt.Decide([Some(ada, 1, rank: 99)], Noon, TenMinutes).Answers[0].Claim!.State);
    }

    [Fact]
    public void A_place_is_good_for_one_claim()
    {
        var shard = Shard(units: 2);
        shard.Take(shard.Decide([One(ada)], Noon, TenMinutes).Plan);
        shard.Take(shard.Settle([new(shard.Of(ada)!.ClaimId, false, "card_declined")], Noon, TenMinutes, Nobody));

        Assert.Equal(Outcome.UsedUp, shard.Decide([One(ada)], Noon, TenMinutes).Answers[0].Outcome);
        Assert.Equal(Outcome.Held, shard.Decide([Some(ada, 1, rank: 99)], Noon, TenMinutes).Answers[0].Outcome);
    }

    [Fact]
    public void Shards_have_every_unit_once()
    {
        var all = Enumerable.Range(0, 3).SelectMany(number =>
        {
            var shard = Shard(units: number == 0 ? 4 : 3, shards: 3, number: number);
            return shard.Decide([.. Enumerable.Range(0, shard.Terms.Units).Select(_ => One(Guid.NewGuid()))], Noon, TenMinutes).Plan.New.SelectMany(claim => claim.Units);
        });
        Assert.Equal(Enumerable.Range(1, 10), all.Order());
    }

    private static Wish One(Guid buyer) => Some(buyer, 1);

    private static Wish Some(Guid buyer, int quantity, bool mayWait = true, long? rank = null) => new(buyer, rank ?? buyer.GetHashCode(), quantity, mayWait);

    private static ShardMemory Shard(int units = 10, int waitingList = 10, int shards = 1, int number = 0) => new(
        new ShardTerms(Guid.NewGuid(), number, shards, Guid.NewGuid(), Guid.NewGuid(), "Trail shoe", Money.Gbp(4900), units, waitingList, Noon, Noon.AddHours(1), IsOn: true),
        version: 0, [], []);
}
