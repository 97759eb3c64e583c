using System.Net;
using Marketplace.Local.Launcher;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Journeys;

public sealed class WhenAProcessIsKilled(Market market)
{
    public static TheoryData<string, string> EveryProcessBetweenEverySteps
    {
        get
        {
            var all = new TheoryData<string, string>();
            foreach (var process in new[] { "ordering", "payments", "inventory", "sidecars" })
                foreach (var step in new[] { "ReserveStock", "CapturePayment", "ConfirmOrder", "CommitStock" })
                    all.Add(process, step);
            return all;
        }
    }

    [Theory, MemberData(nameof(EveryProcessBetweenEverySteps))]
    public async Task The_orders_under_way_end_with_one_charge_or_none_and_the_units_add_up(string process, string step)
    {
        var thing = await market.ListAsync($"Killed {process} before {step}", 1100, ("north", 10));
        var (ada, bruno) = (await market.NewBuyerAsync(), await market.NewBuyerAsync());
        Guid good, bad;
        await using (var held = await market.FaultAsync(new { kind = "activity", name = step, mode = "hold", times = 2 }))
        {
            good = await ada.BuyAsync("pm_card_visa", (thing, 2));
            bad = await bruno.BuyAsync("pm_card_chargeDeclined", (thing, 3));
            await held.StruckAsync();
            await market.KillAsync(process);
        }

        await market.AllUpAsync();
        Assert.Equal("CONFIRMED", await Market.StatusAsync(ada, good, TimeSpan.FromSeconds(90)));
        Assert.Equal("PAYMENT_FAILED", await Market.StatusAsync(bruno, bad, TimeSpan.FromSeconds(90)));
        await market.BooksBalanceAsync();
        Assert.Equal((1, 2200, 0), await market.ChargedAsync(good));
        Assert.Equal((0, 0, 0), await market.ChargedAsync(bad));
        Assert.Equal(8, await market.AvailableAsync(thing));
    }

    [Fact]
    public async Task Payments_killed_while_the_provider_charges_has_charged_once()
    {
        var thing = await market.ListAsync("Charged while dying", 3300, ("north", 1));
        var ada = await market.NewBuyerAsync();
        Guid order;
        await market.ProviderAsync(HttpMethod.Put, "/_control/latency", new { ms = 800 });
        try
        {
            order = await ada.BuyAsync("pm_card_visa", (thing, 1));
            await Eventually.Async(async () => (await market.SqlAsync<Guid>("payments", "SELECT order_id FROM payment_attempts WHERE order_id = $1 AND intent_id IS NOT NULL", order)).Count == 1, "the intent is known", TimeSpan.FromSeconds(20));
            await market.KillAsync("payments");
        }
        finally
        {
            await market.ProviderAsync(HttpMethod.Put, "/_control/latency", new { ms = 0 });
        }

        await market.AllUpAsync();
        await Market.BecomesAsync(ada, order, "CONFIRMED", TimeSpan.FromSeconds(120));
        Assert.Equal((1, 3300, 0), await market.ChargedAsync(order));
        await market.BooksBalanceAsync();
    }

    [Theory]
    [InlineData("ordering")]
    [InlineData("sidecars")]
    public async Task What_was_committed_is_still_announced_once_in_effect(string process)
    {
        var thing = await market.ListAsync($"Announced though {process} died", 250, ("north", 500));
        var buyers = await Task.WhenAll(Enumerable.Range(0, 12).Select(_ => market.NewBuyerAsync()));
        foreach (var buyer in buyers) await buyer.FillCartAsync((thing, 1));

        // Killed in the middle of the burst: some orders are committed and not announced, some sagas half done.
        var checkouts = buyers.Select(async buyer =>
        {
            try
            {
                return await buyer.CheckoutAsync(250, key: "burst");
            }
            catch (HttpRequestException)
            {
                return null;
            }
        }).ToList();
        await Task.WhenAny(checkouts);
        await market.KillAsync(process);
        await Task.WhenAll(checkouts);
        await market.AllUpAsync();

        // A buyer whose reply was lost asks again with the same key.
        var orders = new List<(Person Buyer, Guid Order)>();
        foreach (var buyer in buyers)
        {
            Reply? reply = null;
            await Eventually.Async(async () => (reply = await buyer.CheckoutAsync(250, key: "burst")).Status == HttpStatusCode.Accepted, "the repeat is answered", TimeSpan.FromSeconds(30));
            orders.Add((buyer, reply!.Id("orderId")));
        }

        foreach (var (buyer, order) in orders) Assert.Equal("CONFIRMED", await Market.StatusAsync(buyer, order, TimeSpan.FromSeconds(90)));
        await Eventually.Async(
            async () => (await market.SqlAsync<long>("fulfilment", "SELECT count(*) FROM shipments WHERE order_id = ANY($1)", orders.Select(order => order.Order).ToArray()))[0] == buyers.Length,
            "one parcel for each order, none twice", TimeSpan.FromSeconds(90));
        Assert.Equal(500 - buyers.Length, await market.AvailableAsync(thing));
        await market.BooksBalanceAsync();
    }

    [Fact]
    public async Task A_stopped_replica_of_inventory_does_not_stop_the_shop()
    {
        var thing = await market.ListAsync("Sold by the other replica", 400, ("north", 10));
        var ada = await market.NewBuyerAsync();
        Signals.Send(market.PidOf("inventory-2"), Signals.Kill);

        Assert.Equal("CONFIRMED", await Market.StatusAsync(ada, await ada.BuyAsync("pm_card_visa", (thing, 1)), TimeSpan.FromSeconds(60)));
        await market.AllUpAsync();
    }
}
