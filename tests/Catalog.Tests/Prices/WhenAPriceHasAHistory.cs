using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Catalog.Tests.Imports;
using Marketplace.TestKit;
using Npgsql;
using Xunit;
using static Marketplace.Catalog.Tests.CatalogFixture;

namespace Marketplace.Catalog.Tests.Prices;

public sealed class WhenAPriceHasAHistory(CatalogFixture shop) : IClassFixture<CatalogFixture>
{
    private readonly Importer seller = new(shop.Catalog);

    [Fact]
    public async Task Every_price_shoppers_saw_is_in_it_newest_first_and_nothing_else()
    {
        var lamp = await ListAsync(seller.Http, minor: 1000);
        await ChangeAsync(lamp.ProductId, Lamp("Other title", 1000));
        await ChangeAsync(lamp.ProductId, Lamp(minor: 900));
        await ChangeAsync(lamp.ProductId, Lamp(minor: 900));
        await ChangeAsync(lamp.ProductId, Lamp(minor: 1100));

        var history = await HistoryAsync(lamp.ProductId);

        Assert.Equal([1100L, 900, 1000], Prices(history));
        var times = history.GetProperty("items").EnumerateArray().Select(entry => entry.GetProperty("from").GetDateTimeOffset()).ToList();
        Assert.Equal(times.OrderDescending(), times);
    }

    [Fact]
    public async Task What_a_draft_costs_is_nobodys_business()
    {
        await seller.ImportAsync("sku,title,category,price,status\nA,Lamp,lighting,5.00,draft\n");
        var id = (await seller.ListingAsync("A")).GetProperty("productId").GetGuid();
        await AssertProblemAsync(await shop.AsNobody.GetAsync($"/api/v1/products/{id}/prices"), HttpStatusCode.NotFound);
        await seller.ImportAsync("sku,price\nA,6.00\n");
        await seller.ImportAsync("sku,price,status\nA,10.00,published\n");
        Assert.Equal([1000L], Prices(await HistoryAsync(id)));

        await seller.ImportAsync("sku,price,status\nA,1.00,draft\n");
        await seller.ImportAsync("sku,price,status\nA,9.00,published\n");
        Assert.Equal([900L, 1000], Prices(await HistoryAsync(id)));
    }

    [Fact]
    public async Task A_variant_has_one_of_its_own()
    {
        await seller.ImportAsync("sku,variantOf,title,category,price,status,option.size\nSHIRT,,Shirt,clothing,,draft,\nSHIRT-M,SHIRT,,,10.00,,M\nSHIRT-L,SHIRT,,,12.00,,L\n");
        await seller.ImportAsync("sku,variantOf,price,status\nSHIRT,,,published\nSHIRT-M,SHIRT,11.00,\n");
        await seller.ImportAsync("sku,variantOf,price\nSHIRT-M,SHIRT,8.00\n");

        var shirt = await seller.ListingAsync("SHIRT");
        Assert.Equal([800L, 1100], Prices(await HistoryAsync(shirt.GetProperty("productId").GetGuid())));
        var variants = shirt.GetProperty("variants").EnumerateArray().ToDictionary(variant => variant.GetProperty("sku").GetString()!, variant => variant.GetProperty("variantId").GetGuid());
        Assert.Equal([800L, 1100], Prices(await HistoryAsync(variants["SHIRT-M"])));
        Assert.Equal([1200L], Prices(await HistoryAsync(variants["SHIRT-L"])));
    }

    // Days ago and pounds, oldest first; the newest entry is the price today.
    [Theory]
    [InlineData("40:10 20:12 10:9", 10)]                        // 10 was in force when the thirty days began
    [InlineData("80:8 60:10 20:12 10:9", 10)]                   // 8 was over long before
    [InlineData("60:10 35:7 25:12 10:9", 7)]                    // 7 lasted into them
    [InlineData("60:10 20:8 15:12 10:9", 8)]
    [InlineData("10:9", null)]                                  // never another price
    [InlineData("20:9 10:12", null)]                            // raised
    [InlineData("40:12 20:9 10:10", null)]                      // raised since it was reduced
    [InlineData("100:12 90:9", 12)]                             // reduced long ago, and still
    public async Task A_reduction_is_compared_with_the_lowest_price_of_the_thirty_days_before_it(string days, int? pounds)
    {
        var lamp = await ListAsync(seller.Http);
        await using (var forget = shop.Catalog.Database.CreateCommand("DELETE FROM price_history WHERE product_id = $1"))
        {
            forget.Parameters.Add(new() { Value = lamp.ProductId });
            await forget.ExecuteNonQueryAsync();
        }

        foreach (var entry in days.Split(' ').Select(part => part.Split(':')))
        {
            await using var insert = shop.Catalog.Database.CreateCommand(
                "INSERT INTO price_history (product_id, price_minor, currency, since) VALUES ($1, $2, 'GBP', now() - make_interval(days => $3))");
            insert.Parameters.Add(new() { Value = lamp.ProductId });
            insert.Parameters.Add(new() { Value = long.Parse(entry[1], CultureInfo.InvariantCulture) * 100 });
            insert.Parameters.Add(new() { Value = int.Parse(entry[0], CultureInfo.InvariantCulture) });
            await insert.ExecuteNonQueryAsync();
        }

        var history = await HistoryAsync(lamp.ProductId);

        Assert.Equal(pounds * 100L, history.GetProperty("lowestOf30Days") is { ValueKind: JsonValueKind.Object } lowest ? lowest.GetProperty("minor").GetInt64() : null);
        Assert.Equal(pounds is not null, history.GetProperty("reducedAt").ValueKind == JsonValueKind.String);
    }

