using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using Marketplace.TestKit;
using NetVips;
using Xunit;

namespace Marketplace.Journeys;

public sealed class WhenAPictureIsUploaded(Market market)
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_listing_shows_it_upright_in_three_sizes_and_anybody_may_keep_it()
    {
        var thing = await market.ListAsync("Photographed", 700, ("north", 1));
        var imageId = await UploadAsync(thing, Photograph(2400, 1600, lyingOnItsSide: true));
        var image = await BecomesAsync(thing, imageId, "ready");
        Assert.True(File.Exists(Path.Combine(market.System.DataFolder, "media", "originals", imageId)), "the sets' folder of pictures is that of this system");

        var renditions = image.GetProperty("renditions").EnumerateArray().ToList();
        Assert.Equal(6, renditions.Count);
        using var browser = new HttpClient { BaseAddress = new Uri(market.System.GatewayUrl) };
        foreach (var rendition in renditions)
        {
            using var shown = await browser.GetAsync(new Uri(rendition.GetProperty("url").GetString()!, UriKind.Relative), Ct);
            Assert.Equal(HttpStatusCode.OK, shown.StatusCode);
            Assert.Equal($"image/{rendition.GetProperty("format").GetString()}", shown.Content.Headers.ContentType?.MediaType);
            Assert.Equal("public, max-age=31536000, immutable", shown.Headers.NonValidated["Cache-Control"].ToString());
            using var picture = Image.NewFromBuffer(await shown.Content.ReadAsByteArrayAsync(Ct));
            Assert.Equal((rendition.GetProperty("width").GetInt32(), rendition.GetProperty("height").GetInt32()), (picture.Width, picture.Height));
            Assert.True(picture.Width > picture.Height, "upright, as it was taken");
            Assert.DoesNotContain(picture.GetFields(), field => field.StartsWith("exif", StringComparison.Ordinal));
        }

        var cover = (await market.Nobody.GetAsync($"/api/v1/products/{thing}")).Expect(HttpStatusCode.OK).String("imageUrl");
        Assert.EndsWith($"/api/v1/media/{imageId}/800.jpg", cover, StringComparison.Ordinal);
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri($"/api/v1/media/{imageId}/800.jpg", UriKind.Relative)) { Headers = { Range = new RangeHeaderValue(0, 9) } };
        using var part = await browser.SendAsync(request, Ct);
        Assert.Equal((HttpStatusCode.PartialContent, 10), (part.StatusCode, (await part.Content.ReadAsByteArrayAsync(Ct)).Length));
        (await market.Nobody.GetAsync($"/api/v1/media/{imageId}/800.jpg", ("If-None-Match", part.Headers.ETag!.ToString()))).Expect(HttpStatusCode.NotModified);
    }

    [Fact]
    public async Task One_of_fifteen_megabytes_goes_all_the_way()
    {
        var thing = await market.ListAsync("Photographed well", 700, ("north", 1));
        var file = Photograph(800, 600);
        var imageId = await UploadAsync(thing, [.. file, .. new byte[(15 * 1024 * 1024) - file.Length]]);
        await BecomesAsync(thing, imageId, "ready");
    }

    [Fact]
    public async Task A_damaged_one_is_a_dead_letter_and_its_seller_reads_why()
    {
        var thing = await market.ListAsync("Badly photographed", 700, ("north", 1));
        var file = Photograph(1200, 900);
        var imageId = await UploadAsync(thing, file[..(file.Length / 2)]);
        var image = await BecomesAsync(thing, imageId, "rejected");
        Assert.Contains("cut off or damaged", image.GetProperty("reason").GetString(), StringComparison.Ordinal);
        await Eventually.Async(
            async () => (await File.ReadAllTextAsync(market.System.Parts.First(part => part.AppId == "media").Log, Ct)).Split('\n').Any(line => line.Contains(imageId, StringComparison.Ordinal) && line.Contains("dead letter", StringComparison.Ordinal)),
            "it lies with the dead letters of media");

        // The good one is taken after all, and the bad one taken away.
        var good = await UploadAsync(thing, file);
        await BecomesAsync(thing, good, "ready");
        (await market.Seller.DeleteAsync($"/api/v1/products/{thing}/images/{imageId}")).Expect(HttpStatusCode.OK);
        Assert.Equal([good], (await ImagesAsync(thing)).Select(one => one.GetProperty("imageId").GetString()));
    }

    [Fact]
    public async Task Nobody_adds_pictures_to_somebody_elses_listing()
    {
        var thing = await market.ListAsync("Not to be painted over", 700);
        var stranger = await market.NewSellerAsync("Paint & Brush");
        (await stranger.PostAsync($"/api/v1/products/{thing}/images", Body(Photograph(64, 48)))).ExpectProblem(HttpStatusCode.NotFound);
        (await (await market.NewBuyerAsync()).PostAsync($"/api/v1/products/{thing}/images", Body(Photograph(64, 48)))).ExpectProblem(HttpStatusCode.Forbidden);
        Assert.Empty(await ImagesAsync(thing));
    }

    [Fact]
    public async Task Media_killed_in_the_middle_of_its_work_finishes_it_after_its_restart_once()
    {
        var thing = await market.ListAsync("Photographed while dying", 700, ("north", 1));
        var files = Enumerable.Range(0, 8).Select(_ => Photograph(2000, 2000)).ToList();
        var images = await Task.WhenAll(files.Select(file => UploadAsync(thing, file)));
        await market.KillAsync("media");
        await market.AllUpAsync();

        foreach (var image in images)
        {
            var ready = await BecomesAsync(thing, image, "ready", TimeSpan.FromSeconds(90));
            foreach (var rendition in ready.GetProperty("renditions").EnumerateArray())
                (await market.Nobody.SendAsync(HttpMethod.Head, rendition.GetProperty("url").GetString()!)).Expect(HttpStatusCode.OK);
        }

        Assert.Equal(images.Order(), (await ImagesAsync(thing)).Select(image => image.GetProperty("imageId").GetString()).Order());
        var revision = (await market.Seller.GetAsync($"/api/v1/seller/products/{thing}")).Expect(HttpStatusCode.OK).Json.GetProperty("revision").GetInt64();
        Assert.True(revision <= 1 + (2 * images.Length), $"revision {revision}");   // a picture changes its listing when it comes and when it is ready
    }

    private async Task<string> UploadAsync(Guid product, byte[] file) =>
        (await Market.InsistAsync(() => market.Seller.PostAsync($"/api/v1/products/{product}/images", Body(file)), HttpStatusCode.Accepted)).String("imageId");

    private static ByteArrayContent Body(byte[] file) => new(file) { Headers = { ContentType = new MediaTypeHeaderValue("image/jpeg") } };

    private async Task<List<JsonElement>> ImagesAsync(Guid product) =>
        [.. (await market.Seller.GetAsync($"/api/v1/seller/products/{product}")).Expect(HttpStatusCode.OK).Json.GetProperty("images").EnumerateArray()];

    private async Task<JsonElement> BecomesAsync(Guid product, string imageId, string status, TimeSpan? within = null)
    {
        JsonElement found = default;
        await Eventually.Async(
            async () =>
            {
                found = (await ImagesAsync(product)).FirstOrDefault(image => image.GetProperty("imageId").GetString() == imageId);
                return found.ValueKind == JsonValueKind.Object && found.GetProperty("status").GetString() == status;
            },
            $"picture {imageId} becomes {status}",
            within ?? TimeSpan.FromSeconds(30));
        return found;
    }

    /// <summary>Wider than high, no two alike.</summary>
    private static byte[] Photograph(int width, int height, bool lyingOnItsSide = false)
    {
        using var noise = Image.Gaussnoise(width, height, mean: 128, sigma: 30, seed: Random.Shared.Next());
        using var colours = noise.Bandjoin(noise.FlipHor(), noise.FlipVer()).Cast(Enums.BandFormat.Uchar).Copy(interpretation: Enums.Interpretation.Srgb);
        if (!lyingOnItsSide) return colours.JpegsaveBuffer(q: 85);
        using var turned = colours.Rot270().Mutate(image =>
        {
            image.Set(GValue.GIntType, "orientation", 6);
            image.Set(GValue.GStrType, "exif-ifd0-ImageDescription", "where it was taken");
        });
        return turned.JpegsaveBuffer(q: 85);
    }
}
