using System.Net;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text.Json;
using Marketplace.Contracts;
using Marketplace.FlashSales.WaitingRoom;
using Marketplace.TestKit;
using Marketplace.WaitingRoom;

namespace Marketplace.FlashSales.Tests.Claims;

public sealed class WhenSomebodyClaims : IAsyncLifetime
{
    private ClaimCounter counter = null!;

    public async ValueTask InitializeAsync() => counter = await ClaimCounter.OpenAsync();

    public async ValueTask DisposeAsync()
    {
        await counter.BooksBalanceAsync();
        await counter.DisposeAsync();
    }

    [Fact]
    public async Task An_order_is_on_its_way_and_every_repeat_says_the_same()
    {
        var (sale, queue) = await counter.OpenSaleAsync(people: 2);
        await using var other = await counter.SecondAsync();
        using var first = await counter.PostClaimAsync(queue[0]);
        var placed = await first.Content.ReadFromJsonAsync<JsonElement>(TestContext.Current.CancellationToken);

        Assert.Equal(HttpStatusCode.Accepted, first.StatusCode);
        Assert.Equal(("placed", 1), (placed.GetProperty("status").GetString(), placed.GetProperty("quantity").GetInt32()));
        Assert.Equal($"/api/v1/orders/{placed.GetProperty("orderId").GetGuid()}", first.Headers.Location!.ToString());
        Assert.InRange(placed.GetProperty("payUntil").GetDateTimeOffset(), counter.Shop.Now + TimeSpan.FromMinutes(9.9), counter.Shop.Now + TimeSpan.FromMinutes(10));

        foreach (var replica in new[] { counter, other })
        {
            using var again = await replica.PostClaimAsync(queue[0], new { quantity = 1 });
            Assert.Equal(placed.GetRawText(), (await again.Content.ReadFromJsonAsync<JsonElement>(TestContext.Current.CancellationToken)).GetRawText());
        }
        Assert.Equal((1, 0, 0), await counter.CountsAsync(sale));
    }

    [Fact]
    public async Task The_waiting_room_hears_that_they_have_their_answer()
    {
        var (sale, queue) = await counter.OpenSaleAsync(people: 3, units: 1, waitingList: 1);
        foreach (var ticket in queue) (await counter.PostClaimAsync(ticket)).Dispose();
        await Eventually.Async(
            async () => await counter.Shop.Service.ScalarAsync<long>("SELECT count(*) FROM ranks_done WHERE sale_id = $1 AND NOT gap", sale.SaleId) == 3, "all three have left the inside");
    }

    [Fact]
    public async Task With_no_unit_left_they_wait_and_with_no_room_it_is_sold_out()
    {
        var (_, queue) = await counter.OpenSaleAsync(people: 3, units: 1, waitingList: 1);
        using var placed = await counter.PostClaimAsync(queue[0]);
        using var waiting = await counter.PostClaimAsync(queue[1]);
        using var late = await counter.PostClaimAsync(queue[2]);

        var waits = await waiting.Content.ReadFromJsonAsync<JsonElement>(TestContext.Current.CancellationToken);
        Assert.Equal((HttpStatusCode.Accepted, "waiting_list", 1), (waiting.StatusCode, waits.GetProperty("status").GetString(), waits.GetProperty("position").GetInt32()));
        await IsRefusedAsync(late, HttpStatusCode.Conflict, "sold-out");

        Assert.Equal("placed", (await counter.MineAsync(queue[0])).GetProperty("status").GetString());
        Assert.Equal(1, (await counter.MineAsync(queue[1])).GetProperty("position").GetInt32());
        Assert.Equal(HttpStatusCode.Conflict, await counter.LeaveListAsync(queue[0]));
        Assert.Equal(HttpStatusCode.NoContent, await counter.LeaveListAsync(queue[1]));
        Assert.Equal(HttpStatusCode.NoContent, await counter.LeaveListAsync(queue[1]));
        Assert.Equal("missed", (await counter.MineAsync(queue[1])).GetProperty("status").GetString());
        using var again = await counter.PostClaimAsync(queue[1]);
        await IsRefusedAsync(again, HttpStatusCode.Conflict, "claim-released");
    }

