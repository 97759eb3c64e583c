using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using Xunit;
using static Marketplace.Catalog.Tests.CatalogFixture;

namespace Marketplace.Catalog.Tests;

public sealed class WhenShoppersBrowse(CatalogFixture shop) : IClassFixture<CatalogFixture>
{
    [Fact]
    public async Task Pages_show_every_product_once_newest_first_also_when_listed_at_the_same_moment()
    {
        var bulk = await shop.AsBruno.PostAsJsonAsync("/api/v1/products/bulk", new { products = Enumerable.Range(0, 7).Select(number => Lamp($"Book {number}", category: "books")) });
        bulk.EnsureSuccessStatusCode();
        await ListAsync(shop.AsClara, "Newest book", category: "books");

        var seen = new List<Product>();
        string? cursor = null;
        do
        {
            var page = (await shop.AsNobody.GetFromJsonAsync<ProductPage>($"/api/v1/products?category=books&limit=3&cursor={cursor}"))!;
            Assert.InRange(page.Items.Count, 1, 3);
            seen.AddRange(page.Items);
            cursor = page.Next;
        }
        while (cursor is not null);

        Assert.Equal(8, seen.Select(product => product.ProductId).Distinct().Count());
        Assert.Equal(8, seen.Count);
        Assert.Equal("Newest book", seen[0].Title);
    }

    [Fact]
    public async Task A_sellers_shelf_shows_only_theirs()
    {
        await ListAsync(shop.AsBruno, "Of Bruno", category: "pets");
        await ListAsync(shop.AsClara, "Of Clara", category: "pets");

        var page = (await shop.AsNobody.GetFromJsonAsync<ProductPage>($"/api/v1/products?category=pets&seller={shop.Clara}"))!;

        Assert.Equal("Of Clara", Assert.Single(page.Items).Title);
        Assert.Null(page.Next);
    }

    [Fact]
    public async Task An_unchanged_product_is_not_sent_again()
    {
        var lamp = await ListAsync(shop.AsBruno);
        using var client = shop.AsNobody;
        client.DefaultRequestHeaders.IfNoneMatch.Add(new EntityTagHeaderValue("\"1\""));

        var same = await client.GetAsync($"/api/v1/products/{lamp.ProductId}");
        client.DefaultRequestHeaders.IfNoneMatch.Clear();
        client.DefaultRequestHeaders.IfNoneMatch.Add(new EntityTagHeaderValue("\"0\""));
        var older = await client.GetAsync($"/api/v1/products/{lamp.ProductId}");

        Assert.Equal((HttpStatusCode.NotModified, HttpStatusCode.OK), (same.StatusCode, older.StatusCode));
        Assert.Equal("\"1\"", same.Headers.ETag!.ToString());
        Assert.True(older.Headers.CacheControl!.Public);
    }

    [Theory]
    [InlineData("/api/v1/products?cursor=nonsense"), InlineData("/api/v1/products?cursor=WyIxIl0")]
    public async Task A_cursor_that_is_none_is_refused(string path)
    {
        var problem = await AssertProblemAsync(await shop.AsNobody.GetAsync(path), HttpStatusCode.UnprocessableEntity);

        Assert.True(problem.GetProperty("errors").TryGetProperty("cursor", out _));
    }

    [Theory]
    [InlineData("/api/v1/products?limit=many"), InlineData("/api/v1/products?seller=bruno")]
    public async Task A_parameter_of_the_wrong_kind_is_refused(string path) =>
        await AssertProblemAsync(await shop.AsNobody.GetAsync(path), HttpStatusCode.BadRequest);

    [Theory]
    [InlineData("/api/v1/products/0198a000-0000-7000-8000-000000000000"), InlineData("/api/v1/products/not-a-guid")]
    public async Task An_unknown_product_is_404(string path) =>
        await AssertProblemAsync(await shop.AsNobody.GetAsync(path), HttpStatusCode.NotFound);

    [Fact]
    public async Task Sql_in_the_category_finds_nothing_and_harms_nothing()
    {
        await ListAsync(shop.AsBruno);

        var page = await shop.AsNobody.GetFromJsonAsync<ProductPage>($"/api/v1/products?category={Uri.EscapeDataString("' OR 1=1; DROP TABLE listings; --")}");

        Assert.Empty(page!.Items);
        Assert.NotEmpty((await shop.AsNobody.GetFromJsonAsync<ProductPage>("/api/v1/products"))!.Items);
    }

    [Fact]
    public async Task Categories_are_those_of_a_general_store()
    {
        var categories = (await shop.AsNobody.GetFromJsonAsync<JsonElement>("/api/v1/categories")).GetProperty("items").EnumerateArray()
            .Where(category => category.GetProperty("parent").ValueKind == JsonValueKind.Null)
            .Select(category => category.GetProperty("category").GetString()).ToList();

        Assert.InRange(categories.Count, 12, 30);
        Assert.Contains("gifts", categories);
        Assert.Contains("homeware", categories);
    }
}
