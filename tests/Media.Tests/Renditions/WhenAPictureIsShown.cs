using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using Marketplace.Contracts;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Media.Tests.Renditions;

public sealed class WhenAPictureIsShown(WhenAPictureIsShown.OnePicture one) : IClassFixture<WhenAPictureIsShown.OnePicture>
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private HttpClient Anybody => one.Bed.Media.As(null);

    [Theory, InlineData("200.webp", "image/webp"), InlineData("800.jpg", "image/jpeg"), InlineData("2000.webp", "image/webp")]
    public async Task It_may_be_kept_for_ever_by_anybody(string file, string type)
    {
        using var shown = await Anybody.FetchAsync(one.Address(file));
        Assert.Equal(HttpStatusCode.OK, shown.StatusCode);
        Assert.Equal("public, max-age=31536000, immutable", shown.Headers.NonValidated["Cache-Control"].ToString());
        Assert.Equal("nosniff", shown.Headers.NonValidated["X-Content-Type-Options"].ToString());
        Assert.Equal("bytes", shown.Headers.NonValidated["Accept-Ranges"].ToString());
        Assert.Equal(type, shown.Content.Headers.ContentType?.ToString());
        Assert.False(shown.Headers.ETag!.IsWeak);
        Assert.Equal($"\"{Convert.ToHexStringLower(SHA256.HashData(await shown.Content.ReadAsByteArrayAsync(Ct)))[..32]}\"", shown.Headers.ETag.Tag);
    }

    [Fact]
    public async Task Whoever_has_it_is_not_sent_it_again()
    {
        using var first = await Anybody.FetchAsync(one.Address("800.webp"));
        using var again = await Anybody.FetchAsync(one.Address("800.webp"), headers: ("If-None-Match", first.Headers.ETag!.ToString()));
        Assert.Equal(HttpStatusCode.NotModified, again.StatusCode);
        Assert.Empty(await again.Content.ReadAsByteArrayAsync(Ct));
        Assert.Equal(first.Headers.ETag, again.Headers.ETag);
        using var other = await Anybody.FetchAsync(one.Address("800.webp"), headers: ("If-None-Match", "\"something else\""));
        Assert.Equal(HttpStatusCode.OK, other.StatusCode);
    }

    [Fact]
    public async Task Its_head_says_what_its_body_would_be()
    {
        using var whole = await Anybody.FetchAsync(one.Address("800.jpg"));
        using var head = await Anybody.FetchAsync(one.Address("800.jpg"), HttpMethod.Head);
        Assert.Equal(HttpStatusCode.OK, head.StatusCode);
        Assert.Equal((whole.Content.Headers.ContentLength, whole.Headers.ETag), (head.Content.Headers.ContentLength, head.Headers.ETag));
        Assert.Empty(await head.Content.ReadAsByteArrayAsync(Ct));
    }

    [Theory, InlineData("bytes=0-99", 0, 100), InlineData("bytes=100-149", 100, 50), InlineData("bytes=-20", -20, 20)]
    public async Task A_part_of_it_is_that_part(string range, int from, int count)
    {
        using var whole = await Anybody.FetchAsync(one.Address("800.jpg"));
        var bytes = await whole.Content.ReadAsByteArrayAsync(Ct);
        var start = from < 0 ? bytes.Length + from : from;
        using var part = await Anybody.FetchAsync(one.Address("800.jpg"), headers: ("Range", range));
        Assert.Equal(HttpStatusCode.PartialContent, part.StatusCode);
        Assert.Equal(new ContentRangeHeaderValue(start, start + count - 1, bytes.Length), part.Content.Headers.ContentRange);
        Assert.Equal(bytes[start..(start + count)], await part.Content.ReadAsByteArrayAsync(Ct));
        Assert.Equal(whole.Headers.ETag, part.Headers.ETag);
    }

    [Fact]
    public async Task A_part_of_another_version_is_answered_with_the_whole()
    {
        using var whole = await Anybody.FetchAsync(one.Address("800.jpg"), headers: [("Range", "bytes=0-9"), ("If-Range", "\"another\"")]);
        Assert.Equal(HttpStatusCode.OK, whole.StatusCode);
    }

    [Fact]
    public async Task A_part_beyond_its_end_is_refused_with_its_length()
    {
        using var whole = await Anybody.FetchAsync(one.Address("200.jpg"), HttpMethod.Head);
        using var beyond = await Anybody.FetchAsync(one.Address("200.jpg"), headers: ("Range", "bytes=99999999-"));
        Assert.Equal(HttpStatusCode.RequestedRangeNotSatisfiable, beyond.StatusCode);
        Assert.Equal(whole.Content.Headers.ContentLength, beyond.Content.Headers.ContentRange?.Length);
        Assert.DoesNotContain("immutable", beyond.Headers.CacheControl?.ToString() ?? "", StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/api/v1/media/0000000000000000000000000000000000000000000000000000000000000000/200.webp")]
    [InlineData("/api/v1/media/{id}/300.webp")]
    [InlineData("/api/v1/media/{id}/200.png")]
    [InlineData("/api/v1/media/{id}/manifest.json")]
    [InlineData("/api/v1/media/{id}")]
    [InlineData("/api/v1/media/../originals/200.webp")]
    public async Task What_is_not_there_is_not_found_and_not_kept(string path)
    {
        using var nothing = await Anybody.FetchAsync(path.Replace("{id}", one.ImageId, StringComparison.Ordinal));
        Assert.Equal(HttpStatusCode.NotFound, nothing.StatusCode);
        Assert.DoesNotContain("public", nothing.Headers.CacheControl?.ToString() ?? "", StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_a_hundred_ask_for_at_once_is_in_memory_for_the_next()
    {
        var answers = await Task.WhenAll(Enumerable.Range(0, 100).Select(_ => one.Bed.Replica.As(null).FetchAsync(one.Address("2000.jpg"))));
        Assert.All(answers, answer => Assert.Equal(HttpStatusCode.OK, answer.StatusCode));
        foreach (var answer in answers) answer.Dispose();

        var folder = new DirectoryInfo(Path.Combine(one.Bed.Files, "renditions", one.ImageId));
        var file = folder.GetFiles("2000-*.jpg").Single();
        var aside = file.FullName + ".aside";   // not to be read a second time
        file.MoveTo(aside);
        try
        {
            using var kept = await one.Bed.Replica.As(null).FetchAsync(one.Address("2000.jpg"));
            Assert.Equal(HttpStatusCode.OK, kept.StatusCode);
        }
        finally
        {
            File.Move(aside, aside[..^".aside".Length]);
        }
    }

    [Fact]
    public async Task Half_a_file_is_nobodys()
    {
        var file = new DirectoryInfo(Path.Combine(one.Bed.Files, "renditions", one.ImageId)).GetFiles("800-*.webp").Single();
        await using var fresh = await one.FreshAsync();
        var whole = await File.ReadAllBytesAsync(file.FullName, Ct);
        await File.WriteAllBytesAsync(file.FullName, whole[..(whole.Length / 2)], Ct);
        try
        {
            using var half = await fresh.As(null).FetchAsync(one.Address("800.webp"));
            Assert.Equal(HttpStatusCode.ServiceUnavailable, half.StatusCode);
            Assert.DoesNotContain("immutable", half.Headers.CacheControl?.ToString() ?? "", StringComparison.Ordinal);
        }
        finally
        {
            await File.WriteAllBytesAsync(file.FullName, whole, Ct);
        }

        using var again = await fresh.As(null).FetchAsync(one.Address("800.webp"));
        Assert.Equal(HttpStatusCode.OK, again.StatusCode);
    }

    public sealed class OnePicture : IAsyncLifetime
    {
        public MediaBed Bed { get; } = new();

        public string ImageId { get; private set; } = "";

        public string Address(string file) => $"/api/v1/media/{ImageId}/{file}";

        /// <summary>A replica with an empty memory.</summary>
        public Task<ServiceUnderTest<Marketplace.Media.Uploads.PictureKind>> FreshAsync() => Bed.FreshAsync();

        public async ValueTask InitializeAsync()
        {
            await Bed.InitializeAsync();
            ImageId = await Bed.Seller.SendFileAsync(Guid.CreateVersion7(), Pictures.Jpeg(2400, 1600)).AcceptedAsync();
            await Eventually.Async(() => Bed.Heard<ImageProcessed>(ImageId).Count == 1, "the picture is made");
        }

        public ValueTask DisposeAsync() => Bed.DisposeAsync();
    }
}
