using System.Net;
using Marketplace.Contracts;
using Xunit;
using static Marketplace.Search.Tests.SearchFixture;

namespace Marketplace.Search.Tests;

public sealed class WhenTheCatalogueChangesWithLucene() : WhenTheCatalogueChanges(SearchFixture.Lucene);

/// <summary>Every listener: twice is once, out of order ends right, after the end is ignored.</summary>
public abstract class WhenTheCatalogueChanges(string engine) : IAsyncLifetime
{
    private readonly SearchFixture search = new(engine);
    private readonly Guid lamp = Guid.CreateVersion7();

    public ValueTask InitializeAsync() => search.InitializeAsync();

    public ValueTask DisposeAsync() => search.DisposeAsync();

    [Fact]
    public async Task A_misspelt_word_that_is_asked_for_all_the_time_finds_its_listing_once_there_is_one()
    {
        for (var round = 0; round < 60; round++)
        {
            var word = "zanzibarquilt" + new string([.. Enumerable.Range(0, 6).Select(_ => (char)('a' + Random.Shared.Next(26)))]);
            var misspelt = word.Replace("barq", "bark", StringComparison.Ordinal);
            using var asking = new CancellationTokenSource();
            var shoppers = Enumerable.Range(0, 3).Select(_ => Task.Run(async () =>
            {
                while (!asking.IsCancellationRequested) await search.TitlesAsync($"q={misspelt}");
            })).ToList();

            await search.DeliverAsync(Listed($"{word} blanket"));
            await asking.CancelAsync();
            await Task.WhenAll(shoppers);

            Assert.Contains($"{word} blanket", await search.TitlesAsync($"q={misspelt}"));
        }
    }

    [Fact]
    public async Task A_listing_twice_is_one_result()
    {
        var listed = Listed("Brass lamp", productId: lamp);

        await search.DeliverAsync(listed, listed);

        Assert.Equal(["Brass lamp"], await search.TitlesAsync("q=lamp"));
    }

    [Fact]
    public async Task Of_listings_out_of_order_the_latest_revision_stays()
    {
        await search.DeliverAsync(Listed("Silver lamp", 900, revision: 3, productId: lamp), Listed("Brass lamp", 1000, revision: 2, productId: lamp));

        var found = Assert.Single((await search.FindAsync("q=lamp")).Items);
        Assert.Equal(("Silver lamp", Money.Gbp(900)), (found.Title, found.Price));
    }

    [Fact]
    public async Task A_listing_after_its_deletion_stays_away_and_a_price_change_with_it()
    {
        await search.DeliverAsync(Listed("Brass lamp", productId: lamp), new ProductDeleted(lamp, 2, Guid.NewGuid()), Listed("Brass lamp", revision: 1, productId: lamp), Listed("Brass lamp", revision: 3, productId: lamp));

        Assert.Empty(await search.TitlesAsync("q=lamp"));
        Assert.Empty(await search.SuggestAsync("bra"));
    }

    [Fact]
    public async Task A_deletion_twice_is_one()
    {
        var deleted = new ProductDeleted(lamp, 2, Guid.NewGuid());

        await search.DeliverAsync(Listed("Brass lamp", productId: lamp), deleted, deleted);

        Assert.Empty(await search.TitlesAsync("q=lamp"));
    }

    [Fact]
    public async Task A_deletion_before_its_listing_keeps_it_away()
    {
        await search.DeliverAsync(new ProductDeleted(lamp, 2, Guid.NewGuid()), Listed("Brass lamp", productId: lamp));

        Assert.Empty(await search.TitlesAsync("q=lamp"));
    }

    [Fact]
    public async Task A_deletion_after_the_end_does_nothing_and_neither_does_stock()
    {
        await search.DeliverAsync(Listed("Brass lamp", productId: lamp), new ProductDeleted(lamp, 2, Guid.NewGuid()), new ProductDeleted(lamp, 5, Guid.NewGuid()), Stock(lamp, 7));

        Assert.Empty(await search.TitlesAsync("q=lamp"));
        Assert.Empty(await search.TitlesAsync("inStock=true"));
    }

    [Fact]
    public async Task A_listing_that_is_unpublished_goes_and_comes_back_with_a_higher_revision_only()
    {
        var listed = Listed("Brass lamp", productId: lamp);
        var unpublished = new ProductUnpublished(lamp, 2, listed.SellerId);
        await search.DeliverAsync(listed, Stock(lamp, 3), unpublished, unpublished, listed);
        Assert.Empty(await search.TitlesAsync("q=lamp"));
        Assert.Empty(await search.SuggestAsync("bra"));
        Assert.Equal(0, (await search.FindAsync("facets=all")).Total);

        await search.RestartAsync();
        await search.DeliverAsync(listed with { Revision = 2 });
        Assert.Empty(await search.TitlesAsync("q=lamp"));

        await search.DeliverAsync(listed with { Revision = 3 }, unpublished);
        Assert.Equal(["Brass lamp"], await search.TitlesAsync("q=lamp&inStock=true"));
    }

