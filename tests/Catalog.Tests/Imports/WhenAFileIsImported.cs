using System.Net;
using System.Text;
using Marketplace.TestKit;
using Xunit;
using static Marketplace.Catalog.Tests.CatalogFixture;

namespace Marketplace.Catalog.Tests.Imports;

public sealed class WhenAFileIsImported(CatalogFixture shop) : IClassFixture<CatalogFixture>
{
    private const string Header = "sku,title,description,brand,category,price,status,imageUrl\n";

    private readonly Importer seller = new(shop.Catalog);

    [Fact]
    public async Task Its_rows_are_listings_each_announced_once()
    {
        var state = await seller.ImportAsync(
            Header +
            "LAMP-1,Brass lamp,\"It shines,\nand \"\"glows\"\".\",Lumo,lighting,12.99,,https://example.com/lamp.jpg\n" +
            "LAMP-2,Draft lamp,,,lighting,5,draft,\n");

        Assert.Equal(("completed", (2L, 0L, 0L, 0L)), (state.Status, state.Counts));
        var lamp = await seller.ListingAsync("LAMP-1");
        Assert.Equal(("Brass lamp", "It shines,\nand \"glows\".", "Lumo", 1299L, "published", "Imported Goods"), (
            lamp.GetProperty("title").GetString(), lamp.GetProperty("description").GetString(), lamp.GetProperty("brand").GetString(),
            lamp.GetProperty("price").GetProperty("minor").GetInt64(), lamp.GetProperty("status").GetString(), lamp.GetProperty("sellerName").GetString()));
        Assert.Equal("draft", (await seller.ListingAsync("LAMP-2")).GetProperty("status").GetString());
        Assert.Equal(1, await seller.EventsAsync());
    }

    [Fact]
    public async Task The_same_file_again_changes_nothing_and_says_nothing()
    {
        const string file = Header + "A,Lamp,x,Lumo,lighting,1.00,,\nB,Chair,y,,furniture,20.5,,\n";
        await seller.ImportAsync(file);
        var before = await seller.EventsAsync();

        var again = await seller.ImportAsync(file);

        Assert.Equal((0L, 0L, 2L, 0L), again.Counts);
        Assert.Equal(before, await seller.EventsAsync());
        Assert.All(await seller.ListingsAsync(), listing => Assert.Equal(1, listing.GetProperty("revision").GetInt64()));
    }

    [Fact]
    public async Task Columns_that_are_not_there_leave_alone_what_is()
    {
        await seller.ImportAsync(Header + "A,Lamp,It shines.,Lumo,lighting,10.00,,https://example.com/a.jpg\nB,Chair,y,,furniture,20.00,,\n");

        var prices = await seller.ImportAsync("price;sku\n9.50;A\n20.00;B\n");

        Assert.Equal((0L, 1L, 1L, 0L), prices.Counts);
        var lamp = await seller.ListingAsync("A");
        Assert.Equal(("Lamp", "It shines.", "Lumo", 950L, 2L, "https://example.com/a.jpg"), (
            lamp.GetProperty("title").GetString(), lamp.GetProperty("description").GetString(), lamp.GetProperty("brand").GetString(),
            lamp.GetProperty("price").GetProperty("minor").GetInt64(), lamp.GetProperty("revision").GetInt64(), lamp.GetProperty("imageUrl").GetString()));
        Assert.Equal(3, await seller.EventsAsync());
    }

    [Fact]
    public async Task A_status_takes_listings_out_of_the_shop_and_back()
    {
        await seller.ImportAsync(Header + "A,Lamp,,,lighting,10,,\n");
        await seller.ImportAsync("sku,status\nA,draft\n");
        Assert.Equal((1L, 1L), (await seller.EventsAsync(), await seller.EventsAsync("product.unpublished")));
        await seller.ImportAsync("sku,status\nA,Published\n");
        Assert.Equal(2, await seller.EventsAsync());
    }

    [Fact]
    public async Task Broken_rows_in_the_middle_are_reported_and_the_others_are_stored()
    {
        var state = await seller.ImportAsync(
            Header +
            "GOOD-1,Lamp,,,lighting,1.00,,\n" +
            "BAD-2,Lamp,,,lighting,minus one,,\n" +
            "BAD-3,\"never closed,,,lighting,1.00,,\n" +
            "GOOD-4,\"Lamp, closed\",,,lighting,1.00,,\n" +
            "BAD-5,Lamp,,,no such shelf,1.00,,\n" +
            ",Lamp,,,lighting,1.00,,\n" +
            "BAD-7,Lamp,,,lighting,1.00\n" +
            "BAD-8,,,,lighting,0.00,sold,javascript:alert(1)\n" +
            "GOOD-9,Lamp,,,lighting,1.00,,\n");

        Assert.Equal((3L, 0L, 0L, 6L), state.Counts);
        Assert.Equal(["GOOD-1", "GOOD-4", "GOOD-9"], (await seller.ListingsAsync()).Select(listing => listing.GetProperty("sku").GetString()).Order());
        Assert.Equal(
            ["3 price", "4 title", "6 category", "7 sku", "8 ", "9 price", "9 status"],
            (await seller.ErrorsAsync(state.ImportId)).Select(error => $"{error.Row} {error.Column}").Order());
    }

