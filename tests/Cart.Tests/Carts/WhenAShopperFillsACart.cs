using System.Net;
using Marketplace.Cart.Carts;
using Marketplace.Contracts;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Cart.Tests.Carts;

public sealed class WhenAShopperFillsACart(CartsInMemory market) : IClassFixture<CartsInMemory>
{
    private readonly Guid ada = Guid.NewGuid();

    private HttpClient Ada => market.Cart.As(TestTokens.Buyer(ada));

    [Fact]
    public async Task It_shows_lines_with_todays_prices_and_their_total()
    {
        var (lamp, desk) = (market.Product(1_299, "Lamp"), market.Product(10_050, "Desk"));
        await Ada.AddAsync(lamp, 3).CartAsync();
        var cart = await Ada.AddAsync(desk, 2).CartAsync();

        Assert.Equal([("Lamp", 3, Money.Gbp(3_897)), ("Desk", 2, Money.Gbp(20_100))], cart.Lines.Select(line => (line.Title!, line.Quantity, line.LineTotal!.Value)));
        Assert.Equal(Money.Gbp(23_997), cart.Total);
        Assert.Equal(cart, await Ada.CartAsync(), Same);
        static bool Same(PricedCart one, PricedCart other) => one.CartId == other.CartId && one.Etag == other.Etag && one.Lines.SequenceEqual(other.Lines) && one.Total == other.Total;
    }

    [Fact]
    public async Task An_empty_cart_costs_nothing_and_asks_nobody()
    {
        var before = market.Cart.Neighbour("catalog").Calls.Count;
        var cart = await Ada.CartAsync();
        Assert.Empty(cart.Lines);
        Assert.Equal(Money.Gbp(0), cart.Total);
        Assert.Equal(before, market.Cart.Neighbour("catalog").Calls.Count);
    }

    [Fact]
    public async Task Two_hundred_lines_are_priced_by_one_call()
    {
        var lines = Enumerable.Range(0, 200).Select(_ => new { productId = market.Product(), quantity = 1 }).ToList();
        var before = market.Cart.Neighbour("catalog").Calls.Count;
        var cart = await Ada.PutAsync("/api/v1/cart", new { lines }).CartAsync();
        Assert.Equal((200, Money.Gbp(20_000)), (cart.Lines.Count, cart.Total));
        Assert.Equal(1, market.Cart.Neighbour("catalog").Calls.Count - before);
    }

    [Fact]
    public async Task What_was_taken_down_is_shown_as_not_available_and_counts_nothing()
    {
        var (lamp, desk) = (market.Product(100), market.Product(200));
        await Ada.AddAsync(lamp, 1).CartAsync();
        await Ada.AddAsync(desk, 1).CartAsync();
        market.TakeDown(lamp);
        var cart = await Ada.CartAsync();
        Assert.Equal([false, true], cart.Lines.Select(line => line.Available));
        Assert.Equal(Money.Gbp(200), cart.Total);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(100)]
    public async Task A_quantity_that_no_line_holds_names_the_field_and_stores_nothing(int quantity)
    {
        var lamp = market.Product();
        await NamesAsync(Ada.AddAsync(lamp, quantity), "quantity");
        await NamesAsync(Ada.PutAsync("/api/v1/cart", new { lines = new[] { new { productId = lamp, quantity } } }), "lines[0].quantity");
        Assert.Empty((await Ada.CartAsync()).Lines);

        await Ada.AddAsync(lamp, 7).CartAsync();
        await NamesAsync(Ada.PutAsync($"/api/v1/cart/lines/{lamp}", new { quantity }), "quantity");
        Assert.Equal([(lamp, 7)], (await Ada.CartAsync()).Units());
    }

    [Fact]
    public async Task An_unknown_product_names_the_field_and_stores_nothing()
    {
        var lamp = market.Product();
        await NamesAsync(Ada.AddAsync(Guid.NewGuid(), 1), "productId");
        await NamesAsync(Ada.PutAsync("/api/v1/cart", new { lines = new[] { new { productId = lamp, quantity = 1 }, new { productId = Guid.NewGuid(), quantity = 1 } } }), "lines[1].productId");
        await NamesAsync(Ada.AddAsync(Guid.Empty, 1), "productId");
        Assert.Empty((await Ada.CartAsync()).Lines);
    }

