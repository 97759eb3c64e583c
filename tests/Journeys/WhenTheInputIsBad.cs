using System.Net;
using System.Text;
using Xunit;

namespace Marketplace.Journeys;

/// <summary>A clear problem document that names the field, and nothing stored.</summary>
public sealed class WhenTheInputIsBad(Market market)
{
    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(100)]
    public async Task A_quantity_outside_1_to_99_is_refused_by_name(int quantity)
    {
        var thing = await market.ListAsync("Counted", 500, ("north", 500));
        var ada = await market.NewBuyerAsync();

        (await ada.PostAsync("/api/v1/cart/lines", new { productId = thing, quantity })).ExpectProblem(HttpStatusCode.UnprocessableEntity, "quantity");
        (await ada.PutAsync("/api/v1/cart", new { lines = new[] { new { productId = thing, quantity } } })).ExpectProblem(HttpStatusCode.UnprocessableEntity, "quantity");
        Assert.Equal(0, (await ada.GetAsync("/api/v1/cart")).Json.GetProperty("lines").GetArrayLength());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-500)]
    [InlineData(100_000_001)]
    public async Task An_absurd_price_is_refused_by_name(long minor)
    {
        var title = $"Absurd {Guid.NewGuid():N}";
        (await market.Seller.PostAsync("/api/v1/products", new { title, description = "x", brand = "x", category = "gifts", price = new { minor, currency = "GBP" } }))
            .ExpectProblem(HttpStatusCode.UnprocessableEntity, "price");
        Assert.Empty(await market.SqlAsync<Guid>("catalog", "SELECT product_id FROM listings WHERE title = $1", title));
    }

    [Fact]
    public async Task An_unknown_product_is_told_and_not_kept()
    {
        var ada = await market.NewBuyerAsync();
        var reply = await ada.PostAsync("/api/v1/cart/lines", new { productId = Guid.NewGuid(), quantity = 1 });
        Assert.True(reply.Status is HttpStatusCode.NotFound or HttpStatusCode.UnprocessableEntity, reply.Text);
        (await market.Nobody.GetAsync($"/api/v1/products/{Guid.NewGuid()}")).ExpectProblem(HttpStatusCode.NotFound);
        (await market.Nobody.GetAsync($"/api/v1/stock/{Guid.NewGuid()}")).ExpectProblem(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task A_body_of_ten_megabytes_is_too_large()
    {
        var ada = await market.NewBuyerAsync();
        using var body = new StringContent($$"""{"lines":[],"junk":"{{new string('x', 10_000_000)}}"}""", Encoding.UTF8, "application/json");
        (await ada.PutAsync("/api/v1/cart", body)).ExpectProblem(HttpStatusCode.RequestEntityTooLarge);
    }

    [Theory]
    [InlineData("{\"lines\":[")]
    [InlineData("not json")]
    [InlineData("{\"lines\":[{\"productId\":\"no-guid\",\"quantity\":1}]}")]
    [InlineData("{\"lines\":[{\"productId\":\"0199b1f0-0000-7000-8000-000000000000\",\"quantity\":\"many\"}]}")]
    public async Task Malformed_json_is_refused_and_says_where(string text)
    {
        var ada = await market.NewBuyerAsync();
        using var body = new StringContent(text, Encoding.UTF8, "application/json");
        (await ada.PutAsync("/api/v1/cart", body)).ExpectProblem(HttpStatusCode.BadRequest);
    }

    [Theory]
    [InlineData("'; DROP TABLE listings; --")]
    [InlineData("\" OR 1=1 --")]
    [InlineData("title:* AND (")]
    [InlineData("<script>alert(1)</script>")]
    [InlineData("((((((((((+-&&||!{}[]^~*?:\\/")]
    public async Task A_search_box_takes_anything_and_does_nothing_with_it(string q)
    {
        (await market.Nobody.GetAsync($"/api/v1/search?q={Uri.EscapeDataString(q)}")).Expect(HttpStatusCode.OK);
        (await market.Nobody.GetAsync($"/api/v1/suggestions?q={Uri.EscapeDataString(q)}")).Expect(HttpStatusCode.OK);
        Assert.True((await market.SqlAsync<long>("catalog", "SELECT count(*) FROM listings"))[0] > 0);
    }

    [Fact]
    public async Task Checkout_names_every_missing_field_and_an_empty_cart()
    {
        var thing = await market.ListAsync("Wanted", 500, ("north", 5));
        var ada = await market.NewBuyerAsync();
        (await ada.CheckoutAsync(500)).ExpectProblem(HttpStatusCode.UnprocessableEntity, "cart");

        var total = await ada.FillCartAsync((thing, 1));
        var reply = (await ada.PostAsync("/api/v1/checkout", new { expectedTotal = new { minor = total, currency = "GBP" } }, "no-address")).Json;
        Assert.True(reply.GetProperty("status").GetInt32() is 400 or 422);
        Assert.Contains("shipTo", reply.GetRawText(), StringComparison.OrdinalIgnoreCase);
        Assert.Empty(await market.SqlAsync<Guid>("ordering", "SELECT order_id FROM orders WHERE buyer_id = $1", ada.Id));
    }

    [Theory]
    [InlineData("GET", "/nowhere", HttpStatusCode.NotFound)]
    [InlineData("GET", "/api/v1/nowhere", HttpStatusCode.NotFound)]
    [InlineData("GET", "/api/v1/orders", HttpStatusCode.Unauthorized)]
    [InlineData("GET", "/api/v1/orders/not-an-id", HttpStatusCode.Unauthorized, HttpStatusCode.NotFound)]
    [InlineData("PATCH", "/api/v1/cart", HttpStatusCode.Unauthorized, HttpStatusCode.MethodNotAllowed, HttpStatusCode.NotFound)]
    public async Task Every_error_is_a_problem_document(string method, string path, params HttpStatusCode[] allowed)
    {
        var reply = await market.Nobody.SendAsync(new HttpMethod(method), path);
        Assert.Contains(reply.Status, allowed);
        reply.ExpectProblem(reply.Status);
    }

    [Fact]
    public async Task A_card_number_is_never_taken()
    {
        var ada = await market.NewBuyerAsync();
        var reply = await ada.PostAsync("/api/v1/payment-methods", new { providerToken = "4242424242424242" });
        Assert.True((int)reply.Status is 400 or 422, reply.Text);
        Assert.DoesNotContain("4242424242424242", reply.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_webhook_without_the_providers_signature_is_refused()
    {
        using var body = new StringContent("""{"id":"evt_forged","type":"payment_intent.succeeded"}""", Encoding.UTF8, "application/json");
        var reply = await market.Nobody.SendAsync(HttpMethod.Post, "/webhooks/stripe", body, null, ("Stripe-Signature", "t=1,v1=00"));
        Assert.True((int)reply.Status is 400 or 401, reply.Text);
        Assert.Empty(await market.SqlAsync<string>("payments", "SELECT event_id FROM webhooks WHERE event_id = 'evt_forged'"));
    }
}
