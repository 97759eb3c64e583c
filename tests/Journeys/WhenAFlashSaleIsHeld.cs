using System.Collections.Concurrent;
using System.Net;
using Marketplace.TestKit;
using Marketplace.WaitingRoom;
using Xunit;

namespace Marketplace.Journeys;

/// <summary>
/// Limited things dropped at a minute that everybody knows, in a system with two replicas of flash sales and of ordering: from the schedule to the last unit. The sales
/// of all journeys start together, since none may start sooner than ten seconds after it is made.
/// </summary>
public sealed class WhenAFlashSaleIsHeld(WhenAFlashSaleIsHeld.Drops drops) : IClassFixture<WhenAFlashSaleIsHeld.Drops>
{
    private readonly Market market = drops.Market;

    [Fact]
    public async Task Of_twelve_who_want_one_of_four_the_first_four_let_in_pay_and_everybody_is_told()
    {
        var sale = drops.SoldOut;
        var endings = await Task.WhenAll(sale.Early.Select(buyer => sale.ToTheEndAsync(buyer)));

        Assert.Equal(4, endings.Count(ending => ending.Status == "paid"));
        Assert.All(endings.Where(ending => ending.Status != "paid"), ending => Assert.Contains(ending.Status, (string[])["missed", "sold_out"]));
        var orders = endings.Where(ending => ending.Status == "paid").Select(ending => ending.Order!.Value).ToList();
        Assert.Equal(4, orders.Distinct().Count());
        foreach (var order in orders) Assert.Equal((1, Drop.Price, 0), await market.ChargedAsync(order));
        Assert.Equal(4, (await market.SqlAsync<Guid>("ordering", "SELECT order_id FROM orders WHERE sale_id = $1", sale.Id)).Count);
        await sale.AuditedAsync(paid: 4);
        Assert.Equal(Drop.Stock - 4, await market.AvailableAsync(sale.Product));
        await market.BooksBalanceAsync();
    }

    [Fact]
    public async Task The_unit_of_a_declined_card_goes_to_the_first_on_the_waiting_list_who_is_charged()
    {
        var sale = drops.Declined;
        var ada = sale.Early[0];
        await sale.AdmittedAsync(ada);
        Guid order, next;
        Person bruno;
        await using (var held = await market.FaultAsync(new { kind = "activity", name = "CapturePayment", mode = "hold", times = 1 }))
        {
            var placed = (await sale.ClaimAsync(ada)).Expect(HttpStatusCode.Accepted);
            Assert.Equal("placed", placed.String("status"));
            order = placed.Id("orderId");
            await held.StruckAsync();

            bruno = await drops.NewShopperAsync("pm_card_visa");
            await sale.JoinAsync(bruno);
            await sale.AdmittedAsync(bruno);
            var waiting = (await sale.ClaimAsync(bruno)).Expect(HttpStatusCode.Accepted);
            Assert.Equal(("waiting_list", 1), (waiting.String("status"), waiting.Json.GetProperty("position").GetInt32()));
        }

        Assert.Equal("released", (await sale.OutcomeAsync(ada)).Status);
        var paid = await sale.OutcomeAsync(bruno);
        Assert.Equal("paid", paid.Status);
        next = paid.Order!.Value;
        Assert.Equal("FAILED", await Market.StatusAsync(ada, order));
        Assert.Equal("CONFIRMED", await Market.StatusAsync(bruno, next));
        Assert.Equal((0, 0, 0), await market.ChargedAsync(order));
        Assert.Equal((1, Drop.Price, 0), await market.ChargedAsync(next));
        await sale.AuditedAsync(paid: 1);
        await market.BooksBalanceAsync();
    }

    [Fact]
    public async Task A_replica_of_each_dies_amid_the_sale_and_nobody_loses_a_place_and_no_unit_is_sold_twice()
    {
        var sale = drops.Killed;
        var before = await market.SqlAsync<long>("flashsales", "SELECT count(*) FROM places WHERE sale_id = $1", sale.Id);
        var seen = new ConcurrentDictionary<Person, bool>();
        var ending = sale.Early.Select(async buyer =>
        {
            await sale.AdmittedAsync(buyer);
            seen[buyer] = true;
            return await sale.ToTheEndAsync(buyer);
        }).ToList();
        await Eventually.Async(() => Task.FromResult(seen.Count >= 3), "some have been let in", TimeSpan.FromSeconds(40));
        await market.KillOneOfAsync("flashsales-2", "ordering");
        var endings = await Task.WhenAll(ending);

        Assert.Equal(sale.Early.Count, Assert.Single(before));
        Assert.Equal(6, endings.Count(one => one.Status == "paid"));
        Assert.Equal(6, endings.Where(one => one.Status == "paid").Select(one => one.Order).Distinct().Count());
        Assert.All(endings.Where(one => one.Status != "paid"), one => Assert.Contains(one.Status, (string[])["missed", "sold_out"]));
        await sale.AuditedAsync(paid: 6);
        await market.AllUpAsync();
        await market.BooksBalanceAsync();
    }

