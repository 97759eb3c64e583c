using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Xunit;

namespace Marketplace.Catalog.Tests.Imports;

public sealed class WhenRowsHaveAttributes : IClassFixture<DocumentShop>
{
    private const string Header = "sku,title,category,price,attr.screen-size,attr.waterproof,attr.colour\n";
    private readonly DocumentShop shop;
    private readonly Importer seller;

    public WhenRowsHaveAttributes(DocumentShop shop) => (this.shop, seller) = (shop, new Importer(shop.Catalog));

    [Fact]
    public async Task They_are_read_as_their_category_defines_them()
    {
        var state = await seller.ImportAsync(Header + "P1,Phone,electronics-phones,299.00,6.10,yes,RED\nL1,Lamp,lighting,10.00,,,brass-ish\nL2,Lamp,lighting,10.00,,,gold\n");

        Assert.Equal((2L, 0L, 0L, 1L), state.Counts);
        Assert.Equal("""{"colour":"red","screen-size":6.1,"waterproof":true}""", await AttributesAsync("P1"));
        Assert.Equal("""{"colour":"gold"}""", await AttributesAsync("L2"));
        Assert.Equal((3L, "attr.colour"), Assert.Single((await seller.ErrorsAsync(state.ImportId)).Select(error => (error.Row, error.Column))));
        Assert.Equal("screen-size 6.1 in", (await seller.ListingAsync("P1")).Pairs("facets").Single(facet => facet.StartsWith("screen-size", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task What_is_wrong_is_told_in_its_column()
    {
        var state = await seller.ImportAsync(
            "sku,title,category,price,status,attr.screen-size,attr.waterproof,attr.pages\n" +
            "A,Phone,electronics-phones,1,,six,,\n" +
            "B,Phone,electronics-phones,1,,6,perhaps,\n" +
            "C,Phone,electronics-phones,1,,6,,12\n" +
            "D,Phone,electronics-phones,1,,,,\n" +             // a published phone says its size
            "E,Phone,electronics-phones,1,draft,,,\n");        // a draft need not

        Assert.Equal((1L, 0L, 0L, 4L), state.Counts);
        Assert.Equal(
            ["2 attr.screen-size", "3 attr.waterproof", "4 attr.pages", "5 attr.screen-size"],
            (await seller.ErrorsAsync(state.ImportId)).Select(error => $"{error.Row} {error.Column}"));
    }

    [Fact]
    public async Task The_same_again_changes_nothing_and_writes_no_document()
    {
        const string file = Header + "P1,Phone,electronics-phones,299.00,6.1,yes,red\n";
        await seller.ImportAsync(file);
        var ledger = await DocumentsAsync();

        Assert.Equal((0L, 0L, 1L, 0L), (await seller.ImportAsync(file)).Counts);
        Assert.Equal((0L, 0L, 1L, 0L), (await seller.ImportAsync("sku,attr.screen-size\nP1,6.10\n")).Counts);

        Assert.Equal(ledger, await DocumentsAsync());
        Assert.Equal(1, await seller.EventsAsync());
    }

    [Fact]
    public async Task A_column_that_is_not_there_leaves_its_attribute_and_an_empty_field_takes_it_away()
    {
        await seller.ImportAsync(Header + "P1,Phone,electronics-phones,299.00,6.1,yes,red\n");

        await seller.ImportAsync("sku,attr.colour\nP1,blue\n");
        Assert.Equal("""{"colour":"blue","screen-size":6.1,"waterproof":true}""", await AttributesAsync("P1"));
        await seller.ImportAsync("sku,price\nP1,199.00\n");
        Assert.Equal("""{"colour":"blue","screen-size":6.1,"waterproof":true}""", await AttributesAsync("P1"));
        await seller.ImportAsync("sku,attr.waterproof,attr.colour\nP1,,\n");
        Assert.Equal("""{"screen-size":6.1}""", await AttributesAsync("P1"));

        var taken = await seller.ImportAsync("sku,attr.screen-size\nP1,\n");
        Assert.Equal(1, taken.Failed);
        Assert.Equal(4, await seller.EventsAsync());
    }

    [Fact]
    public async Task Another_category_keeps_what_it_knows_too()
    {
        await seller.ImportAsync(Header + "P1,Phone,electronics-phones,299.00,6.1,yes,red\n");
        var state = await seller.ImportAsync("sku,category\nP1,electronics-audio\n");
        Assert.Equal((0L, 1L, 0L, 0L), state.Counts);
        Assert.Equal("""{"colour":"red"}""", await AttributesAsync("P1"));
    }

    [Fact]
    public async Task Documents_no_listing_points_at_any_more_are_swept_and_the_others_are_not()
    {
        await seller.ImportAsync(Header + "P1,Phone,electronics-phones,299.00,6.1,yes,red\n");
        await seller.ImportAsync("sku,attr.colour\nP1,blue\n");
        await DocumentShop.SweepOf(shop.Catalog).SweepAsync(TestContext.Current.CancellationToken);

        Assert.Equal(1, await DocumentsAsync());
        Assert.Equal("""{"colour":"blue","screen-size":6.1,"waterproof":true}""", await AttributesAsync("P1"));
    }

    [Fact]
    public async Task An_export_has_them_and_changes_nothing_when_it_is_imported()
    {
        await seller.ImportAsync(Header + "P1,Phone,electronics-phones,299.00,6.1,yes,red\nL1,Lamp,lighting,10.00,,,gold\nL2,Lamp,lighting,10.00,,,\n");
        await seller.ImportAsync("sku,title,category,price,attr.author,attr.format\nB1,Book,books,9.99,\"=Ada, Countess\",paperback\n");

        var file = await seller.ExportAsync();
        var again = await seller.ImportAsync(file);

        Assert.Equal((0L, 0L, 4L, 0L), again.Counts);
        Assert.Equal("""{"author":"=Ada, Countess","format":"paperback"}""", await AttributesAsync("B1"));
        var other = new Importer(shop.Catalog);
        Assert.Equal((4L, 0L, 0L, 0L), (await other.ImportAsync(file)).Counts);
        Assert.Equal(file.Split("\r\n").Order(StringComparer.Ordinal), (await other.ExportAsync()).Split("\r\n").Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task The_example_of_the_documentation_is_a_catalogue()
    {
        var root = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(root!.FullName, "Marketplace.sln")))
            root = root.Parent;
        var state = await seller.ImportAsync(await File.ReadAllTextAsync(Path.Combine(root.FullName, "docs", "examples", "catalogue.csv"), TestContext.Current.CancellationToken));

        Assert.Empty(await seller.ErrorsAsync(state.ImportId));
        Assert.Equal((7L, 0L, 0L, 0L), state.Counts);
        Assert.Equal(3, (await seller.ListingAsync("SHIRT-7")).List("variants").Count);
    }

    [Fact]
    public async Task Without_the_document_store_nothing_is_stored_and_nothing_lost()
    {
        await using var poor = new DocumentShop();
        await poor.InitializeAsync();
        var victim = new Importer(poor.Catalog);
        await victim.ImportAsync(Header + "P1,Phone,electronics-phones,299.00,6.1,yes,red\n");
        await poor.StopDocumentsAsync();

        using var refused = await victim.PostAsync("sku,title,category,price,attr.colour\nP1,Phone,electronics-phones,299.00,blue\n");
        using var export = await victim.Http.GetAsync("/api/v1/seller/products.csv", TestContext.Current.CancellationToken).ContinueWith(asked => asked.IsFaulted ? null : asked.Result, TaskScheduler.Default);
        var prices = await victim.ImportAsync("sku,price\nP1,199.00\n");

        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        Assert.True(export is null || !export.IsSuccessStatusCode || await IsCutAsync(export), "a file without the attributes is no export");
        Assert.Equal((0L, 1L, 0L, 0L), prices.Counts);      // who says nothing of attributes needs no documents

        static async Task<bool> IsCutAsync(HttpResponseMessage reply)
        {
            try
            {
                await reply.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
                return false;
            }
            catch (HttpRequestException)
            {
                return true;
            }
        }
    }

    private Task<long> DocumentsAsync() => shop.Catalog.ScalarAsync<long>(
        "SELECT count(*) FROM attribute_documents d JOIN listings l USING (product_id) WHERE l.seller_id = $1", seller.Id);

    private async Task<string> AttributesAsync(string sku)
    {
        var listing = await seller.Http.GetFromJsonAsync<JsonElement>($"/api/v1/seller/products/{(await seller.ListingAsync(sku)).Id()}", TestContext.Current.CancellationToken);
        return JsonSerializer.Serialize(listing.GetProperty("attributes").EnumerateObject().OrderBy(one => one.Name, StringComparer.Ordinal).ToDictionary(one => one.Name, one => one.Value));
    }
}