    [Fact]
    public async Task A_thousand_times_at_once_is_one_claim()
    {
        var (sale, queue) = await counter.OpenSaleAsync(people: 1);
        await using var other = await counter.SecondAsync();
        HttpClient[] ada = [counter.Shop.AsShopper(queue[0].BuyerId), other.Shop.AsShopper(queue[0].BuyerId)];
        var text = ClaimCounter.Sign(queue[0]);

        var orders = await Task.WhenAll(Enumerable.Range(0, 1_000).Select(async i =>
        {
            using var answer = await ClaimCounter.PostClaimAsync(sale.SaleId, ada[i % 2], text);
            Assert.Equal(HttpStatusCode.Accepted, answer.StatusCode);
            return (await answer.Content.ReadFromJsonAsync<JsonElement>(TestContext.Current.CancellationToken)).GetProperty("orderId").GetGuid();
        }));

        Assert.Single(orders.Distinct());
        Assert.Equal((1, 0, 0), await counter.CountsAsync(sale));
        Assert.Single(await counter.Shop.Service.EventsAsync<FlashSaleClaimed>());
    }

    [Fact]
    public async Task A_ticket_that_is_not_theirs_or_none_of_ours_gets_nothing()
    {
        var (sale, queue) = await counter.OpenSaleAsync(people: 2);
        var other = await counter.Shop.HasSaleAsync(startsIn: TimeSpan.FromSeconds(-1));
        var (ada, bruno) = (queue[0], queue[1]);
        var forged = new TicketKeys([RandomNumberGenerator.GetBytes(32)]).Sign(ada);

        foreach (var (text, status, slug) in new (string?, HttpStatusCode, string)[]
        {
            (null, HttpStatusCode.BadRequest, "ticket-invalid"),
            ("ticket", HttpStatusCode.BadRequest, "ticket-invalid"),
            (forged, HttpStatusCode.BadRequest, "ticket-invalid"),
            (ClaimCounter.Sign(bruno), HttpStatusCode.Forbidden, "ticket-not-yours"),
            (ClaimCounter.Sign(ada with { SaleId = other.SaleId }), HttpStatusCode.Conflict, "ticket-other-sale"),
            (ClaimCounter.Sign(ada with { Expires = counter.Shop.Now }), HttpStatusCode.Conflict, "ticket-expired"),
            (ClaimCounter.Sign(ada with { Late = true, Number = 0 }), HttpStatusCode.Conflict, "ticket-replaced"),
        })
        {
            using var refused = await ClaimCounter.PostClaimAsync(sale.SaleId, counter.Shop.AsShopper(ada.BuyerId), text);
            await IsRefusedAsync(refused, status, slug);
        }

        var stranger = await counter.HasShopperAsync();
        using var unknown = await counter.PostClaimAsync(ada with { BuyerId = stranger });
        await IsRefusedAsync(unknown, HttpStatusCode.BadRequest, "ticket-invalid");
        using var guest = await counter.PostClaimAsync(ada, by: counter.Shop.AsGuest(ada.BuyerId));
        using var nobody = await counter.PostClaimAsync(ada, by: counter.Shop.Service.As(null));
        using var nowhere = await counter.PostClaimAsync(ada, saleId: Guid.CreateVersion7());
        Assert.Equal([HttpStatusCode.Forbidden, HttpStatusCode.Unauthorized, HttpStatusCode.NotFound], [guest.StatusCode, nobody.StatusCode, nowhere.StatusCode]);
        await NothingHappenedAsync();
    }

    [Fact]
    public async Task Before_the_start_and_after_the_end_there_is_nothing_to_claim()
    {
        var sale = await counter.Shop.HasSaleAsync(startsIn: TimeSpan.FromSeconds(10));
        var early = new Ticket(sale.SaleId, await counter.HasShopperAsync(), false, 0, sale.EndsAt.AddHours(1));
        using var tooEarly = await counter.PostClaimAsync(early);
        await IsRefusedAsync(tooEarly, HttpStatusCode.Conflict, "sale-not-started");

        // What time a shopper's machine says it is has no part in it.
        using var fast = counter.Shop.AsShopper(early.BuyerId);
        fast.DefaultRequestHeaders.Date = sale.StartsAt.AddMinutes(1);
        using var still = await counter.PostClaimAsync(early, by: fast);
        await IsRefusedAsync(still, HttpStatusCode.Conflict, "sale-not-started");

        counter.Shop.Clock.Advance(TimeSpan.FromHours(2));
        using var tooLate = await counter.PostClaimAsync(early);
        await IsRefusedAsync(tooLate, HttpStatusCode.Conflict, "sale-over");
        await NothingHappenedAsync();
    }

