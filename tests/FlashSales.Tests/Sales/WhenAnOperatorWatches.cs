using System.Net;
using System.Net.Http.Json;
using Marketplace.Contracts;
using Marketplace.FlashSales.Clients;
using Marketplace.FlashSales.Sales;
using Marketplace.TestKit;

namespace Marketplace.FlashSales.Tests.Sales;

public sealed class WhenAnOperatorWatches
{
    private static readonly DateTimeOffset Noon = new(2026, 6, 1, 12, 0, 0, TimeSpan.Zero);

    private static readonly AuditFigures Balanced = new(
        new Sale(
            Guid.CreateVersion7(), Guid.CreateVersion7(), Guid.CreateVersion7(), "Trail shoe", 10, Money.Gbp(4900), Noon, Noon.AddHours(1), 2, 200, 1000, 120, 5, 1,
            SaleStatus.Ended, SaleEnd.Time, 2, Noon, [1], 4, 7, Noon, Noon, Noon.AddHours(1)),
        new SaleCounts(7, 7), CountedWaiting: 0, Paid: 7, Open: 0, Released: 2, Missed: 3, Waiting: 0, PaidOrders: 5, OpenOrders: 0, ReleasedOrders: 2, DistinctCustomers: 5,
        DistinctUnits: 7, UnitsHeld: 7, TwiceHeld: 0, UnitsOutOfRange: 0, UnitsOfNobody: 0, ClaimsWithOtherUnits: 0, CustomersTwice: 0, OverLimit: 0, SameOrders: 0, WithoutPlace: 0,
        Joined: 40, AllotmentIsAsked: false);

    private static readonly AllotmentFigures AtRest = new(7, 7, 7, 9);

    private static readonly Dictionary<string, (AuditFigures Figures, AllotmentFigures? Inventory)> Wrong = new()
    {
        ["more claimed than there are"] = (Balanced with { Paid = 11, UnitsHeld = 11, Counted = new(11, 11) }, new(11, 11, 11, 9)),
        ["a unit without a holder"] = (Balanced with { UnitsHeld = 6 }, AtRest),
        ["a number beyond the last"] = (Balanced with { UnitsOutOfRange = 1 }, AtRest),
        ["a unit with two holders"] = (Balanced with { TwiceHeld = 1 }, AtRest),
        ["a unit of somebody who lost it"] = (Balanced with { UnitsOfNobody = 1 }, AtRest),
        ["a claim with too few units"] = (Balanced with { ClaimsWithOtherUnits = 1 }, AtRest),
        ["a customer with two claims"] = (Balanced with { CustomersTwice = 1 }, AtRest),
        ["a customer over the limit"] = (Balanced with { OverLimit = 1 }, AtRest),
        ["an order of two claims"] = (Balanced with { SameOrders = 1 }, AtRest),
        ["a claim of somebody who never queued"] = (Balanced with { WithoutPlace = 1 }, AtRest),
        ["a counter that is off"] = (Balanced with { Counted = new(7, 6) }, AtRest),
        ["too few units at inventory"] = (Balanced with { Open = 1, UnitsHeld = 8, Counted = new(8, 7) }, AtRest),
        ["units still held when all is over"] = (Balanced, new(8, 7, 7, 9)),
        ["a paid unit that never left the house"] = (Balanced, new(7, 7, 6, 9)),
        ["too few units at inventory for a sale that is on"] =
            (Balanced with { Sale = Balanced.Sale with { Status = SaleStatus.Scheduled, EndReason = null, EndedAt = null }, Paid = 3, Open = 4, Counted = new(7, 3) }, new(9, 6, 2, 1)),
        ["silence of inventory"] = (Balanced, null),
    };

    public static TheoryData<string> EverythingWrong => [.. Wrong.Keys];

    [Theory, MemberData(nameof(EverythingWrong))]
    public void An_audit_says_what_is_wrong_and_nothing_else(string what) => Assert.Single(Wrong[what].Figures.Audit(Wrong[what].Inventory, Noon).Findings);

    [Fact]
    public void Books_that_balance_have_no_findings()
    {
        var audit = Balanced.Audit(AtRest, Noon);
        Assert.Empty(audit.Findings);
        Assert.Equal((7, 3, 0, true), (audit.Claimed, audit.Remaining, audit.Duplicates, audit.Settled));
        Assert.Equal(new AuditedOrders(7, 5, 0, 2), audit.Orders);
    }

    [Fact]
    public void A_sale_that_runs_is_not_asked_to_be_at_rest() =>
        Assert.Empty((Balanced with { Sale = Balanced.Sale with { Status = SaleStatus.Scheduled }, Paid = 3, Open = 4, Counted = new(7, 3) }).Audit(new(10, 6, 2, 1), Noon).Findings);

