using System.Net;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text.Json;
using Marketplace.Contracts;
using Marketplace.Media.Uploads;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Media.Tests.Renditions;

public sealed class WhenAPictureIsMade(MediaBed bed) : IClassFixture<MediaBed>
{
    private static readonly Guid Lamp = Guid.CreateVersion7();

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task An_event_that_comes_again_makes_nothing_and_says_the_same_once_more()
    {
        var uploaded = await OnceAsync(Pictures.Jpeg());
        var made = Snapshot(uploaded.ImageId);
        Assert.Equal(7, made.Length);

        using (var again = await bed.Media.DeliverAsync(uploaded)) Assert.Equal("", await TextOf(again));
        using (var elsewhere = await bed.Replica.DeliverAsync(uploaded)) Assert.Equal("", await TextOf(elsewhere));
        await Eventually.Async(() => bed.Heard<ImageProcessed>(uploaded.ImageId).Count == 3, "it is said three times");
        Assert.Single(bed.Heard<ImageProcessed>(uploaded.ImageId).Select(one => one.EventId).Distinct());
        Assert.Single(bed.Heard<ImageProcessed>(uploaded.ImageId).Select(one => one.Event.EventId).Distinct());
        Assert.Equal(made, Snapshot(uploaded.ImageId));
    }

    [Fact]
    public async Task Two_workers_at_the_same_picture_leave_one_set_of_files()
    {
        var uploaded = await StoredAsync(Pictures.Jpeg());
        var answers = await Task.WhenAll(Enumerable.Range(0, 6).Select(turn => (turn % 2 == 0 ? bed.Media : bed.Replica).DeliverAsync(uploaded)));
        foreach (var answer in answers)
        {
            using (answer) Assert.Equal("", await TextOf(answer));
        }

        Assert.Equal(7, Snapshot(uploaded.ImageId).Length);
        await Eventually.Async(() => bed.Heard<ImageProcessed>(uploaded.ImageId).Count == 6, "each delivery is answered by the same news");
        Assert.Single(bed.Heard<ImageProcessed>(uploaded.ImageId).Select(one => JsonSerializer.Serialize(one.Event.Renditions)).Distinct());
        await AssertShownAsync(uploaded.ImageId);
    }

    [Theory, InlineData("800-*.webp"), InlineData("manifest.json"), InlineData("*")]
    public async Task A_worker_that_died_in_the_middle_leaves_nothing_that_a_second_one_trips_over(string lost)
    {
        var uploaded = await OnceAsync(Pictures.Jpeg());
        var folder = new DirectoryInfo(Path.Combine(bed.Files, "renditions", uploaded.ImageId));
        var whole = folder.GetFiles().ToDictionary(file => file.Name, file => File.ReadAllBytes(file.FullName));
        foreach (var file in folder.GetFiles(lost).Concat(folder.GetFiles("manifest.json")).DistinctBy(file => file.Name)) file.Delete();
        foreach (var half in folder.GetFiles("2000-*.jpg")) await File.WriteAllBytesAsync(half.FullName, [1, 2, 3], Ct);

        using (var shown = await bed.Replica.As(null).FetchAsync($"/api/v1/media/{uploaded.ImageId}/200.jpg")) Assert.Equal(HttpStatusCode.NotFound, shown.StatusCode);
        using (var again = await bed.Replica.DeliverAsync(uploaded)) Assert.Equal("", await TextOf(again));
        Assert.Equal(whole, folder.GetFiles().ToDictionary(file => file.Name, file => File.ReadAllBytes(file.FullName)));
        await AssertShownAsync(uploaded.ImageId);
    }

    [Fact]
    public async Task A_manifest_cut_off_in_the_middle_counts_as_none()
    {
        var uploaded = await OnceAsync(Pictures.Jpeg());
        var manifest = Path.Combine(bed.Files, "renditions", uploaded.ImageId, "manifest.json");
        var whole = await File.ReadAllBytesAsync(manifest, Ct);
        await File.WriteAllBytesAsync(manifest, whole[..(whole.Length / 2)], Ct);

        using (var shown = await bed.Replica.As(null).FetchAsync($"/api/v1/media/{uploaded.ImageId}/200.jpg")) Assert.Equal(HttpStatusCode.NotFound, shown.StatusCode);
        using (var again = await bed.Media.DeliverAsync(uploaded)) Assert.Equal("", await TextOf(again));
        Assert.Equal(whole, await File.ReadAllBytesAsync(manifest, Ct));
    }

