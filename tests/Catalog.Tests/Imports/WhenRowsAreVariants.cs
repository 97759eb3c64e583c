using System.Security.Claims;
using System.Text.Json;
using Marketplace.Catalog.Imports;
using Marketplace.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Xunit;

namespace Marketplace.Catalog.Tests.Imports;

public sealed class WhenRowsAreVariants(CatalogFixture shop) : IClassFixture<CatalogFixture>
{
    private const string Header = "sku,variantOf,title,category,price,option.size,option.colour\n";
    private const string Shirts = Header +
        "SHIRT,,Cotton shirt,clothing,,,\n" +
        "SHIRT-M,SHIRT,,,10.00,M,red\n" +
        "SHIRT-L,SHIRT,,,12.00,L,red\n" +
        "SCARF,,Wool scarf,clothing,20.00,,\n";

    private readonly Importer seller = new(shop.Catalog);

    [Fact]
    public async Task They_and_their_listing_are_one_listing_announced_once()
    {
        var state = await seller.ImportAsync(Shirts);

        Assert.Equal((4L, 0L, 0L, 0L), state.Counts);
        var shirt = await seller.ListingAsync("SHIRT");
        Assert.Equal(1000, shirt.GetProperty("price").GetProperty("minor").GetInt64());
        Assert.Equal(["size", "colour"], shirt.GetProperty("optionNames").EnumerateArray().Select(name => name.GetString()));
        Assert.Equal(["SHIRT-M 1000 M red", "SHIRT-L 1200 L red"], shirt.GetProperty("variants").EnumerateArray().Select(Words));
        Assert.Equal(2, await seller.EventsAsync());
    }

    [Fact]
    public async Task The_same_file_again_changes_nothing_and_one_changed_price_is_one_row()
    {
        await seller.ImportAsync(Shirts);
        var ids = VariantIds(await seller.ListingAsync("SHIRT"));
        Assert.Equal((0L, 0L, 4L, 0L), (await seller.ImportAsync(Shirts)).Counts);

        var state = await seller.ImportAsync(Shirts.Replace("12.00", "8.00", StringComparison.Ordinal));

        Assert.Equal((0L, 1L, 3L, 0L), state.Counts);
        var shirt = await seller.ListingAsync("SHIRT");
        Assert.Equal((800L, 2L), (shirt.GetProperty("price").GetProperty("minor").GetInt64(), shirt.GetProperty("revision").GetInt64()));
        Assert.Equal(ids, VariantIds(shirt));
        Assert.Equal(3, await seller.EventsAsync());
    }

    [Fact]
    public async Task A_variant_comes_to_a_listing_that_is_there_and_the_others_stay()
    {
        await seller.ImportAsync(Shirts);
        var state = await seller.ImportAsync("sku,variantOf,price,option.colour,option.size\nSHIRT-S,SHIRT,9.00,blue,S\n");

        Assert.Equal((1L, 0L, 0L, 0L), state.Counts);
        Assert.Equal(["SHIRT-M 1000 M red", "SHIRT-L 1200 L red", "SHIRT-S 900 S blue"], (await seller.ListingAsync("SHIRT")).GetProperty("variants").EnumerateArray().Select(Words));
    }

    [Fact]
    public async Task A_batch_or_a_part_never_ends_between_a_listing_and_its_variants()
    {
        var rows = string.Concat(Enumerable.Range(0, 60).Select(shirt =>
            $"S{shirt},,Shirt {shirt},clothing,,,\n" + string.Concat(Enumerable.Range(0, 10).Select(size => $"S{shirt}-{size},S{shirt},,,{10 + size}.00,size {size},red\n"))));
        var file = System.Text.Encoding.UTF8.GetBytes(Header + rows);
        using var begun = await seller.PostAsync(Importer.Body([]), last: false);
        var stands = await Importer.StateAsync(begun, System.Net.HttpStatusCode.Created);
        while (stands.Status == "open")
        {
            var length = (int)Math.Min(4_001, file.Length - stands.Offset);
            using var part = await seller.PatchAsync(stands.ImportId, stands.Offset, Importer.Body(file[(int)stands.Offset..][..length]), last: stands.Offset + length == file.Length);
            stands = await Importer.StateAsync(part, System.Net.HttpStatusCode.OK);
        }

        Assert.Equal((660L, 0L, 0L, 0L), stands.Counts);
        Assert.Equal(60, await seller.EventsAsync());
        Assert.All(await seller.ListingsAsync(), listing => Assert.Equal((1L, 10), (listing.GetProperty("revision").GetInt64(), listing.GetProperty("variants").GetArrayLength())));
    }

