using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Contracts;
using Marketplace.TestKit;
using Xunit;
using static Marketplace.Search.Tests.SearchFixture;

namespace Marketplace.Search.Tests;

public sealed class WhenTheIndexIsRebuiltWithLucene() : WhenTheIndexIsRebuilt(SearchFixture.Lucene);

/// <summary>One command, the whole catalogue again, while shoppers search and events arrive.</summary>
public abstract class WhenTheIndexIsRebuilt(string engine) : IAsyncLifetime
{
    private readonly SearchFixture search = new(engine);
    private readonly List<StockLevel> counted = [];
    private HttpClient operations = null!;

    public async ValueTask InitializeAsync()
    {
        await search.InitializeAsync();
        operations = search.Search.As(TestTokens.Operator());
        search.Search.Neighbour("inventory").On(HttpMethod.Post, "/internal/stock/levels", call =>
        {
            var asked = call.Read<JsonElement>().GetProperty("productIds").EnumerateArray().Select(id => id.GetGuid()).ToList();
            return asked.Count <= 1_000 ? FakeReply.Ok(new { levels = counted.Where(level => asked.Contains(level.ProductId)) }) : new FakeReply(422);
        });
    }

    public async ValueTask DisposeAsync()
    {
        operations.Dispose();
        await search.DisposeAsync();
    }

    [Fact]
    public async Task What_is_missing_is_added_and_what_is_not_in_the_shop_any_more_goes()
    {
        var (kept, changed, stale, fresh) = (Listed("Kept lamp"), Listed("Old lamp"), Listed("Stale lamp"), Listed("Fresh lamp"));
        await search.DeliverAsync(kept, changed, stale, Stock(kept.ProductId, 3, version: 2));
        counted.AddRange([new StockLevel(kept.ProductId, 0, 1), new StockLevel(fresh.ProductId, 5, 4)]);
        Shows([kept, changed with { Title = "New lamp", Revision = 2 }], [fresh]);

        Assert.Equal(HttpStatusCode.Accepted, await StartAsync());
        var status = await EndAsync();

        Assert.Equal((3, 1), (status.GetProperty("read").GetInt32(), status.GetProperty("removed").GetInt32()));
        Assert.Equal(["Fresh lamp", "Kept lamp", "New lamp"], (await search.TitlesAsync("q=lamp")).Order());
        Assert.Equal(["Fresh lamp", "Kept lamp"], (await search.TitlesAsync("q=lamp&inStock=true")).Order());
        await search.DeliverAsync(Stock(fresh.ProductId, 0, version: 3));
        Assert.Equal(["Fresh lamp", "Kept lamp"], (await search.TitlesAsync("q=lamp&inStock=true")).Order());
        await search.DeliverAsync(Stock(fresh.ProductId, 0, version: 5), stale with { Revision = 2 });
        Assert.Equal(["Kept lamp"], await search.TitlesAsync("q=lamp&inStock=true"));
        Assert.Contains("Stale lamp", await search.TitlesAsync("q=lamp"));      // was out of the shop, and is back
    }

    [Fact]
    public async Task Variants_shelves_attributes_and_ratings_come_with_it_and_so_does_stock_whose_event_was_lost()
    {
        var (lamp, large) = (Listed("Brass lamp", category: "lamps", path: ["home", "lamps"], attributes: [("Colour", "Brass")]), Guid.CreateVersion7());
        lamp = lamp with { Variants = [new ListingVariant(large, "LMP-L", [new ListingAttribute("size", "L")], Money.Gbp(1000))], CategoryNames = ["Home", "Lamps & lights"] };
        await search.DeliverAsync(lamp with { Variants = null, CategoryNames = null, Attributes = null }, Stock(large, 0));
        counted.Add(new StockLevel(large, 2, 2));
        search.Search.Neighbour("catalog").On(HttpMethod.Post, "/internal/listings/pages", new
        {
            items = new[] { lamp },
            next = (Guid?)null,
            ratings = new[] { new { productId = lamp.ProductId, average = 4.5, count = 12, version = 3 } },
        });

        await StartAsync();
        await EndAsync();
        await search.DeliverAsync(new ReviewPublished(lamp.ProductId, 1, 1, Version: 2));

        Assert.Equal((4.5, 12), ((await search.FindAsync("minRating=4")).Items[0].Rating, (await search.FindAsync("minRating=4")).Items[0].Ratings));
        var page = await search.FindAsync("inStock=true&facets=all");
        Assert.Equal(["Brass lamp"], page.Items.Select(product => product.Title));
        Assert.Equal(("brass 1", "l 1"), (page.Count("attr.colour"), page.Count("attr.size")));
        Assert.Contains(page.Facets!.Single(facet => facet.Name == "category").Values, shelf => shelf.Label == "Lamps & lights");
    }

