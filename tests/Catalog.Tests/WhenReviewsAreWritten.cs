using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Contracts;
using Xunit;
using static Marketplace.Catalog.Tests.CatalogFixture;

namespace Marketplace.Catalog.Tests;

public sealed class WhenReviewsAreWritten(CatalogFixture shop) : IClassFixture<CatalogFixture>
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_latest_version_is_shown_however_they_arrive()
    {
        var lamp = await ListAsync(shop.AsBruno);

        foreach (var (average, count, version) in new[] { (4.0, 2, 2L), (5.0, 1, 1L), (4.0, 2, 2L), (4.5, 3, 3L), (1.0, 1, 1L) })
            Assert.Equal("", await HearAsync(new ReviewPublished(lamp.ProductId, average, count, version)));

        var rating = (await ShownAsync(lamp.ProductId)).Listing.GetProperty("rating");
        Assert.Equal((4.5, 3), (rating.GetProperty("average").GetDouble(), rating.GetProperty("count").GetInt32()));
    }

    [Fact]
    public async Task A_rating_changes_what_is_shown_and_refuses_no_sellers_change()
    {
        var lamp = await ListAsync(shop.AsBruno);
        var before = await ShownAsync(lamp.ProductId);

        await HearAsync(new ReviewPublished(lamp.ProductId, 4, 2, 7));
        var after = await ShownAsync(lamp.ProductId);
        using var based = await DocumentShop.PutAsync(shop.AsBruno, lamp.ProductId, Lamp("On the old tag"), before.ETag);
        using var again = await DocumentShop.PutAsync(shop.AsBruno, lamp.ProductId, Lamp("On the new tag"), "\"2.7\"");

        Assert.Equal(("\"1\"", "\"1.7\""), (before.ETag, after.ETag));
        Assert.Equal((HttpStatusCode.OK, "\"2.7\""), (based.StatusCode, based.Headers.ETag!.ToString()));
        Assert.Equal((HttpStatusCode.OK, "\"3.7\""), (again.StatusCode, again.Headers.ETag!.ToString()));
        Assert.Equal(3, (await shop.Catalog.EventsAsync<ProductUpserted>()).Count(@event => @event.ProductId == lamp.ProductId));
    }

    [Fact]
    public async Task Without_any_review_left_there_is_no_rating()
    {
        var lamp = await ListAsync(shop.AsBruno);

        await HearAsync(new ReviewPublished(lamp.ProductId, 4, 2, 1));
        await HearAsync(new ReviewPublished(lamp.ProductId, 0, 0, 2));

        Assert.Equal(JsonValueKind.Null, (await ShownAsync(lamp.ProductId)).Listing.GetProperty("rating").ValueKind);
    }

    [Fact]
    public async Task Nonsense_and_news_of_deleted_listings_are_done_with()
    {
        var lamp = await ListAsync(shop.AsBruno);
        await HearAsync(new ReviewPublished(lamp.ProductId, 4, 2, 1));

        Assert.Contains("DROP", await HearAsync(new ReviewPublished(lamp.ProductId, 6, 2, 2)));
        Assert.Contains("DROP", await HearAsync(new ReviewPublished(lamp.ProductId, 4, -1, 2)));
        Assert.Equal("", await HearAsync(new ReviewPublished(Guid.CreateVersion7(), 4, 1, 1)));
        Assert.Equal(4, (await ShownAsync(lamp.ProductId)).Listing.GetProperty("rating").GetProperty("average").GetDouble());
    }

    private async Task<string> HearAsync(ReviewPublished review)
    {
        using var reply = await shop.Catalog.DeliverAsync(review);
        Assert.Equal(HttpStatusCode.OK, reply.StatusCode);
        return await reply.Content.ReadAsStringAsync(Ct);
    }

    private async Task<(JsonElement Listing, string ETag)> ShownAsync(Guid productId)
    {
        using var reply = await shop.AsNobody.GetAsync(new Uri($"/api/v1/products/{productId}", UriKind.Relative), Ct);
        return (await reply.Content.ReadFromJsonAsync<JsonElement>(Ct), reply.Headers.ETag!.ToString());
    }
}