    [Theory]
    [InlineData("COAT,,Coat,clothing,,,\n")]
    [InlineData("COAT,,Coat,clothing,,,\nCOAT-M,COAT,,,90.00,M,red\nCOA")]
    public async Task Of_a_listing_whose_connection_breaks_before_its_last_variant_nothing_is_stored_yet(string coming)
    {
        const string coat = "COAT,,Coat,clothing,,,\nCOAT-M,COAT,,,90.00,M,red\nCOAT-L,COAT,,,95.00,L,red\n";
        var services = shop.Catalog.Services;
        var iris = SellerId.Of(new ClaimsPrincipal(new ClaimsIdentity([new Claim("seller_id", $"{seller.Id}")], "test")));
        using var rows = new CsvRows(new BreakingStream(Shirts + coming), default);
        var (columns, _) = ImportColumns.Of(await rows.NextAsync(last: true, default));
        var (import, _) = await services.GetRequiredService<ImportStore>().StartAsync(iris, null, columns, rows.Delimiter, rows.Place, default);

        await Assert.ThrowsAsync<IOException>(() => services.GetRequiredService<ImportRun>().RunAsync(import, iris, "Iris", rows, columns!, last: true, default));

        var stands = await seller.ShowAsync(import.ImportId);
        Assert.Equal((Shirts.Length, (4L, 0L, 0L, 0L)), (stands.Offset, stands.Counts));
        using var rest = await seller.PatchAsync(import.ImportId, stands.Offset, Importer.Body(coat));
        Assert.Equal((7L, 0L, 0L, 0L), (await Importer.StateAsync(rest, System.Net.HttpStatusCode.OK)).Counts);
        Assert.Equal((1L, 2), ((await seller.ListingAsync("COAT")).GetProperty("revision").GetInt64(), (await seller.ListingAsync("COAT")).GetProperty("variants").GetArrayLength()));
    }

    [Fact]
    public async Task More_variants_than_a_listing_can_have_are_refused_and_what_follows_is_stored()
    {
        var state = await seller.ImportAsync(
            Header + "S,,Shirt,clothing,,,\n" + string.Concat(Enumerable.Range(0, 2_000).Select(size => $"S-{size},S,,,10.00,{size},red\n")) + "GOOD,,Scarf,clothing,5.00,,\n");

        Assert.Equal(("completed", 1L, 2_001L), (state.Status, state.Created, state.Failed));
        Assert.Equal(["GOOD"], (await seller.ListingsAsync()).Select(listing => listing.GetProperty("sku").GetString()));
    }

    [Fact]
    public async Task What_is_wrong_with_a_variant_is_told_at_its_row()
    {
        var state = await seller.ImportAsync(
            Header +
            "A,,Shirt,clothing,,,\n" +
            "A-M,A,,,10.00,M,red\n" +
            "A-X,A,,,10.00,M,RED\n" +               // as another one
            "B,,Shirt,clothing,,,\n" +
            "B-M,B,,,ten,M,red\n" +                 // broken by itself: its listing has no price then
            "C-M,NOBODY,,,10.00,M,red\n" +
            ",SHIRT,,,10.00,M,red\n" +
            "D,,Shirt,clothing,5.00,,\n" +
            "D-M,D,,,10.00,M,\n" +
            "D-L,D,,,10.00,L,red\n" +               // one option more than the first
            "E,,Shirt,clothing,9.00,,\n" +
            "E-M,E,,,10.00,M,red\n" +               // the listing's price is not the lowest
            "GOOD,,Shirt,clothing,10.00,,\n");

        var errors = (await seller.ErrorsAsync(state.ImportId)).ToLookup(error => error.Row, error => error.Column);
        Assert.Equal(["GOOD"], (await seller.ListingsAsync()).Select(listing => listing.GetProperty("sku").GetString()));
        Assert.Equal((1L, 0L, 0L, 12L), state.Counts);
        Assert.Equal(Enumerable.Range(2, 12).Select(row => (long)row), errors.Select(row => row.Key).Order());
        Assert.Contains("option.size", errors[4]);
        Assert.Contains("price", errors[5]);
        Assert.Contains("price", errors[6]);
        Assert.Contains("variantOf", errors[7]);
        Assert.Contains("price", errors[12]);
    }

    [Fact]
    public async Task A_variants_sku_is_no_listings_and_the_other_way_round()
    {
        await seller.ImportAsync(Shirts);
        var state = await seller.ImportAsync(Header + "SHIRT-M,,Another shirt,clothing,1.00,,\nSCARF,SHIRT,,,10.00,XS,red\nSHIRT-XS,SHIRT-L,,,10.00,XS,red\n");

        Assert.Equal((0L, 0L, 0L, 3L), state.Counts);
        Assert.Equal(["2 sku", "3 sku", "4 variantOf"], (await seller.ErrorsAsync(state.ImportId)).Select(error => $"{error.Row} {error.Column}"));
        Assert.Equal(2, await seller.EventsAsync());
    }

    private static string Words(JsonElement variant) =>
        $"{variant.GetProperty("sku").GetString()} {variant.GetProperty("price").GetProperty("minor").GetInt64()} {string.Join(' ', variant.GetProperty("options").EnumerateArray().Select(option => option.GetProperty("value").GetString()))}";

    private static IReadOnlyList<Guid> VariantIds(JsonElement listing) => [.. listing.GetProperty("variants").EnumerateArray().Select(variant => variant.GetProperty("variantId").GetGuid())];

    /// <summary>A body whose sender goes away.</summary>
    private sealed class BreakingStream(string text) : MemoryStream(System.Text.Encoding.UTF8.GetBytes(text))
    {
        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            await base.ReadAsync(buffer, cancellationToken) is > 0 and var read ? read : throw new IOException("The sender is gone.");
    }
}
