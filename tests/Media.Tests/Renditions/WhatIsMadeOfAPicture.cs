using System.Text;
using Marketplace.Media.Renditions;
using Marketplace.Media.Uploads;
using NetVips;
using Xunit;

namespace Marketplace.Media.Tests.Renditions;

public sealed class WhatIsMadeOfAPicture
{
    [Fact]
    public void A_photograph_is_fitted_into_every_box_in_both_formats()
    {
        var made = PictureMaker.Make(Pictures.Jpeg(3000, 2000));
        Assert.Null(made.Refusal);
        Assert.Equal((3000, 2000), (made.Width, made.Height));
        Assert.Equal(
            [(200, "jpeg", 200, 133), (200, "webp", 200, 133), (800, "jpeg", 800, 533), (800, "webp", 800, 533), (2000, "jpeg", 2000, 1333), (2000, "webp", 2000, 1333)],
            made.Pictures.Select(picture => (picture.Box, picture.Format, picture.Width, picture.Height)).Order());
        Assert.All(made.Pictures, picture =>
        {
            using var image = Image.NewFromBuffer(picture.Bytes);
            Assert.Equal((picture.Width, picture.Height), (image.Width, image.Height));
            Assert.Equal(picture.Format, PictureKind.Of(picture.Bytes).ContentType["image/".Length..]);
        });
    }

    [Theory, InlineData(1), InlineData(6)]
    public void One_too_large_to_be_held_unpacked_is_made_as_it_is_read(int orientation)
    {
        var made = PictureMaker.Make(Pictures.Oriented(orientation, 4800, 3600));
        Assert.Equal((4800, 3600), (made.Width, made.Height));
        Assert.Equal((2000, 1500), (made.Pictures[0].Width, made.Pictures[0].Height));
        Assert.All(made.Pictures, picture => Assert.True(Pictures.At(picture.Bytes, 0.1, 0.1) is { Red: > 180, Green: < 80, Blue: < 80 }));
    }

    [Fact]
    public void A_small_picture_is_never_enlarged()
    {
        var made = PictureMaker.Make(Pictures.Png(300, 120));
        Assert.Equal([(200, 200, 80), (800, 300, 120), (2000, 300, 120)], made.Pictures.Where(picture => picture.Format == "webp").Select(picture => (picture.Box, picture.Width, picture.Height)).Order());
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(30000, 1)]
    [InlineData(1, 30000)]
    [InlineData(2000, 2000)]
    [InlineData(2001, 3)]
    public void Odd_measures_have_at_least_a_pixel_each_way(int width, int height)
    {
        var made = PictureMaker.Make(Pictures.Png(width, height));
        Assert.Null(made.Refusal);
        Assert.Equal((width, height), (made.Width, made.Height));
        Assert.Equal(6, made.Pictures.Count);
        Assert.All(made.Pictures, picture =>
        {
            Assert.InRange(picture.Width, 1, picture.Box);
            Assert.InRange(picture.Height, 1, picture.Box);
        });
    }

    [Theory, InlineData(1), InlineData(2), InlineData(3), InlineData(4), InlineData(5), InlineData(6), InlineData(7), InlineData(8)]
    public void Whichever_way_the_camera_was_held_the_picture_is_upright(int orientation)
    {
        var made = PictureMaker.Make(Pictures.Oriented(orientation, 900, 600));
        Assert.Equal((900, 600), (made.Width, made.Height));
        Assert.Equal((900, 600), (PictureHeader.Read(Pictures.Oriented(orientation, 900, 600))!.Width, PictureHeader.Read(Pictures.Oriented(orientation, 900, 600))!.Height));
        foreach (var picture in made.Pictures)
        {
            Assert.True(picture.Width > picture.Height);
            Assert.True(Pictures.At(picture.Bytes, 0.1, 0.1) is { Red: > 180, Green: < 80, Blue: < 80 }, $"{picture.Box} {picture.Format}: top left");
            Assert.True(Pictures.At(picture.Bytes, 0.95, 0.1) is { Red: < 80, Green: > 150, Blue: < 80 }, $"{picture.Box} {picture.Format}: top right");
            Assert.True(Pictures.At(picture.Bytes, 0.1, 0.9) is { Red: < 80, Green: < 80, Blue: > 180 }, $"{picture.Box} {picture.Format}: bottom left");
        }
    }

    [Fact]
    public void Nothing_that_the_camera_wrote_beside_the_picture_goes_out()
    {
        var original = Pictures.WithSecrets();
        Assert.Contains(Pictures.Secret, Encoding.Latin1.GetString(original), StringComparison.Ordinal);
        foreach (var picture in PictureMaker.Make(original).Pictures.Concat(PictureMaker.Make(Pictures.WideRed()).Pictures))
        {
            Assert.DoesNotContain(Pictures.Secret, Encoding.Latin1.GetString(picture.Bytes), StringComparison.Ordinal);
            using var image = Image.NewFromBuffer(picture.Bytes);
            Assert.DoesNotContain(image.GetFields(), field => field.StartsWith("exif", StringComparison.Ordinal) || field is "xmp-data" or "iptc-data" or "icc-profile-data" or "orientation");
        }
    }

    [Fact]
    public void A_wider_colour_space_is_brought_into_the_one_of_the_web()
    {
        foreach (var picture in PictureMaker.Make(Pictures.WideRed()).Pictures)
        {
            var (red, green, blue) = Pictures.At(picture.Bytes, 0.5, 0.5);
            Assert.True(red > 245 && green < 12 && blue < 12, $"{picture.Box} {picture.Format}: {red} {green} {blue}");
        }
    }