    [Fact]
    public async Task Everything_a_sale_left_in_the_tables_is_counted()
    {
        await using var market = await Market.OpenAsync(inStock: 100);
        var sale = await market.ScheduledAsync(("units", 10));
        await SoldAsync(market, sale.SaleId);
        using var olga = market.Shop.AsOperator();

        // While it runs: one paid for two units, one not yet, one released, one waits.
        var progress = (await olga.GetFromJsonAsync<SaleProgress>($"/api/v1/operations/flash-sales/{sale.SaleId}/progress"))!;
        Assert.Equal(("open", 10, 6L, 1L), (progress.Phase, progress.Units, progress.Joined, progress.Left));
        Assert.Equal((4L, 1L, 2L), (progress.Admitted, progress.Waiting, progress.Inside));
        Assert.Equal((3, 2, 1, 1, 0, 7, false), (progress.Claimed, progress.Paid, progress.Released, progress.WaitingList, progress.Missed, progress.Remaining, progress.SoldOut));
        Assert.Equal(0.4, progress.JoinsPerSecond);
        Assert.Equal(market.Now, progress.ServerTime);

        var running = (await olga.GetFromJsonAsync<SaleAudit>($"/api/v1/operations/flash-sales/{sale.SaleId}/audit"))!;
        Assert.Empty(running.Findings);
        Assert.Equal((2, 3, 1, 1, 7, false), (running.Paid, running.Claimed, running.Released, running.Waiting, running.Remaining, running.Settled));
        Assert.Equal(new AuditedOrders(3, 1, 1, 1), running.Orders);
        Assert.Equal((6L, 1, 2, 0), (running.Joined, running.DistinctCustomers, running.DistinctUnits, running.Duplicates));
        Assert.Equal(10, running.Inventory!.Units);

        // A unit that its table gives to nobody's claim is found.
        await market.Shop.Service.ScalarAsync<object>(
            "INSERT INTO claim_units (sale_id, unit_no, claim_id) SELECT sale_id, 9, claim_id FROM claims WHERE sale_id = $1 AND state = 'released'", sale.SaleId);
        var broken = (await olga.GetFromJsonAsync<SaleAudit>($"/api/v1/operations/flash-sales/{sale.SaleId}/audit"))!;
        Assert.Equal(3, broken.Findings.Count);
    }

    [Fact]
    public async Task Without_inventory_the_audit_says_what_it_does_not_know()
    {
        await using var market = await Market.OpenAsync();
        var sale = await market.ScheduledAsync();
        market.Shop.Neighbour("inventory").On(HttpMethod.Get, "/internal/allotments/*", _ => FakeReply.Broken);
        using var olga = market.Shop.AsOperator();

        var audit = (await olga.GetFromJsonAsync<SaleAudit>($"/api/v1/operations/flash-sales/{sale.SaleId}/audit"))!;

        Assert.Null(audit.Inventory);
        Assert.Contains("no answer", Assert.Single(audit.Findings), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Only_operators_watch_and_only_what_there_is()
    {
        await using var market = await Market.OpenAsync();
        var sale = await market.ScheduledAsync();
        using var bruno = market.Shop.AsSeller();
        using var olga = market.Shop.AsOperator();

        foreach (var part in new[] { "progress", "audit" })
        {
            using var foreign = await bruno.GetAsync($"/api/v1/operations/flash-sales/{sale.SaleId}/{part}");
            using var unknown = await olga.GetAsync($"/api/v1/operations/flash-sales/{Guid.CreateVersion7()}/{part}");
            using var fresh = await olga.GetAsync($"/api/v1/operations/flash-sales/{sale.SaleId}/{part}");
            Assert.Equal([HttpStatusCode.Forbidden, HttpStatusCode.NotFound, HttpStatusCode.OK], [foreign.StatusCode, unknown.StatusCode, fresh.StatusCode]);
        }
    }

    private static async Task SoldAsync(Market market, Guid saleId)
    {
        market.Shop.Clock.Advance(TimeSpan.FromMinutes(10));
        var now = market.Now;
        await market.Shop.Service.ScalarAsync<object>("UPDATE sales SET drawn_at = $2, seed = '\\x01', early = 3 WHERE sale_id = $1", saleId, now);
        var (ada, bea, cleo, dora) = (Guid.CreateVersion7(), Guid.CreateVersion7(), Guid.CreateVersion7(), Guid.CreateVersion7());
        var number = 0L;
        foreach (var (buyer, joinedAgo, left) in new[]
        {
            (ada, 60, false), (bea, 60, false), (cleo, 60, false), (dora, 60, false), (Guid.CreateVersion7(), 2, false), (Guid.CreateVersion7(), 1, true),
        })
        {
            await market.Shop.Service.ScalarAsync<object>(
                "INSERT INTO places (sale_id, buyer_id, late, number, joined_at, left_at) VALUES ($1, $2, $3 > 2, $3, $4, CASE WHEN $5 THEN $4 END)",
                saleId, buyer, number++, now.AddSeconds(-joinedAgo), left);
        }

        // Five ranks are in, one of them a number that was nobody's.
        await market.Shop.Service.ScalarAsync<object>(
            "INSERT INTO admissions (sale_id, step, at, head, room, let_in, expired_below, inside) VALUES ($1, 1, $2, 5, 0, 5, 0, 2)", saleId, now);
        await market.Shop.Service.ScalarAsync<object>("INSERT INTO ranks_done (sale_id, rank, gap) VALUES ($1, 1, true)", saleId);

        await market.ClaimedAsync(saleId, taken: 3, paid: 2);
        var rank = 0L;
        await market.Shop.Service.ScalarAsync<object>("UPDATE claim_counts SET waiting = 1 WHERE sale_id = $1", saleId);
        foreach (var (buyer, state, quantity, first) in new[] { (ada, "paid", 2, 1), (bea, "claimed", 1, 3), (cleo, "released", 1, 0), (dora, "waiting", 1, 0) })
        {
            var claim = Guid.CreateVersion7();
            await market.Shop.Service.ScalarAsync<object>("""
                INSERT INTO claims (claim_id, sale_id, shard, buyer_id, quantity, state, order_id, place, rank, pay_until, created_at, changed_at)
                VALUES ($1, $2, 0, $3, $4::int, $5, CASE WHEN $5 <> 'waiting' THEN $6 END, 1, $8, CASE WHEN $5 <> 'waiting' THEN $7 END, $7, $7)
                """, claim, saleId, buyer, quantity, state, Guid.CreateVersion7(), now, rank++);
            if (first > 0)
                await market.Shop.Service.ScalarAsync<object>("INSERT INTO claim_units SELECT $1, unit_no, $2 FROM generate_series($3, $3 + $4 - 1) AS unit_no", saleId, claim, first, quantity);
        }
    }
}