    [Fact]
    public async Task Who_comes_as_another_replica_sells_the_last_unit_is_told_that_it_is_sold_out()
    {
        var (sale, queue) = await counter.OpenSaleAsync(people: 2);
        using (await counter.PostClaimAsync(queue[0])) { }      // this replica remembers a sale that is on
        await counter.Shop.Service.ScalarAsync<Guid>(
            "UPDATE sales SET status = 'ended', end_reason = 'sold_out', ended_at = now(), updated_at = now() WHERE sale_id = $1 RETURNING sale_id", sale.SaleId);

        using var late = await counter.PostClaimAsync(queue[1]);
        await IsRefusedAsync(late, HttpStatusCode.Conflict, "sold-out");
    }

    [Fact]
    public async Task Whose_turn_it_is_not_waits()
    {
        var (_, queue) = await counter.OpenSaleAsync(people: 20, rate: 1);
        using var refused = await counter.PostClaimAsync(queue[19]);
        var problem = await IsRefusedAsync(refused, HttpStatusCode.Conflict, "not-admitted");
        Assert.InRange(problem.GetProperty("position").GetInt64(), 15, 20);
        await NothingHappenedAsync();
    }

    [Fact]
    public async Task Who_was_let_in_and_came_too_late_starts_over_and_who_has_a_unit_keeps_it()
    {
        var (sale, queue) = await counter.OpenSaleAsync(people: 2);
        using var placed = await counter.PostClaimAsync(queue[0]);
        for (var second = 0; second < 200; second++)
        {
            counter.Shop.Clock.Advance(TimeSpan.FromSeconds(1));
            await counter.Shop.Get<Doorkeeper>().RoundAsync(TestContext.Current.CancellationToken);
        }

        using var late = await counter.PostClaimAsync(queue[1]);
        await IsRefusedAsync(late, HttpStatusCode.Conflict, "admission-lapsed");
        await SameAsync(placed, await counter.PostClaimAsync(queue[0]));

        counter.Shop.Clock.Advance(TimeSpan.FromHours(2));         // after the sale
        await SameAsync(placed, await counter.PostClaimAsync(queue[0]));
        Assert.Equal((1, 0, 0), await counter.CountsAsync(sale));
        Assert.Equal("missed", (await counter.MineAsync(queue[1])).GetProperty("status").GetString());
    }

    [Fact]
    public async Task Who_left_the_queue_has_no_use_for_the_old_ticket()
    {
        var (sale, queue) = await counter.OpenSaleAsync(people: 1);
        var admission = await counter.Shop.Get<AdmissionBoard>().FindAsync(sale.SaleId, TestContext.Current.CancellationToken);
        await counter.Shop.Get<Places>().LeaveAsync(admission!, queue[0].BuyerId, TestContext.Current.CancellationToken);
        using var refused = await counter.PostClaimAsync(queue[0]);
        await IsRefusedAsync(refused, HttpStatusCode.Conflict, "ticket-replaced");
        await NothingHappenedAsync();
    }

    [Theory]
    [InlineData(1, 2)]
    [InlineData(1, 0)]
    [InlineData(1, -1)]
    [InlineData(2, 3)]
    [InlineData(10, int.MaxValue)]
    public async Task More_than_a_customer_may_have_is_refused(int limit, int quantity)
    {
        var (_, queue) = await counter.OpenSaleAsync(people: 1, limit: limit);
        using var refused = await counter.PostClaimAsync(queue[0], new { quantity });
        await IsRefusedAsync(refused, HttpStatusCode.UnprocessableEntity, "validation");
        await NothingHappenedAsync();
    }

    [Fact]
    public async Task As_many_as_a_customer_may_have_are_one_order()
    {
        var (sale, queue) = await counter.OpenSaleAsync(people: 1, limit: 2);
        using var placed = await counter.PostClaimAsync(queue[0], new { quantity = 2 });
        Assert.Equal(HttpStatusCode.Accepted, placed.StatusCode);
        Assert.Equal((2, 0, 0), await counter.CountsAsync(sale));
    }

