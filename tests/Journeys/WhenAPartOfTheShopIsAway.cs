using System.Net;
using Marketplace.Local.Launcher;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Journeys;

/// <summary>Browsing is nine tenths of what people do here: it goes on while parts are away, says so, and is whole again by itself.</summary>
public sealed class WhenAPartOfTheShopIsAway(Market market)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Without_search_the_shelves_are_open_and_the_refusal_says_where_they_are()
    {
        var lamp = await market.ListAsync("Found on the shelf", 1250, ("north", 3));
        Reply? refused = null;
        await using (market.KeepDown("search"))
        {
            await Eventually.Async(
                async () => (refused = await SearchAsync("&category=gifts")).Status == HttpStatusCode.ServiceUnavailable, "search is away", Patience);
            refused!.ExpectProblem(HttpStatusCode.ServiceUnavailable);
            Assert.Equal("search", refused.Header("X-Degraded"));
            var link = refused.Header("Link")!;
            Assert.Equal("</api/v1/products?category=gifts>; rel=\"alternate\"", link);

            var shelf = (await market.Nobody.GetAsync(link[1..link.IndexOf('>', StringComparison.Ordinal)])).Expect(HttpStatusCode.OK);
            Assert.Contains(lamp.ToString(), shelf.Text, StringComparison.Ordinal);
            Assert.Equal(1250, PriceOf((await PageAsync(lamp)).Expect(HttpStatusCode.OK)));
            Assert.Equal(3, await market.AvailableAsync(lamp));
        }

        await market.AllUpAsync();
        await Eventually.Async(async () => await SearchAsync("") is { Status: HttpStatusCode.OK } found && found.Header("X-Degraded") is null, "search is back", Patience);
    }

    [Fact]
    public async Task Without_the_cache_store_pages_come_from_the_database_and_a_price_that_changes_meanwhile_is_right_for_ever()
    {
        Assert.SkipWhen(market.System.Parts.All(part => part.Name != "redis"), "In this set the cache lies in PostgreSQL, and goes when everything goes.");
        var lamp = await market.ListAsync("Read past the cache", 1000);
        Assert.Equal(1000, PriceOf(await PageAsync(lamp)));
        await using (market.KeepDown("redis"))
        {
            await Eventually.Async(async () => await PageAsync(lamp) is { Status: HttpStatusCode.OK } page && page.Header("X-Degraded") == "cache" && PriceOf(page) == 1000, "the page says what it does without", Patience);
            await market.ChangePriceAsync(lamp, 900);
            await Eventually.Async(async () => PriceOf(await PageAsync(lamp)) == 900, "the new price is there without the store", TimeSpan.FromSeconds(10));
        }

        // What lay in the store when it died was the page of the old price.
        await market.AllUpAsync();
        await Eventually.Async(
            async () =>
            {
                var page = (await PageAsync(lamp)).Expect(HttpStatusCode.OK);
                Assert.Equal(900, PriceOf(page));
                return page.Header("X-Degraded") is null;
            },
            "the store is used again", Patience);
    }

    [Fact]
    public async Task Without_the_databases_what_was_read_lately_is_still_shown_and_nothing_that_is_somebodys_own()
    {
        var (known, unknown) = (await market.ListAsync("Still shown", 700), await market.ListAsync("Never read", 800));
        var ada = await market.NewBuyerAsync();
        (await ada.GetAsync("/api/v1/orders")).Expect(HttpStatusCode.OK);
        (await market.Nobody.GetAsync("/api/v1/products?category=gifts&limit=7")).Expect(HttpStatusCode.OK);
        (await PageAsync(known)).Expect(HttpStatusCode.OK);
        await using (market.KeepDown("postgres"))
        {
            // The page by way of the catalogue, which has it from the store; the list from the gateway's own memory.
            await Eventually.Async(async () => await PageAsync(known) is { Status: HttpStatusCode.OK } page && page.Header("X-Degraded") == "database" && PriceOf(page) == 700, "the page says what it does without", Patience);
            await Eventually.Async(
                async () => await market.Nobody.GetAsync("/api/v1/products?category=gifts&limit=7") is { Status: HttpStatusCode.OK } list && list.Header("X-Cache") == "STALE"
                    && list.Header("X-Degraded") is "database" or "catalog" && int.Parse(list.Header("Age")!, System.Globalization.CultureInfo.InvariantCulture) >= 1,
                "the list stands in, and says how old it is", Patience);
            Assert.Equal(HttpStatusCode.ServiceUnavailable, (await PageAsync(unknown)).Status);

            var orders = await ada.GetAsync("/api/v1/orders");
            orders.ExpectProblem(HttpStatusCode.ServiceUnavailable);
            Assert.Null(orders.Header("X-Cache"));
        }

        await market.AllUpAsync();
        foreach (var lamp in new[] { known, unknown })
            await Eventually.Async(async () => await PageAsync(lamp) is { Status: HttpStatusCode.OK } page && page.Header("X-Degraded") is null, "all is well again", Patience);
        await Eventually.Async(async () => (await ada.GetAsync("/api/v1/orders")).Status == HttpStatusCode.OK, "orders are there again", Patience);
    }

    [Fact]
    public async Task Without_the_catalogue_the_gateway_shows_what_it_last_saw()
    {
        var lamp = await market.ListAsync("Last seen", 600);
        (await PageAsync(lamp)).Expect(HttpStatusCode.OK);
        await using (market.KeepDown("catalog"))
        {
            await Eventually.Async(
                async () => await PageAsync(lamp) is { Status: HttpStatusCode.OK } page && (page.Header("X-Cache"), page.Header("X-Degraded"), PriceOf(page)) == ("STALE", "catalog", 600) && page.Header("Age") is not null,
                "the page stands in", Patience);
        }

        await market.AllUpAsync();
        await market.ChangePriceAsync(lamp, 500);
        await Eventually.Async(async () => await PageAsync(lamp) is { Status: HttpStatusCode.OK } page && page.Header("X-Degraded") is null && PriceOf(page) == 500, "the catalogue is back", Patience);
    }

    private Task<Reply> SearchAsync(string more) => market.Nobody.GetAsync($"/api/v1/search?q={Guid.NewGuid():N}{more}");

    private Task<Reply> PageAsync(Guid product) => market.Nobody.GetAsync($"/api/v1/products/{product}");

    private static long PriceOf(Reply page) => page.Status == HttpStatusCode.OK ? page.Json.GetProperty("price").GetProperty("minor").GetInt64() : 0;
}
