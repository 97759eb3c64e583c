using System.Buffers.Binary;
using NetVips;

namespace Marketplace.Media.Tests;

/// <summary>Files of every kind, made by the library itself, and some that no honest program makes.</summary>
internal static class Pictures
{
    public const string Secret = "GPS 51.5007 N 0.1246 W";

    private static readonly double[] Red = [230, 20, 20];
    private static readonly double[] Green = [20, 200, 20];
    private static readonly double[] Blue = [20, 20, 230];

    static Pictures() => Vips.Prepare();

    /// <summary>Blue with a red corner top left and a green one top right, and some noise so that no two are the same file.</summary>
    public static Image Upright(int width, int height)
    {
        var third = Math.Max(1, Math.Min(width, height) / 3);
        var plain = (Image.Black(width, height, 3) + Blue).Cast(Enums.BandFormat.Uchar);
        var corners = plain.Insert((Image.Black(third, third, 3) + Red).Cast(Enums.BandFormat.Uchar), 0, 0)
            .Insert((Image.Black(third, third, 3) + Green).Cast(Enums.BandFormat.Uchar), width - third, 0);
        using var noise = Image.Gaussnoise(width, height, mean: 0, sigma: 2, seed: Random.Shared.Next());
        return (corners + noise).Cast(Enums.BandFormat.Uchar).Copy(interpretation: Enums.Interpretation.Srgb).CopyMemory();
    }

    public static byte[] Jpeg(int width = 1000, int height = 750) => Upright(width, height).JpegsaveBuffer(q: 90);

    /// <summary>Stored turned or mirrored, so that it is upright to whoever heeds its EXIF orientation.</summary>
    public static byte[] Oriented(int orientation, int width, int height)
    {
        var upright = Upright(width, height);
        var stored = orientation switch
        {
            1 => upright,
            2 => upright.FlipHor(),
            3 => upright.Rot180(),
            4 => upright.FlipVer(),
            5 => upright.FlipHor().Rot270(),
            6 => upright.Rot270(),
            7 => upright.FlipHor().Rot90(),
            8 => upright.Rot90(),
            _ => throw new ArgumentOutOfRangeException(nameof(orientation)),
        };
        return Tagged(stored, orientation).JpegsaveBuffer(q: 90);
    }

    public static byte[] WithSecrets() => Tagged(Upright(640, 480), 1).JpegsaveBuffer(q: 90);

    public static byte[] Png(int width = 640, int height = 480) => Upright(width, height).PngsaveBuffer();

    public static byte[] Png16(int width, int height) =>
        (Upright(width, height).Cast(Enums.BandFormat.Ushort) * 257).Cast(Enums.BandFormat.Ushort).Copy(interpretation: Enums.Interpretation.Rgb16).PngsaveBuffer(bitdepth: 16);

    /// <summary>The left half is there, the right half is not.</summary>
    public static byte[] HalfTransparent(int width, int height)
    {
        var alpha = Image.Black(width, height).Insert((Image.Black(width / 2, height) + 255).Cast(Enums.BandFormat.Uchar), 0, 0);
        return Upright(width, height).Bandjoin(alpha).Copy(interpretation: Enums.Interpretation.Srgb).PngsaveBuffer();
    }

    public static byte[] Grey(int width, int height) => Upright(width, height).Colourspace(Enums.Interpretation.Bw).JpegsaveBuffer(q: 90);

    public static byte[] Webp() => Upright(640, 480).WebpsaveBuffer(q: 80, effort: 0);

    public static byte[] Avif() => Upright(320, 240).HeifsaveBuffer(compression: Enums.ForeignHeifCompression.Av1, effort: 0);

    public static byte[] Gif() => Upright(320, 240).GifsaveBuffer(effort: 1);

    /// <summary>Frames of red, then of blue.</summary>
    public static byte[] MovingGif(int frames, int side = 64)
    {
        var all = Enumerable.Range(0, frames).Select(frame => (Image.Black(side, side, 3) + (frame == 0 ? Red : Blue)).Cast(Enums.BandFormat.Uchar)).ToArray();
        using var joined = Image.Arrayjoin(all, across: 1).Copy(interpretation: Enums.Interpretation.Srgb);
        return joined.Mutate(image => image.Set(GValue.GIntType, "page-height", side)).GifsaveBuffer(effort: 1, keepDuplicateFrames: true);
    }

    /// <summary>Full sRGB red, written in the wider space of a phone's camera with its profile.</summary>
    public static byte[] WideRed() =>
        (Image.Black(400, 300, 3) + (double[])[255, 0, 0]).Cast(Enums.BandFormat.Uchar).Copy(interpretation: Enums.Interpretation.Srgb).IccTransform("p3", inputProfile: "srgb").JpegsaveBuffer(q: 95);

    public static byte[] Cmyk(bool withProfile) =>
        Upright(400, 300).IccTransform("cmyk", inputProfile: "srgb").JpegsaveBuffer(q: 95, keep: withProfile ? Enums.ForeignKeep.All : Enums.ForeignKeep.None);

    public static byte[] Tiff() => Upright(64, 48).TiffsaveBuffer();

    public static byte[] Svg() => "<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>"u8.ToArray();

    public static byte[] Heic() => [0, 0, 0, 24, .. "ftypheic"u8, 0, 0, 0, 0, .. "mif1heic"u8, .. new byte[600]];

    /// <summary>A small file that says it is a very large picture.</summary>
    public static byte[] PromisingJpeg(ushort width, ushort height)
    {
        var jpeg = Jpeg(320, 240);
        var frame = jpeg.AsSpan().IndexOf((ReadOnlySpan<byte>)[0xFF, 0xC0]);
        BinaryPrimitives.WriteUInt16BigEndian(jpeg.AsSpan(frame + 5), height);
        BinaryPrimitives.WriteUInt16BigEndian(jpeg.AsSpan(frame + 7), width);
        return jpeg;
    }

    public static byte[] FlatPng(int width, int height) => Image.Black(width, height).PngsaveBuffer(compression: 1);

    public static byte[] FlatPng16(int width, int height) =>
        Image.Black(width, height, 3).Cast(Enums.BandFormat.Ushort).Copy(interpretation: Enums.Interpretation.Rgb16).PngsaveBuffer(bitdepth: 16, compression: 1);

    public static byte[] Cut(byte[] whole, double kept = 0.6) => whole[..(int)(whole.Length * kept)];

    public static (double Red, double Green, double Blue) At(byte[] file, double x, double y)
    {
        using var image = Image.NewFromBuffer(file);
        var point = image.Getpoint((int)(x * (image.Width - 1)), (int)(y * (image.Height - 1)));
        return (point[0], point[1], point[2]);
    }

    private static Image Tagged(Image image, int orientation) => image.Mutate(mutable =>
    {
        mutable.Set(GValue.GIntType, "orientation", orientation);
        mutable.Set(GValue.GStrType, "exif-ifd0-ImageDescription", Secret);
        mutable.Set(GValue.BlobType, "xmp-data", System.Text.Encoding.UTF8.GetBytes($"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{Secret}</x:xmpmeta>"));
    });
}
