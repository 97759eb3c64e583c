using NetVips;

namespace Marketplace.Media.Renditions;

/// <param name="Format">webp or jpeg.</param>
public sealed record MadePicture(int Box, string Format, int Width, int Height, byte[] Bytes);

/// <param name="Width">Of the original as it is looked at.</param>
/// <param name="Refusal">Why nothing can be made of it, ever, in words for the seller.</param>
public sealed record Making(int Width, int Height, IReadOnlyList<MadePicture> Pictures, string? Refusal = null);

/// <summary>
/// All sizes of a picture. It is unpacked once, row by row and already reduced where the format can do that, to the largest box; the smaller
/// boxes are made of that. So the memory it takes depends on the boxes, not on the original (interlaced and WebP originals excepted, which
/// exist only whole).
/// </summary>
public static class PictureMaker
{
    public const string Webp = "webp";
    public const string Jpeg = "jpeg";

    // A picture is made once and looked at for years: a little more work for a smaller file.
    private const int WebpQuality = 80;
    private const int WebpEffort = 4;
    private const int JpegQuality = 82;
    private static readonly double[] White = [255, 255, 255];

    /// <summary>Takes one processor for some tenths of a second.</summary>
    public static Making Make(byte[] original)
    {
        try
        {
            var (width, height) = SizeOf(original);
            using var largest = Unpack(original);
            var pictures = new List<MadePicture>();
            foreach (var box in RenditionOptions.Boxes)
            {
                if (pictures.Count > 0 && largest.Width <= box && largest.Height <= box)
                {
                    // Never enlarged: the same files for this box too.
                    pictures.AddRange(pictures.TakeLast(2).ToList().Select(same => same with { Box = box }));
                    continue;
                }

                using var fitted = Fit(largest, box);
                pictures.Add(new(box, Webp, fitted.Width, fitted.Height, fitted.WebpsaveBuffer(q: WebpQuality, effort: WebpEffort, keep: Enums.ForeignKeep.None)));
                using var opaque = fitted.HasAlpha() ? fitted.Flatten(background: White) : fitted.Copy();
                pictures.Add(new(box, Jpeg, fitted.Width, fitted.Height, opaque.JpegsaveBuffer(q: JpegQuality, optimizeCoding: true, interlace: true, keep: Enums.ForeignKeep.None)));
            }

            return new(width, height, pictures);
        }
        catch (VipsException e) when (!IsOurs(e))
        {
            return new(0, 0, [], "The file is cut off or damaged and cannot be read as a picture.");
        }
    }

    private static (int Width, int Height) SizeOf(byte[] original)
    {
        using var header = Image.NewFromBuffer(original, access: Enums.Access.Sequential);
        return header.Contains("orientation") && header.Get("orientation") is int and >= 5 and <= 8 ? (header.Height, header.Width) : (header.Width, header.Height);
    }

    /// <summary>In sRGB, eight bits a channel, the right way up, no larger than the largest box.</summary>
    private static Image Unpack(byte[] original)
    {
        var box = RenditionOptions.Boxes[0];
        using var reduced = Image.ThumbnailBuffer(original, box, height: box, size: Enums.Size.Down, outputProfile: "srgb", failOn: Enums.FailOn.Error);
        using var coloured = reduced.Colourspace(Enums.Interpretation.Srgb);
        using var bytes = coloured.Cast(Enums.BandFormat.Uchar);
        return bytes.CopyMemory();
    }

    private static Image Fit(Image largest, int box)
    {
        if (largest.Width <= box && largest.Height <= box)
            return largest.Copy();
        using var smaller = largest.ThumbnailImage(box, height: box, size: Enums.Size.Down, noRotate: true);
        return smaller.CopyMemory();                            // both encoders read it
    }

    // Said of this machine, not of the picture: worth another try.
    private static bool IsOurs(VipsException e) =>
        e.Message.Contains("out of memory", StringComparison.OrdinalIgnoreCase) || e.Message.Contains("No space left", StringComparison.OrdinalIgnoreCase)
        || e.Message.Contains("unable to create temp", StringComparison.OrdinalIgnoreCase);
}