    [Theory, InlineData(true), InlineData(false)]
    public void A_picture_meant_for_print_has_its_colours(bool withProfile)
    {
        var made = PictureMaker.Make(Pictures.Cmyk(withProfile));
        Assert.Null(made.Refusal);
        foreach (var picture in made.Pictures)
        {
            Assert.True(Pictures.At(picture.Bytes, 0.1, 0.1) is { Red: > 150, Green: < 100, Blue: < 100 }, $"{picture.Box} {picture.Format}");
            using var image = Image.NewFromBuffer(picture.Bytes);
            Assert.Equal(3, image.Bands);
        }
    }

    [Fact]
    public void Sixteen_bits_a_channel_become_eight_of_the_same_colour()
    {
        foreach (var picture in PictureMaker.Make(Pictures.Png16(500, 400)).Pictures)
            Assert.True(Pictures.At(picture.Bytes, 0.1, 0.1) is { Red: > 200 and < 250, Green: < 60, Blue: < 60 }, $"{picture.Box} {picture.Format}: {Pictures.At(picture.Bytes, 0.1, 0.1)}");
    }

    [Fact]
    public void Grey_stays_grey()
    {
        foreach (var picture in PictureMaker.Make(Pictures.Grey(500, 400)).Pictures)
        {
            var (red, green, blue) = Pictures.At(picture.Bytes, 0.5, 0.8);
            Assert.InRange(Math.Max(red, Math.Max(green, blue)) - Math.Min(red, Math.Min(green, blue)), 0, 6);
        }
    }

    [Fact]
    public void What_is_transparent_stays_so_in_webp_and_is_white_in_jpeg()
    {
        var made = PictureMaker.Make(Pictures.HalfTransparent(900, 600));
        foreach (var picture in made.Pictures)
        {
            using var image = Image.NewFromBuffer(picture.Bytes);
            var right = image.Getpoint((int)(image.Width * 0.9), image.Height / 2);
            Assert.Equal(picture.Format == PictureMaker.Webp ? 4 : 3, image.Bands);
            if (picture.Format == PictureMaker.Webp)
                Assert.Equal(0, right[3]);
            else
                Assert.All(right, value => Assert.True(value > 245, $"{value}"));
        }
    }

    [Fact]
    public void Of_a_moving_picture_the_first_frame_is_shown()
    {
        var made = PictureMaker.Make(Pictures.MovingGif(5));
        Assert.Equal((64, 64), (made.Width, made.Height));
        Assert.All(made.Pictures, picture => Assert.True(Pictures.At(picture.Bytes, 0.5, 0.5) is { Red: > 200, Blue: < 60 }));
    }

    public static TheoryData<string, byte[]> Readable => new()
    {
        { "JPEG", Pictures.Jpeg() },
        { "PNG", Pictures.Png() },
        { "WebP", Pictures.Webp() },
        { "GIF", Pictures.Gif() },
        { "AVIF", Pictures.Avif() },
    };

    [Theory, MemberData(nameof(Readable), DisableDiscoveryEnumeration = true)]
    public void Every_kind_that_is_taken_is_told_by_its_bytes_and_can_be_made(string name, byte[] file)
    {
        Assert.Equal(name, PictureKind.Of(file.AsSpan(0, Math.Min(file.Length, PictureKind.Head))).Name);
        Assert.Null(PictureKind.Of(file).Refusal);
        Assert.NotNull(PictureHeader.Read(file));
        Assert.Equal(6, PictureMaker.Make(file).Pictures.Count);
    }

    public static TheoryData<string, byte[]> Damaged => new()
    {
        { "JPEG cut off", Pictures.Cut(Pictures.Jpeg()) },
        { "PNG cut off", Pictures.Cut(Pictures.Png()) },
        { "GIF cut off", Pictures.Cut(Pictures.Gif()) },
        { "WebP cut off", Pictures.Cut(Pictures.Webp()) },
        { "AVIF cut off", Pictures.Cut(Pictures.Avif()) },
        { "large JPEG cut off", Pictures.Cut(Pictures.Jpeg(4800, 3600)) },
        { "large PNG cut off", Pictures.Cut(Pictures.FlatPng(7900, 6300), 0.9) },
        { "two bytes", [0xFF, 0xD8] },
        { "SVG", Pictures.Svg() },
        { "TIFF", Pictures.Tiff() },
        { "nothing", [] },
        { "PNG with a spoiled middle", Spoiled(Pictures.Png()) },
    };

    [Theory, MemberData(nameof(Damaged), DisableDiscoveryEnumeration = true)]
    public void What_cannot_be_read_to_its_end_is_refused_with_a_reason(string what, byte[] file)
    {
        var made = PictureMaker.Make(file);
        Assert.True(made.Refusal is { Length: > 10 }, what);
        Assert.Empty(made.Pictures);
    }

    [Fact]
    public void The_same_original_gives_the_same_bytes_each_time()
    {
        var original = Pictures.Jpeg(1200, 900);
        Assert.Equal(PictureMaker.Make(original).Pictures.Select(picture => picture.Bytes), PictureMaker.Make(original).Pictures.Select(picture => picture.Bytes));
    }

    private static byte[] Spoiled(byte[] file)
    {
        for (var at = file.Length / 2; at < (file.Length / 2) + 64; at++)
            file[at] ^= 0x5A;
        return file;
    }
}