    [Fact]
    public async Task An_event_meanwhile_is_newer_than_the_page_that_was_read_before_it()
    {
        var (lamp, deleted, unpublished, late) = (Listed("Old lamp"), Listed("Deleted lamp"), Listed("Unpublished lamp"), Listed("Late lamp"));
        await search.DeliverAsync(lamp, deleted, unpublished);
        search.Search.Neighbour("catalog").On(HttpMethod.Post, "/internal/listings/pages", async _ =>
        {
            await search.DeliverAsync(
                lamp with { Title = "New lamp", Revision = 2 }, new ProductDeleted(deleted.ProductId, 2, deleted.SellerId), new ProductUnpublished(unpublished.ProductId, 2, unpublished.SellerId), late);
            return FakeReply.Ok(new { items = new[] { lamp, deleted, unpublished }, next = (Guid?)null });
        });

        await StartAsync();
        await EndAsync();

        Assert.Equal(["Late lamp", "New lamp"], (await search.TitlesAsync("q=lamp")).Order());
    }

    [Fact]
    public async Task Nobody_who_searches_meanwhile_misses_a_listing_or_sees_it_twice()
    {
        var lamps = Enumerable.Range(1, 400).Select(number => Listed($"Lamp {number}", number, attributes: [("colour", "red")])).ToArray();
        await Task.WhenAll(lamps.Select(lamp => search.DeliverAsync(lamp)));
        counted.AddRange(lamps.Select(lamp => new StockLevel(lamp.ProductId, 1, 1)));
        var searched = 0;
        var pages = lamps.Select(lamp => lamp with { Title = lamp.Title + ", polished", Revision = 2 }).Chunk(50).ToList();
        search.Search.Neighbour("catalog").On(HttpMethod.Post, "/internal/listings/pages", async call =>
        {
            var seen = Volatile.Read(ref searched);             // the rebuild lasts as long as it takes to be searched through
            await Eventually.Async(() => Volatile.Read(ref searched) > seen + 2, "somebody searches");
            return Page(pages, call);
        });

        await StartAsync();
        do
        {
            var page = await search.FindAsync("q=lamp&facets=all&limit=100");
            var shown = new HashSet<Guid>(page.Items.Select(product => product.ProductId));
            Assert.Equal((400, 100, "red 400"), (page.Total, shown.Count, page.Count("attr.colour")));
            Assert.Single((await search.FindAsync($"q=lamp+{searched % 400 + 1}&minPrice={searched % 400 + 1}&maxPrice={searched % 400 + 1}")).Items);
            Assert.Equal(10, (await search.SuggestAsync("lam")).Count);
            Interlocked.Increment(ref searched);
        }
        while ((await StatusAsync()).GetProperty("state").GetString() == "running");

        Assert.Equal("done", (await StatusAsync()).GetProperty("state").GetString());
        Assert.Equal((400, 400), ((await search.FindAsync("q=polished")).Total, (await search.FindAsync("inStock=true")).Total));
        Assert.InRange(searched, 9, int.MaxValue);
    }

    [Fact]
    public async Task One_at_a_time_and_a_neighbour_that_does_not_answer_leaves_the_index_as_it_was()
    {
        var lamp = Listed("Brass lamp");
        var go = new TaskCompletionSource();
        await search.DeliverAsync(lamp);
        search.Search.Neighbour("catalog").On(HttpMethod.Post, "/internal/listings/pages", async _ =>
        {
            await go.Task;
            return FakeReply.Ok("not a page");
        });

        Assert.Equal(HttpStatusCode.Accepted, await StartAsync());
        Assert.Equal(HttpStatusCode.Conflict, await StartAsync());
        go.SetResult();
        await Eventually.Async(async () => (await StatusAsync()).GetProperty("state").GetString() == "failed", "the rebuild gives up", TimeSpan.FromSeconds(60));

        Assert.Equal(["Brass lamp"], await search.TitlesAsync("q=lamp"));
        Assert.Equal(HttpStatusCode.Accepted, await StartAsync());
    }

    [Fact]
    public async Task Only_operators_rebuild()
    {
        Assert.Equal(HttpStatusCode.Unauthorized, (await search.Search.As(null).PostAsync("/api/v1/operations/search/rebuild", null)).StatusCode);
        Assert.Equal(HttpStatusCode.Forbidden, (await search.Search.As(TestTokens.Buyer(Guid.NewGuid())).PostAsync("/api/v1/operations/search/rebuild", null)).StatusCode);
    }

    private void Shows(params IReadOnlyList<ProductUpserted>[] pages) =>
        search.Search.Neighbour("catalog").On(HttpMethod.Post, "/internal/listings/pages", call => Page(pages, call));

    /// <summary>A page is asked for by the last product of the one before.</summary>
    private static FakeReply Page(IReadOnlyList<IReadOnlyList<ProductUpserted>> pages, FakeCall call)
    {
        var after = call.Read<JsonElement>().GetProperty("after");
        var number = after.ValueKind == JsonValueKind.Null ? 0 : pages.Index().Single(page => page.Item[^1].ProductId == after.GetGuid()).Index + 1;
        return FakeReply.Ok(new { items = pages[number], next = number + 1 < pages.Count ? pages[number][^1].ProductId : (Guid?)null });
    }

    private async Task<HttpStatusCode> StartAsync() => (await operations.PostAsync("/api/v1/operations/search/rebuild", null)).StatusCode;

    private async Task<JsonElement> EndAsync()
    {
        await Eventually.Async(async () => (await StatusAsync()).GetProperty("state").GetString() == "done", "the rebuild ends");
        return await StatusAsync();
    }

    private async Task<JsonElement> StatusAsync() => await operations.GetFromJsonAsync<JsonElement>("/api/v1/operations/search/rebuild");
}