    public static TheoryData<string, byte[]> Poison => new()
    {
        { "a JPEG cut off", Pictures.Cut(Pictures.Jpeg()) },
        { "a PNG cut off", Pictures.Cut(Pictures.Png()) },
    };

    [Theory, MemberData(nameof(Poison), DisableDiscoveryEnumeration = true)]
    public async Task Poison_becomes_a_dead_letter_and_its_listing_hears_why(string what, byte[] file)
    {
        var imageId = await bed.Seller.SendFileAsync(Lamp, file, null).AcceptedAsync();
        await Eventually.Async(() => bed.Dead(imageId).Count == 1, $"{what} is a dead letter");
        await Eventually.Async(() => bed.Heard<ImageRejected>(imageId).Count >= 2, "the listing is told, by the worker and for the dead letter");
        Assert.Equal(Lamp, bed.Dead(imageId)[0].GetProperty("productId").GetGuid());

        // One rejection to whoever remembers ids.
        Assert.Single(bed.Heard<ImageRejected>(imageId).Select(one => one.EventId).Distinct());
        Assert.All(bed.Heard<ImageRejected>(imageId), one => Assert.Equal("The file is cut off or damaged and cannot be read as a picture.", one.Event.Reason));
        Assert.Empty(bed.Heard<ImageProcessed>(imageId));
        using var shown = await bed.Media.As(null).FetchAsync($"/api/v1/media/{imageId}/200.jpg");
        Assert.Equal(HttpStatusCode.NotFound, shown.StatusCode);

        using var again = await bed.Replica.DeliverAsync(bed.Heard<ImageUploaded>(imageId)[0].Event);
        Assert.Equal("""{"status":"DROP"}""", await TextOf(again));
    }

    [Fact]
    public async Task An_upload_that_was_tried_in_vain_is_told_to_its_listing()
    {
        var uploaded = new ImageUploaded(Lamp, MediaBed.SellerId, Convert.ToHexStringLower(SHA256.HashData(Guid.NewGuid().ToByteArray())), "image/jpeg", 10);

        // The original is not there: without a policy that tries again it is a dead letter after the first time.
        using (var first = await bed.Media.DeliverAsync(uploaded)) Assert.Equal(HttpStatusCode.ServiceUnavailable, first.StatusCode);
        using (var dead = await DeadAsync(uploaded)) Assert.Equal(HttpStatusCode.OK, dead.StatusCode);
        await Eventually.Async(() => bed.Heard<ImageRejected>(uploaded.ImageId).Count == 1, "the listing is told");
        Assert.Equal("The picture could not be processed. Please send it again.", bed.Heard<ImageRejected>(uploaded.ImageId)[0].Event.Reason);
    }

    [Fact]
    public async Task A_dead_letter_of_a_picture_that_was_made_after_all_says_so()
    {
        var uploaded = await OnceAsync(Pictures.Jpeg());
        using (var dead = await DeadAsync(uploaded)) Assert.Equal(HttpStatusCode.OK, dead.StatusCode);
        await Eventually.Async(() => bed.Heard<ImageProcessed>(uploaded.ImageId).Count == 2, "it is said again");
        Assert.Empty(bed.Heard<ImageRejected>(uploaded.ImageId));
    }

    [Theory, InlineData("../../etc/passwd"), InlineData(""), InlineData("ABC")]
    public async Task An_event_that_names_no_picture_of_ours_is_dropped(string imageId)
    {
        using var answer = await bed.Media.DeliverAsync(new ImageUploaded(Lamp, MediaBed.SellerId, imageId, "image/jpeg", 10));
        Assert.Equal("""{"status":"DROP"}""", await TextOf(answer));
        using var dead = await DeadAsync(new ImageUploaded(Lamp, MediaBed.SellerId, imageId, "image/jpeg", 10));
        Assert.Equal(HttpStatusCode.OK, dead.StatusCode);
    }

