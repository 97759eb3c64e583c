using System.Net;
using System.Net.Http.Json;
using Marketplace.Catalog.Tests.Imports;
using Marketplace.TestKit;
using Xunit;
using static Marketplace.Catalog.Tests.CatalogFixture;

namespace Marketplace.Catalog.Tests.Exports;

public sealed class WhenACatalogueIsExported(CatalogFixture shop) : IClassFixture<CatalogFixture>
{
    private readonly Importer seller = new(shop.Catalog);

    public static TheoryData<string> AwkwardTexts => ["=1+1", "+44 20", "-20 % lamp", "@home", "'=quoted", "''-x", "'plain", "-5", "1,5; \"x\"", "Ünïcödé 灯", "a\ttab", "=", "''"];

    [Theory, MemberData(nameof(AwkwardTexts))]
    public async Task A_text_comes_back_as_it_was_and_no_spreadsheet_takes_it_for_a_formula(string text)
    {
        var title = text.Contains('\t', StringComparison.Ordinal) ? "Lamp" : text;
        using var listed = await seller.Http.PostAsJsonAsync("/api/v1/products", new { title, description = $"{text}\n{text}", brand = title, category = "lighting", price = new { minor = 5, currency = "GBP" }, sku = title });
        Assert.Equal(HttpStatusCode.Created, listed.StatusCode);

        var file = await seller.ExportAsync();
        var again = await seller.ImportAsync(file);

        Assert.Equal((0L, 0L, 1L, 0L), again.Counts);
        using var read = new Catalog.Imports.CsvRows(new MemoryStream(System.Text.Encoding.UTF8.GetBytes(file)), default);
        while (await read.NextAsync(last: true, CancellationToken.None) is { } row)
            Assert.DoesNotContain(row.Fields, field => field is ['=' or '+' or '@', ..] or ['-', not '5', ..]);
    }

    [Fact]
    public async Task What_was_exported_changes_nothing_when_it_is_imported()
    {
        await seller.ImportAsync(
            "sku,variantOf,title,description,brand,category,price,status,imageUrl,option.size,option.colour\n" +
            "A,,Lamp,\"It shines,\r\n\"\"twice\"\"\",Lumo,lighting,1000000.00,draft,/pictures/a.jpg,,\n" +
            "S,,Shirt,,,clothing,,,,,\nS-M,S,,,,,10.50,,,M,\"red, dark\"\nS-L,S,,,,,12.00,,,L,blue\n");
        var withoutSku = await ListAsync(seller.Http, "Found by its id");
        using var variants = await seller.Http.PostAsJsonAsync("/api/v1/products", new
        {
            title = "Variants without a SKU above",
            category = "clothing",
            price = new { minor = 100, currency = "GBP" },
            variants = new[] { new { sku = "V-1", options = new[] { new { name = "Fit", value = "slim" } } } },
        });
        Assert.Equal(HttpStatusCode.Created, variants.StatusCode);
        var before = await StandAsync();

        var file = await seller.ExportAsync();
        var again = await seller.ImportAsync(file);

        Assert.Equal(("completed", (0L, 0L, 7L, 0L)), (again.Status, again.Counts));
        Assert.Equal(before, await StandAsync());
        Assert.Contains(withoutSku.ProductId.ToString(), file, StringComparison.Ordinal);
        Assert.Equal(file, await seller.ExportAsync());
    }

    [Fact]
    public async Task Into_an_empty_shop_it_makes_the_same_catalogue()
    {
        await seller.ImportAsync("sku,title,category,price\n" + string.Concat(Enumerable.Range(0, 450).Select(row => $"S{row:000},Lamp {row},lighting,{row + 1}.25\n")));
        var file = await seller.ExportAsync();
        var other = new Importer(shop.Catalog);

        var state = await other.ImportAsync(file);

        Assert.Equal((450L, 0L, 0L, 0L), state.Counts);
        Assert.Equal(Rows(file), Rows(await other.ExportAsync()));

        static IEnumerable<string> Rows(string file) => file.Split("\r\n").Order(StringComparer.Ordinal);
    }

    [Fact]
    public async Task An_empty_shop_is_a_header_and_other_sellers_are_not_in_it()
    {
        var other = new Importer(shop.Catalog);
        await other.ImportAsync("sku,title,category,price\nTHEIRS,Lamp,lighting,1\n");

        Assert.Equal("\uFEFFsku,productId,variantOf,title,description,brand,category,price,currency,status,imageUrl\r\n"u8.ToArray(), await seller.Http.GetByteArrayAsync("/api/v1/seller/products.csv"));
        await AssertProblemAsync(await shop.AsNobody.GetAsync("/api/v1/seller/products.csv"), HttpStatusCode.Unauthorized);
        await AssertProblemAsync(await shop.Catalog.As(TestTokens.Buyer(Guid.CreateVersion7())).GetAsync("/api/v1/seller/products.csv"), HttpStatusCode.Forbidden);
    }

    private Task<string?> StandAsync() => shop.Catalog.ScalarAsync<string>(
        "SELECT string_agg(product_id || ' ' || revision || ' ' || updated_at, ',' ORDER BY product_id) || (SELECT count(*) FROM outbox WHERE payload->>'sellerId' = $2) FROM listings WHERE seller_id = $1",
        seller.Id, seller.Id.ToString());
}
