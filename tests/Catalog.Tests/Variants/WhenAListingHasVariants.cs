using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Contracts;
using Xunit;
using static Marketplace.Catalog.Tests.CatalogFixture;
using static Marketplace.Catalog.Tests.DocumentShop;

namespace Marketplace.Catalog.Tests.Variants;

public sealed class WhenAListingHasVariants(CatalogFixture shop) : IClassFixture<CatalogFixture>
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task It_is_shown_with_them_and_costs_what_the_cheapest_does()
    {
        var shirt = await PostAsync(shop.AsBruno, Shirt(Skus("A")));

        var shown = await ShownAsync(shirt.Id());

        Assert.Equal(900, shown.GetProperty("price").GetProperty("minor").GetInt64());
        Assert.Equal(["Size", "Colour"], shown.List("optionNames").Select(name => name.GetString()));
        Assert.Equal(["Size M, Colour red", "Size L, Colour red"], shown.List("variants").Select(variant => string.Join(", ", variant.Pairs("options"))));
        var byVariant = await ShownAsync(Variant(shirt, "A-L"));
        Assert.Equal(shirt.Id(), byVariant.Id());
        var told = Assert.Single(await shop.Catalog.EventsAsync<ProductUpserted>(), @event => @event.ProductId == shirt.Id());
        Assert.Equal(900, told.Price.Minor);
        Assert.Equal([("A-M", 1000L), ("A-L", 900L)], told.Variants!.Select(variant => (variant.Sku, variant.Price.Minor)));
        Assert.Equal(shown.List("variants").Select(variant => variant.GetProperty("variantId").GetGuid()), told.Variants!.Select(variant => variant.VariantId));
    }

    [Fact]
    public async Task Only_the_variants_can_be_bought()
    {
        var shirt = await PostAsync(shop.AsBruno, Shirt(Skus("B")));
        var (m, l) = (Variant(shirt, "B-M"), Variant(shirt, "B-L"));

        var priced = await PricesAsync(new { productIds = new[] { shirt.Id(), m, l } });

        Assert.Equal(new[] { m, l }.Order(), priced.Keys.Order());
        Assert.Equal(("Cotton shirt (L, red)", 900L, shop.Bruno, shirt.Id()), (
            priced[l].Text("title"), priced[l].GetProperty("price").GetProperty("minor").GetInt64(), priced[l].GetProperty("sellerId").GetGuid(), priced[l].GetProperty("listingId").GetGuid()));
    }

    [Fact]
    public async Task A_change_replaces_the_set_and_the_ones_that_stay_keep_their_ids()
    {
        var shirt = await PostAsync(shop.AsBruno, Shirt(Skus("C")));
        var (m, l) = (Variant(shirt, "C-M"), Variant(shirt, "C-L"));

        using var changed = await PutAsync(shop.AsBruno, shirt.Id(), Shirt([("C-XL", "XL", 1500, null), ("C-LARGE", "L", 950, l)]), "\"1\"");
        var now = await changed.Content.ReadFromJsonAsync<JsonElement>(Ct);

        Assert.Equal(HttpStatusCode.OK, changed.StatusCode);
        Assert.Equal(["C-XL", "C-LARGE"], now.List("variants").Select(variant => variant.Text("sku")));
        Assert.Equal(l, Variant(now, "C-LARGE"));
        Assert.DoesNotContain(Variant(now, "C-XL"), new[] { m, l });
        Assert.Equal([l], (await PricesAsync(new { productIds = new[] { m, l } })).Keys);
        Assert.Equal(HttpStatusCode.NotFound, (await shop.AsNobody.GetAsync(new Uri($"/api/v1/products/{m}", UriKind.Relative), Ct)).StatusCode);

        using var back = await PutAsync(shop.AsBruno, shirt.Id(), Shirt(Skus("C")), "\"2\"");
        Assert.Equal(m, Variant(await back.Content.ReadFromJsonAsync<JsonElement>(Ct), "C-M"));

        using var without = await PutAsync(shop.AsBruno, shirt.Id(), new { title = "Cotton shirt", category = "clothing-shirts", price = Money.Gbp(500) }, "\"3\"");
        Assert.Empty((await without.Content.ReadFromJsonAsync<JsonElement>(Ct)).List("variants"));
        Assert.Equal([shirt.Id()], (await PricesAsync(new { productIds = new[] { m, l, shirt.Id() } })).Keys);
    }

    [Fact]
    public async Task Neither_an_unknown_id_nor_one_of_another_listing_becomes_a_variant()
    {
        var (mine, other) = (await PostAsync(shop.AsBruno, Shirt(Skus("D"))), await PostAsync(shop.AsClara, Shirt(Skus("D"))));

        foreach (var stranger in new[] { Variant(other, "D-M"), other.Id(), Guid.CreateVersion7() })
        {
            using var refused = await PutAsync(shop.AsBruno, mine.Id(), Shirt([("D-M", "M", 100, stranger)]));
            var problem = await AssertProblemAsync(refused, HttpStatusCode.UnprocessableEntity, "/problems/validation");
            Assert.True(problem.GetProperty("errors").TryGetProperty("variants[0].variantId", out _), problem.ToString());
        }

        using var taken = await shop.AsBruno.PostAsJsonAsync("/api/v1/products", Lamp(productId: Variant(other, "D-M")), Ct);
        await AssertProblemAsync(taken, HttpStatusCode.Conflict, "/problems/product-id-taken");
        Assert.Equal(1, (await ShownAsync(mine.Id())).Revision());
        Assert.Equal(2, (await ShownAsync(other.Id())).List("variants").Count);
    }

    [Fact]
    public async Task A_sku_means_one_thing_of_a_seller()
    {
        var shirt = await PostAsync(shop.AsBruno, Shirt(Skus("E")));
        await PostAsync(shop.AsClara, Shirt(Skus("E")));                     // another seller's keys are their own
        var lamp = await PostAsync(shop.AsBruno, new { title = "Lamp", category = "lighting", price = Money.Gbp(100), sku = "E-LAMP" });

        using var sameAsVariant = await shop.AsBruno.PostAsJsonAsync("/api/v1/products", new { title = "Lamp", category = "lighting", price = Money.Gbp(100), sku = "E-M" }, Ct);
        using var sameAsListing = await PutAsync(shop.AsBruno, shirt.Id(), Shirt([("E-M", "M", 100, null), ("E-LAMP", "L", 100, null)]));
        using var inBulk = await shop.AsBruno.PostAsJsonAsync("/api/v1/products/bulk", new { products = new[] { Lamp(), Shirt([("E-LAMP", "M", 100, null)]) } }, Ct);

        Assert.Equal(["sku"], await TakenAsync(sameAsVariant));
        Assert.Equal(["variants[1].sku"], await TakenAsync(sameAsListing));
        Assert.Equal(["products[1].variants[0].sku"], await TakenAsync(inBulk));
        Assert.Equal((1L, 2), ((await ShownAsync(shirt.Id())).Revision(), (await ShownAsync(shirt.Id())).List("variants").Count));

        (await shop.AsBruno.DeleteAsync(new Uri($"/api/v1/products/{lamp.Id()}", UriKind.Relative), Ct)).EnsureSuccessStatusCode();
        using var free = await PutAsync(shop.AsBruno, shirt.Id(), Shirt([("E-M", "M", 100, null), ("E-LAMP", "L", 100, null)]));
        Assert.Equal(HttpStatusCode.OK, free.StatusCode);
    }

    [Fact]
    public async Task Of_two_listings_with_one_sku_at_the_same_time_one_is_refused()
    {
        var replies = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => shop.AsBruno.PostAsJsonAsync("/api/v1/products", Shirt(Skus("F")), Ct)));

        Assert.Single(replies, reply => reply.StatusCode == HttpStatusCode.Created);
        Assert.Equal(5, replies.Count(reply => reply.StatusCode == HttpStatusCode.Conflict));
        Assert.Equal(1L, await shop.Catalog.ScalarAsync<long>("SELECT count(DISTINCT product_id) FROM variants WHERE sku = 'F-M'"));
    }

    [Fact]
    public async Task Nothing_of_a_deleted_listing_can_be_bought()
    {
        var shirt = await PostAsync(shop.AsBruno, Shirt(Skus("G")));

        (await shop.AsBruno.DeleteAsync(new Uri($"/api/v1/products/{shirt.Id()}", UriKind.Relative), Ct)).EnsureSuccessStatusCode();

        Assert.Empty(await PricesAsync(new { productIds = new[] { shirt.Id(), Variant(shirt, "G-M") } }));
        Assert.Empty(await PricesAsync(new { productIds = new[] { shirt.Id(), Variant(shirt, "G-M") }, forSeller = true }));
        Assert.Equal(HttpStatusCode.NotFound, (await shop.AsNobody.GetAsync(new Uri($"/api/v1/products/{Variant(shirt, "G-M")}", UriKind.Relative), Ct)).StatusCode);
    }

    [Fact]
    public async Task A_repeat_in_bulk_after_a_lost_reply_makes_no_second_set()
    {
        var id = Guid.CreateVersion7();
        var products = new[] { Shirt(Skus("H"), id) };

        foreach (var _ in new[] { 1, 2 })
            (await shop.AsBruno.PostAsJsonAsync("/api/v1/products/bulk", new { products }, Ct)).EnsureSuccessStatusCode();
        using var other = await shop.AsBruno.PostAsJsonAsync("/api/v1/products/bulk", new { products = new[] { Shirt([("H-M", "M", 1, null)], id) } }, Ct);

        await AssertProblemAsync(other, HttpStatusCode.Conflict, "/problems/product-id-taken");
        Assert.Equal(2L, await shop.Catalog.ScalarAsync<long>("SELECT count(*) FROM variants WHERE product_id = $1", id));
        Assert.Single(await shop.Catalog.EventsAsync<ProductUpserted>(), @event => @event.ProductId == id);
    }

    [Fact]
    public async Task What_was_read_can_be_sent_back()
    {
        var shirt = await PostAsync(shop.AsBruno, Shirt(Skus("I")));

        using var again = await PutAsync(shop.AsBruno, shirt.Id(), await ShownAsync(shirt.Id()), "\"1\"");

        Assert.Equal(HttpStatusCode.OK, again.StatusCode);
        Assert.Equal(shirt.GetProperty("variants").GetRawText(), (await ShownAsync(shirt.Id())).GetProperty("variants").GetRawText());
    }

    private static object Shirt((string Sku, string Size, long Minor, Guid? Id)[] variants, Guid? productId = null) => new
    {
        title = "Cotton shirt",
        category = "clothing-shirts",
        productId,
        optionNames = new[] { "Size", "Colour" },
        variants = variants.Select(variant => new
        {
            sku = variant.Sku,
            variantId = variant.Id,
            options = new[] { new { name = "Colour", value = "red" }, new { name = "Size", value = variant.Size } },
            price = Money.Gbp(variant.Minor),
        }),
    };

    private static (string, string, long, Guid?)[] Skus(string prefix) => [($"{prefix}-M", "M", 1000, null), ($"{prefix}-L", "L", 900, null)];

    private static Guid Variant(JsonElement listing, string sku) => listing.List("variants").Single(variant => variant.Text("sku") == sku).GetProperty("variantId").GetGuid();

    private Task<JsonElement> ShownAsync(Guid productId) => shop.AsNobody.GetFromJsonAsync<JsonElement>($"/api/v1/products/{productId}", Ct);

    private static async Task<IEnumerable<string>> TakenAsync(HttpResponseMessage reply) =>
        (await AssertProblemAsync(reply, HttpStatusCode.Conflict, "/problems/sku-taken")).GetProperty("errors").EnumerateObject().Select(error => error.Name);

    private async Task<Dictionary<Guid, JsonElement>> PricesAsync(object request)
    {
        using var reply = await shop.Catalog.AsNeighbour().PostAsJsonAsync("/internal/prices", request, Ct);
        reply.EnsureSuccessStatusCode();
        return (await reply.Content.ReadFromJsonAsync<JsonElement>(Ct)).List("products").ToDictionary(product => product.Id());
    }
}