    [Fact]
    public async Task An_original_damaged_in_the_store_is_tried_again_and_not_held_against_the_picture()
    {
        var uploaded = await StoredAsync(Pictures.Jpeg());
        var original = Path.Combine(bed.Files, "originals", uploaded.ImageId);
        var whole = await File.ReadAllBytesAsync(original, Ct);
        await File.WriteAllBytesAsync(original, Pictures.Cut(whole), Ct);
        using (var first = await bed.Media.DeliverAsync(uploaded)) Assert.Equal(HttpStatusCode.ServiceUnavailable, first.StatusCode);

        await File.WriteAllBytesAsync(original, whole, Ct);
        using (var second = await bed.Media.DeliverAsync(uploaded)) Assert.Equal("", await TextOf(second));
        await AssertShownAsync(uploaded.ImageId);
    }

    [Fact]
    public async Task With_the_store_away_a_delivery_is_answered_with_try_again()
    {
        var nowhere = new Dictionary<string, string?> { ["DAPR_HTTP_PORT"] = "1", ["DAPR_GRPC_PORT"] = "1" };
        await using var cutOff = await ServiceUnderTest<PictureKind>.StartAsync(calls: ["catalog"], settings: nowhere);
        using var answer = await cutOff.DeliverAsync(new ImageUploaded(Lamp, MediaBed.SellerId, new string('a', 64), "image/jpeg", 10));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.StatusCode);
    }

    [Fact]
    public async Task Only_a_sidecar_may_deliver()
    {
        foreach (var route in (string[])["/events/image-uploaded", "/events/media-dead"])
        {
            using var stranger = await bed.Media.As(TestTokens.Seller(Guid.NewGuid(), MediaBed.SellerId)).PostAsync(new Uri(route, UriKind.Relative), JsonContent.Create(new { }), Ct);
            Assert.Equal(HttpStatusCode.Unauthorized, stranger.StatusCode);
        }
    }

    /// <summary>Stored, announced by nobody.</summary>
    private async Task<ImageUploaded> StoredAsync(byte[] file)
    {
        var imageId = Convert.ToHexStringLower(SHA256.HashData(file));
        Directory.CreateDirectory(Path.Combine(bed.Files, "originals"));
        await File.WriteAllBytesAsync(Path.Combine(bed.Files, "originals", imageId), file, Ct);
        return new ImageUploaded(Lamp, MediaBed.SellerId, imageId, "image/jpeg", file.Length);
    }

    /// <summary>Stored and made, the news heard once.</summary>
    private async Task<ImageUploaded> OnceAsync(byte[] file)
    {
        var uploaded = await StoredAsync(file);
        using (var first = await bed.Media.DeliverAsync(uploaded)) Assert.Equal("", await TextOf(first));
        await Eventually.Async(() => bed.Heard<ImageProcessed>(uploaded.ImageId).Count == 1, "the picture is made");
        return uploaded;
    }

    private Task<HttpResponseMessage> DeadAsync(ImageUploaded letter)
    {
        var client = bed.Media.AsNeighbour("media");
        var envelope = JsonSerializer.SerializeToUtf8Bytes(new { specversion = "1.0", id = letter.EventId, source = "test", type = "image.uploaded", topic = "media.dead", datacontenttype = "application/json", data = letter }, JsonSerializerOptions.Web);
        var content = new ByteArrayContent(envelope);
        content.Headers.ContentType = new("application/cloudevents+json");
        return client.PostAsync(new Uri("/events/media-dead", UriKind.Relative), content, Ct);
    }

    private async Task AssertShownAsync(string imageId)
    {
        foreach (var file in (string[])["200.webp", "200.jpg", "800.webp", "800.jpg", "2000.webp", "2000.jpg"])
        {
            using var shown = await bed.Replica.As(null).FetchAsync($"/api/v1/media/{imageId}/{file}");
            Assert.Equal(HttpStatusCode.OK, shown.StatusCode);
            Assert.Null(PictureKind.Of(await shown.Content.ReadAsByteArrayAsync(Ct)).Refusal);
        }
    }

    private static async Task<string> TextOf(HttpResponseMessage answer)
    {
        var text = await answer.Content.ReadAsStringAsync(Ct);
        Assert.True(answer.StatusCode == HttpStatusCode.OK, $"{(int)answer.StatusCode}: {text}");
        return text;
    }

    private string[] Snapshot(string imageId) =>
        [.. new DirectoryInfo(Path.Combine(bed.Files, "renditions", imageId)).GetFiles().OrderBy(file => file.Name, StringComparer.Ordinal).Select(file => $"{file.Name} {file.Length} {file.LastWriteTimeUtc:O}")];
}
