using Marketplace.Contracts;
using Marketplace.FlashSales.Claims;
using Marketplace.FlashSales.Sales;

namespace Marketplace.FlashSales.Tests.Claims;

public sealed class WhenOrdersEnd : IAsyncLifetime
{
    private ClaimCounter counter = null!;
    private Sale sale = null!;
    private Guid ada, bruno, cleo;
    private Decided adas, brunos;

    public async ValueTask InitializeAsync()
    {
        counter = await ClaimCounter.OpenAsync();
        sale = await counter.Shop.HasSaleAsync(units: 1, startsIn: TimeSpan.FromSeconds(-1), waitingList: 2);
        (ada, bruno, cleo) = (await counter.HasShopperAsync(), await counter.HasShopperAsync(), await counter.HasShopperAsync());
        adas = await counter.ClaimAsync(sale, ada);
        brunos = await counter.ClaimAsync(sale, bruno);
        await counter.ClaimAsync(sale, cleo);
    }

    public async ValueTask DisposeAsync()
    {
        await counter.BooksBalanceAsync();
        await counter.DisposeAsync();
    }

    [Fact]
    public async Task A_declined_card_gives_the_unit_to_the_next_at_once()
    {
        Assert.Equal((ClaimState.Waiting, 1), (brunos.State, brunos.Position));
        await counter.FailAsync(adas.OrderId!.Value);

        Assert.Equal((1, 0, 1), await counter.CountsAsync(sale));
        var standing = await counter.LastClaimAsync(sale, bruno);
        Assert.Equal((ClaimState.Claimed, brunos.ClaimId), (standing!.Claim.State, standing.Claim.ClaimId));
        Assert.Equal(1, (await counter.LastClaimAsync(sale, cleo))!.Position);

        var released = Assert.Single(await counter.Shop.Service.EventsAsync<FlashSaleReleased>());
        Assert.Equal((ada, adas.OrderId, "card_declined", 1), (released.BuyerId, released.OrderId, released.Reason, released.Quantity));
        var claimed = (await counter.Shop.Service.EventsAsync<FlashSaleClaimed>())[^1];
        Assert.Equal((bruno, true, standing.Claim.OrderId), (claimed.BuyerId, claimed.FromWaitingList, claimed.OrderId));
        Assert.Equal("card_declined", (await counter.LastClaimAsync(sale, ada))!.Reason);
    }

    [Fact]
    public async Task News_twice_are_news_once()
    {
        await using var other = await counter.SecondAsync();
        for (var times = 0; times < 2; times++)
            await Task.WhenAll(counter.FailAsync(adas.OrderId!.Value), other.FailAsync(adas.OrderId!.Value), counter.CancelAsync(adas.OrderId!.Value));

        Assert.Single(await counter.Shop.Service.EventsAsync<FlashSaleReleased>());
        Assert.Equal((1, 0, 1), await counter.CountsAsync(sale));
    }

    [Fact]
    public async Task Confirmed_after_cancelled_stays_cancelled()
    {
        await counter.CancelAsync(adas.OrderId!.Value);
        await counter.ConfirmAsync(adas.OrderId!.Value);
        Assert.Equal(ClaimState.Released, (await counter.LastClaimAsync(sale, ada))!.Claim.State);
    }

