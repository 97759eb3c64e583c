using System.Net;
using System.Text.Json;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Journeys;

public sealed class WhenAVariantIsBought(Market market)
{
    [Fact]
    public async Task A_shirt_is_stocked_as_a_draft_published_found_and_bought_in_one_size()
    {
        var word = "Quillonshirt" + new string([.. Enumerable.Range(0, 6).Select(_ => (char)('a' + Random.Shared.Next(26)))]);
        var shirt = await ListAsync(word, "draft", ("M", 1500), ("L", 1700));
        var (m, l) = (Variant(shirt, "M"), Variant(shirt, "L"));
        await Market.StockAsync(market.Seller, m, ("north", 5));
        var ada = await market.NewBuyerAsync();

        (await ada.PostAsync("/api/v1/cart/lines", new { productId = m, quantity = 1 })).ExpectProblem(HttpStatusCode.UnprocessableEntity, "productId");
        (await market.Seller.PutAsync($"/api/v1/products/{shirt.Id("productId")}/publication", new { })).Expect(HttpStatusCode.OK);
        await Eventually.Async(async () => await HitAsync(word) is { } hit && hit.GetProperty("inStock").GetBoolean(), "the shirt is found, and in stock in one size", TimeSpan.FromSeconds(20));
        (await ada.PostAsync("/api/v1/cart/lines", new { productId = shirt.Id("productId"), quantity = 1 })).ExpectProblem(HttpStatusCode.UnprocessableEntity, "productId");
        var order = await ada.BuyAsync("pm_card_visa", (m, 2));

        Assert.Equal("CONFIRMED", await Market.StatusAsync(ada, order));
        Assert.Equal((1, 3000, 0), await market.ChargedAsync(order));
        var line = (await ada.OrderAsync(order)).Json.GetProperty("lines").EnumerateArray().Single();
        Assert.Equal((m, $"{word} (M, red)", 2), (line.GetProperty("productId").GetGuid(), line.GetProperty("title").GetString(), line.GetProperty("quantity").GetInt32()));
        Assert.Equal(3, await market.AvailableAsync(m));
        Assert.Equal(HttpStatusCode.NotFound, (await market.Nobody.GetAsync($"/api/v1/stock/{l}")).Status);
        await Eventually.Async(async () => (await HitAsync(word))!.Value.GetProperty("price").GetProperty("minor").GetInt64() == 1500, "it is listed at the lowest price");
        await market.BooksBalanceAsync();
    }

    [Fact]
    public async Task A_size_that_is_no_longer_made_is_shown_in_the_cart_and_the_rest_is_for_sale()
    {
        var shirt = await ListAsync("Linen shirt", "published", ("M", 1500), ("L", 1700));
        var (m, l) = (Variant(shirt, "M"), Variant(shirt, "L"));
        await Market.StockAsync(market.Seller, m, ("north", 5));
        await Market.StockAsync(market.Seller, l, ("north", 5));
        var ada = await market.NewBuyerAsync();
        await ada.FillCartAsync((m, 1), (l, 1));

        (await market.Seller.PutAsync($"/api/v1/products/{shirt.Id("productId")}", Shirt("Linen shirt", "published", ("M", 1500)), ("If-Match", "*"))).Expect(HttpStatusCode.OK);

        var cart = (await ada.GetAsync("/api/v1/cart")).Expect(HttpStatusCode.OK).Json;
        Assert.Equal(
            [(m, true), (l, false)],
            cart.GetProperty("lines").EnumerateArray().Select(line => (line.GetProperty("productId").GetGuid(), line.GetProperty("available").GetBoolean())));
        Assert.Equal(1500, cart.GetProperty("total").GetProperty("minor").GetInt64());
    }

    [Fact]
    public async Task Another_seller_neither_stocks_nor_changes_a_variant()
    {
        var shirt = await ListAsync("Silk shirt", "draft", ("M", 1500));
        var other = await market.NewSellerAsync("Other Shirts");

        var stock = new { lines = new[] { new { productId = Variant(shirt, "M"), warehouse = "north", onHand = 1 } } };
        (await other.PutAsync("/api/v1/stock", stock)).ExpectProblem(HttpStatusCode.NotFound);
        (await other.GetAsync($"/api/v1/seller/products/{shirt.Id("productId")}")).ExpectProblem(HttpStatusCode.NotFound);
        (await other.PutAsync($"/api/v1/products/{shirt.Id("productId")}/publication", new { })).ExpectProblem(HttpStatusCode.NotFound);
    }

    private async Task<Reply> ListAsync(string title, string status, params (string Size, long Minor)[] sizes) =>
        (await market.Seller.PostAsync("/api/v1/products", Shirt(title, status, sizes))).Expect(HttpStatusCode.Created);

    private static object Shirt(string title, string status, params (string Size, long Minor)[] sizes) => new
    {
        title,
        description = $"{title}, for a journey",
        category = "clothing-shirts",
        status,
        attributes = new Dictionary<string, object> { ["material"] = "cotton", ["sleeve"] = "long" },
        optionNames = new[] { "size", "colour" },
        variants = sizes.Select(size => new
        {
            sku = $"{title}-{size.Size}",
            options = new[] { new { name = "size", value = size.Size }, new { name = "colour", value = "red" } },
            price = new { minor = size.Minor, currency = "GBP" },
        }),
    };

    private static Guid Variant(Reply shirt, string size) => shirt.Json.GetProperty("variants").EnumerateArray()
        .Single(variant => variant.GetProperty("options").EnumerateArray().Any(option => option.GetProperty("value").GetString() == size)).GetProperty("variantId").GetGuid();

    private async Task<JsonElement?> HitAsync(string word)
    {
        var items = (await market.Nobody.GetAsync($"/api/v1/search?q={word}&n={Guid.NewGuid():N}")).Expect(HttpStatusCode.OK).Json.GetProperty("items");
        return items.GetArrayLength() == 0 ? null : items[0];
    }
}