    [Fact]
    public async Task It_is_paged()
    {
        var lamp = await ListAsync(seller.Http, minor: 100);
        for (var minor = 101; minor <= 105; minor++)
            await ChangeAsync(lamp.ProductId, Lamp(minor: minor));

        var prices = new List<long>();
        for (string? cursor = ""; cursor is not null;)
        {
            var page = await shop.AsNobody.GetFromJsonAsync<JsonElement>($"/api/v1/products/{lamp.ProductId}/prices?limit=2&cursor={cursor}");
            prices.AddRange(Prices(page));
            cursor = page.GetProperty("next").GetString();
        }

        Assert.Equal([105L, 104, 103, 102, 101, 100], prices);
        await AssertProblemAsync(await shop.AsNobody.GetAsync($"/api/v1/products/{lamp.ProductId}/prices?cursor=nonsense"), HttpStatusCode.UnprocessableEntity);
        await AssertProblemAsync(await shop.AsNobody.GetAsync($"/api/v1/products/{Guid.NewGuid()}/prices"), HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task Two_changes_at_once_leave_their_entries_in_the_order_they_count()
    {
        var lamp = await ListAsync(seller.Http, minor: 100);
        await Task.WhenAll(Enumerable.Range(1, 8).Select(tab => ChangeAsync(lamp.ProductId, Lamp(minor: 1000 + tab))));

        var shown = await seller.Http.GetFromJsonAsync<JsonElement>($"/api/v1/seller/products/{lamp.ProductId}");
        var history = await HistoryAsync(lamp.ProductId);
        Assert.Equal(shown.GetProperty("price").GetProperty("minor").GetInt64(), Prices(history)[0]);
        Assert.Equal(9, Prices(history).Count);
    }

    [Fact]
    public async Task A_catalogue_that_was_there_before_begins_with_its_prices_of_today()
    {
        var address = await TestDatabase.CreateAsync<Program>();
        await using var database = NpgsqlDataSource.Create(address);
        // Back to just before the migration, with a listing of that time.
        foreach (var sql in (string[])[
            "DROP TABLE price_history", "DROP FUNCTION remember_price_of_listing, remember_price_of_variant CASCADE",
            "DELETE FROM schema_migrations WHERE source = 'service' AND number IN (21, 30)",
            """
            INSERT INTO listings (product_id, seller_id, seller_name, title, description, brand, category, price_minor, currency, listed_at, updated_at, status)
            SELECT id::uuid, id::uuid, 'Bruno', 'Lamp', '', '', 'lighting', 700, 'GBP', '2026-01-01Z', '2026-02-01Z', status
            FROM (VALUES ('00000000-0000-0000-0000-000000000001', 'published'), ('00000000-0000-0000-0000-000000000002', 'draft')) AS old (id, status)
            """])
        {
            await using var command = database.CreateCommand(sql);
            await command.ExecuteNonQueryAsync();
        }

        await Hosting.Migrations.ApplyAsync(address, typeof(Program).Assembly);

        await using var select = database.CreateCommand("SELECT string_agg(product_id || ' ' || price_minor || ' ' || (since AT TIME ZONE 'UTC')::date, ',') FROM price_history");
        Assert.Equal("00000000-0000-0000-0000-000000000001 700 2026-02-01", await select.ExecuteScalarAsync());
    }

    private async Task<JsonElement> HistoryAsync(Guid productId) => await shop.AsNobody.GetFromJsonAsync<JsonElement>($"/api/v1/products/{productId}/prices");

    private static List<long> Prices(JsonElement history) =>
        [.. history.GetProperty("items").EnumerateArray().Select(entry => entry.GetProperty("price").GetProperty("minor").GetInt64())];

    private async Task ChangeAsync(Guid productId, object lamp)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, $"/api/v1/products/{productId}") { Content = JsonContent.Create(lamp) };
        request.Headers.TryAddWithoutValidation("If-Match", "*");
        using var reply = await seller.Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.OK, reply.StatusCode);
    }
}
