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

    [Theory]
    [InlineData("/api/v1/products", 100)]
    [InlineData("/api/v1/seller/products", 100)]
    [InlineData("/api/v1/seller/imports", 100)]
    [InlineData("/api/v1/sellers/0198a000-0000-7000-8000-000000000001/listings", 100)]
    [InlineData("/api/v1/products/0198a000-0000-7000-8000-000000000001/prices", 100)]
    public async Task A_page_that_no_list_has_is_refused_by_field(string list, int most)
    {
        foreach (var limit in new[] { 0, -1, most + 1, int.MaxValue })
        {
            using var reply = await shop.AsBruno.GetAsync($"{list}?limit={limit}");
            var problem = await AssertProblemAsync(reply, HttpStatusCode.UnprocessableEntity, "/problems/validation");
            Assert.Equal([$"A page has 1 to {most} entries."], problem.GetProperty("errors").GetProperty("limit").EnumerateArray().Select(why => why.GetString()));
        }
    }

    [Fact]
    public async Task A_category_shows_everything_below_it_in_one_order()
    {
        string[] shelves = ["beauty", "beauty-skin", "beauty-bath", "beauty", "beauty-skin"];
        var listed = new List<Guid>();
        foreach (var (shelf, place) in shelves.Select((shelf, place) => (shelf, place)))
        {
            listed.Insert(0, (await ListAsync(shop.AsBruno, $"Soap {place}", category: shelf)).ProductId);
            await ListAsync(shop.AsBruno, "Elsewhere", category: "jewellery-rings");
        }

        Assert.Equal(listed, await AllAsync("/api/v1/products?category=beauty&limit=2"));
        Assert.Equal([listed[0], listed[3]], await AllAsync("/api/v1/products?category=beauty-skin&limit=1"));
        Assert.Equal(listed, await AllAsync($"/api/v1/products?category=beauty&seller={shop.Bruno}&limit=2"));
        Assert.Empty(await AllAsync($"/api/v1/products?category=beauty&seller={shop.Clara}"));
    }

    [Fact]
    public async Task A_page_of_a_large_category_reads_no_more_than_its_shelves_newest()
    {
        await shop.Catalog.ScalarAsync<object>("ALTER TABLE listings DISABLE TRIGGER USER");
        await shop.Catalog.ScalarAsync<object>("""
            INSERT INTO listings (product_id, seller_id, seller_name, title, description, brand, category, price_minor, currency, listed_at, updated_at)
            SELECT gen_random_uuid(), $1, 'Many', 'Ball', '', '', CASE n % 3 WHEN 0 THEN 'sports' WHEN 1 THEN 'sports-fitness' ELSE 'sports-games' END, 100, 'GBP', now() - n * interval '1 second', now()
            FROM generate_series(1, 15000) AS n
            """, Guid.CreateVersion7());
        await shop.Catalog.ScalarAsync<object>("ALTER TABLE listings ENABLE TRIGGER USER");
        await shop.Catalog.ScalarAsync<object>("ANALYZE listings");

        var page = (await shop.AsNobody.GetFromJsonAsync<ProductPage>("/api/v1/products?category=sports&limit=20"))!;
        var second = (await shop.AsNobody.GetFromJsonAsync<ProductPage>($"/api/v1/products?category=sports&limit=20&cursor={page.Next}"))!;

        Assert.Equal(page.Items.Concat(second.Items).OrderByDescending(product => product.ListedAt).Select(product => product.ProductId), page.Items.Concat(second.Items).Select(product => product.ProductId));
        Assert.Equal(40, page.Items.Concat(second.Items).Select(product => product.ProductId).Distinct().Count());
        var plan = string.Join('\n', await PlanAsync("""
            SELECT listed_at, product_id FROM unnest(ARRAY['sports', 'sports-fitness', 'sports-games']) AS shelf (code) CROSS JOIN LATERAL (
                SELECT listed_at, product_id FROM listings WHERE category = shelf.code AND deleted_at IS NULL AND status = 'published' ORDER BY listed_at DESC, product_id DESC LIMIT 21) AS newest
            ORDER BY listed_at DESC, product_id DESC LIMIT 21
            """));
        Assert.Contains("using listings_published_", plan, StringComparison.Ordinal);
        Assert.DoesNotContain("Seq Scan on listings", plan);
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

    private async Task<List<Guid>> AllAsync(string path)
    {
        var seen = new List<Guid>();
        for (string? cursor = ""; cursor is not null;)
        {
            var page = (await shop.AsNobody.GetFromJsonAsync<ProductPage>($"{path}&cursor={cursor}"))!;
            seen.AddRange(page.Items.Select(product => product.ProductId));
            cursor = page.Next;
        }

        return seen;
    }

    private async Task<List<string>> PlanAsync(string sql)
    {
        await using var explain = shop.Catalog.Database.CreateCommand($"EXPLAIN {sql}");
        await using var reader = await explain.ExecuteReaderAsync();
        var plan = new List<string>();
        while (await reader.ReadAsync())
            plan.Add(reader.GetString(0));
        return plan;
    }
}