    [Fact]
    public async Task Who_shows_a_ticket_that_is_not_theirs_forged_old_or_of_another_sale_gets_nothing_and_is_told_why()
    {
        var sale = drops.Tickets;
        var (ada, bruno) = (sale.Early[0], sale.Early[1]);
        var mine = sale.TicketOf(ada);
        Assert.Equal(TicketFault.None, TicketKeys.Parse(market.Secret("queue-ticket-keys")).Read(mine, DateTimeOffset.UtcNow, out var ticket));
        await sale.AdmittedAsync(ada);

        (await sale.ClaimAsync(bruno, mine)).ExpectProblem(HttpStatusCode.Forbidden, "ticket-not-yours");
        (await sale.ClaimAsync(ada, "nothing like a ticket")).ExpectProblem(HttpStatusCode.BadRequest, "ticket-invalid");
        var foreign = new TicketKeys([new byte[TicketKeys.SmallestKey]]).Sign(ticket!);
        (await sale.ClaimAsync(ada, foreign)).ExpectProblem(HttpStatusCode.BadRequest, "ticket-invalid");
        (await market.Nobody.GetAsync(sale.Queue, ("Queue-Ticket", foreign))).ExpectProblem(HttpStatusCode.BadRequest, "ticket-invalid");
        var old = TicketKeys.Parse(market.Secret("queue-ticket-keys")).Sign(ticket! with { Expires = DateTimeOffset.UtcNow.AddMinutes(-1) });
        (await sale.ClaimAsync(ada, old)).ExpectProblem(HttpStatusCode.Conflict, "ticket-expired");
        (await sale.ClaimAsync(drops.SoldOut.Early[0], drops.SoldOut.TicketOf(drops.SoldOut.Early[0]))).ExpectProblem(HttpStatusCode.Conflict, "ticket-other-sale");
        (await sale.ClaimAsync(ada, mine, quantity: 2)).ExpectProblem(HttpStatusCode.UnprocessableEntity);
        Assert.Equal(0, (await market.SqlAsync<long>("flashsales", "SELECT count(*) FROM claims WHERE sale_id = $1", sale.Id))[0]);
    }

    [Fact]
    public async Task A_thousand_claims_of_one_customer_at_once_are_one_claim()
    {
        var sale = drops.Repeated;
        var ada = sale.Early[0];
        await sale.AdmittedAsync(ada);
        var replies = await Task.WhenAll(Enumerable.Range(0, 1000).Select(_ => sale.ClaimAsync(ada)));

        var orders = replies.Where(reply => reply.Status == HttpStatusCode.Accepted).Select(reply => reply.Id("orderId")).Distinct().ToList();
        Assert.Single(orders);
        Assert.DoesNotContain(replies, reply => reply.Status is not (HttpStatusCode.Accepted or HttpStatusCode.TooManyRequests or HttpStatusCode.ServiceUnavailable));
        Assert.Equal("paid", (await sale.OutcomeAsync(ada)).Status);
        Assert.Equal((1, Drop.Price, 0), await market.ChargedAsync(orders[0]));
        Assert.Equal(1, (await market.SqlAsync<long>("flashsales", "SELECT count(*) FROM claim_units WHERE sale_id = $1", sale.Id))[0]);
    }

    [Fact]
    public async Task Who_leaves_and_comes_again_stands_behind_those_who_stayed_and_the_old_ticket_is_worth_nothing()
    {
        var sale = drops.Left;
        var ada = sale.Early[0];
        var old = sale.TicketOf(ada);
        await sale.AdmittedAsync(ada);
        (await ada.DeleteAsync(sale.Queue)).Expect(HttpStatusCode.NoContent);
        await sale.JoinAsync(ada);

        (await sale.ClaimAsync(ada, old)).ExpectProblem(HttpStatusCode.Conflict, "ticket-replaced");
        Assert.NotEqual(old, sale.TicketOf(ada));
        await sale.AdmittedAsync(ada);
        Assert.Equal("placed", (await sale.ClaimAsync(ada)).Expect(HttpStatusCode.Accepted).String("status"));
        Assert.Equal("paid", (await sale.OutcomeAsync(ada)).Status);
    }

