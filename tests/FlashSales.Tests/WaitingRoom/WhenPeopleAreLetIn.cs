using System.Net;
using System.Net.Http.Json;
using Marketplace.FlashSales.Sales;
using Marketplace.FlashSales.WaitingRoom;
using Marketplace.WaitingRoom;

namespace Marketplace.FlashSales.Tests.WaitingRoom;

public sealed class WhenPeopleAreLetIn
{
    [Fact]
    public async Task A_ticket_may_claim_from_its_turn_on_until_the_admission_lapses()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var sale = await shop.HasSaleAsync(admissionRate: 10, admissionSeconds: 60);
        var tickets = await TicketsAsync(shop, sale, 100);
        Assert.Equal(EntryState.NotStarted, await shop.MayClaimAsync(tickets[0]));

        sale = await shop.StartAsync(sale);
        tickets = [.. tickets.OrderBy(ticket => sale.RankOf(ticket))];
        Assert.Equal((EntryState.Yes, EntryState.NotAdmitted), (await shop.MayClaimAsync(tickets[0]), await shop.MayClaimAsync(tickets[25])));

        await shop.PassAsync(sale, 2);
        var entry = await shop.Get<AdmissionBoard>().MayClaimAsync(tickets[59], default);
        Assert.Equal((EntryState.NotAdmitted, 59L, 40L), (entry.State, entry.Rank, entry.Standing?.Position));
        Assert.Equal(EntryState.Yes, await shop.MayClaimAsync(tickets[25]));

