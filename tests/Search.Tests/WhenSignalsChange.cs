using Marketplace.Contracts;
using Xunit;
using static Marketplace.Search.Tests.SearchFixture;

namespace Marketplace.Search.Tests;

public sealed class WhenSignalsChangeWithLucene() : WhenSignalsChange(SearchFixture.Lucene);

/// <summary>Sales, ratings and stock: twice is once, out of order ends right, and the order of results follows.</summary>
public abstract class WhenSignalsChange(string engine) : IAsyncLifetime
{
    private readonly SearchFixture search = new(engine);
    private readonly Guid brass = Guid.CreateVersion7();
    private readonly Guid silver = Guid.CreateVersion7();

    public async ValueTask InitializeAsync()
    {
        await search.InitializeAsync();
        await search.DeliverAsync(Listed("Brass lamp", productId: brass), Listed("Silver lamp", productId: silver));
    }

    public ValueTask DisposeAsync() => search.DisposeAsync();

    [Fact]
    public async Task What_sells_best_comes_first()
    {
        await search.DeliverAsync(Bought(silver, 2), Bought(brass, 1));
        Assert.Equal(["Silver lamp", "Brass lamp"], await search.TitlesAsync("sort=bestselling"));

        await search.DeliverAsync(Bought(brass, 3));
        Assert.Equal(["Brass lamp", "Silver lamp"], await search.TitlesAsync("sort=bestselling"));
        Assert.Equal(["Brass lamp", "Silver lamp"], await search.TitlesAsync("q=lamp"));           // all else being equal
        Assert.Equal(["Brass lamp", "Silver lamp"], await search.SuggestAsync("lam"));
    }

    [Fact]
    public async Task An_order_told_twice_counts_once_also_after_a_restart()
    {
        var order = Bought(brass, 2);
        await search.DeliverAsync(order, order, Bought(silver, 3));
        Assert.Equal("Silver lamp", (await search.TitlesAsync("sort=bestselling"))[0]);

        await search.RestartAsync();
        await search.DeliverAsync(order);
        Assert.Equal("Silver lamp", (await search.TitlesAsync("sort=bestselling"))[0]);
    }

    [Fact]
    public async Task Old_sales_weigh_less_in_whatever_order_they_are_told()
    {
        await search.DeliverAsync(Bought(brass, 2), Bought(silver, 10, daysAgo: 120), Bought(brass, 1, daysAgo: 400));

        Assert.Equal(["Brass lamp", "Silver lamp"], await search.TitlesAsync("sort=bestselling"));
    }

    [Fact]
    public async Task A_sale_before_the_listing_counts_and_one_after_the_deletion_does_nothing()
    {
        var gold = Guid.CreateVersion7();
        await search.DeliverAsync(Bought(gold, 9), Listed("Gold lamp", productId: gold), new ProductDeleted(brass, 2, Guid.NewGuid()), Bought(brass, 50));

        Assert.Equal(["Gold lamp", "Silver lamp"], await search.TitlesAsync("sort=bestselling"));
    }

    [Fact]
    public async Task Ratings_sort_filter_and_are_counted()
    {
        var twice = new ReviewPublished(silver, 4.5, 12, Version: 2);
        await search.DeliverAsync(twice, twice, new ReviewPublished(silver, 1, 1, Version: 1), new ReviewPublished(brass, 3.2, 4, Version: 1));

        var page = await search.FindAsync("sort=rating&facets=rating");
        Assert.Equal([("Silver lamp", 4.5, 12), ("Brass lamp", 3.2, 4)], page.Items.Select(product => (product.Title, product.Rating!.Value, product.Ratings)));
        Assert.Equal("4 1, 3 2, 2 2, 1 2", page.Count("rating"));
        Assert.Equal(["Silver lamp"], await search.TitlesAsync("minRating=4"));
        Assert.Equal("4 1, 3 2, 2 2, 1 2", (await search.FindAsync("minRating=4&facets=rating")).Count("rating"));

        await search.RestartAsync();
        Assert.Equal(4.5, (await search.FindAsync("minRating=4")).Items[0].Rating);
    }

    [Fact]
    public async Task A_rating_told_before_the_listing_counts_when_that_comes_and_of_a_deleted_one_nothing_comes_back()
    {
        var gold = Guid.CreateVersion7();
        await search.DeliverAsync(new ReviewPublished(gold, 5, 1, Version: 1), new ProductDeleted(brass, 2, Guid.NewGuid()), new ReviewPublished(brass, 5, 9, Version: 1));
        Assert.Empty(await search.TitlesAsync("minRating=1"));

        await search.DeliverAsync(Listed("Gold lamp", productId: gold));
        Assert.Equal(["Gold lamp"], await search.TitlesAsync("minRating=5"));
    }

    [Fact]
    public async Task What_is_sold_out_stands_behind_what_is_not()
    {
        await search.DeliverAsync(Stock(silver, 4));
        Assert.Equal(["Silver lamp", "Brass lamp"], await search.TitlesAsync("q=lamp"));

        await search.DeliverAsync(Stock(silver, 0, version: 2), Stock(brass, 4));
        Assert.Equal(["Brass lamp", "Silver lamp"], await search.TitlesAsync("q=lamp"));
    }

    [Fact]
    public async Task A_new_revision_keeps_all_of_it()
    {
        await search.DeliverAsync(Bought(silver, 2), Stock(silver, 4), Listed("Silver lamp, polished", revision: 2, productId: silver));

        var page = await search.FindAsync("sort=bestselling");
        Assert.Equal(("Silver lamp, polished", true), (page.Items[0].Title, page.Items[0].InStock));
    }
}