    [Fact]
    public async Task Ended_early_what_was_not_claimed_is_ordinary_stock_again()
    {
        var sale = drops.EndedEarly;
        var (ada, bruno) = (sale.Early[0], sale.Early[1]);
        Assert.Equal(Drop.Stock - 5, await market.AvailableAsync(sale.Product));
        await sale.AdmittedAsync(ada);
        (await sale.ClaimAsync(ada)).Expect(HttpStatusCode.Accepted);
        Assert.Equal("paid", (await sale.OutcomeAsync(ada)).Status);

        (await market.Seller.PostAsync($"/api/v1/seller/flash-sales/{sale.Id}/end")).Expect(HttpStatusCode.OK);
        await Eventually.Async(async () => await market.AvailableAsync(sale.Product) == Drop.Stock - 1, "four units are back", TimeSpan.FromSeconds(20));
        await Eventually.Async(async () => await sale.StateAsync(bruno) == "ended", "who waits is told");
        (await sale.ClaimAsync(bruno)).ExpectProblem(HttpStatusCode.Conflict, "sale-over");
        (await ada.PostAsync(sale.Queue)).ExpectProblem(HttpStatusCode.Conflict, "sale-over");
        await market.BooksBalanceAsync();
    }

    /// <summary>The system, the sales of all these journeys, and those who joined them before the start.</summary>
    public sealed class Drops : IAsyncLifetime
    {
        public Market Market { get; private set; } = null!;

        public Drop SoldOut { get; private set; } = null!;

        public Drop Declined { get; private set; } = null!;

        public Drop Killed { get; private set; } = null!;

        public Drop Tickets { get; private set; } = null!;

        public Drop Repeated { get; private set; } = null!;

        public Drop Left { get; private set; } = null!;

        public Drop EndedEarly { get; private set; } = null!;

        public async ValueTask InitializeAsync()
        {
            Market = await Market.StartAsync(Market.Chosen, "flashsales=2,ordering=2");
            var shoppers = await Task.WhenAll(Enumerable.Range(0, 30).Select(_ => NewShopperAsync("pm_card_visa")));
            var declined = await NewShopperAsync("pm_card_chargeCustomerFail");
            var drops = await Task.WhenAll(
                DropAsync("Sneaker of four", 4, shoppers[..12]),
                DropAsync("Sneaker of one", 1, [declined]),
                DropAsync("Sneaker of six", 6, shoppers[12..24], admissionRate: 2),
                DropAsync("Sneaker with a ticket", 3, shoppers[24..26]),
                DropAsync("Sneaker asked for often", 3, shoppers[26..27]),
                DropAsync("Sneaker left alone", 2, shoppers[27..28]),
                DropAsync("Sneaker of five", 5, shoppers[28..30]));
            (SoldOut, Declined, Killed, Tickets, Repeated, Left, EndedEarly) = (drops[0], drops[1], drops[2], drops[3], drops[4], drops[5], drops[6]);
        }

        public async ValueTask DisposeAsync()
        {
            if (Market is not null) await Market.DisposeAsync();
        }

        /// <summary>Somebody with an address and a saved card, which is all that a sale asks for.</summary>
        public async Task<Person> NewShopperAsync(string card)
        {
            var shopper = await Market.NewBuyerAsync();
            (await shopper.PostAsync("/api/v1/me/addresses", new { name = "Ada Buyer", line1 = "1 Market Street", city = "London", postalCode = "N1 9GU", country = "GB" })).Expect(HttpStatusCode.Created);
            (await shopper.PostAsync("/api/v1/payment-methods", new { providerToken = card, makeDefault = true })).Expect(HttpStatusCode.Created);
            return shopper;
        }

