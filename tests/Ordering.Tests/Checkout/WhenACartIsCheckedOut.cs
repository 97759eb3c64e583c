using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Marketplace.Contracts;
using Marketplace.TestKit;

namespace Marketplace.Ordering.Tests.Checkout;

public sealed class WhenACartIsCheckedOut : IAsyncLifetime
{
    private readonly Guid ada = Guid.CreateVersion7();
    private Shop shop = null!;
    private HttpClient buyer = null!;

    public async ValueTask InitializeAsync()
    {
        shop = await Shop.OpenAsync();
        buyer = shop.As(ada);
        shop.PutInCart(ada);
    }

    public async ValueTask DisposeAsync()
    {
        buyer.Dispose();
        await shop.DisposeAsync();
    }

    [Fact]
    public async Task The_order_exists_at_once_and_its_saga_is_on_its_way()
    {
        using var response = await Shop.CheckOutAsync(buyer, Shop.Request(Shop.Total()));

        Assert.Equal(HttpStatusCode.Accepted, response.StatusCode);
        var placed = await response.Content.ReadFromJsonAsync<JsonElement>();
        var order = placed.GetProperty("orderId").GetGuid();
        Assert.Equal($"/api/v1/orders/{order}", response.Headers.Location!.ToString());
        Assert.Equal("PENDING", placed.GetProperty("status").GetString());
        Assert.Equal((1299 * 2) + (450 * 3), placed.GetProperty("total").GetProperty("minor").GetInt64());

        var told = Assert.Single(await shop.Service.EventsAsync<OrderCreated>());
        Assert.Equal((order, ada, Shop.Total()), (told.OrderId, told.BuyerId, told.Total));
        Assert.Equal(1L, await shop.Service.ScalarAsync<long>("SELECT count(*) FROM outbox WHERE lane = 'checkout' AND aggregate_id = $1", order));

        var read = await shop.ReadAsync(order, buyer);
        Assert.Equal(["Lamp:2", "Mug:3"], read.GetProperty("lines").EnumerateArray().Select(line => $"{line.GetProperty("title")}:{line.GetProperty("quantity")}"));
    }

    [Fact]
    public async Task The_price_is_the_shops_and_another_total_is_refused_with_the_difference()
    {
        using var response = await Shop.CheckOutAsync(buyer, Shop.Request(Money.Gbp(1)));

        Assert.Equal(HttpStatusCode.Conflict, response.StatusCode);
        var problem = await response.Content.ReadFromJsonAsync<JsonElement>();
        Assert.Equal("/problems/total-changed", problem.GetProperty("type").GetString());
        Assert.Equal(1, problem.GetProperty("expected").GetProperty("minor").GetInt64());
        Assert.Equal(Shop.Total().Minor, problem.GetProperty("actual").GetProperty("minor").GetInt64());
        await NothingStoredAsync();
    }

    [Fact]
    public async Task The_same_key_means_the_same_order_one_after_the_other()
    {
        using var first = await Shop.CheckOutAsync(buyer, Shop.Request(Shop.Total()), "key-1");
        shop.Cart.Clear();                                         // the cart may be empty by then
        using var again = await Shop.CheckOutAsync(buyer, Shop.Request(Shop.Total()), "key-1");

        Assert.Equal(HttpStatusCode.Accepted, again.StatusCode);
        Assert.Equal(await first.Content.ReadAsStringAsync(), await again.Content.ReadAsStringAsync());
        Assert.Equal("true", Assert.Single(again.Headers.GetValues("Idempotent-Replayed")));
        Assert.Equal(1L, await OrdersAsync());
    }

