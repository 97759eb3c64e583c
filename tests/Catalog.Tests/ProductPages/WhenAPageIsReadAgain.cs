using System.Net;
using System.Net.Http.Json;
using Marketplace.Catalog.ProductPages;
using Xunit;
using static Marketplace.Catalog.Tests.ProductPages.TwoCatalogues;

namespace Marketplace.Catalog.Tests.ProductPages;

public sealed class WhenAPageIsReadAgain
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task It_comes_from_the_shelf_at_every_replica_and_is_the_same_to_the_byte()
    {
        await using var two = await OpenAsync();
        var lamp = await two.ListAsync();
        var path = new Uri($"/api/v1/products/{lamp.ProductId}", UriKind.Relative);
        using var first = await two.First.As(null).GetAsync(path, Ct);
        await two.IsLeftByReadersAsync(lamp.ProductId);
        var before = two.Reads;
        using var second = await two.Second.As(null).GetAsync(path, Ct);

        Assert.Equal(0, two.Reads - before);
        Assert.Equal(await first.Content.ReadAsStringAsync(Ct), await second.Content.ReadAsStringAsync(Ct));
        Assert.Equal("\"1\"", second.Headers.ETag!.Tag);
        Assert.Equal("public, max-age=1", second.Headers.CacheControl!.ToString());
        Assert.Equal("application/json; charset=utf-8", second.Content.Headers.ContentType!.ToString());
        Assert.False(second.Headers.Contains("X-Degraded"));
    }

    [Fact]
    public async Task Four_hundred_at_once_on_a_cold_page_cost_the_database_one_read()
    {
        await using var two = await OpenAsync();
        var lamp = await two.ListAsync();
        var before = two.Reads;
        using var shopper = two.First.As(null);

        var seen = await Task.WhenAll(Enumerable.Range(0, 400).Select(_ => Task.Run(() => LookAsync(shopper, lamp.ProductId))));

        Assert.All(seen, look => Assert.Equal((HttpStatusCode.OK, 1000), (look.Status, look.Price)));
        Assert.Equal(1, two.Reads - before);
    }

    [Fact]
    public async Task What_is_not_there_is_not_remembered()
    {
        await using var two = await OpenAsync();
        var id = Guid.CreateVersion7();
        Assert.Equal(HttpStatusCode.NotFound, (await LookAsync(two.First.As(null), id)).Status);

        using var seller = two.Seller;
        using var reply = await seller.PostAsync("/api/v1/products", JsonContent.Create(CatalogFixture.Lamp(productId: id)), Ct);
        Assert.Equal(HttpStatusCode.Created, reply.StatusCode);

        Assert.Equal(HttpStatusCode.OK, (await LookAsync(two.First.As(null), id)).Status);
        Assert.Equal(HttpStatusCode.OK, (await LookAsync(two.Second.As(null), id)).Status);
    }
}
