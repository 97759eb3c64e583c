using System.Net;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Journeys;

public sealed class WhenMoneyIsRefused(Market market)
{
    [Fact]
    public async Task A_declined_card_gives_the_units_back_tells_the_buyer_and_a_good_card_completes_the_order_with_one_charge()
    {
        var ring = await market.ListAsync("Silver ring", 8900, ("north", 1));
        var ada = await market.NewBuyerAsync();

        var order = await ada.BuyAsync("pm_card_chargeDeclined", (ring, 1));
        Assert.Equal("PAYMENT_FAILED", await Market.StatusAsync(ada, order));
        Assert.Equal(1, await market.AvailableAsync(ring));
        await Eventually.Async(async () => (await market.MailsToAsync(ada.Email!)).Any(mail => mail.Contains(order.ToString(), StringComparison.Ordinal)), "the refusal is mailed", TimeSpan.FromSeconds(20));

        (await ada.PostAsync($"/api/v1/orders/{order}/payment", new { paymentMethod = "pm_card_visa" }, "second-card")).Expect(HttpStatusCode.Accepted);
        (await ada.PostAsync($"/api/v1/orders/{order}/payment", new { paymentMethod = "pm_card_visa" }, "second-card")).Expect(HttpStatusCode.Accepted);
        await Market.BecomesAsync(ada, order, "CONFIRMED");
        Assert.Equal((1, 8900, 0), await market.ChargedAsync(order));
        Assert.Equal(0, await market.AvailableAsync(ring));
        await market.BooksBalanceAsync();
    }

    [Fact]
    public async Task A_provider_that_charges_and_then_times_out_has_charged_once_and_the_order_is_confirmed()
    {
        var globe = await market.ListAsync("Globe", 4500, ("north", 3));
        var ada = await market.NewBuyerAsync();
        await market.ProviderAsync(HttpMethod.Put, "/_control/charge-then-timeout", new { times = 1 });

        var order = await ada.BuyAsync("pm_card_visa", (globe, 1));

        await Market.BecomesAsync(ada, order, "CONFIRMED", TimeSpan.FromSeconds(90));
        Assert.Equal((1, 4500, 0), await market.ChargedAsync(order));
        await market.BooksBalanceAsync();
    }

    [Fact]
    public async Task A_provider_that_charges_and_then_fails_with_500_has_charged_once()
    {
        var globe = await market.ListAsync("Pocket globe", 1500, ("north", 3));
        var ada = await market.NewBuyerAsync();
        await market.ProviderAsync(HttpMethod.Put, "/_control/error-after", new { times = 1 });

        var order = await ada.BuyAsync("pm_card_visa", (globe, 1));

        await Market.BecomesAsync(ada, order, "CONFIRMED", TimeSpan.FromSeconds(90));
        Assert.Equal((1, 1500, 0), await market.ChargedAsync(order));
    }

    [Fact]
    public async Task A_provider_that_is_down_fails_payments_quickly_and_a_retry_works_when_it_is_back()
    {
        var kite = await market.ListAsync("Kite", 1200, ("north", 30));
        var ada = await market.NewBuyerAsync();
        var orders = new List<Guid>();
        await market.ProviderAsync(HttpMethod.Put, "/_control/outage", new { mode = "503" });
        try
        {
            // The first ones find out; those after them are told at once.
            for (var n = 0; n < 6; n++)
            {
                var order = await ada.BuyAsync("pm_card_visa", (kite, 1));
                Assert.Equal("PAYMENT_FAILED", await Market.StatusAsync(ada, order, TimeSpan.FromSeconds(60)));
                orders.Add(order);
            }

            var quick = await ada.BuyAsync("pm_card_visa", (kite, 1));
            Assert.Equal("PAYMENT_FAILED", await Market.StatusAsync(ada, quick, TimeSpan.FromSeconds(5)));
        }
        finally
        {
            await market.ProviderAsync(HttpMethod.Put, "/_control/outage", new { mode = "off" });
        }

        Assert.Equal(30, await market.AvailableAsync(kite));
        await Eventually.Async(
            async () =>
            {
                await ada.PostAsync($"/api/v1/orders/{orders[0]}/payment", new { paymentMethod = "pm_card_visa" }, Guid.NewGuid().ToString("N"));
                return await Market.StatusAsync(ada, orders[0]) == "CONFIRMED";
            },
            "the retry goes through once the breaker has closed", TimeSpan.FromSeconds(90));
        Assert.Equal((1, 1200, 0), await market.ChargedAsync(orders[0]));
        await market.BooksBalanceAsync();
    }
}