    [Theory]
    [InlineData("12.99", 1299)]
    [InlineData("12.9", 1290)]
    [InlineData("0.29", 29)]
    [InlineData("1000000", 100_000_000)]
    [InlineData("1000000.00", 100_000_000)]
    [InlineData("4.35", 435)]
    public async Task Prices_are_read_to_the_penny(string price, long minor)
    {
        await seller.ImportAsync($"sku,title,category,price\nA,Lamp,lighting,{price}\n");
        Assert.Equal(minor, (await seller.ListingAsync("A")).GetProperty("price").GetProperty("minor").GetInt64());
    }

    [Theory]
    [InlineData("12,99")]
    [InlineData("£12.99")]
    [InlineData("12.999")]
    [InlineData("1e3")]
    [InlineData("-1")]
    [InlineData("0")]
    [InlineData("0.001")]
    [InlineData("1000000.01")]
    [InlineData("99999999999999999999")]
    [InlineData(" ")]
    public async Task What_is_no_price_is_an_error_in_its_column(string price)
    {
        var state = await seller.ImportAsync($"sku,title,category,price\nA,Lamp,lighting,\"{price}\"\n");
        Assert.Equal((0L, 0L, 0L, 1L), state.Counts);
        Assert.Equal("price", Assert.Single(await seller.ErrorsAsync(state.ImportId)).Column);
    }

    [Theory]
    [InlineData("title,category,price\nLamp,lighting,1\n", "sku")]
    [InlineData("sku,title,prise\nA,Lamp,1\n", "prise")]
    [InlineData("sku,title,title\nA,Lamp,Lamp\n", "title")]
    [InlineData("sku,title,option.size\nA,Lamp,M\n", "variantOf")]
    [InlineData("", "header")]
    [InlineData("\"sku,title\nA,Lamp\n", "header")]
    [InlineData("{\"products\":[]}", "header")]
    [InlineData("PK\u0003\u0004 this is a spreadsheet", "header")]
    public async Task A_broken_header_is_refused_by_name_and_starts_nothing(string file, string field)
    {
        using var reply = await seller.PostAsync(file);

        var problem = await AssertProblemAsync(reply, HttpStatusCode.UnprocessableEntity, "/problems/validation");
        Assert.True(problem.GetProperty("errors").TryGetProperty(field, out _), problem.ToString());
        Assert.Equal(0L, await shop.Catalog.ScalarAsync<long>("SELECT count(*) FROM imports WHERE seller_id = $1", seller.Id));
    }

    [Fact]
    public async Task Another_encoding_is_named_and_another_type_not_taken()
    {
        using var utf16 = await seller.PostAsync(Importer.Body([0xFF, 0xFE, .. Encoding.Unicode.GetBytes("sku,title\n")]));
        await AssertProblemAsync(utf16, HttpStatusCode.UnprocessableEntity);
        using var json = await seller.PostAsync(new StringContent("{}", Encoding.UTF8, "application/json"));
        await AssertProblemAsync(json, HttpStatusCode.UnsupportedMediaType);
    }

    [Fact]
    public async Task Signs_that_a_spreadsheet_adds_do_not_matter()
    {
        var state = await seller.ImportAsync("\uFEFFSKU;Title;CATEGORY;Price\r\n=A;'=1+1;lighting;1.00\r\n;;;\r\n\r\n");
        Assert.Equal((1L, 0L, 0L, 0L), state.Counts);
        Assert.Equal("=1+1", (await seller.ListingAsync("=A")).GetProperty("title").GetString());
    }

    [Fact]
    public async Task Of_two_rows_with_one_sku_the_later_counts()
    {
        var state = await seller.ImportAsync("sku,title,category,price\nA,First,lighting,1\nB,Other,lighting,1\nA,Second,lighting,2\nA,Second,lighting,2\n");
        Assert.Equal((2L, 1L, 1L, 0L), state.Counts);
        Assert.Equal("Second", (await seller.ListingAsync("A")).GetProperty("title").GetString());
        Assert.Equal(3, await seller.EventsAsync());
    }

    [Fact]
    public async Task A_listing_without_a_sku_is_found_by_its_id_and_can_get_one()
    {
        var listed = await ListAsync(seller.Http, "Old lamp");
        var state = await seller.ImportAsync($"productId,sku,title\n{listed.ProductId},OLD-1,Older lamp\n{Guid.NewGuid()},NEW-1,Nobody's lamp\n");

        Assert.Equal((0L, 1L, 0L, 1L), state.Counts);
        Assert.Equal(listed.ProductId, (await seller.ListingAsync("OLD-1")).GetProperty("productId").GetGuid());
        Assert.Equal("productId", Assert.Single(await seller.ErrorsAsync(state.ImportId)).Column);
    }

