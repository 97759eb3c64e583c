using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.FlashSales.Claims;
using Marketplace.FlashSales.Tests.WaitingRoom;
using Marketplace.FlashSales.WaitingRoom;

namespace Marketplace.FlashSales.Tests.Claims;

/// <summary>The place in the queue is used up with the claim, so joining is another one, at the back, without having to leave first.</summary>
public sealed class WhenAClaimCameToNothing : IAsyncLifetime
{
    private ClaimCounter counter = null!;

    public async ValueTask InitializeAsync() => counter = await ClaimCounter.OpenAsync();

    public async ValueTask DisposeAsync()
    {
        await counter.BooksBalanceAsync();
        await counter.DisposeAsync();
    }

    [Fact]
    public async Task Joining_anew_is_another_try()
    {
        var (sale, queue) = await counter.OpenSaleAsync(people: 3, units: 1, waitingList: 0);
        var ada = queue[0];
        using var first = await counter.PostClaimAsync(ada);
        var order = (await first.Content.ReadFromJsonAsync<JsonElement>(TestContext.Current.CancellationToken)).GetProperty("orderId").GetGuid();
        Assert.Equal(ada.Number, counter.Shop.TicketOf(await counter.Shop.JoinAsync(sale, ada.BuyerId)).Number);

        await counter.FailAsync(order);
        using (var used = await counter.PostClaimAsync(ada)) await used.ProblemAsync(HttpStatusCode.Conflict, "claim-released");
        await counter.Shop.PassAsync(sale, 1);
        var again = counter.Shop.TicketOf(await counter.Shop.JoinAsync(sale, ada.BuyerId));

        Assert.True(sale.RankOf(again) >= sale.Early);
        Assert.Equal(again, counter.Shop.TicketOf(await counter.Shop.JoinAsync(sale, ada.BuyerId)));
        await counter.Shop.PassAsync(sale, 1);
        using var second = await counter.PostClaimAsync(again);
        Assert.Equal(HttpStatusCode.Accepted, second.StatusCode);
    }

    [Fact]
    public async Task So_it_is_after_the_waiting_list_was_left()
    {
        var (sale, queue) = await counter.OpenSaleAsync(people: 2, units: 1, waitingList: 1);
        foreach (var ticket in queue) (await counter.PostClaimAsync(ticket)).Dispose();
        Assert.Equal(HttpStatusCode.NoContent, await counter.LeaveListAsync(queue[1]));
        await counter.Shop.PassAsync(sale, 1);

        Assert.True(sale.RankOf(counter.Shop.TicketOf(await counter.Shop.JoinAsync(sale, queue[1].BuyerId))) >= sale.Early);
    }

    [Fact]
    public async Task Who_leaves_the_list_at_the_moment_at_which_it_moves_to_another_shard_has_left_it()
    {
        var (sale, queue) = await counter.OpenSaleAsync(people: 4, units: 2, waitingList: 4);
        await counter.Shop.Service.ScalarAsync<object>("UPDATE sales SET shards = 2 WHERE sale_id = $1", sale.SaleId);
        foreach (var ticket in queue) (await counter.PostClaimAsync(ticket)).Dispose();
        var mine = (await counter.LastClaimAsync(sale, queue[3].BuyerId))!;
        Assert.Equal("waiting", mine.Claim.State);

        var moved = false;
        counter.Shards.Before = async () =>
        {
            if (moved) return;
            moved = true;
            var store = counter.Shop.Get<ClaimStore>();
            var from = (await store.LoadAsync(sale.SaleId, mine.Shard, default)).Memory!;
            await store.HandOverAsync(new(from.Terms, from.Version) { NeedsOpenSale = true }, 1 - mine.Shard, 10, default);
        };

        Assert.Equal(HttpStatusCode.NoContent, await counter.LeaveListAsync(queue[3]));
        Assert.Equal("missed", (await counter.MineAsync(queue[3])).GetProperty("status").GetString());
        Assert.Equal(1L, await counter.CountAsync(sale, "waiting"));
    }

    [Fact]
    public async Task A_shard_that_is_away_keeps_no_other_sale_from_its_end()
    {
        var sales = new[] { await counter.OpenSaleAsync(people: 2, units: 1, waitingList: 1), await counter.OpenSaleAsync(people: 2, units: 1, waitingList: 1) };
        foreach (var ticket in sales.SelectMany(each => each.Queue)) (await counter.PostClaimAsync(ticket)).Dispose();
        counter.Shop.Clock.Advance(TimeSpan.FromHours(2));

        var away = true;
        counter.Shards.Before = () =>
        {
            var throws = away;
            away = false;
            return throws ? throw new ShardAwayException(Guid.Empty, 0, new HttpRequestException("away")) : Task.CompletedTask;
        };
        foreach (var order in await counter.Shop.Service.ScalarAsync<Guid[]>("SELECT array_agg(order_id) FROM claims WHERE state = 'claimed'") ?? [])
            counter.Shop.Neighbour("ordering").On(HttpMethod.Post, $"/internal/flash-orders/{order}/abandonment", new { status = "pending" });
        await counter.SweepAsync();

        Assert.Equal(1L, await counter.Shop.Service.ScalarAsync<long>("SELECT count(*) FROM claims WHERE state = 'waiting'"));
        await counter.SweepAsync();
        Assert.Equal(0L, await counter.Shop.Service.ScalarAsync<long>("SELECT count(*) FROM claims WHERE state = 'waiting'"));
    }
}