        private async Task<Drop> DropAsync(string title, int units, Person[] early, int admissionRate = 100)
        {
            var product = await Market.ListAsync(title, 9900, ("north", Drop.Stock));
            var startsAt = DateTimeOffset.UtcNow.AddSeconds(13);
            var made = (await Market.Seller.PostAsync(
                "/api/v1/seller/flash-sales",
                new
                {
                    productId = product,
                    units,
                    price = new { minor = Drop.Price, currency = "GBP" },
                    startsAt,
                    endsAt = startsAt.AddMinutes(10),
                    limitPerCustomer = 1,
                    admissionRate,
                },
                Guid.NewGuid().ToString("N"))).Expect(HttpStatusCode.Created);
            var drop = new Drop(Market, made.Id("saleId"), product);
            await Eventually.Async(
                async () => (await Market.Seller.GetAsync($"/api/v1/seller/flash-sales/{drop.Id}")).Expect(HttpStatusCode.OK).String("status") == "scheduled", $"{title} is scheduled");
            await Task.WhenAll(early.Select(drop.JoinAsync));
            drop.Early.AddRange(early);
            return drop;
        }
    }
}

/// <summary>One sale, as those see it who want something of it.</summary>
public sealed class Drop(Market market, Guid id, Guid product)
{
    public const long Price = 4900;
    public const int Stock = 20;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private readonly ConcurrentDictionary<Person, string> tickets = new();

    public Guid Id => id;

    public Guid Product => product;

    /// <summary>Who joined before the start.</summary>
    public List<Person> Early { get; } = [];

    public string Queue => $"/api/v1/flash-sales/{id}/queue";

    public string TicketOf(Person buyer) => tickets[buyer];

    public async Task JoinAsync(Person buyer) => tickets[buyer] = (await Market.InsistAsync(() => buyer.PostAsync(Queue), HttpStatusCode.OK)).String("ticket");

    /// <summary>What the gateway says of where somebody stands.</summary>
    public async Task<string> StateAsync(Person buyer) => (await market.Nobody.GetAsync(Queue, ("Queue-Ticket", tickets[buyer]))).Expect(HttpStatusCode.OK).String("state");

    public Task AdmittedAsync(Person buyer) => Eventually.Async(async () => await StateAsync(buyer) is "admitted" or "sold_out", "they are let in", Patience);

    public Task<Reply> ClaimAsync(Person buyer, string? ticket = null, int quantity = 1) =>
        buyer.SendAsync(HttpMethod.Post, $"/api/v1/flash-sales/{id}/claims", new { quantity }, null, ("Queue-Ticket", ticket ?? tickets[buyer]));

    /// <summary>Waits to be let in, claims, and waits for what becomes of it: paid, released, missed, or sold_out and ended for those who came to no claim.</summary>
    public async Task<(string Status, Guid? Order)> ToTheEndAsync(Person buyer)
    {
        var state = "";
        await Eventually.Async(async () => (state = await StateAsync(buyer)) is "admitted" or "sold_out" or "ended", () => $"they are let in or it is over, and not {state}", Patience);
        if (state != "admitted") return (state, null);

        Reply? claim = null;
        await Eventually.Async(
            async () =>
            {
                try
                {
                    claim = await ClaimAsync(buyer);
                }
                catch (HttpRequestException)
                {
                    return false;   // a process died with the question in its hands
                }

                return (int)claim.Status < 500;
            },
            "the claim is answered", Patience);
        if (claim!.Status == HttpStatusCode.Conflict && claim.Text.Contains("/problems/sold-out", StringComparison.Ordinal)) return ("sold_out", null);
        claim.Expect(HttpStatusCode.Accepted);
        return await OutcomeAsync(buyer);
    }

    public async Task<(string Status, Guid? Order)> OutcomeAsync(Person buyer)
    {
        Reply? last = null;
        await Eventually.Async(
            async () =>
            {
                last = await buyer.GetAsync($"/api/v1/flash-sales/{id}/claims/mine");
                return last.Status == HttpStatusCode.OK && last.String("status") is "paid" or "released" or "missed";
            },
            () => $"the claim comes to an end: {last?.Text}", Patience);
        var order = last!.Json.TryGetProperty("orderId", out var value) && value.ValueKind == System.Text.Json.JsonValueKind.String ? value.GetGuid() : (Guid?)null;
        return (last.String("status"), order);
    }

    /// <summary>The operator's own reckoning finds nothing, and so many units paid for.</summary>
    public async Task AuditedAsync(int paid)
    {
        var ops = await market.OperatorAsync();
        Reply? audit = null;
        await Eventually.Async(
            async () =>
            {
                audit = (await ops.GetAsync($"/api/v1/operations/flash-sales/{id}/audit")).Expect(HttpStatusCode.OK);
                return audit.Json.GetProperty("paid").GetInt32() == paid && audit.Json.GetProperty("findings").GetArrayLength() == 0;
            },
            () => $"the audit finds {paid} paid units and nothing else: {audit?.Text}", TimeSpan.FromSeconds(30));
    }
}