    [Theory]
    [InlineData("""{"quantity":"many"}""")]
    [InlineData("""{"quantity":1.5}""")]
    [InlineData("[")]
    public async Task A_body_that_cannot_be_read_is_refused(string body)
    {
        var (sale, queue) = await counter.OpenSaleAsync(people: 1);
        using var ada = counter.Shop.AsShopper(queue[0].BuyerId);
        ada.DefaultRequestHeaders.Add("Queue-Ticket", ClaimCounter.Sign(queue[0]));
        using var content = new StringContent(body, null, "application/json");
        using var refused = await ada.PostAsync(new Uri($"/api/v1/flash-sales/{sale.SaleId}/claims", UriKind.Relative), content, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.BadRequest, refused.StatusCode);
        await NothingHappenedAsync();
    }

    [Fact]
    public async Task Who_lost_their_unit_is_told_why_and_gets_another_only_from_another_place()
    {
        var (sale, queue) = await counter.OpenSaleAsync(people: 1);
        using var placed = await counter.PostClaimAsync(queue[0]);
        var order = (await placed.Content.ReadFromJsonAsync<JsonElement>(TestContext.Current.CancellationToken)).GetProperty("orderId").GetGuid();
        await counter.FailAsync(order);

        using var again = await counter.PostClaimAsync(queue[0]);
        var problem = await IsRefusedAsync(again, HttpStatusCode.Conflict, "claim-released");
        Assert.Equal(("card_declined", order), (problem.GetProperty("reason").GetString(), problem.GetProperty("orderId").GetGuid()));
        Assert.Equal("released", (await counter.MineAsync(queue[0])).GetProperty("status").GetString());

        await counter.Shop.Service.ScalarAsync<object>("UPDATE places SET late = true, number = 0 WHERE sale_id = $1", sale.SaleId);
        counter.Shop.Clock.Advance(TimeSpan.FromSeconds(1));
        await counter.Shop.Get<Doorkeeper>().RoundAsync(TestContext.Current.CancellationToken);
        counter.Shop.Get<AdmissionBoard>().Forget();
        using var anew = await counter.PostClaimAsync(queue[0] with { Late = true, Number = 0 });
        Assert.Equal(HttpStatusCode.Accepted, anew.StatusCode);
    }

    [Fact]
    public async Task Without_a_claim_there_is_nothing_of_mine_until_the_sale_is_over()
    {
        var (sale, queue) = await counter.OpenSaleAsync(people: 1);
        using var ada = counter.Shop.AsShopper(queue[0].BuyerId);
        var mine = new Uri($"/api/v1/flash-sales/{sale.SaleId}/claims/mine", UriKind.Relative);
        using var none = await ada.GetAsync(mine, TestContext.Current.CancellationToken);
        await IsRefusedAsync(none, HttpStatusCode.NotFound, "no-claim");

        counter.Shop.Clock.Advance(TimeSpan.FromHours(2));
        Assert.Equal("sale_ended", (await counter.MineAsync(queue[0])).GetProperty("reason").GetString());
    }

    private async Task NothingHappenedAsync()
    {
        Assert.Equal(0L, await counter.Shop.Service.ScalarAsync<long>("SELECT count(*) FROM claims"));
        Assert.Equal(0L, await counter.Shop.Service.ScalarAsync<long>("SELECT coalesce(sum(taken + waiting), 0)::bigint FROM claim_counts"));
        Assert.Equal(0L, await counter.Shop.Service.ScalarAsync<long>("SELECT count(*) FROM outbox WHERE topic LIKE 'flashsale.%'"));
    }

    private static async Task SameAsync(HttpResponseMessage first, HttpResponseMessage again)
    {
        using (again)
        {
            Assert.Equal(first.StatusCode, again.StatusCode);
            Assert.Equal(await first.Content.ReadAsStringAsync(TestContext.Current.CancellationToken), await again.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
        }
    }

    private static async Task<JsonElement> IsRefusedAsync(HttpResponseMessage answer, HttpStatusCode status, string slug)
    {
        var body = await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.True(answer.StatusCode == status, $"{(int)answer.StatusCode}: {body}");
        var problem = JsonDocument.Parse(body).RootElement;
        Assert.Equal($"/problems/{slug}", problem.GetProperty("type").GetString());
        return problem;
    }
}