    [Fact]
    public async Task Units_over_the_most_a_line_holds_are_refused_in_sum_too()
    {
        var lamp = market.Product();
        await Ada.AddAsync(lamp, 60).CartAsync();
        await NamesAsync(Ada.AddAsync(lamp, 40), "quantity");
        Assert.Equal([(lamp, 60)], (await Ada.CartAsync()).Units());
    }

    [Fact]
    public async Task More_than_two_hundred_lines_are_refused()
    {
        var lines = Enumerable.Range(0, 201).Select(_ => new { productId = market.Product(), quantity = 1 }).ToList();
        await NamesAsync(Ada.PutAsync("/api/v1/cart", new { lines }), "lines");
        await Ada.PutAsync("/api/v1/cart", new { lines = lines.Take(200) }).CartAsync();
        await NamesAsync(Ada.AddAsync(lines[200].productId, 1), "quantity");
    }

    [Theory]
    [InlineData("{\"lines\":[null]}")]
    [InlineData("{\"lines\":null}")]
    [InlineData("{}")]
    [InlineData("[]")]
    [InlineData("{\"lines\":[{\"productId\":\"lamp\",\"quantity\":1}]}")]
    [InlineData("{\"lines\":[{\"quantity\":1.5}]}")]
    [InlineData("{\"lines\":[")]
    public async Task Nonsense_is_a_problem_document(string body)
    {
        using var content = new StringContent(body, System.Text.Encoding.UTF8, "application/json");
        using var response = await Ada.PutAsync(new Uri("/api/v1/cart", UriKind.Relative), content, TestContext.Current.CancellationToken);
        Assert.Contains(response.StatusCode, new[] { HttpStatusCode.BadRequest, HttpStatusCode.UnprocessableEntity });
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
    }

    [Fact]
    public async Task A_quantity_is_changed_and_a_line_taken_out()
    {
        var (lamp, desk) = (market.Product(), market.Product());
        await Ada.AddAsync(lamp, 1).CartAsync();
        await Ada.AddAsync(desk, 1).CartAsync();
        Assert.Equal([(lamp, 9), (desk, 1)], (await Ada.PutAsync($"/api/v1/cart/lines/{lamp}", new { quantity = 9 }).CartAsync()).Units());
        Assert.Equal([(desk, 1)], (await Ada.RemoveAsync($"/api/v1/cart/lines/{lamp}").CartAsync()).Units());
        await Ada.PutAsync($"/api/v1/cart/lines/{lamp}", new { quantity = 9 }).ProblemAsync(HttpStatusCode.NotFound, "not-found");

        using var cleared = await Ada.RemoveAsync("/api/v1/cart");
        Assert.Equal(HttpStatusCode.NoContent, cleared.StatusCode);
        Assert.Empty((await Ada.CartAsync()).Lines);
    }

    [Fact]
    public async Task A_cart_replaced_from_an_old_view_of_it_is_refused()
    {
        var (lamp, desk) = (market.Product(), market.Product());
        var seen = await Ada.AddAsync(lamp, 1).CartAsync();
        await Ada.AddAsync(desk, 1).CartAsync();
        var replacement = new { lines = new[] { new { productId = lamp, quantity = 2 } } };
        await Ada.PutAsync("/api/v1/cart", replacement, seen.Etag).ProblemAsync(HttpStatusCode.PreconditionFailed, "cart-changed");

        using var now = await Ada.FetchAsync("/api/v1/cart");
        var replaced = await Ada.PutAsync("/api/v1/cart", replacement, now.Headers.ETag!.ToString()).CartAsync();
        Assert.Equal([(lamp, 2)], replaced.Units());
        Assert.NotEqual(seen.CartId, replaced.CartId);
    }