        for (var i = 0; i < 61; i++) await shop.PassAsync(sale, 1);
        Assert.Equal((EntryState.Lapsed, EntryState.Yes), (await shop.MayClaimAsync(tickets[0]), await shop.MayClaimAsync(tickets[99])));
        var back = await shop.JoinAsync(sale, tickets[0].BuyerId);
        Assert.Equal(100, sale.RankOf(shop.TicketOf(back)));
        Assert.Equal([TicketPlace.Replaced, TicketPlace.Current], await CheckAsync(shop, sale, tickets[0], shop.TicketOf(back)));
    }

    [Fact]
    public async Task Never_more_are_inside_than_may_be_and_each_answer_lets_another_in()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var sale = await shop.HasSaleAsync(admissionRate: 1000, insideLimit: 20);
        var tickets = await TicketsAsync(shop, sale, 100);
        sale = await shop.StartAsync(sale);
        tickets = [.. tickets.OrderBy(ticket => sale.RankOf(ticket))];

        await shop.PassAsync(sale, 1);
        var full = await shop.PassAsync(sale, 5);
        Assert.Equal((20L, 0), (full.Head, full.Room));
        Assert.Equal(20, await InsideAsync(shop, sale));

        await shop.Get<Places>().FinishAsync(sale, tickets[..7], default);
        await shop.Get<Places>().FinishAsync(sale.SaleId, [0, 1, 2], default);          // told twice
        await shop.LeaveAsync(sale, tickets[10].BuyerId);
        var freed = await shop.PassAsync(sale, 1);
        Assert.Equal((20L, 8), (freed.Head, freed.Room));
        Assert.Equal(28, (await shop.PassAsync(sale, 1)).Head);
        Assert.Equal(20, await InsideAsync(shop, sale));
    }

    [Fact]
    public async Task When_nothing_is_left_nobody_is_let_in_until_something_comes_back()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var sale = await shop.HasSaleAsync(units: 10, waitingList: 5, admissionRate: 10, insideLimit: 500);
        await TicketsAsync(shop, sale, 200);
        sale = await shop.StartAsync(sale);
        await shop.PassAsync(sale, 1);
        await shop.Service.ScalarAsync<object>("INSERT INTO claim_counts (sale_id, shard, units, waiting_list, taken, waiting) VALUES ($1, 0, 10, 5, 10, 5)", sale.SaleId);

        var stopped = await shop.PassAsync(sale, 1);
        Assert.Equal((SalePhase.Allocated, 0, 20L, 10), (stopped.Phase, stopped.Remaining, stopped.Head, stopped.Room));
        await shop.PassAsync(sale, 1);
        for (var i = 0; i < 5; i++) Assert.Equal(30, (await shop.PassAsync(sale, 10)).HeadAt(shop.Now.AddHours(1)));

        await shop.Service.ScalarAsync<object>("UPDATE claim_counts SET taken = 9, waiting = 0");
        await shop.PassAsync(sale, 1);
        Assert.Equal(40, (await shop.PassAsync(sale, 1)).Head);
    }

    [Fact]
    public async Task Replicas_that_look_at_the_same_moment_take_one_step_together_and_one_alone_goes_on()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        await using (var other = await shop.SecondReplicaAsync())
        {
            var sale = await shop.HasSaleAsync(admissionRate: 10);
            await TicketsAsync(shop, sale, 50);
            shop.Clock.Advance(sale.StartsAt - shop.Now);
            await Task.WhenAll(Enumerable.Range(0, 10).Select(i => (i % 2 == 0 ? shop : other).Get<AdmissionStore>().DrawAsync(sale.SaleId, shop.Now, default)));
            for (var step = 1; step <= 5; step++)
            {
                shop.Clock.Advance(TimeSpan.FromMilliseconds(500));
                var taken = await Task.WhenAll(Enumerable.Range(0, 10).Select(i => (i % 2 == 0 ? shop : other).Get<AdmissionStore>().StepAsync(sale.SaleId, shop.Now, default)));
                Assert.Single(taken, one => one is not null);
            }

            Assert.Equal(5, await shop.Service.ScalarAsync<long>("SELECT max(step) FROM admissions"));
            Assert.Equal(25, (await shop.AdmissionAsync(sale)).Head);
        }

        shop.Clock.Advance(TimeSpan.FromSeconds(2));
        await shop.RoundAsync();
        Assert.Equal(45, await shop.Service.ScalarAsync<long>("SELECT max(head) FROM admissions"));
    }

    [Fact]
    public async Task A_quiet_queue_fills_no_log()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var sale = await shop.HasSaleAsync(admissionRate: 1000, insideLimit: 10);
        await TicketsAsync(shop, sale, 3);
        sale = await shop.StartAsync(sale);
        for (var i = 0; i < 60; i++) await shop.PassAsync(sale, 1);
        Assert.InRange(await shop.Service.ScalarAsync<long>("SELECT count(*) FROM admissions"), 2, 6);

        // Whoever comes then is let in at once, and for as long as anybody.
        var late = shop.TicketOf(await shop.JoinAsync(sale, (await shop.PreparedAsync(1))[0]));
        for (var i = 0; i < 100; i++)
        {
            await shop.PassAsync(sale, 1);
            Assert.Equal(EntryState.Yes, await shop.MayClaimAsync(late));
        }
        await shop.PassAsync(sale, 30);
        Assert.Equal(EntryState.Lapsed, await shop.MayClaimAsync(late));
    }

    [Fact]
    public async Task The_gateway_reads_every_sale_that_shoppers_may_ask_about_and_nobody_else_does()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var soon = await shop.HasSaleAsync();
        var running = await shop.HasSaleAsync();
        var far = await shop.HasSaleAsync(startsIn: TimeSpan.FromDays(20));
        var ended = await shop.HasSaleAsync(status: SaleStatus.Ended);
        await shop.HasSaleAsync(status: SaleStatus.Preparing);
        await shop.Service.ScalarAsync<object>("UPDATE sales SET starts_at = $2 WHERE sale_id = $1", running.SaleId, shop.Now);
        await shop.RoundAsync();

        var reply = (await shop.Service.AsNeighbour("gateway").GetFromJsonAsync<AdmissionsReply>("/internal/flash-sales/admissions", TestContext.Current.CancellationToken))!;
        Assert.Equal(shop.Now, reply.ServedAt);
        Assert.Equal(
            new[] { (soon.SaleId, SalePhase.Scheduled, false), (running.SaleId, SalePhase.Open, true), (far.SaleId, SalePhase.Scheduled, false), (ended.SaleId, SalePhase.Ended, false) }.Order(),
            reply.Sales.Select(sale => (sale.SaleId, sale.Phase, sale.IsDrawn)).Order());

        using var another = await shop.Service.AsNeighbour("ordering").GetAsync(new Uri("/internal/flash-sales/admissions", UriKind.Relative), TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.Forbidden, another.StatusCode);

        shop.Clock.Advance(TimeSpan.FromHours(1.1));
        var later = (await shop.Service.AsNeighbour("gateway").GetFromJsonAsync<AdmissionsReply>("/internal/flash-sales/admissions", TestContext.Current.CancellationToken))!;
        Assert.DoesNotContain(later.Sales, sale => sale.SaleId == ended.SaleId);
    }

    [Fact]
    public async Task After_the_end_nobody_may_claim()
    {
        await using var shop = await FlashSalesFixture.OpenAsync();
        var sale = await shop.HasSaleAsync(lasts: TimeSpan.FromMinutes(1));
        var ticket = (await TicketsAsync(shop, sale, 1))[0];
        sale = await shop.StartAsync(sale);
        await shop.PassAsync(sale, 59);
        Assert.Equal(EntryState.Yes, await shop.MayClaimAsync(ticket));
        await shop.PassAsync(sale, 1);
        Assert.Equal(EntryState.Over, await shop.MayClaimAsync(ticket));
        Assert.Equal(EntryState.Over, await shop.MayClaimAsync(ticket with { SaleId = Guid.CreateVersion7() }));
    }

    private static async Task<Ticket[]> TicketsAsync(FlashSalesFixture shop, Sale sale, int size)
    {
        var crowd = await shop.PreparedAsync(size);
        return [.. (await Task.WhenAll(crowd.Select(buyer => shop.JoinAsync(sale, buyer)))).Select(shop.TicketOf)];
    }

    private static Task<IReadOnlyList<TicketPlace>> CheckAsync(FlashSalesFixture shop, Sale sale, params Ticket[] tickets) =>
        shop.Get<Places>().CheckAsync(sale.SaleId, [.. tickets.Select(ticket => (ticket.BuyerId, ticket))], default);

    private static async Task<int> InsideAsync(FlashSalesFixture shop, Sale sale) =>
        await shop.Service.ScalarAsync<int>("SELECT inside FROM admissions WHERE sale_id = $1 ORDER BY step DESC LIMIT 1", sale.SaleId);
}
