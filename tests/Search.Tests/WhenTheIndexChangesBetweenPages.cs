using Marketplace.Contracts;
using Xunit;
using static Marketplace.Search.Tests.SearchFixture;

namespace Marketplace.Search.Tests;

public sealed class WhenTheIndexChangesBetweenPagesWithLucene() : WhenTheIndexChangesBetweenPages(SearchFixture.Lucene);

/// <summary>A shopper who turns the page sees nothing twice and misses nothing, whatever sellers do meanwhile.</summary>
public abstract class WhenTheIndexChangesBetweenPages(string engine) : IAsyncLifetime
{
    private readonly SearchFixture search = new(engine);
    private readonly List<ProductUpserted> mugs = [.. Enumerable.Range(1, 30).Select(number =>
        Listed($"{(number % 3 == 0 ? "Big " : "")}Mug {(number % 2 == 0 ? "for tea" : "")}", 100 * (number % 7), description: number % 4 == 0 ? "A mug, a mug." : "", minutesAgo: number))];

    public async ValueTask InitializeAsync()
    {
        await search.InitializeAsync();
        await Task.WhenAll(mugs.Select(mug => search.DeliverAsync(mug)));
    }

    public ValueTask DisposeAsync() => search.DisposeAsync();

    [Theory]
    [InlineData("relevance"), InlineData("price"), InlineData("-price"), InlineData("newest"), InlineData("bestselling"), InlineData("rating")]
    public async Task New_listings_and_deleted_ones_move_nothing(string sort)
    {
        var seen = new List<Guid>();
        string? cursor = null;
        do
        {
            var page = await search.FindAsync($"q=mug&sort={sort}&limit=7&cursor={cursor}");
            seen.AddRange(page.Items.Select(product => product.ProductId));
            cursor = page.Next;
            // More mugs change how rare the word is, and with it every score; other things change the lengths that count as usual.
            await search.DeliverAsync(Listed("Mug", 350), Listed("Huge mug with a very long name for coffee and for cocoa", 1), Listed("Plate", 200), Listed("Mug mug mug", 9_000));
        }
        while (cursor is not null && seen.Count < 200);

        var old = mugs.Select(mug => mug.ProductId).ToHashSet();
        Assert.Equal(seen.Count, seen.Distinct().Count());
        Assert.Equal(old.Count, seen.Count(old.Contains));
    }

    [Fact]
    public async Task The_product_a_page_ended_with_may_go()
    {
        var first = await search.FindAsync("q=mug&limit=10");
        var last = first.Items[^1];

        await search.DeliverAsync(new ProductDeleted(last.ProductId, 2, last.SellerId));
        var rest = await search.FindAsync($"q=mug&limit=100&cursor={first.Next}");

        Assert.Equal(20, rest.Items.Count);
        Assert.Empty(rest.Items.Select(product => product.ProductId).Intersect(first.Items.Select(product => product.ProductId)));
    }

    [Fact]
    public async Task A_cursor_belongs_to_its_search_and_to_no_other()
    {
        var cursor = (await search.FindAsync("q=mug&limit=5")).Next;

        foreach (var other in (string[])["q=big+mug", "q=mug&sort=price", "q=mug&inStock=true", "q=mug&category=homeware"])
            Assert.Equal(422, (int)(await search.Search.As(null).GetAsync($"/api/v1/search?{other}&cursor={cursor}")).StatusCode);
        Assert.Equal(8, (await search.FindAsync($"q=MUG&limit=8&facets=all&cursor={cursor}")).Items.Count);
    }

    [Fact]
    public async Task An_answer_kept_in_memory_goes_with_what_it_was_made_from()
    {
        Assert.Equal(30, (await search.FindAsync("q=mug")).Total);
        Assert.Equal(30, (await search.FindAsync("q=mug")).Total);

        await search.DeliverAsync(new ProductDeleted(mugs[0].ProductId, 2, mugs[0].SellerId));
        Assert.Equal(29, (await search.FindAsync("q=mug")).Total);

        await search.DeliverAsync(Stock(mugs[1].ProductId, 1));
        Assert.Equal(1, (await search.FindAsync("q=mug")).Items.Count(product => product.InStock));
    }
}
