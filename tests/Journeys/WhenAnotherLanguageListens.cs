using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Journeys;

/// <summary>samples/order-feed-node in the launched system: its totals are those of the books, over every journey so far.</summary>
public sealed class WhenAnotherLanguageListens(Market market)
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Its_totals_agree_with_the_books_also_after_it_was_killed()
    {
        market.NeedFeed();
        var globe = await market.ListAsync("Globe", 2500, ("north", 10));
        var ada = await market.NewBuyerAsync();

        var first = await ada.BuyAsync("pm_card_visa", (globe, 2));
        Assert.Equal("CONFIRMED", await Market.StatusAsync(ada, first));
        await HearsAsync(first, "confirmed", 5000);
        await AgreesAsync();

        await market.KillAsync("order-feed");
        var second = await ada.BuyAsync("pm_card_visa", (globe, 1));
        Assert.Equal("CONFIRMED", await Market.StatusAsync(ada, second));
        (await ada.PostAsync($"/api/v1/orders/{first}/cancellation", new { reason = "changed my mind" })).Expect(HttpStatusCode.Accepted);
        await Market.BecomesAsync(ada, first, "CANCELLED");
        await market.AllUpAsync();
        await Eventually.Async(AnswersAsync, "the feed answers", TimeSpan.FromSeconds(30));
        await HearsAsync(second, "confirmed", 2500);
        await HearsAsync(first, "cancelled", 5000);
        await AgreesAsync();
    }

    /// <summary>Asks through the sidecar of another app.</summary>
    private async Task<JsonElement> AskAsync(string question)
    {
        using var http = new HttpClient();
        var port = market.System.Parts.First(part => part.AppId == "cart").DaprHttpPort;
        return await http.GetFromJsonAsync<JsonElement>($"http://127.0.0.1:{port}/v1.0/invoke/order-feed/method/{question}", Ct);
    }

    // It is up again, and its sidecar may not have seen that yet: until then it answers that it finds nobody.
    private async Task<bool> AnswersAsync()
    {
        try
        {
            await AskAsync("totals");
            return true;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    private Task HearsAsync(Guid order, string status, long minor) => Eventually.Async(
        async () => (await AskAsync("orders/recent")).GetProperty("items").EnumerateArray().Any(
            item => item.GetProperty("orderId").GetGuid() == order && item.GetProperty("status").GetString() == status && item.GetProperty("total").GetProperty("minor").GetInt64() == minor),
        $"the feed has order {order} as {status}",
        TimeSpan.FromSeconds(60));

    private async Task AgreesAsync()
    {
        var (said, booked) = ("", "");
        await Eventually.Async(
            async () =>
            {
                var totals = await AskAsync("totals");
                var revenue = totals.GetProperty("revenue").EnumerateArray().Sum(money => money.GetProperty("minor").GetInt64());
                var orders = totals.GetProperty("orders");
                said = $"{orders.GetProperty("created")} created, {orders.GetProperty("cancelled")} cancelled, {revenue} earned";
                booked = (await market.SqlAsync<string>("ordering", """
                    SELECT count(*) || ' created, ' || count(*) FILTER (WHERE status = 'CANCELLED') || ' cancelled, '
                           || coalesce(sum(total_minor) FILTER (WHERE status IN ('CONFIRMED', 'SHIPPED', 'DELIVERED')), 0) || ' earned'
                    FROM orders
                    """))[0];
                return said == booked;
            },
            "the feed agrees with the books",
            TimeSpan.FromSeconds(60));
    }
}
