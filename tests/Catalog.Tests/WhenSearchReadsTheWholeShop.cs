using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Contracts;
using Marketplace.TestKit;
using Xunit;
using static Marketplace.Catalog.Tests.CatalogFixture;

namespace Marketplace.Catalog.Tests;

public sealed class WhenSearchReadsTheWholeShop : IAsyncLifetime
{
    private const string Pages = "/internal/listings/pages";
    private readonly CatalogFixture shop = new();

    public ValueTask InitializeAsync() => shop.InitializeAsync();

    public ValueTask DisposeAsync() => shop.DisposeAsync();

    [Fact]
    public async Task Every_listing_comes_once_and_what_is_deleted_not_at_all()
    {
        var products = Enumerable.Range(1, 25).Select(number => Lamp($"Lamp {number}", number, productId: Guid.CreateVersion7())).ToList();
        (await shop.AsBruno.PostAsJsonAsync("/api/v1/products/bulk", new { products })).EnsureSuccessStatusCode();
        var deleted = await ListAsync(shop.AsClara, "Deleted lamp");
        await shop.AsClara.DeleteAsync($"/api/v1/products/{deleted.ProductId}");

        var (seen, after) = (new List<JsonElement>(), (Guid?)null);
        do
        {
            var page = await PageAsync(after, limit: 10);
            seen.AddRange(page.GetProperty("items").EnumerateArray());
            after = page.GetProperty("next").Deserialize<Guid?>();
        }
        while (after is not null);

        Assert.Equal(Enumerable.Range(1, 25).Select(number => $"Lamp {number}").Order(), seen.Select(item => item.GetProperty("title").GetString()).Order());
    }

    [Fact]
    public async Task A_page_says_what_the_events_said()
    {
        var listed = await ListAsync(shop.AsBruno);
        (await shop.Catalog.DeliverAsync(new ReviewPublished(listed.ProductId, 4.5, 12, Version: 3))).EnsureSuccessStatusCode();

        var page = await PageAsync(null, limit: 1_000);

        var told = Assert.Single(await shop.Catalog.EventsAsync<ProductUpserted>());
        var shown = page.GetProperty("items").EnumerateArray().Single().Deserialize<ProductUpserted>(JsonSerializerOptions.Web)!;
        Assert.Equal(listed.ProductId, shown.ProductId);
        Assert.Equal(Text(told), Text(shown));
        var rating = page.GetProperty("ratings").EnumerateArray().Single();
        Assert.Equal((listed.ProductId, 4.5, 12, 3), (rating.GetProperty("productId").GetGuid(), rating.GetProperty("average").GetDouble(), rating.GetProperty("count").GetInt32(), rating.GetProperty("version").GetInt64()));

        static string Text(ProductUpserted listing) => JsonSerializer.Serialize(listing with { EventId = Guid.Empty, OccurredAt = default });
    }

    [Fact]
    public async Task Long_descriptions_make_shorter_pages()
    {
        var products = Enumerable.Range(1, 150).Select(number => new { title = $"Lamp {number}", description = new string('x', 8_000), category = "lighting", price = new { minor = 100, currency = "GBP" } }).ToList();
        foreach (var some in products.Chunk(75))
            (await shop.AsBruno.PostAsJsonAsync("/api/v1/products/bulk", new { products = some })).EnsureSuccessStatusCode();

        var first = await PageAsync(null, 1_000);
        var second = await PageAsync(first.GetProperty("next").Deserialize<Guid?>(), 1_000);

        Assert.Equal((125, 25), (first.GetProperty("items").GetArrayLength(), second.GetProperty("items").GetArrayLength()));
    }

    [Fact]
    public async Task Shoppers_have_no_way_in_and_a_page_has_its_bounds()
    {
        await AssertProblemAsync(await shop.AsBruno.PostAsJsonAsync(Pages, new { }), HttpStatusCode.Unauthorized);
        await AssertProblemAsync(await shop.Catalog.AsNeighbour().PostAsJsonAsync(Pages, new { limit = 1_001 }), HttpStatusCode.UnprocessableEntity);
        await AssertProblemAsync(await shop.Catalog.AsNeighbour().PostAsJsonAsync(Pages, new { limit = 0 }), HttpStatusCode.UnprocessableEntity);
    }

    private async Task<JsonElement> PageAsync(Guid? after, int limit)
    {
        var reply = await shop.Catalog.AsNeighbour().PostAsJsonAsync(Pages, new { after, limit });
        reply.EnsureSuccessStatusCode();
        return await reply.Content.ReadFromJsonAsync<JsonElement>();
    }
}