    [Fact]
    public async Task The_same_key_means_the_same_order_all_at_once()
    {
        var responses = await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => Shop.CheckOutAsync(buyer, Shop.Request(Shop.Total()), "key-1")));

        Assert.All(responses, response => Assert.True(response.StatusCode is HttpStatusCode.Accepted or HttpStatusCode.Conflict, $"{response.StatusCode}"));
        var accepted = responses.Where(response => response.StatusCode == HttpStatusCode.Accepted).ToList();
        Assert.NotEmpty(accepted);
        Assert.Single((await Task.WhenAll(accepted.Select(response => response.Content.ReadAsStringAsync()))).Distinct());
        Assert.Equal(1L, await OrdersAsync());
        Assert.Single(await shop.Service.EventsAsync<OrderCreated>());
    }

    [Fact]
    public async Task The_same_key_with_another_body_is_refused()
    {
        using var first = await Shop.CheckOutAsync(buyer, Shop.Request(Shop.Total()), "key-1");
        using var other = await Shop.CheckOutAsync(buyer, Shop.Request(Shop.Total(), "pm_card_mastercard"), "key-1");
        Assert.Equal(HttpStatusCode.UnprocessableEntity, other.StatusCode);
        Assert.Equal(1L, await OrdersAsync());
    }

    [Fact]
    public async Task A_refusal_leaves_the_key_free()
    {
        using var refused = await Shop.CheckOutAsync(buyer, Shop.Request(Money.Gbp(1)), "key-1");
        Assert.Equal(HttpStatusCode.Conflict, refused.StatusCode);
        using var accepted = await Shop.CheckOutAsync(buyer, Shop.Request(Shop.Total()), "key-1");
        Assert.Equal(HttpStatusCode.Accepted, accepted.StatusCode);
    }

    [Fact]
    public async Task Two_buyers_may_use_the_same_key()
    {
        var bruno = Guid.CreateVersion7();
        shop.PutInCart(bruno);
        using var other = shop.As(bruno);
        using var one = await Shop.CheckOutAsync(buyer, Shop.Request(Shop.Total()), "key-1");
        using var two = await Shop.CheckOutAsync(other, Shop.Request(Shop.Total()), "key-1");
        Assert.Equal(2L, await OrdersAsync());
    }

    [Fact]
    public async Task Without_a_key_it_is_refused()
    {
        using var response = await buyer.PostAsJsonAsync("/api/v1/checkout", Shop.Request(Shop.Total()));
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        await NothingStoredAsync();
    }

    [Fact]
    public async Task An_empty_cart_is_not_an_order()
    {
        shop.Cart.Clear();
        using var response = await Shop.CheckOutAsync(buyer, Shop.Request(Shop.Total()));
        Assert.Equal(HttpStatusCode.UnprocessableEntity, response.StatusCode);
        Assert.Equal("/problems/cart-empty", (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("type").GetString());
        await NothingStoredAsync();
    }

    [Fact]
    public async Task A_product_that_is_gone_is_named()
    {
        var mug = shop.Mug;
        shop.Listed.RemoveAt(1);
        using var response = await Shop.CheckOutAsync(buyer, Shop.Request(Shop.Total()));
        Assert.Equal(HttpStatusCode.UnprocessableEntity, response.StatusCode);
        Assert.Equal(mug, (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("productIds")[0].GetGuid());
        await NothingStoredAsync();
    }

    [Theory]
    [InlineData("""{"shipTo":{"name":"A","line1":"1","city":"L","postalCode":"N1","country":"GB"}}""", "expectedTotal")]
    [InlineData("""{"expectedTotal":{"minor":3948,"currency":"GBP"},"shipTo":{"name":"","line1":"1","city":"L","postalCode":"N1","country":"GB"}}""", "shipTo.name")]
    [InlineData("""{"expectedTotal":{"minor":3948,"currency":"GBP"},"shipTo":{"name":"A","line1":"1","city":"L","postalCode":"N1","country":"Britain"}}""", "shipTo.country")]
    [InlineData("""{"expectedTotal":{"minor":3948,"currency":"GBP"},"shipTo":{"name":"A","line1":"1","city":"L","postalCode":"N1","country":"GB"},"contact":{"email":"nobody","name":"A"}}""", "contact.email")]
    public async Task A_wrong_field_is_named_and_nothing_is_stored(string body, string field)
    {
        using var post = new HttpRequestMessage(HttpMethod.Post, "/api/v1/checkout") { Content = new StringContent(body, Encoding.UTF8, "application/json") };
        post.Headers.Add("Idempotency-Key", "key-1");
        using var response = await buyer.SendAsync(post);

        Assert.Equal(HttpStatusCode.UnprocessableEntity, response.StatusCode);
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType!.MediaType);
        var problem = await response.Content.ReadFromJsonAsync<JsonElement>();
        Assert.True(problem.GetProperty("errors").TryGetProperty(field, out _), problem.ToString());
        await NothingStoredAsync();
    }

    [Theory]
    [InlineData("{")]
    [InlineData("""{"expectedTotal":"lots"}""")]
    [InlineData("""{"expectedTotal":{"minor":3948,"currency":"GBP"}}""")]
    public async Task A_body_that_is_not_what_it_should_be_is_refused(string body)
    {
        using var post = new HttpRequestMessage(HttpMethod.Post, "/api/v1/checkout") { Content = new StringContent(body, Encoding.UTF8, "application/json") };
        post.Headers.Add("Idempotency-Key", "key-1");
        using var response = await buyer.SendAsync(post);
        Assert.True(response.StatusCode is HttpStatusCode.BadRequest or HttpStatusCode.UnprocessableEntity, $"{response.StatusCode}");
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType!.MediaType);
        await NothingStoredAsync();
    }

    [Fact]
    public async Task A_guest_says_where_messages_go()
    {
        var guest = Guid.CreateVersion7();
        shop.PutInCart(guest);
        using var client = shop.Service.As(TestTokens.Guest(guest));

        using var silent = await Shop.CheckOutAsync(client, Shop.Request(Shop.Total()));
        Assert.Equal(HttpStatusCode.UnprocessableEntity, silent.StatusCode);
        Assert.True((await silent.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("errors").TryGetProperty("contact", out _));

        using var told = await Shop.CheckOutAsync(client, new
        {
            expectedTotal = Shop.Total(),
            shipTo = new { name = "G", line1 = "1", city = "L", postalCode = "N1", country = "GB" },
            contact = new { email = "guest@example.com", name = "G" },
        });
        Assert.Equal(HttpStatusCode.Accepted, told.StatusCode);
        Assert.Equal("guest@example.com", await shop.Service.ScalarAsync<string>("SELECT contact ->> 'email' FROM orders"));
    }

    [Fact]
    public async Task Nobody_without_a_token_buys()
    {
        using var nobody = shop.Service.As(null);
        using var response = await Shop.CheckOutAsync(nobody, Shop.Request(Shop.Total()));
        Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
    }

    [Fact]
    public async Task A_cart_service_that_does_not_answer_costs_no_order()
    {
        shop.Service.Neighbour("cart").On(HttpMethod.Get, "/internal/carts/*", _ => FakeReply.Broken);
        using var response = await Shop.CheckOutAsync(buyer, Shop.Request(Shop.Total()), "key-1");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        await NothingStoredAsync();
    }

    private Task<long> OrdersAsync() => shop.Service.ScalarAsync<long>("SELECT count(*) FROM orders");

    private async Task NothingStoredAsync()
    {
        Assert.Equal(0L, await OrdersAsync());
        Assert.Equal(0L, await shop.Service.ScalarAsync<long>("SELECT count(*) FROM outbox"));
        Assert.Equal(0L, await shop.Service.ScalarAsync<long>("SELECT count(*) FROM idempotency_keys"));
    }
}
