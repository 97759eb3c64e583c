using System.Net;
using Xunit;

namespace Marketplace.Journeys;

public sealed class WhenSomebodyElseAsks(Market market)
{
    [Fact]
    public async Task Anothers_order_does_not_exist_for_reading_and_for_every_action()
    {
        var thing = await market.ListAsync("Private purchase", 500, ("north", 5));
        var (ada, eve) = (await market.NewBuyerAsync(), await market.NewBuyerAsync());
        var order = await ada.BuyAsync("pm_card_chargeDeclined", (thing, 1));
        await Market.SettledAsync(ada, order);

        foreach (var stranger in new[] { eve, await market.NewGuestAsync(), market.Seller })
        {
            (await stranger.OrderAsync(order)).ExpectProblem(HttpStatusCode.NotFound);
            (await stranger.GetAsync($"/api/v1/orders/{order}/history")).ExpectProblem(HttpStatusCode.NotFound);
            (await stranger.PostAsync($"/api/v1/orders/{order}/payment", new { paymentMethod = "pm_card_visa" }, "steal")).ExpectProblem(HttpStatusCode.NotFound);
            (await stranger.PostAsync($"/api/v1/orders/{order}/cancellation", new { reason = "mine now" })).ExpectProblem(HttpStatusCode.NotFound);
            Assert.DoesNotContain(order.ToString(), (await stranger.GetAsync($"/api/v1/shipments?orderId={order}")).Text, StringComparison.Ordinal);
            Assert.DoesNotContain(order.ToString(), (await stranger.GetAsync($"/api/v1/payments?orderId={order}")).Text, StringComparison.Ordinal);
        }

        Assert.Equal("PAYMENT_FAILED", (await ada.OrderAsync(order)).String("status"));
    }

    [Fact]
    public async Task Anothers_listing_can_be_neither_changed_deleted_nor_stocked()
    {
        var thing = await market.ListAsync("Not yours", 500, ("north", 5));
        var eve = await market.NewSellerAsync("Eve Trading");
        var etag = (await market.Nobody.GetAsync($"/api/v1/products/{thing}")).Expect(HttpStatusCode.OK).ETag!;
        var change = new { title = "Mine", description = "x", brand = "x", category = "gifts", price = new { minor = 1, currency = "GBP" } };

        (await eve.PutAsync($"/api/v1/products/{thing}", change, ("If-Match", etag))).ExpectProblem(HttpStatusCode.NotFound);
        (await eve.DeleteAsync($"/api/v1/products/{thing}", ("If-Match", etag))).ExpectProblem(HttpStatusCode.NotFound);
        (await eve.PutAsync("/api/v1/stock", new { lines = new[] { new { productId = thing, warehouse = "north", onHand = 0 } } })).ExpectProblem(HttpStatusCode.NotFound);
        Assert.DoesNotContain(thing.ToString(), (await eve.GetAsync("/api/v1/seller/products")).Text, StringComparison.Ordinal);
        Assert.DoesNotContain(thing.ToString(), (await eve.GetAsync("/api/v1/seller/stock")).Text, StringComparison.Ordinal);
        Assert.Equal(5, await market.AvailableAsync(thing));
    }

    [Fact]
    public async Task A_cart_is_seen_by_its_owner_only_and_is_never_cached()
    {
        var thing = await market.ListAsync("In my cart", 500, ("north", 5));
        var (ada, eve) = (await market.NewBuyerAsync(), await market.NewBuyerAsync());
        await ada.FillCartAsync((thing, 2));

        for (var round = 0; round < 3; round++)
        {
            var mine = (await ada.GetAsync("/api/v1/cart")).Expect(HttpStatusCode.OK);
            Assert.Contains(thing.ToString(), mine.Text, StringComparison.Ordinal);
            Assert.Equal("private, no-store", mine.Header("Cache-Control"));
            Assert.DoesNotContain(thing.ToString(), (await eve.GetAsync("/api/v1/cart")).Text, StringComparison.Ordinal);
            (await market.Nobody.GetAsync("/api/v1/cart")).ExpectProblem(HttpStatusCode.Unauthorized);
        }
    }

    [Theory]
    [InlineData("dapr-app-id", "payments")]
    [InlineData("dapr-api-token", "guess")]
    [InlineData("dapr-caller-app-id", "ordering")]
    [InlineData("X-Forwarded-For", "127.0.0.1")]
    public async Task A_forged_header_opens_no_inner_route(string name, string value)
    {
        foreach (var path in new[] { "/internal/charges", "/api/v1/../internal/orders", "/api/v1/orders/..%2f..%2finternal%2fprices", "//internal/reservations", "/events/order-confirmed", "/dapr/subscribe", "/dapr/config" })
        {
            var reply = await market.Nobody.SendAsync(HttpMethod.Post, path, new { orderId = Guid.NewGuid() }, null, (name, value));
            Assert.True((int)reply.Status is 404 or 400 or 401 or 405, $"{path}: {(int)reply.Status} {reply.Text}");
        }

        (await market.Nobody.SendAsync(HttpMethod.Get, "/api/v1/orders", null, null, (name, value))).ExpectProblem(HttpStatusCode.Unauthorized);
    }

    [Theory]
    [InlineData("not-a-token")]
    [InlineData("eyJhbGciOiJub25lIn0.eyJzdWIiOiIwMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwMDEiLCJyb2xlcyI6WyJvcGVyYXRvciJdLCJpc3MiOiJtYXJrZXRwbGFjZSIsImF1ZCI6Im1hcmtldHBsYWNlIiwiZXhwIjo0MTAyNDQ0ODAwfQ.")]
    public async Task A_forged_token_is_refused_everywhere(string token)
    {
        var forger = market.With(token);
        foreach (var path in new[] { "/api/v1/orders", "/api/v1/cart", "/api/v1/me", "/api/v1/notifications", "/api/v1/seller/products", "/api/v1/operations/orders" })
            (await forger.GetAsync(path)).ExpectProblem(HttpStatusCode.Unauthorized);
    }

    [Fact]
    public async Task A_token_with_a_changed_payload_is_refused()
    {
        var ada = await market.NewBuyerAsync();
        var parts = ada.Token!.Split('.');
        var payload = parts[1][..^2] + (parts[1][^2] == 'A' ? "BB" : "AA");

        (await market.With($"{parts[0]}.{payload}.{parts[2]}").GetAsync("/api/v1/orders")).ExpectProblem(HttpStatusCode.Unauthorized);
    }

    [Fact]
    public async Task A_shopper_is_no_seller_and_no_operator()
    {
        var ada = await market.NewBuyerAsync();
        (await ada.GetAsync("/api/v1/seller/products")).ExpectProblem(HttpStatusCode.Forbidden);
        (await ada.GetAsync("/api/v1/operations/orders")).ExpectProblem(HttpStatusCode.Forbidden);
        (await ada.PostAsync($"/api/v1/operations/shipments/{Guid.NewGuid()}/advance")).ExpectProblem(HttpStatusCode.Forbidden);
    }
}
