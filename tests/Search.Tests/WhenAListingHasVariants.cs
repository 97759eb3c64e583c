using Marketplace.Contracts;
using Xunit;
using static Marketplace.Search.Tests.SearchFixture;

namespace Marketplace.Search.Tests;

public sealed class WhenAListingHasVariantsWithLucene() : WhenAListingHasVariants(SearchFixture.Lucene);

/// <summary>A shirt in two sizes is one result, found by either, in stock when either is, and sold when either is.</summary>
public abstract class WhenAListingHasVariants(string engine) : IAsyncLifetime
{
    private readonly SearchFixture search = new(engine);
    private readonly Guid small = Guid.CreateVersion7();
    private readonly Guid large = Guid.CreateVersion7();
    private ProductUpserted shirt = null!;

    public async ValueTask InitializeAsync()
    {
        await search.InitializeAsync();
        shirt = Listed("Cotton shirt", 1900, "shirts", attributes: [("Colour", "Red")]) with { Variants = [Variant(small, "CTN-71-S", "S", 1900), Variant(large, "CTN-71-L", "L", 2900)] };
    }

    public ValueTask DisposeAsync() => search.DisposeAsync();

    [Fact]
    public async Task It_is_one_result_at_its_lowest_price()
    {
        await search.DeliverAsync(shirt);

        var page = await search.FindAsync("q=shirt&facets=all");
        Assert.Equal((1, Money.Gbp(1900), shirt.ProductId), (page.Total, page.Items[0].Price, page.Items[0].ProductId));
        Assert.Equal("1000-2000 1", page.Count("price"));
        Assert.Single(await search.TitlesAsync("maxPrice=2000"));
        Assert.Empty(await search.TitlesAsync("minPrice=2000"));
    }

    [Fact]
    public async Task Its_options_narrow_and_are_counted_and_its_skus_and_options_are_words()
    {
        await search.DeliverAsync(shirt);

        Assert.Equal("l 1, s 1", (await search.FindAsync("facets=attr.size,attr.colour")).Count("attr.size"));
        Assert.Single(await search.TitlesAsync("attr.size=l&attr.colour=red"));
        Assert.Empty(await search.TitlesAsync("attr.size=m"));
        Assert.Equal(["Cotton shirt"], await search.TitlesAsync("q=CTN-71-L"));
        Assert.Equal(["Cotton shirt"], await search.TitlesAsync("q=shirt+size+s"));
    }

    [Fact]
    public async Task A_listing_is_found_by_the_sku_of_its_own_too_with_variants_and_without()
    {
        var lamp = Listed("Brass lamp") with { Sku = "BRS-0042" };
        await search.DeliverAsync(shirt with { Sku = "CTN-71" }, lamp);

        Assert.Equal(["Brass lamp"], await search.TitlesAsync("q=brs-0042"));
        Assert.Equal(["Cotton shirt"], await search.TitlesAsync("q=CTN-71"));
        await search.DeliverAsync(lamp with { Revision = 2, Sku = null });
        Assert.Empty(await search.TitlesAsync("q=brs-0042"));
    }

    [Fact]
    public async Task It_is_in_stock_while_any_of_them_is()
    {
        await search.DeliverAsync(shirt, Stock(small, 0), Stock(large, 4));
        Assert.True((await search.FindAsync("q=shirt")).Items[0].InStock);
        Assert.Equal("true 1", (await search.FindAsync("facets=inStock")).Count("inStock"));

        await search.DeliverAsync(Stock(large, 0, version: 2));
        Assert.False((await search.FindAsync("q=shirt")).Items[0].InStock);
        Assert.Empty(await search.TitlesAsync("inStock=true"));

        await search.DeliverAsync(Stock(large, 9, version: 1));
        Assert.Empty(await search.TitlesAsync("inStock=true"));
    }

    [Fact]
    public async Task Stock_and_sales_of_a_variant_told_before_its_listing_count_when_that_comes()
    {
        await search.DeliverAsync(Listed("Linen shirt"), Bought(large, 3), Stock(large, 2));
        Assert.Empty(await search.TitlesAsync("inStock=true"));

        await search.DeliverAsync(shirt);
        Assert.Equal(["Cotton shirt"], await search.TitlesAsync("inStock=true"));
        Assert.Equal("Cotton shirt", (await search.TitlesAsync("sort=bestselling"))[0]);
    }

    [Fact]
    public async Task A_sale_of_any_variant_is_one_of_the_listing_and_counts_once()
    {
        var linen = Listed("Linen shirt");
        var order = Bought(small, 2);
        await search.DeliverAsync(shirt, linen, order, Bought(large, 2), order, Bought(linen.ProductId, 5));
        Assert.Equal(["Linen shirt", "Cotton shirt"], await search.TitlesAsync("sort=bestselling"));

        await search.DeliverAsync(Bought(small, 2));
        Assert.Equal(["Cotton shirt", "Linen shirt"], await search.TitlesAsync("sort=bestselling"));
    }

    [Fact]
    public async Task What_belongs_to_it_is_known_after_a_restart_and_a_new_revision()
    {
        await search.DeliverAsync(shirt, Stock(large, 4), Bought(small, 2), Listed("Linen shirt"));
        await search.RestartAsync();
        Assert.Equal(["Cotton shirt"], await search.TitlesAsync("inStock=true"));
        Assert.Equal("Cotton shirt", (await search.TitlesAsync("sort=bestselling"))[0]);

        await search.DeliverAsync(shirt with { Revision = 2, Title = "Cotton shirt, striped" }, Stock(large, 0, version: 2));
        Assert.Empty(await search.TitlesAsync("inStock=true"));
        await search.DeliverAsync(Stock(small, 1));
        Assert.Equal(["Cotton shirt, striped"], await search.TitlesAsync("inStock=true"));
    }

    [Fact]
    public async Task A_variant_that_is_taken_out_counts_no_more()
    {
        await search.DeliverAsync(shirt, Stock(small, 0), Stock(large, 4), shirt with { Revision = 2, Variants = [shirt.Variants![0]] });

        Assert.Empty(await search.TitlesAsync("inStock=true"));
        Assert.Equal("s 1", (await search.FindAsync("facets=attr.size")).Count("attr.size"));
    }

    [Fact]
    public async Task A_listing_that_gains_variants_is_not_in_stock_by_what_was_told_of_itself_and_one_that_loses_them_is()
    {
        await search.DeliverAsync(shirt with { Variants = null }, Stock(shirt.ProductId, 7));
        Assert.Single(await search.TitlesAsync("inStock=true"));

        await search.DeliverAsync(shirt with { Revision = 2 });
        Assert.Empty(await search.TitlesAsync("inStock=true"));

        await search.DeliverAsync(shirt with { Revision = 3, Variants = null });
        Assert.Single(await search.TitlesAsync("inStock=true"));
    }

    [Fact]
    public async Task Its_variants_are_no_results_and_no_suggestions_of_their_own()
    {
        await search.DeliverAsync(shirt, Stock(small, 1), Stock(large, 1), Bought(small, 1), Bought(large, 1));

        Assert.Equal(1, (await search.FindAsync("")).Total);
        Assert.Equal(["Cotton shirt"], await search.SuggestAsync("cot"));
    }

    private static ListingVariant Variant(Guid id, string sku, string size, long minor) => new(id, sku, [new ListingAttribute("size", size)], Money.Gbp(minor));
}
