using System.Net;
using System.Security.Cryptography;
using Marketplace.Contracts;
using Marketplace.Media.Uploads;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Media.Tests.Uploads;

public sealed class WhenASellerSendsAPicture(MediaBed bed) : IClassFixture<MediaBed>
{
    private static readonly Guid Lamp = Guid.CreateVersion7();

    [Theory, InlineData(false), InlineData(true)]
    public async Task It_is_stored_as_it_came_and_its_listing_has_all_sizes_soon(bool asForm)
    {
        var file = Pictures.Jpeg();
        var imageId = await (asForm ? bed.Seller.SendFormAsync(Lamp, "file", file) : bed.Seller.SendFileAsync(Lamp, file)).AcceptedAsync();
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(file)), imageId);
        Assert.Equal(file, await File.ReadAllBytesAsync(Path.Combine(bed.Files, "originals", imageId), TestContext.Current.CancellationToken));

        await Eventually.Async(() => bed.Heard<ImageProcessed>(imageId).Count > 0, "the picture is made");
        var (_, uploaded) = Assert.Single(bed.Heard<ImageUploaded>(imageId));
        Assert.Equal((Lamp, MediaBed.SellerId, "image/jpeg", file.Length), (uploaded.ProductId, uploaded.SellerId, uploaded.ContentType, (int)uploaded.Bytes));
        var (_, processed) = Assert.Single(bed.Heard<ImageProcessed>(imageId));
        Assert.Equal((Lamp, 1000, 750), (processed.ProductId, processed.Width, processed.Height));
        Assert.Equal([(200, "jpeg"), (200, "webp"), (800, "jpeg"), (800, "webp"), (2000, "jpeg"), (2000, "webp")], processed.Renditions.Select(one => (one.Box, one.Format)).Order());
        foreach (var rendition in processed.Renditions)
        {
            using var shown = await bed.Replica.As(null).FetchAsync(rendition.Url);
            Assert.Equal(HttpStatusCode.OK, shown.StatusCode);
            Assert.Equal((rendition.Bytes, $"image/{rendition.Format}"), (shown.Content.Headers.ContentLength, shown.Content.Headers.ContentType?.MediaType));
        }
    }

    [Fact]
    public async Task Sent_again_it_is_the_same_picture_and_made_once()
    {
        var file = Pictures.Jpeg();
        var first = await bed.Seller.SendFileAsync(Lamp, file).AcceptedAsync();
        await Eventually.Async(() => bed.Heard<ImageProcessed>(first).Count == 1, "the picture is made");
        var made = Snapshot(first);

        Assert.Equal(first, await bed.Seller.SendFormAsync(Guid.CreateVersion7(), "file", file).AcceptedAsync());
        await Eventually.Async(() => bed.Heard<ImageProcessed>(first).Count == 2, "the other listing hears of it too");
        Assert.Equal(made, Snapshot(first));
        Assert.Equal(2, bed.Heard<ImageProcessed>(first).Select(one => one.EventId).Distinct().Count());
    }

    [Fact]
    public async Task Another_sellers_listing_and_none_at_all_look_the_same()
    {
        var before = Directory.Exists(Path.Combine(bed.Files, "originals")) ? Directory.GetFiles(Path.Combine(bed.Files, "originals")).Length : 0;
        await bed.Seller.SendFileAsync(MediaBed.Foreign, Pictures.Jpeg()).ProblemAsync(HttpStatusCode.NotFound, "not-found");
        await bed.Seller.SendFileAsync(Guid.Empty, Pictures.Jpeg()).ProblemAsync(HttpStatusCode.NotFound, "not-found");
        Assert.Equal(before, Directory.Exists(Path.Combine(bed.Files, "originals")) ? Directory.GetFiles(Path.Combine(bed.Files, "originals")).Length : 0);
    }

    [Fact]
    public async Task A_listing_that_has_as_many_pictures_as_it_may_gets_no_more() =>
        await bed.Seller.SendFileAsync(MediaBed.Full, Pictures.Jpeg()).ProblemAsync(HttpStatusCode.Conflict, "too-many-pictures");

    [Fact]
    public async Task Only_a_seller_may()
    {
        await bed.Media.As(null).SendFileAsync(Lamp, Pictures.Jpeg(64, 64)).ProblemAsync(HttpStatusCode.Unauthorized, "unauthorized");
        await bed.Media.As(TestTokens.Buyer(Guid.NewGuid())).SendFileAsync(Lamp, Pictures.Jpeg(64, 64)).ProblemAsync(HttpStatusCode.Forbidden, "forbidden");
    }

    public static TheoryData<string, byte[], string> NoPictures => new()
    {
        { "an SVG", Pictures.Svg(), "SVG" },
        { "a HEIC", Pictures.Heic(), "HEIC" },
        { "a TIFF", Pictures.Tiff(), "TIFF" },
        { "a PDF", "%PDF-1.7 and so on"u8.ToArray(), "PDF" },
        { "a page", "<!doctype html><script>alert(1)</script>"u8.ToArray(), "not a picture" },
        { "a program", [0x7F, (byte)'E', (byte)'L', (byte)'F', .. new byte[2000]], "not a picture" },
        { "one byte", [0xFF], "not a picture" },
    };

    [Theory, MemberData(nameof(NoPictures), DisableDiscoveryEnumeration = true)]
    public async Task What_is_no_picture_that_we_take_is_refused_by_name_whatever_it_is_called(string what, byte[] file, string named)
    {
        var problem = await bed.Seller.SendFileAsync(Lamp, file, "image/png").ProblemAsync(HttpStatusCode.UnsupportedMediaType, "unsupported-media-type");
        Assert.True(problem.WhatIsWrong("file").Contains(named, StringComparison.Ordinal), what);
        problem = await bed.Seller.SendFormAsync(Lamp, "file", file).ProblemAsync(HttpStatusCode.UnsupportedMediaType, "unsupported-media-type");
        Assert.Contains(named, problem.WhatIsWrong("file"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_picture_said_to_be_of_another_kind_is_refused_and_both_are_named()
    {
        var problem = await bed.Seller.SendFileAsync(Lamp, Pictures.Jpeg(64, 64), "image/png").ProblemAsync(HttpStatusCode.UnprocessableEntity, "validation");
        Assert.Equal("The file is said to be image/png and is a JPEG.", problem.WhatIsWrong("file"));
        problem = await bed.Seller.SendFormAsync(Lamp, "file", Pictures.Png(64, 64), "image/webp").ProblemAsync(HttpStatusCode.UnprocessableEntity, "validation");
        Assert.Equal("The file is said to be image/webp and is a PNG.", problem.WhatIsWrong("file"));
    }

    [Theory, InlineData("image/jpg"), InlineData("image/*"), InlineData("application/octet-stream"), InlineData(null)]
    public async Task Saying_nothing_in_particular_is_no_lie(string? type) => await bed.Seller.SendFileAsync(Lamp, Pictures.Jpeg(64, 64), type).AcceptedAsync();

    [Fact]
    public async Task Nothing_is_not_a_picture()
    {
        var problem = await bed.Seller.SendFileAsync(Lamp, []).ProblemAsync(HttpStatusCode.UnprocessableEntity, "validation");
        Assert.Equal("The file is empty.", problem.WhatIsWrong("file"));
        problem = await bed.Seller.SendFormAsync(Lamp, "file", []).ProblemAsync(HttpStatusCode.UnprocessableEntity, "validation");
        Assert.Equal("The file is empty.", problem.WhatIsWrong("file"));
    }

    [Fact]
    public async Task A_form_without_the_field_says_which_is_missing()
    {
        var problem = await bed.Seller.SendFormAsync(Lamp, "picture", Pictures.Jpeg(64, 64)).ProblemAsync(HttpStatusCode.UnprocessableEntity, "validation");
        Assert.Equal("The form has no field named file.", problem.WhatIsWrong("file"));
    }

    [Theory, InlineData("multipart/form-data"), InlineData("multipart/form-data; boundary=x"), InlineData("multipart/form-data; boundary=\"\"")]
    public async Task A_form_that_is_not_put_together_as_it_says_is_no_fault_of_ours(string type) =>
        await bed.Seller.SendFileAsync(Lamp, Pictures.Jpeg(64, 64), type).ProblemAsync(HttpStatusCode.BadRequest, "bad-request");

    public static TheoryData<string, byte[]> Bombs => new()
    {
        { "a JPEG of four thousand million pixels", Pictures.PromisingJpeg(65_000, 65_000) },
        { "a flat PNG", Pictures.FlatPng(7_200, 7_100) },
        { "a PNG of sixteen bits a channel", Pictures.FlatPng16(7_000, 6_500) },
        { "a GIF of many frames", Pictures.MovingGif(1_100, 8) },
    };

    [Theory, MemberData(nameof(Bombs), DisableDiscoveryEnumeration = true)]
    public async Task What_would_fill_the_memory_is_refused_by_its_header(string what, byte[] file)
    {
        Assert.True(file.Length < UploadOptions.LargestFile, what);
        var problem = await bed.Seller.SendFileAsync(Lamp, file, null).ProblemAsync(HttpStatusCode.UnprocessableEntity, "validation");
        Assert.Contains("at most", problem.WhatIsWrong("file"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Fifteen_megabytes_are_taken_and_a_byte_more_is_not()
    {
        var file = Pictures.Jpeg(300, 200);
        var largest = file.Concat(new byte[UploadOptions.LargestFile - file.Length]).ToArray();   // readers stop at the end of the picture
        var imageId = await bed.Seller.SendFormAsync(Lamp, "file", largest).AcceptedAsync();
        await Eventually.Async(() => bed.Heard<ImageProcessed>(imageId).Count > 0, "the largest file comes back from the store whole");

        byte[] tooLarge = [.. largest, 0];
        await bed.Seller.SendFileAsync(Lamp, tooLarge).ProblemAsync(HttpStatusCode.RequestEntityTooLarge, "body-too-large");
        await bed.Seller.SendFormAsync(Lamp, "file", tooLarge).ProblemAsync(HttpStatusCode.RequestEntityTooLarge, "body-too-large");
        using var unannounced = new StreamContent(new EndlessPicture());
        await bed.Seller.SendBodyAsync(Lamp, unannounced).ProblemAsync(HttpStatusCode.RequestEntityTooLarge, "body-too-large");
    }

    [Theory, InlineData(false), InlineData(true)]
    public async Task One_that_trickles_in_does_not_keep_its_place_from_others_whether_it_will_be_taken_or_not(bool isPicture)
    {
        var settings = new Dictionary<string, string?> { ["Uploads:AtOnce"] = "1", ["Uploads:MostTime"] = "00:00:01" };
        await using var narrow = await ServiceUnderTest<PictureKind>.StartAsync(calls: ["catalog"], settings: settings);
        narrow.Neighbour("catalog").On(HttpMethod.Get, "/internal/listings/*", _ => FakeReply.Ok(new { sellerId = MediaBed.SellerId }));
        using var seller = narrow.As(TestTokens.Seller(Guid.NewGuid(), MediaBed.SellerId));

        using var never = new StreamContent(new StalledFile(isPicture ? [0xFF, 0xD8, 0xFF] : [0x7F, (byte)'E', (byte)'L', (byte)'F']));
        var trickling = seller.SendBodyAsync(Lamp, never);
        await Eventually.Async(() => Task.FromResult(narrow.Neighbour("catalog").Calls.Count == 1), "the first one is being read");
        await seller.SendFileAsync(Lamp, Pictures.Svg()).ProblemAsync(HttpStatusCode.UnsupportedMediaType, "unsupported-media-type");
        await (isPicture ? trickling.ProblemAsync(HttpStatusCode.RequestTimeout, "request-timeout") : trickling.ProblemAsync(HttpStatusCode.UnsupportedMediaType, "unsupported-media-type"));
    }

    [Fact]
    public async Task What_is_only_the_beginning_of_a_header_is_told_at_once()
    {
        var problem = await bed.Seller.SendFileAsync(Lamp, Pictures.Png(64, 64)[..20], "image/png").ProblemAsync(HttpStatusCode.UnprocessableEntity, "validation");
        Assert.Equal("The file begins like a PNG and cannot be read as one.", problem.WhatIsWrong("file"));
    }

    [Fact]
    public async Task Without_the_catalogue_nothing_is_taken()
    {
        await using var lonely = await ServiceUnderTest<PictureKind>.StartAsync(calls: ["catalog"]);
        lonely.Neighbour("catalog").On(HttpMethod.Get, "/internal/listings/*", _ => new FakeReply(503));
        await lonely.As(TestTokens.Seller(Guid.NewGuid(), MediaBed.SellerId)).SendFileAsync(Lamp, Pictures.Jpeg(64, 64)).ProblemAsync(HttpStatusCode.ServiceUnavailable, "unavailable");
    }

    [Fact]
    public async Task Without_store_or_broker_the_seller_is_asked_to_try_again()
    {
        var nowhere = new Dictionary<string, string?> { ["DAPR_HTTP_PORT"] = "1", ["DAPR_GRPC_PORT"] = "1" };
        await using var cutOff = await ServiceUnderTest<PictureKind>.StartAsync(calls: ["catalog"], settings: nowhere);
        cutOff.Neighbour("catalog").On(HttpMethod.Get, "/internal/listings/*", _ => FakeReply.Ok(new { sellerId = MediaBed.SellerId }));
        using var response = await cutOff.As(TestTokens.Seller(Guid.NewGuid(), MediaBed.SellerId)).SendFileAsync(Lamp, Pictures.Jpeg(64, 64));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        Assert.NotNull(response.Headers.RetryAfter);
    }

    private string[] Snapshot(string imageId) =>
        [.. new DirectoryInfo(Path.Combine(bed.Files, "renditions", imageId)).GetFiles().OrderBy(file => file.Name, StringComparer.Ordinal).Select(file => $"{file.Name} {file.Length} {file.LastWriteTimeUtc:O}")];

    /// <summary>Begins like a JPEG and goes on for longer than anybody reads.</summary>
    private sealed class EndlessPicture : ArrivingFile
    {
        private long position;

        public override int Read(byte[] buffer, int offset, int count)
        {
            if (position > 64L * 1024 * 1024) return 0;
            Array.Clear(buffer, offset, count);
            if (position == 0) (buffer[offset], buffer[offset + 1], buffer[offset + 2]) = (0xFF, 0xD8, 0xFF);
            position += count;
            return count;
        }
    }

    /// <summary>A thousand bytes, and then nothing more, and no end either.</summary>
    private sealed class StalledFile(byte[] beginning) : ArrivingFile
    {
        private bool sent;

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (sent) await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken);
            sent = true;
            buffer.Span[..1_000].Clear();
            beginning.CopyTo(buffer);
            return 1_000;
        }
    }

    private abstract class ArrivingFile : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
