using System.Net;
using Marketplace.FlashSales.WaitingRoom;
using Marketplace.WaitingRoom;

namespace Marketplace.FlashSales.Tests.WaitingRoom;

public sealed class WhenSomebodyJoins
{
    [Fact]
    public async Task They_get_a_signed_ticket_for_their_place_and_are_told_when_it_begins()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var sale = await shop.HasSaleAsync(startsIn: TimeSpan.FromMinutes(10), admissionSeconds: 120);
        var ada = (await shop.PreparedAsync(1))[0];

        using var response = await shop.PostQueueAsync(sale, ada);
        var reply = await shop.JoinAsync(sale, ada);
        var ticket = shop.TicketOf(reply);

        Assert.Equal((sale.SaleId, ada, false), (ticket.SaleId, ticket.BuyerId, ticket.Late));
        Assert.Equal(sale.EndsAt.ToUnixTimeSeconds() + 120, ticket.Expires.ToUnixTimeSeconds());
        Assert.Equal((StandingState.BeforeStart, 600L, null), (reply.Standing.State, reply.Standing.StartsInSeconds, reply.Standing.Position));
        Assert.Equal(shop.Now, reply.Standing.ServerTime);
        Assert.Equal($"{reply.Standing.PollAfterSeconds}", response.Headers.RetryAfter?.ToString());
    }

    [Fact]
    public async Task Asking_again_from_another_device_or_replica_or_many_times_at_once_gives_the_same_place()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        await using var other = await shop.SecondReplicaAsync();
        var sale = await shop.HasSaleAsync();
        var ada = (await shop.PreparedAsync(1))[0];

        var replies = await Task.WhenAll(Enumerable.Range(0, 200).Select(i => (i % 2 == 0 ? shop : other).JoinAsync(sale, ada)));

        Assert.Single(replies.Select(reply => reply.Ticket).Distinct());
        Assert.Equal(1, await shop.Service.ScalarAsync<long>("SELECT count(*) FROM places"));
    }

    [Fact]
    public async Task Everybody_has_a_number_of_their_own_on_two_replicas_and_few_numbers_are_wasted()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        await using var other = await shop.SecondReplicaAsync();
        var sale = await shop.HasSaleAsync();
        var crowd = await shop.PreparedAsync(2_000);

        await Task.WhenAll(crowd.Select((buyer, i) => (i % 2 == 0 ? shop : other).JoinAsync(sale, buyer)));

        Assert.Equal(2_000, await shop.Service.ScalarAsync<long>("SELECT count(DISTINCT number) FROM places WHERE NOT late"));
        Assert.InRange(await shop.Service.ScalarAsync<long>("SELECT next FROM queue_numbers WHERE NOT late"), 2_000, 2_600);
    }

    [Fact]
    public async Task After_the_start_they_queue_behind_all_who_were_early_and_in_the_order_of_their_coming()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var sale = await shop.HasSaleAsync(admissionRate: 10);
        var crowd = await shop.PreparedAsync(30);
        var early = await Task.WhenAll(crowd[..20].Select(buyer => shop.JoinAsync(sale, buyer)));
        sale = await shop.StartAsync(sale);

        var ranks = early.Select(reply => sale.RankOf(shop.TicketOf(reply))).ToList();
        foreach (var buyer in crowd[20..])
            ranks.Add(sale.RankOf(shop.TicketOf(await shop.JoinAsync(sale, buyer))));

        Assert.Equal(Enumerable.Range(0, 20).Select(rank => (long?)rank), ranks[..20].Order());
        Assert.NotEqual(ranks[..20], ranks[..20].Order());
        Assert.Equal(Enumerable.Range(20, 10).Select(rank => (long?)rank), ranks[20..]);

        var last = await shop.JoinAsync(sale, crowd[29]);
        Assert.Equal((StandingState.Waiting, 30L, 29L, 3L), (last.Standing.State, last.Standing.Position, last.Standing.PeopleAhead, last.Standing.WaitSeconds));
    }

    [Fact]
    public async Task Whoever_joins_first_after_the_start_finds_the_draw_made()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        await using var other = await shop.SecondReplicaAsync();
        var sale = await shop.HasSaleAsync(startsIn: TimeSpan.FromSeconds(30));
        var crowd = await shop.PreparedAsync(2);
        await other.JoinAsync(sale, crowd[0]);
        shop.Clock.Advance(TimeSpan.FromSeconds(30));

        var (here, there) = (await shop.JoinAsync(sale, crowd[1]), await other.JoinAsync(sale, crowd[0]));

        Assert.True(shop.TicketOf(here).Late);
        Assert.False(shop.TicketOf(there).Late);
        Assert.Equal(1L, (await shop.SaleAsync(sale.SaleId))!.Early);
    }

    [Fact]
    public async Task Only_a_sale_that_is_announced_and_not_over_has_a_queue()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var ada = (await shop.PreparedAsync(1))[0];
        using var none = await shop.PostQueueAsync(await shop.HasSaleAsync(status: "preparing"), ada);
        await none.ProblemAsync(HttpStatusCode.NotFound, "not-found");
        using var ended = await shop.PostQueueAsync(await shop.HasSaleAsync(status: "ended"), ada);
        await ended.ProblemAsync(HttpStatusCode.Conflict, "sale-over");
        using var past = await shop.PostQueueAsync(await shop.HasSaleAsync(startsIn: TimeSpan.FromHours(-2), lasts: TimeSpan.FromHours(1)), ada);
        await past.ProblemAsync(HttpStatusCode.Conflict, "sale-over");
        Assert.Equal(0, await shop.Service.ScalarAsync<long>("SELECT count(*) FROM places"));
    }

    [Fact]
    public async Task A_guest_or_nobody_is_refused()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var sale = await shop.HasSaleAsync();
        var path = new Uri($"/api/v1/flash-sales/{sale.SaleId}/queue", UriKind.Relative);
        using var guest = await shop.AsGuest(Guid.CreateVersion7()).PostAsync(path, null, TestContext.Current.CancellationToken);
        using var nobody = await shop.Service.As(null).PostAsync(path, null, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.Unauthorized, nobody.StatusCode);
        var refused = await guest.ProblemAsync(HttpStatusCode.Forbidden, "forbidden");
        Assert.Equal("A guest may not; sign in, or open an account.", refused.GetProperty("detail").GetString());
    }
}
