using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Contracts;
using Xunit;
using static Marketplace.Catalog.Tests.CatalogFixture;

namespace Marketplace.Catalog.Tests.Pictures;

public sealed class WhenPicturesAppear(CatalogFixture shop) : IClassFixture<CatalogFixture>
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_picture_is_shown_as_it_is_made_and_stands_for_a_listing_without_one()
    {
        var lamp = await LampAsync();
        var image = NewImage();

        await HearAsync(Uploaded(lamp, image));
        var waiting = await ShownAsync(lamp);
        await HearAsync(Processed(lamp, image));
        var ready = await ShownAsync(lamp);

        Assert.Equal(("processing", 2L, JsonValueKind.Null), (waiting.List("images").Single().Text("status"), waiting.Revision(), waiting.GetProperty("imageUrl").ValueKind));
        var shown = ready.List("images").Single();
        Assert.Equal(("ready", image, 3L), (shown.Text("status"), shown.Text("imageId"), ready.Revision()));
        Assert.Equal(["200 webp", "200 jpeg", "800 webp", "800 jpeg", "2000 webp", "2000 jpeg"], shown.List("renditions").Select(one => $"{one.GetProperty("box").GetInt32()} {one.Text("format")}"));
        Assert.Equal($"/api/v1/media/{image}/800.jpg", ready.Text("imageUrl"));
        Assert.Equal($"/api/v1/media/{image}/800.jpg", (await ToldAsync(lamp))[^1].ImageUrl);
        Assert.Equal([1L, 2L, 3L], (await ToldAsync(lamp)).Select(@event => @event.Revision));

        // The seller sends back what they read, and then takes the picture away: it must not be left behind as their own address.
        using var again = await DocumentShop.PutAsync(shop.AsBruno, lamp, ready, "\"3\"");
        (await shop.AsBruno.DeleteAsync(Image(lamp, image), Ct)).EnsureSuccessStatusCode();
        Assert.Equal(JsonValueKind.Null, (await ShownAsync(lamp)).GetProperty("imageUrl").ValueKind);
    }

    [Fact]
    public async Task News_count_once_in_any_order()
    {
        var lamp = await LampAsync();
        var image = NewImage();
        DomainEvent[] news = [Processed(lamp, image), Rejected(lamp, image), Uploaded(lamp, image)];

        foreach (var _ in new[] { 1, 2 })
        {
            foreach (var heard in news)
                await HearAsync(heard);
        }

        var shown = await ShownAsync(lamp);
        Assert.Equal("ready", shown.List("images").Single().Text("status"));
        Assert.Equal(2, shown.Revision());
        Assert.Equal(2, (await ToldAsync(lamp)).Count);
    }

    [Fact]
    public async Task The_same_news_at_the_same_time_count_once()
    {
        var lamp = await LampAsync();
        var (uploaded, processed) = (Uploaded(lamp, NewImage()), Processed(lamp, NewImage()));

        await Task.WhenAll(Enumerable.Range(0, 8).Select(at => at % 2 == 0 ? HearAsync(uploaded) : HearAsync(processed)));

        Assert.Equal((3L, 2), ((await ShownAsync(lamp)).Revision(), (await ShownAsync(lamp)).List("images").Count));
    }

    [Fact]
    public async Task A_picture_that_cannot_be_read_says_why_and_one_that_can_after_all_is_shown()
    {
        var lamp = await LampAsync();
        var image = NewImage();

        await HearAsync(Uploaded(lamp, image));
        await HearAsync(Rejected(lamp, image));
        var rejected = (await ShownAsync(lamp)).List("images").Single();
        await HearAsync(Processed(lamp, image));

        Assert.Equal(("rejected", "The file is cut off."), (rejected.Text("status"), rejected.Text("reason")));
        Assert.Equal("ready", (await ShownAsync(lamp)).List("images").Single().Text("status"));
        Assert.False((await ShownAsync(lamp)).List("images").Single().TryGetProperty("reason", out _));
    }

    [Fact]
    public async Task A_removed_picture_stays_away_until_it_is_uploaded_again()
    {
        var lamp = await LampAsync();
        var (first, second) = (NewImage(), NewImage());
        var uploaded = Uploaded(lamp, first);
        await HearAsync(Processed(lamp, first));
        await HearAsync(Uploaded(lamp, second));

        using var removed = await shop.AsBruno.DeleteAsync(Image(lamp, first), Ct);
        await HearAsync(uploaded);                              // late, and of before
        await HearAsync(Rejected(lamp, first));
        Assert.Equal(HttpStatusCode.OK, removed.StatusCode);
        Assert.Equal([second], await ImagesAsync(lamp));
        Assert.Equal(HttpStatusCode.NotFound, (await shop.AsBruno.DeleteAsync(Image(lamp, first), Ct)).StatusCode);

        await HearAsync(Uploaded(lamp, first, DateTimeOffset.UtcNow.AddSeconds(1)));
        Assert.Equal([second, first], await ImagesAsync(lamp));
        Assert.Equal("ready", (await ShownAsync(lamp)).List("images")[1].Text("status"));
    }

    [Fact]
    public async Task Its_seller_puts_them_in_order()
    {
        var lamp = await LampAsync();
        string[] images = [NewImage(), NewImage(), NewImage()];
        foreach (var image in images)
            await HearAsync(Processed(lamp, image));

        using var arranged = await ArrangeAsync(shop.AsBruno, lamp, [images[2], images[0], images[1]]);
        using var same = await ArrangeAsync(shop.AsBruno, lamp, [images[2], images[0], images[1]]);

        Assert.Equal((HttpStatusCode.OK, "\"5\"", "\"5\""), (arranged.StatusCode, arranged.Headers.ETag!.ToString(), same.Headers.ETag!.ToString()));
        Assert.Equal([images[2], images[0], images[1]], await ImagesAsync(lamp));
        Assert.Equal($"/api/v1/media/{images[2]}/800.jpg", (await ShownAsync(lamp)).Text("imageUrl"));
        foreach (var wrong in new[] { images[..2], [.. images, NewImage()], [images[0], images[0], images[1]], [] })
        {
            var problem = await AssertProblemAsync(await ArrangeAsync(shop.AsBruno, lamp, wrong), HttpStatusCode.UnprocessableEntity, "/problems/validation");
            Assert.True(problem.GetProperty("errors").TryGetProperty("imageIds", out _));
        }
    }

    [Fact]
    public async Task What_was_changed_meanwhile_is_neither_arranged_nor_removed()
    {
        var lamp = await LampAsync();
        var image = NewImage();
        await HearAsync(Processed(lamp, image));

        using var remove = new HttpRequestMessage(HttpMethod.Delete, Image(lamp, image));
        remove.Headers.TryAddWithoutValidation("If-Match", "\"1\"");

        await AssertProblemAsync(await shop.AsBruno.SendAsync(remove, Ct), HttpStatusCode.PreconditionFailed);
        Assert.Equal([image], await ImagesAsync(lamp));
    }

    [Fact]
    public async Task Another_seller_reaches_none_of_them()
    {
        var lamp = await LampAsync();
        string[] images = [NewImage(), NewImage()];
        foreach (var image in images)
            await HearAsync(Processed(lamp, image));

        await AssertProblemAsync(await shop.AsClara.DeleteAsync(Image(lamp, images[0]), Ct), HttpStatusCode.NotFound);
        await AssertProblemAsync(await ArrangeAsync(shop.AsClara, lamp, [images[1], images[0]]), HttpStatusCode.NotFound);
        await AssertProblemAsync(await shop.AsNobody.DeleteAsync(Image(lamp, images[0]), Ct), HttpStatusCode.Unauthorized);
        await HearAsync(Uploaded(lamp, NewImage()) with { SellerId = shop.Clara });

        Assert.Equal(images, await ImagesAsync(lamp));
    }

    [Fact]
    public async Task A_listing_deleted_meanwhile_wants_none()
    {
        var lamp = await LampAsync();
        (await shop.AsBruno.DeleteAsync(new Uri($"/api/v1/products/{lamp}", UriKind.Relative), Ct)).EnsureSuccessStatusCode();

        foreach (var productId in new[] { lamp, Guid.CreateVersion7() })
        {
            await HearAsync(Uploaded(productId, NewImage()));
            await HearAsync(Processed(productId, NewImage()));
            await HearAsync(Rejected(productId, NewImage()));
        }

        Assert.Single(await ToldAsync(lamp));
        Assert.Equal(0L, await shop.Catalog.ScalarAsync<long>("SELECT count(*) FROM listing_images WHERE product_id = $1", lamp));
    }

    [Fact]
    public async Task A_drafts_pictures_are_not_told()
    {
        var lamp = await LampAsync();
        (await shop.AsBruno.DeleteAsync(new Uri($"/api/v1/products/{lamp}/publication", UriKind.Relative), Ct)).EnsureSuccessStatusCode();

        await HearAsync(Processed(lamp, NewImage()));

        Assert.Single(await ToldAsync(lamp));
        var own = await shop.AsBruno.GetFromJsonAsync<JsonElement>($"/api/v1/seller/products/{lamp}", Ct);
        Assert.Equal((3L, 1), (own.Revision(), own.List("images").Count));
    }

    [Fact]
    public async Task Media_learns_whose_listing_it_is_and_how_many_it_has()
    {
        var lamp = await LampAsync();
        await HearAsync(Uploaded(lamp, NewImage()));

        var owner = await shop.Catalog.AsNeighbour("media").GetFromJsonAsync<JsonElement>($"/internal/listings/{lamp}/owner", Ct);

        Assert.Equal((shop.Bruno, 1, 24), (owner.GetProperty("sellerId").GetGuid(), owner.GetProperty("images").GetInt32(), owner.GetProperty("mostImages").GetInt32()));
        await AssertProblemAsync(await shop.Catalog.AsNeighbour("media").GetAsync(new Uri($"/internal/listings/{Guid.CreateVersion7()}/owner", UriKind.Relative), Ct), HttpStatusCode.NotFound);
        await AssertProblemAsync(await shop.Catalog.AsNeighbour("cart").GetAsync(new Uri($"/internal/listings/{lamp}/owner", UriKind.Relative), Ct), HttpStatusCode.Forbidden);
        await AssertProblemAsync(await shop.AsBruno.GetAsync(new Uri($"/internal/listings/{lamp}/owner", UriKind.Relative), Ct), HttpStatusCode.Unauthorized);
    }

    private static string NewImage() => Convert.ToHexStringLower(System.Security.Cryptography.RandomNumberGenerator.GetBytes(32));

    private static Uri Image(Guid productId, string image) => new($"/api/v1/products/{productId}/images/{image}", UriKind.Relative);

    private static Task<HttpResponseMessage> ArrangeAsync(HttpClient seller, Guid productId, IReadOnlyList<string> imageIds) =>
        seller.PutAsJsonAsync($"/api/v1/products/{productId}/images", new { imageIds }, Ct);

    private ImageUploaded Uploaded(Guid productId, string image, DateTimeOffset? at = null) =>
        new(productId, shop.Bruno, image, "image/jpeg", 1000) { OccurredAt = at ?? DateTimeOffset.UtcNow };

    private static ImageProcessed Processed(Guid productId, string image) => new(productId, image, 3000, 2000,
        [.. new[] { 200, 800, 2000 }.SelectMany(box => new[] { ("webp", "webp"), ("jpeg", "jpg") }.Select(format =>
            new ImageRendition(box, format.Item1, box, box * 2 / 3, 100, $"/api/v1/media/{image}/{box}.{format.Item2}")))])
    { OccurredAt = DateTimeOffset.UtcNow };

    private static ImageRejected Rejected(Guid productId, string image) => new(productId, image, "The file is cut off.") { OccurredAt = DateTimeOffset.UtcNow };

    private async Task HearAsync(DomainEvent news)
    {
        using var reply = await shop.Catalog.DeliverAsync(news);
        Assert.Equal((HttpStatusCode.OK, ""), (reply.StatusCode, await reply.Content.ReadAsStringAsync(Ct)));
    }

    private async Task<Guid> LampAsync() => (await DocumentShop.PostAsync(shop.AsBruno, new { title = "Lamp", category = "lighting", price = Money.Gbp(100) })).Id();

    private Task<JsonElement> ShownAsync(Guid productId) => shop.AsNobody.GetFromJsonAsync<JsonElement>($"/api/v1/products/{productId}", Ct);

    private async Task<IEnumerable<string>> ImagesAsync(Guid productId) => (await ShownAsync(productId)).List("images").Select(image => image.Text("imageId"));

    private async Task<List<ProductUpserted>> ToldAsync(Guid productId) => [.. (await shop.Catalog.EventsAsync<ProductUpserted>()).Where(@event => @event.ProductId == productId)];
}
