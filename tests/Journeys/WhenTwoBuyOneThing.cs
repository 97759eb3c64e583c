using System.Net;
using Xunit;

namespace Marketplace.Journeys;

public sealed class WhenTwoBuyOneThing(Market market)
{
    [Fact]
    public async Task The_last_unit_goes_to_one_of_them_and_the_other_is_told_that_it_is_out_of_stock()
    {
        for (var round = 0; round < 5; round++)
        {
            var last = await market.ListAsync($"Last one {round}", 3000, ("north", 1));
            var (ada, bruno) = (await market.NewBuyerAsync(), await market.NewBuyerAsync());
            var totals = (await ada.FillCartAsync((last, 1)), await bruno.FillCartAsync((last, 1)));

            var checkouts = await Task.WhenAll(ada.CheckoutAsync(totals.Item1), bruno.CheckoutAsync(totals.Item2));
            var orders = checkouts.Select(checkout => checkout.Expect(HttpStatusCode.Accepted).Id("orderId")).ToArray();
            var (first, second) = (await Market.SettledAsync(ada, orders[0]), await Market.SettledAsync(bruno, orders[1]));

            Assert.Equal(["CONFIRMED", "FAILED"], new[] { first.String("status"), second.String("status") }.Order());
            var failed = first.String("status") == "FAILED" ? first : second;
            Assert.Contains("stock", failed.String("reason"), StringComparison.OrdinalIgnoreCase);
            Assert.Equal(0, await market.AvailableAsync(last));
            Assert.Equal(1, (await market.ChargedAsync(orders[0])).Charges + (await market.ChargedAsync(orders[1])).Charges);
        }

        await market.BooksBalanceAsync();
    }

    [Fact]
    public async Task Twenty_buyers_one_unit_twenty_carts_give_one_order_no_stray_hold_and_no_stray_charge()
    {
        var last = await market.ListAsync("The only one", 777, ("south", 1));
        var buyers = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => market.NewBuyerAsync()));
        var orders = await Task.WhenAll(buyers.Select(buyer => buyer.BuyAsync("pm_card_visa", (last, 1))));

        var statuses = new List<string>();
        for (var n = 0; n < buyers.Length; n++) statuses.Add(await Market.StatusAsync(buyers[n], orders[n]));
        var charges = await Task.WhenAll(orders.Select(market.ChargedAsync));

        Assert.Single(statuses, status => status == "CONFIRMED");
        Assert.Equal(19, statuses.Count(status => status == "FAILED"));
        Assert.Equal(1, charges.Sum(charge => charge.Charges));
        await market.BooksBalanceAsync();
    }

    [Fact]
    public async Task A_checkout_repeated_also_at_the_same_time_is_one_order_and_one_charge()
    {
        var clock = await market.ListAsync("Alarm clock", 1999, ("north", 50));
        var ada = await market.NewBuyerAsync();
        var total = await ada.FillCartAsync((clock, 2));

        var replies = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => ada.CheckoutAsync(total, key: "click-click")));
        var again = (await ada.CheckoutAsync(total, key: "click-click")).Expect(HttpStatusCode.Accepted);

        var order = again.Id("orderId");
        Assert.All(replies, reply => Assert.True(reply.Status == HttpStatusCode.Conflict || (reply.Status == HttpStatusCode.Accepted && reply.Id("orderId") == order), reply.Text));
        Assert.Equal("CONFIRMED", await Market.StatusAsync(ada, order));
        Assert.Equal((1, 2 * 1999, 0), await market.ChargedAsync(order));
        Assert.Equal(48, await market.AvailableAsync(clock));
        Assert.Single(await market.SqlAsync<Guid>("ordering", "SELECT order_id FROM orders WHERE buyer_id = $1", ada.Id));

        (await ada.CheckoutAsync(total + 1, key: "click-click")).ExpectProblem(HttpStatusCode.UnprocessableEntity);
        (await ada.PostAsync("/api/v1/checkout", ada.Checkout(total))).ExpectProblem(HttpStatusCode.BadRequest, "Idempotency-Key");
    }

    [Fact]
    public async Task A_price_that_changed_since_the_buyer_saw_it_is_shown_and_nothing_is_ordered()
    {
        var rug = await market.ListAsync("Rug", 10_000, ("north", 2));
        var ada = await market.NewBuyerAsync();
        var total = await ada.FillCartAsync((rug, 1));

        var refused = (await ada.CheckoutAsync(total - 100)).ExpectProblem(HttpStatusCode.Conflict);
        Assert.Equal(10_000, refused.Json.GetProperty("actual").GetProperty("minor").GetInt64());
        Assert.Empty(await market.SqlAsync<Guid>("ordering", "SELECT order_id FROM orders WHERE buyer_id = $1", ada.Id));
    }
}