    [Fact]
    public async Task Another_sellers_listing_is_out_of_reach_by_sku_and_by_id()
    {
        var other = new Importer(shop.Catalog);
        await other.ImportAsync("sku,title,category,price\nSAME,Theirs,lighting,1\n");
        var theirs = (await other.ListingAsync("SAME")).GetProperty("productId").GetGuid();

        var state = await seller.ImportAsync($"sku,productId,title,category,price\nSAME,,Mine,lighting,2\nX,{theirs},Stolen,lighting,2\n");

        Assert.Equal((1L, 0L, 0L, 1L), state.Counts);
        Assert.Equal("Theirs", (await other.ListingAsync("SAME")).GetProperty("title").GetString());
        Assert.Equal("Mine", (await seller.ListingAsync("SAME")).GetProperty("title").GetString());
    }

    [Fact]
    public async Task Errors_are_paged_or_a_file_of_their_own()
    {
        var state = await seller.ImportAsync("sku,title,category,price\n" + string.Concat(Enumerable.Range(0, 250).Select(row => $"S{row},Lamp,lighting,free\n")));
        Assert.Equal(250, state.Failed);

        var rows = new List<long>();
        for (string? cursor = ""; cursor is not null;)
        {
            var page = (await System.Net.Http.Json.HttpClientJsonExtensions.GetFromJsonAsync<ErrorPage>(seller.Http, $"/api/v1/seller/imports/{state.ImportId}/errors?limit=100&cursor={cursor}"))!;
            rows.AddRange(page.Items.Select(error => error.Row));
            cursor = page.Next;
        }

        Assert.Equal(Enumerable.Range(2, 250).Select(row => (long)row), rows);
        using var asked = new HttpRequestMessage(HttpMethod.Get, $"/api/v1/seller/imports/{state.ImportId}/errors");
        asked.Headers.Add("Accept", "text/csv");
        using var file = await seller.Http.SendAsync(asked);
        Assert.Equal("text/csv", file.Content.Headers.ContentType!.MediaType);
        var lines = (await file.Content.ReadAsStringAsync()).Split("\r\n");
        Assert.Equal("row,line,column,message", lines[0]);
        Assert.StartsWith("2,2,price,", lines[1], StringComparison.Ordinal);
        Assert.Equal(252, lines.Length);
    }

    [Fact]
    public async Task A_file_of_rubbish_is_given_up()
    {
        var state = await seller.ImportAsync("sku,title,category,price\n" + string.Concat(Enumerable.Range(0, 11_000).Select(row => $"S{row},Lamp,lighting,free\n")));
        Assert.Equal("failed", state.Status);
        Assert.InRange(state.Failed, 10_001, 10_200);
        Assert.NotNull(state.Reason);
    }

    [Fact]
    public async Task The_description_of_the_api_has_it()
    {
        var paths = (await System.Net.Http.Json.HttpClientJsonExtensions.GetFromJsonAsync<System.Text.Json.JsonElement>(shop.AsNobody, "/openapi/v1.json")).GetProperty("paths");
        Assert.True(paths.GetProperty("/api/v1/seller/imports").GetProperty("post").GetProperty("requestBody").GetProperty("content").TryGetProperty("text/csv", out _));
        Assert.All((string[])["get", "patch"], method => Assert.True(paths.GetProperty("/api/v1/seller/imports/{importId}").TryGetProperty(method, out _)));
        Assert.True(paths.TryGetProperty("/api/v1/products/{productId}/prices", out _));
        Assert.True(paths.TryGetProperty("/api/v1/seller/products.csv", out _));
    }

    [Fact]
    public async Task Imports_are_their_sellers_alone()
    {
        var state = await seller.ImportAsync("sku,title,category,price\nA,Lamp,lighting,1\n");
        var other = new Importer(shop.Catalog);

        await AssertProblemAsync(await other.Http.GetAsync($"/api/v1/seller/imports/{state.ImportId}"), HttpStatusCode.NotFound);
        await AssertProblemAsync(await other.Http.GetAsync($"/api/v1/seller/imports/{state.ImportId}/errors"), HttpStatusCode.NotFound);
        using var patched = await other.PatchAsync(state.ImportId, 0, Importer.Body("x"));
        await AssertProblemAsync(patched, HttpStatusCode.NotFound);
        await AssertProblemAsync(await shop.AsNobody.GetAsync($"/api/v1/seller/imports/{state.ImportId}"), HttpStatusCode.Unauthorized);
        await AssertProblemAsync(await shop.Catalog.As(TestTokens.Buyer(Guid.CreateVersion7())).GetAsync("/api/v1/seller/imports"), HttpStatusCode.Forbidden);
        Assert.Contains(state.ImportId.ToString(), await seller.Http.GetStringAsync("/api/v1/seller/imports"), StringComparison.Ordinal);
        Assert.DoesNotContain(state.ImportId.ToString(), await other.Http.GetStringAsync("/api/v1/seller/imports"), StringComparison.Ordinal);
    }
}