    [Fact]
    public async Task Unpublishing_told_before_the_listing_keeps_that_away_and_a_deletion_afterwards_is_for_good()
    {
        var listed = Listed("Brass lamp", productId: lamp);
        await search.DeliverAsync(new ProductUnpublished(lamp, 2, listed.SellerId), listed);
        Assert.Empty(await search.TitlesAsync("q=lamp"));

        await search.DeliverAsync(new ProductDeleted(lamp, 3, listed.SellerId), listed with { Revision = 4 }, new ProductUnpublished(lamp, 5, listed.SellerId), listed with { Revision = 6 });
        Assert.Empty(await search.TitlesAsync("q=lamp"));
    }

    [Fact]
    public async Task A_shelf_is_shown_by_its_name_and_a_new_name_takes_the_place_of_the_old_one()
    {
        var listed = Listed("Brass lamp", productId: lamp, category: "lamps", path: ["home", "lamps"]) with { CategoryNames = ["Home & living", "Lamps & lights"] };
        await search.DeliverAsync(listed);

        var shelves = (await search.FindAsync("facets=category")).Facets!.Single().Values;
        Assert.Equal([("home", "Home & living"), ("lamps", "Lamps & lights")], shelves.Select(shelf => (shelf.Value, shelf.Label)));
        Assert.Equal(["Brass lamp"], await search.TitlesAsync("q=living"));
        Assert.Equal(["Lamps & lights"], await search.SuggestAsync("ligh"));

        await search.DeliverAsync(listed with { Revision = 2, CategoryNames = ["Home & living", "Illumination"] });
        Assert.Equal(["Illumination"], await search.SuggestAsync("illu"));
        Assert.Empty(await search.SuggestAsync("ligh"));
        Assert.Equal(["Brass lamp"], await search.TitlesAsync("category=lamps"));
    }

    [Fact]
    public async Task Stock_twice_is_once_and_an_older_level_is_ignored()
    {
        var full = Stock(lamp, 3, version: 2);
        await search.DeliverAsync(Listed("Brass lamp", productId: lamp), full, full, Stock(lamp, 0, version: 1));
        Assert.True(Assert.Single((await search.FindAsync("q=lamp")).Items).InStock);

        await search.DeliverAsync(Stock(lamp, 0, version: 3), full);
        Assert.False(Assert.Single((await search.FindAsync("q=lamp")).Items).InStock);
    }

    [Fact]
    public async Task Stock_before_the_listing_counts_when_the_listing_comes()
    {
        await search.DeliverAsync(Stock(lamp, 3));
        Assert.Empty((await search.FindAsync("inStock=true")).Items);

        await search.DeliverAsync(Listed("Brass lamp", productId: lamp));
        Assert.Equal(["Brass lamp"], await search.TitlesAsync("inStock=true"));
    }

    [Fact]
    public async Task A_change_of_the_listing_keeps_its_stock()
    {
        await search.DeliverAsync(Listed("Brass lamp", productId: lamp), Stock(lamp, 3), Listed("Silver lamp", revision: 2, productId: lamp));

        Assert.Equal(["Silver lamp"], await search.TitlesAsync("inStock=true"));
    }

    [Fact]
    public async Task Many_events_at_once_all_count()
    {
        var products = Enumerable.Range(1, 200).Select(number => Listed($"Mug number {number}")).ToList();

        var replies = await Task.WhenAll(products.Select(product => search.Search.DeliverAsync(product))
            .Concat(products.Select(product => search.Search.DeliverAsync(Stock(product.ProductId, 1)))));

        Assert.All(replies, reply => Assert.Equal(HttpStatusCode.OK, reply.StatusCode));
        var seen = 0;
        string? cursor = null;
        do
        {
            var page = await search.FindAsync($"q=mug&inStock=true&sort=price&limit=100&cursor={cursor}");
            seen += page.Items.Count;
            cursor = page.Next;
        }
        while (cursor is not null);
        Assert.Equal(200, seen);
    }

    [Fact]
    public async Task After_a_restart_everything_is_there_and_old_events_are_still_old()
    {
        var gone = Guid.CreateVersion7();
        await search.DeliverAsync(Listed("Silver lamp", revision: 3, productId: lamp), Stock(lamp, 3, version: 5), Listed("Gone lamp", productId: gone), new ProductDeleted(gone, 2, Guid.NewGuid()));

        await search.RestartAsync();
        Assert.Equal(["Silver lamp"], await search.TitlesAsync("q=lamp&inStock=true"));

        await search.DeliverAsync(Listed("Brass lamp", revision: 2, productId: lamp), Stock(lamp, 0, version: 4), Listed("Gone lamp", productId: gone));
        Assert.Equal(["Silver lamp"], await search.TitlesAsync("q=lamp&inStock=true"));
    }
}