    [Fact]
    public async Task An_order_of_no_sale_is_nobodys_business()
    {
        var calls = counter.Shards.Calls;
        await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => counter.ConfirmAsync(Guid.CreateVersion7())));
        Assert.Equal(calls, counter.Shards.Calls);
    }

    [Fact]
    public async Task When_every_unit_is_paid_for_the_sale_ends_and_who_waited_is_told_once()
    {
        await counter.ConfirmAsync(adas.OrderId!.Value);
        await counter.ConfirmAsync(adas.OrderId!.Value);
        await counter.SweepAsync();

        var ended = await counter.Shop.SaleAsync(sale.SaleId);
        Assert.Equal((SaleStatus.Ended, SaleEnd.SoldOut), (ended!.Status, ended.EndReason));
        var told = Assert.Single(await counter.Shop.Service.EventsAsync<FlashSaleSoldOut>());
        Assert.Equal((sale.SaleId, sale.ProductId, sale.SellerId, 1), (told.SaleId, told.ProductId, told.SellerId, told.Units));
        Assert.Equal(new[] { bruno, cleo }.Order(), (await counter.Shop.Service.EventsAsync<FlashSaleMissed>()).Select(missed => missed.BuyerId).Order());
        Assert.Equal((1, 1, 0), await counter.CountsAsync(sale));
        Assert.Equal(MissedReason.SoldOut, (await counter.LastClaimAsync(sale, bruno))!.Reason);
    }

    [Fact]
    public async Task A_sale_that_was_paid_for_as_the_replica_died_is_ended_by_the_sweep()
    {
        // What a crash between the two transactions leaves behind.
        await counter.Shop.Service.ScalarAsync<object>("""
            WITH paid AS (UPDATE claims SET state = 'paid' WHERE claim_id = $1) UPDATE claim_counts SET paid = 1, version = version + 1
            """, adas.ClaimId!.Value);

        await Task.WhenAll(counter.SweepAsync(), counter.SweepAsync());

        Assert.Single(await counter.Shop.Service.EventsAsync<FlashSaleSoldOut>());
        Assert.Equal(2, (await counter.Shop.Service.EventsAsync<FlashSaleMissed>()).Count);
        Assert.Equal(2L, await counter.CountAsync(sale, ClaimState.Missed));
    }

    [Fact]
    public async Task When_the_sale_ends_early_who_waits_is_told_and_who_has_a_unit_goes_on()
    {
        await counter.Shop.Service.ScalarAsync<object>(
            "UPDATE sales SET status = 'ended', end_reason = 'by_seller', ended_at = $2 WHERE sale_id = $1", sale.SaleId, counter.Shop.Now);
        await counter.SweepAsync();
        await counter.SweepAsync();

        Assert.Equal(2, (await counter.Shop.Service.EventsAsync<FlashSaleMissed>()).Count);
        Assert.Equal(MissedReason.Ended, (await counter.LastClaimAsync(sale, cleo))!.Reason);
        Assert.Equal(ClaimState.Claimed, (await counter.LastClaimAsync(sale, ada))!.Claim.State);

        await counter.FailAsync(adas.OrderId!.Value);
        Assert.Equal((0, 0, 0), await counter.CountsAsync(sale));
        Assert.Equal(Outcome.Over, (await counter.ClaimAsync(sale, await counter.HasShopperAsync())).Outcome);
    }

    [Fact]
    public async Task At_the_end_of_its_time_nobody_moves_up_any_more()
    {
        counter.Shop.Clock.Advance(TimeSpan.FromHours(2));
        await counter.FailAsync(adas.OrderId!.Value);
        await counter.SweepAsync();
        Assert.Equal((0, 0, 0), await counter.CountsAsync(sale));
        Assert.Equal(2, (await counter.Shop.Service.EventsAsync<FlashSaleMissed>()).Count);
    }

    [Fact]
    public async Task Who_leaves_the_waiting_list_is_not_the_next()
    {
        Assert.True(await counter.Desk.LeaveAsync((await counter.LastClaimAsync(sale, bruno))!, sale.SaleId));
        Assert.False(await counter.Desk.LeaveAsync((await counter.LastClaimAsync(sale, bruno))!, sale.SaleId));

        await counter.FailAsync(adas.OrderId!.Value);
        Assert.Equal(ClaimState.Claimed, (await counter.LastClaimAsync(sale, cleo))!.Claim.State);
        Assert.Empty(await counter.Shop.Service.EventsAsync<FlashSaleMissed>());
    }

    [Fact]
    public async Task Who_cancels_a_paid_order_gives_the_unit_to_the_next()
    {
        sale = await counter.Shop.HasSaleAsync(units: 2, startsIn: TimeSpan.FromSeconds(-1), waitingList: 2);
        var first = await counter.ClaimAsync(sale, ada);
        await counter.ClaimAsync(sale, cleo);
        await counter.ClaimAsync(sale, bruno);
        await counter.ConfirmAsync(first.OrderId!.Value);
        await counter.CancelAsync(first.OrderId!.Value);

        Assert.Equal((2, 0, 0), await counter.CountsAsync(sale));
        Assert.Equal(ClaimState.Claimed, (await counter.LastClaimAsync(sale, bruno))!.Claim.State);
    }

    [Fact]
    public async Task Units_that_came_back_in_another_shard_are_found_by_who_waits()
    {
        sale = await counter.Shop.HasSaleAsync(units: 2, startsIn: TimeSpan.FromSeconds(-1), waitingList: 4, shards: 2);
        var buyers = Enumerable.Range(0, 1_000).Select(_ => Guid.CreateVersion7()).ToLookup(buyer => ClaimDesk.HomeOf(buyer, 2));
        var (zeros, ones) = (buyers[0].Take(2).ToArray(), buyers[1].Take(1).ToArray());
        await counter.HaveCheckoutsAsync([.. zeros, .. ones]);
        await counter.ClaimAsync(sale, zeros[0]);
        var released = await counter.ClaimAsync(sale, ones[0]);
        Assert.Equal(ClaimState.Waiting, (await counter.ClaimAsync(sale, zeros[1])).State);      // in shard 0

        await counter.FailAsync(released.OrderId!.Value);                                        // in shard 1
        Assert.Equal((1, 0, 1), await counter.CountsAsync(sale));
        await counter.SweepAsync();

        Assert.Equal((2, 0, 0), await counter.CountsAsync(sale));
        Assert.Equal((ClaimState.Claimed, 1), ((await counter.LastClaimAsync(sale, zeros[1]))!.Claim.State, (await counter.LastClaimAsync(sale, zeros[1]))!.Shard));
    }

    [Fact]
    public async Task A_sale_in_shards_is_sold_out_when_the_last_of_them_is_paid()
    {
        sale = await counter.Shop.HasSaleAsync(units: 4, startsIn: TimeSpan.FromSeconds(-1), waitingList: 4, shards: 4);
        var answers = new List<Decided>();
        foreach (var buyer in await counter.HasShoppersAsync(6)) answers.Add(await counter.ClaimAsync(sale, buyer));
        var orders = answers.Where(answer => answer.OrderId is not null).Select(answer => answer.OrderId!.Value).ToList();
        Assert.Equal(4, orders.Count);

        await Task.WhenAll(orders.Take(3).Select(counter.ConfirmAsync));
        Assert.Empty(await counter.Shop.Service.EventsAsync<FlashSaleSoldOut>());
        await counter.ConfirmAsync(orders[3]);
        await counter.SweepAsync();

        Assert.Single(await counter.Shop.Service.EventsAsync<FlashSaleSoldOut>());
        Assert.Equal(answers.Count(answer => answer.State == ClaimState.Waiting), (await counter.Shop.Service.EventsAsync<FlashSaleMissed>()).Count);
        Assert.Equal((4, 4, 0), await counter.CountsAsync(sale));
    }

    [Fact]
    public async Task Who_waits_and_has_left_no_address_any_more_is_passed_by()
    {
        await counter.Shop.Service.ScalarAsync<object>("DELETE FROM express_checkouts WHERE buyer_id = $1", bruno);
        await counter.FailAsync(adas.OrderId!.Value);

        Assert.Equal(MissedReason.NoCheckout, (await counter.LastClaimAsync(sale, bruno))!.Reason);
        Assert.Equal(ClaimState.Claimed, (await counter.LastClaimAsync(sale, cleo))!.Claim.State);
    }

    [Fact]
    public async Task Nothing_is_claimed_after_the_moment_a_sale_was_ended()
    {
        sale = await counter.Shop.HasSaleAsync(units: 1_000, startsIn: TimeSpan.FromSeconds(-1));
        await using var small = await ClaimCounter.OpenAsync(new Dictionary<string, string?> { ["Claims:BatchSize"] = "8" }, of: counter);
        var buyers = await counter.HasShoppersAsync(500);
        var claims = Task.WhenAll(buyers.Select(buyer => small.ClaimAsync(sale, buyer)));
        await TestKit.Eventually.Async(async () => (await counter.CountsAsync(sale)).Taken > 8, "claims are coming in");

        // As the seller's end does: from here on, what somebody has is what stock keeps.
        var ended = await counter.Shop.Service.ScalarAsync<long>("""
            WITH ended AS (UPDATE sales SET status = 'ended', end_reason = 'by_seller', ended_at = $2 WHERE sale_id = $1 RETURNING sale_id) SELECT count(*) FROM ended
            """, sale.SaleId, counter.Shop.Now);
        var claimed = await counter.CountsAsync(sale);
        var answers = await claims;

        Assert.Equal(1L, ended);
        Assert.Equal(claimed, await counter.CountsAsync(sale));
        Assert.Equal(claimed.Taken, answers.Count(answer => answer.State == ClaimState.Claimed));
        Assert.All(answers.Where(answer => answer.State is null), answer => Assert.Equal(Outcome.Over, answer.Outcome));
    }
}
