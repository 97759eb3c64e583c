using Marketplace.FlashSales.Sales;
using Marketplace.FlashSales.WaitingRoom;
using Marketplace.WaitingRoom;

namespace Marketplace.FlashSales.Tests.WaitingRoom;

public sealed class WhenSomebodyLeaves
{
    [Fact]
    public async Task Coming_back_after_the_start_is_at_the_back_and_the_old_ticket_is_good_for_nothing()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var sale = await shop.HasSaleAsync();
        var crowd = await shop.PreparedAsync(10);
        foreach (var buyer in crowd[..9]) await shop.JoinAsync(sale, buyer);
        sale = await shop.StartAsync(sale);
        await shop.JoinAsync(sale, crowd[9]);
        var old = shop.TicketOf(await shop.JoinAsync(sale, crowd[0]));

        await shop.LeaveAsync(sale, crowd[0]);
        Assert.Equal(TicketPlace.Replaced, await CheckAsync(shop, old));
        var again = shop.TicketOf(await shop.JoinAsync(sale, crowd[0]));

        Assert.Equal(10, sale.RankOf(again));
        Assert.Equal(TicketPlace.Replaced, await CheckAsync(shop, old));
        Assert.Equal(TicketPlace.Current, await CheckAsync(shop, again));
        Assert.Equal(again, shop.TicketOf(await shop.JoinAsync(sale, crowd[0])));
    }

    [Fact]
    public async Task Before_the_start_it_neither_helps_nor_harms_and_uses_up_no_numbers()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var sale = await shop.HasSaleAsync();
        var crowd = await shop.PreparedAsync(5);
        foreach (var buyer in crowd) await shop.JoinAsync(sale, buyer);

        var ticket = shop.TicketOf(await shop.JoinAsync(sale, crowd[0]));
        for (var i = 0; i < 50; i++)
        {
            await shop.LeaveAsync(sale, crowd[0]);
            Assert.Equal(TicketPlace.Replaced, await CheckAsync(shop, ticket));
            Assert.Equal(ticket, shop.TicketOf(await shop.JoinAsync(sale, crowd[0])));
        }

        sale = await shop.StartAsync(sale);
        Assert.InRange(sale.Early!.Value, 5, 6);
        Assert.Equal(TicketPlace.Current, await CheckAsync(shop, ticket));
    }

    [Fact]
    public async Task Whoever_left_before_the_start_holds_nobody_up_and_comes_back_at_the_back()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var sale = await shop.HasSaleAsync(admissionRate: 10, insideLimit: 10);
        var crowd = await shop.PreparedAsync(40);
        foreach (var buyer in crowd) await shop.JoinAsync(sale, buyer);
        foreach (var buyer in crowd[..30]) await shop.LeaveAsync(sale, buyer);
        sale = await shop.StartAsync(sale);

        for (var i = 0; i < 20; i++) await shop.PassAsync(sale, 1);
        Assert.Equal(10, await shop.Service.ScalarAsync<int>("SELECT inside FROM admissions ORDER BY step DESC LIMIT 1"));
        foreach (var buyer in crowd[30..])
            Assert.Equal(EntryState.Yes, await shop.MayClaimAsync(shop.TicketOf(await shop.JoinAsync(sale, buyer))));

        Assert.Equal(sale.Early, sale.RankOf(shop.TicketOf(await shop.JoinAsync(sale, crowd[0]))));
    }

    [Fact]
    public async Task Leaving_twice_or_without_a_place_changes_nothing()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var sale = await shop.HasSaleAsync();
        var ada = (await shop.PreparedAsync(1))[0];
        await shop.LeaveAsync(sale, ada);
        await shop.JoinAsync(sale, ada);
        await Task.WhenAll(shop.LeaveAsync(sale, ada), shop.LeaveAsync(sale, ada));
        Assert.Equal(1, await shop.Service.ScalarAsync<long>("SELECT count(*) FROM places WHERE left_at IS NOT NULL"));
    }

    [Fact]
    public async Task Hammering_gives_no_advantage()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        await using var other = await shop.SecondReplicaAsync();
        var sale = await shop.HasSaleAsync();
        var crowd = await shop.PreparedAsync(3);
        foreach (var buyer in crowd) await shop.JoinAsync(sale, buyer);
        sale = await shop.StartAsync(sale);
        var place = shop.TicketOf(await shop.JoinAsync(sale, crowd[0]));

        await Task.WhenAll(Enumerable.Range(0, 300).Select(i => (i % 2 == 0 ? shop : other).JoinAsync(sale, crowd[0])));
        for (var i = 0; i < 20; i++)
        {
            shop.Clock.Advance(TimeSpan.FromSeconds(1));
            Assert.Equal(place, shop.TicketOf(await (i % 2 == 0 ? shop : other).JoinAsync(sale, crowd[0])));
        }
        Assert.Equal(0, await shop.Service.ScalarAsync<long>("SELECT count(*) FROM queue_numbers WHERE late"));       // it used up no numbers either

        // Leaving and coming back, again and again: each time further back, and once only in the queue.
        var rank = sale.RankOf(place)!.Value;
        for (var i = 0; i < 20; i++)
        {
            await shop.LeaveAsync(sale, crowd[0]);
            var next = sale.RankOf(shop.TicketOf(await (i % 2 == 0 ? shop : other).JoinAsync(sale, crowd[0])))!.Value;
            Assert.True(next > rank);
            rank = next;
        }
        Assert.Equal(3, await shop.Service.ScalarAsync<long>("SELECT count(*) FROM places"));
    }

    [Fact]
    public async Task A_place_whose_claim_came_to_nothing_is_used_up_and_joining_again_is_at_the_back()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var sale = await shop.HasSaleAsync(admissionRate: 1000);
        var crowd = await shop.PreparedAsync(3);
        foreach (var buyer in crowd) await shop.JoinAsync(sale, buyer);
        sale = await shop.StartAsync(sale);
        await shop.PassAsync(sale, 1);
        var (released, paid) = (shop.TicketOf(await shop.JoinAsync(sale, crowd[0])), shop.TicketOf(await shop.JoinAsync(sale, crowd[1])));
        await ClaimedAsync(shop, sale, released, "released");
        await ClaimedAsync(shop, sale, paid, "paid");

        Assert.Equal(paid, shop.TicketOf(await shop.JoinAsync(sale, crowd[1])));
        var again = shop.TicketOf(await shop.JoinAsync(sale, crowd[0]));
        Assert.Equal((true, sale.Early), (again.Late, sale.RankOf(again)));
        Assert.Equal(again, shop.TicketOf(await shop.JoinAsync(sale, crowd[0])));
    }

    [Fact]
    public async Task A_made_up_ticket_has_no_place()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var sale = await shop.HasSaleAsync();
        var ada = (await shop.PreparedAsync(1))[0];
        var ticket = shop.TicketOf(await shop.JoinAsync(sale, ada));
        Assert.Equal(TicketPlace.Unknown, await CheckAsync(shop, ticket with { BuyerId = Guid.CreateVersion7() }));
        Assert.Equal(TicketPlace.Replaced, await CheckAsync(shop, ticket with { Number = ticket.Number + 1 }));
        Assert.Equal(TicketPlace.Replaced, await CheckAsync(shop, ticket with { Late = true }));
    }

    private static Task ClaimedAsync(FlashSalesFixture shop, Sale sale, Ticket ticket, string state) => shop.Service.ScalarAsync<object>("""
        INSERT INTO claims (claim_id, sale_id, shard, buyer_id, rank, quantity, state, order_id, place, pay_until, created_at, changed_at)
        VALUES (gen_random_uuid(), $1, 0, $2, $3, 1, $4, gen_random_uuid(), 1, now(), now(), now())
        """, sale.SaleId, ticket.BuyerId, sale.RankOf(ticket)!.Value, state);

    private static async Task<TicketPlace> CheckAsync(FlashSalesFixture shop, Ticket ticket) =>
        Assert.Single(await shop.Get<Places>().CheckAsync(ticket.SaleId, [(ticket.BuyerId, ticket)], default));
}
