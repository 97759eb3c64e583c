using System.Net;
using Marketplace.Catalog.ProductPages;
using Marketplace.TestKit;
using Xunit;
using static Marketplace.Catalog.Tests.ProductPages.TwoCatalogues;

namespace Marketplace.Catalog.Tests.ProductPages;

public sealed class WhenSomethingIsAway
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Without_the_state_store_pages_come_from_the_database_and_say_so_and_all_is_well_when_it_returns()
    {
        await using var two = await OpenAsync();
        var lamp = await two.ListAsync(1000);
        using var shopper = two.First.As(null);
        await two.IsLeftByReadersAsync(lamp.ProductId);

        two.StopStore();
        await Eventually.Async(async () => await LookAsync(shopper, lamp.ProductId) is (HttpStatusCode.OK, 1000, "cache"), "the answer says what it does without");
        await two.ChangePriceAsync(lamp.ProductId, 800);
        Assert.Equal((HttpStatusCode.OK, 800, "cache"), await LookAsync(shopper, lamp.ProductId));
        Assert.Contains("cache", two.Missing);

        // The store comes back with what it had: a page of the old price among it, which nobody here was told to take away in time.
        two.StartStore();
        await Eventually.Async(
            async () =>
            {
                var look = await LookAsync(shopper, lamp.ProductId);
                Assert.Equal(800, look.Price);
                return look.Degraded is null && (await ShelfOf(two.First).TakeAsync(lamp.ProductId, Ct)).Shelf == Shelf.Held;
            },
            "the store is used again",
            TimeSpan.FromSeconds(60));
        await Eventually.Async(async () => (await LookAsync(two.Second.As(null), lamp.ProductId)).Price == 800, "the other replica has it, too");
    }

    [Fact]
    public async Task Without_the_database_pages_on_the_shelf_are_served_and_say_so_and_others_are_not_to_be_had()
    {
        await using var two = await OpenAsync();
        var (known, unknown) = (await two.ListAsync(1000), await two.ListAsync(2000));
        using var shopper = two.First.As(null);
        await two.IsLeftByReadersAsync(known.ProductId);

        await two.CloseDatabaseAsync(closed: true);
        await Eventually.Async(async () => await LookAsync(shopper, known.ProductId) is (HttpStatusCode.OK, 1000, "database"), "the page says what it does without");
        Assert.Equal((HttpStatusCode.ServiceUnavailable, 0, "database"), await LookAsync(shopper, unknown.ProductId));
        Assert.Contains("database", two.Missing);

        await two.CloseDatabaseAsync(closed: false);
        await Eventually.Async(async () => await LookAsync(shopper, unknown.ProductId) is (HttpStatusCode.OK, 2000, null), "all is well again");
    }
}
