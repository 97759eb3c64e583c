using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.TestKit;

namespace Marketplace.Inventory.Tests.Stock;

public sealed class WhenStockIsCounted : IAsyncLifetime
{
    private readonly Guid lamp = Guid.CreateVersion7();
    private readonly Guid someoneElses = Guid.CreateVersion7();
    private Warehouse warehouse = null!;
    private HttpClient bruno = null!;

    public async ValueTask InitializeAsync()
    {
        warehouse = await Warehouse.OpenAsync();
        bruno = warehouse.Service.As(TestTokens.Seller(Guid.NewGuid(), Warehouse.BrunosShop));
        warehouse.Service.Neighbour("catalog").On(HttpMethod.Post, "/internal/prices", new
        {
            products = new[]
            {
                new { productId = lamp, sellerId = Warehouse.BrunosShop }, new { productId = someoneElses, sellerId = Guid.NewGuid() },
            },
        });
    }

    public async ValueTask DisposeAsync()
    {
        bruno.Dispose();
        await warehouse.DisposeAsync();
    }

    [Fact]
    public async Task What_is_on_hand_is_set_and_the_difference_is_in_the_book()
    {
        Assert.Equal(HttpStatusCode.OK, (await CountAsync((lamp, "north", 7), (lamp, "south", 2))).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await CountAsync((lamp, "north", 5))).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await CountAsync((lamp, "north", 5))).StatusCode);

        Assert.Equal((7, 0), await warehouse.LevelAsync(lamp));
        Assert.Equal(3L, await warehouse.Service.ScalarAsync<long>("SELECT count(*) FROM movements"));
        await warehouse.BooksBalanceAsync();
    }

    [Fact]
    public async Task Everybody_can_ask_what_can_be_bought_and_is_told_not_to_keep_the_answer()
    {
        await CountAsync((lamp, "south", 2), (lamp, "north", 7));
        await warehouse.ReserveAsync(Guid.CreateVersion7(), (lamp, 3));

        using var nobody = warehouse.Service.As(null);
        using var response = await nobody.GetAsync($"/api/v1/stock/{lamp}");

        Assert.True(response.Headers.CacheControl!.NoStore);
        var stock = await response.Content.ReadFromJsonAsync<JsonElement>();
        Assert.Equal(6, stock.GetProperty("available").GetInt32());
        Assert.Equal(["north:4", "south:2"], stock.GetProperty("warehouses").EnumerateArray().Select(each => $"{each.GetProperty("warehouse")}:{each.GetProperty("available")}"));
        Assert.Equal(HttpStatusCode.NotFound, (await nobody.GetAsync($"/api/v1/stock/{Guid.NewGuid()}")).StatusCode);
    }

    [Fact]
    public async Task Another_sellers_or_an_unknown_product_is_not_found_and_nothing_is_stored()
    {
        Assert.Equal(HttpStatusCode.NotFound, (await CountAsync((lamp, "north", 1), (someoneElses, "north", 1))).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await CountAsync((Guid.NewGuid(), "north", 1))).StatusCode);
        Assert.Equal(0L, await warehouse.Service.ScalarAsync<long>("SELECT count(*) FROM stock_levels"));
    }

    [Fact]
    public async Task Less_than_is_held_for_orders_is_refused()
    {
        await CountAsync((lamp, "north", 5));
        await warehouse.ReserveAsync(Guid.CreateVersion7(), (lamp, 3));

        using var response = await CountAsync((lamp, "south", 9), (lamp, "north", 2));

        Assert.Equal(HttpStatusCode.UnprocessableEntity, response.StatusCode);
        Assert.Equal("/problems/below-reserved", (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("type").GetString());
        Assert.Equal((5, 3), await warehouse.LevelAsync(lamp));
    }

    [Theory]
    [InlineData("north", -1, "lines[0].onHand")]
    [InlineData("moon", 1, "lines[0].warehouse")]
    public async Task A_wrong_line_is_named(string where, int onHand, string field)
    {
        using var response = await CountAsync((lamp, where, onHand));
        Assert.Equal(HttpStatusCode.UnprocessableEntity, response.StatusCode);
        var problem = await response.Content.ReadFromJsonAsync<JsonElement>();
        Assert.True(problem.GetProperty("errors").TryGetProperty(field, out _), problem.ToString());
    }

    [Fact]
    public async Task A_line_that_says_nothing_is_named()
    {
        using var response = await bruno.PutAsJsonAsync("/api/v1/stock", new { lines = new object?[] { new { productId = lamp, warehouse = "north", onHand = 1 }, null } });
        Assert.Equal(HttpStatusCode.UnprocessableEntity, response.StatusCode);
        Assert.True((await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("errors").TryGetProperty("lines[1]", out _));
    }

    [Fact]
    public async Task Only_a_seller_may_count()
    {
        using var nobody = warehouse.Service.As(null);
        using var shopper = warehouse.Service.As(TestTokens.Buyer(Guid.NewGuid()));
        Assert.Equal(HttpStatusCode.Unauthorized, (await nobody.PutAsJsonAsync("/api/v1/stock", new { lines = Array.Empty<object>() })).StatusCode);
        Assert.Equal(HttpStatusCode.Forbidden, (await shopper.PutAsJsonAsync("/api/v1/stock", new { lines = Array.Empty<object>() })).StatusCode);
    }

    [Fact]
    public async Task A_seller_pages_through_their_own_stock_only()
    {
        foreach (var _ in Enumerable.Range(0, 3)) await warehouse.HasAsync(("north", 1), ("south", 2));
        using var other = warehouse.Service.As(TestTokens.Seller(Guid.NewGuid(), Guid.NewGuid()));

        var found = new List<string>();
        string? next = null;
        do
        {
            var page = await bruno.GetFromJsonAsync<JsonElement>($"/api/v1/seller/stock?limit=4{(next is null ? "" : $"&cursor={next}")}");
            found.AddRange(page.GetProperty("items").EnumerateArray().Select(item => $"{item.GetProperty("productId")} {item.GetProperty("warehouse")}"));
            next = page.GetProperty("next").GetString();
        }
        while (next is not null);

        Assert.Equal(6, found.Distinct().Count());
        Assert.Equal(6, found.Count);
        Assert.Empty((await other.GetFromJsonAsync<JsonElement>("/api/v1/seller/stock")).GetProperty("items").EnumerateArray());
        foreach (var wrong in (string[])["cursor=rubbish", "limit=0", "limit=501"])
            Assert.Equal(HttpStatusCode.UnprocessableEntity, (await other.GetAsync($"/api/v1/seller/stock?{wrong}")).StatusCode);
    }

    private Task<HttpResponseMessage> CountAsync(params (Guid Product, string Warehouse, int OnHand)[] lines) =>
        bruno.PutAsJsonAsync("/api/v1/stock", new { lines = lines.Select(line => new { productId = line.Product, warehouse = line.Warehouse, onHand = line.OnHand }) });
}