    [Fact]
    public async Task Nobody_sees_somebody_else_s_cart()
    {
        var lamp = market.Product();
        await Ada.AddAsync(lamp, 1).CartAsync();
        Assert.Empty((await market.Cart.As(TestTokens.Buyer(Guid.NewGuid())).CartAsync()).Lines);
        await market.Cart.As(null).FetchAsync("/api/v1/cart").ProblemAsync(HttpStatusCode.Unauthorized, "unauthorized");
    }

    [Fact]
    public async Task A_guest_has_a_cart_too()
    {
        var guest = market.Cart.As(TestTokens.Guest(Guid.NewGuid()));
        var lamp = market.Product();
        await guest.AddAsync(lamp, 2).CartAsync();
        Assert.Equal([(lamp, 2)], (await guest.CartAsync()).Units());
    }

    [Fact]
    public async Task Checkout_reads_it_and_nobody_else_may()
    {
        var lamp = market.Product();
        var cart = await Ada.AddAsync(lamp, 2).CartAsync();
        using var response = await market.Cart.AsNeighbour("ordering").FetchAsync($"/internal/carts/{ada}");
        var plain = await System.Net.Http.Json.HttpContentJsonExtensions.ReadFromJsonAsync<PlainCart>(response.Content, TestContext.Current.CancellationToken);
        Assert.Equal(cart.CartId, plain!.CartId);
        Assert.Equal([new(lamp, 2)], plain.Lines);

        using var empty = await market.Cart.AsNeighbour("ordering").FetchAsync($"/internal/carts/{Guid.NewGuid()}");
        Assert.Empty((await System.Net.Http.Json.HttpContentJsonExtensions.ReadFromJsonAsync<PlainCart>(empty.Content, TestContext.Current.CancellationToken))!.Lines);

        await Ada.FetchAsync($"/internal/carts/{ada}").ProblemAsync(HttpStatusCode.Unauthorized, "unauthorized");
        await market.Cart.AsNeighbour("gateway").FetchAsync($"/internal/carts/{ada}").ProblemAsync(HttpStatusCode.Forbidden, "forbidden");
    }

    [Fact]
    public async Task Analytics_hears_of_it()
    {
        var lamp = market.Product();
        var cart = await Ada.AddAsync(lamp, 2).CartAsync();
        await Eventually.Async(() => market.Heard.Any(added => added.ProductId == lamp), "cart.item_added arrives");
        var heard = market.Heard.Single(added => added.ProductId == lamp);
        Assert.Equal((ada, cart.CartId, 2), (heard.BuyerId, heard.CartId, heard.Quantity));
    }

    [Fact]
    public async Task When_the_catalogue_is_away_the_cart_says_so_and_loses_nothing()
    {
        await using var alone = new Broken();
        await alone.InitializeAsync();
        var http = alone.Cart.As(TestTokens.Buyer(ada));
        var lamp = alone.Product();
        await http.AddAsync(lamp, 2).CartAsync();

        alone.Cart.Neighbour("catalog").On(HttpMethod.Post, "/internal/prices", _ => FakeReply.Broken);
        await http.FetchAsync("/api/v1/cart").ProblemAsync(HttpStatusCode.ServiceUnavailable, "unavailable");
        await http.AddAsync(alone.Product(), 1).ProblemAsync(HttpStatusCode.ServiceUnavailable, "unavailable");
        Assert.Equal([new(lamp, 2)], (await alone.Store.LoadAsync(ada, TestContext.Current.CancellationToken)).Contents.Lines);
    }

    private static async Task NamesAsync(Task<HttpResponseMessage> sending, string field)
    {
        var problem = await sending.ProblemAsync(HttpStatusCode.UnprocessableEntity, "validation");
        Assert.True(problem.GetProperty("errors").TryGetProperty(field, out _), problem.ToString());
    }

    private sealed class Broken : CartFixture
    {
        protected override Task<string> StoreAsync(string folder) => Task.FromResult("  type: state.in-memory\n  metadata: []");
    }
}
