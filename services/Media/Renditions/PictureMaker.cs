using Marketplace.Media.Uploads;
using NetVips;

namespace Marketplace.Media.Renditions;

/// <param name="Format">webp or jpeg.</param>
public sealed record MadePicture(int Box, string Format, int Width, int Height, byte[] Bytes);

/// <param name="Width">Of the original as it is looked at.</param>
/// <param name="Refusal">Why nothing can be made of it, ever, in words for the seller.</param>
public sealed record Making(int Width, int Height, IReadOnlyList<MadePicture> Pictures, string? Refusal = null);

/// <summary>
/// All sizes of a picture: the largest box is made of the original, the smaller boxes of that. An original too large to be held unpacked is
/// read row by row, so that the memory it takes is bounded by the boxes (interlaced and WebP originals excepted, which exist only whole and
/// have the limits of uploads).
/// </summary>
public static class PictureMaker
{
    public const string Webp = "webp";
    public const string Jpeg = "jpeg";

    // A picture is made once and looked at for years: a little more work for a smaller file.
    private const int WebpQuality = 80;
    private const int WebpEffort = 4;
    private const int JpegQuality = 82;

    // Bytes unpacked: a photograph of sixteen million pixels.
    private const long HeldWhole = 48L * 1024 * 1024;

    private static readonly Making Unreadable = new(0, 0, [], "The file is cut off or damaged and cannot be read as a picture.");
    private static readonly int Largest = RenditionOptions.Boxes[0];
    private static readonly double[] White = [255, 255, 255];

    /// <summary>Too large to be held unpacked: interlaced, it takes some hundred megabytes all the same, so that one at a time is enough.</summary>
    public static bool IsLarge(byte[] original) => PictureHeader.Read(original)?.Unpacked > HeldWhole;

    /// <summary>Takes one processor for some tenths of a second.</summary>
    public static Making Make(byte[] original)
    {
        try
        {
            if (PictureHeader.Read(original) is not { } header)
                return Unreadable;
            using var largest = Unpack(original, header);
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

            return new(header.Width, header.Height, pictures);
        }
        catch (VipsException e) when (!IsOurs(e))
        {
            return Unreadable;
        }
    }

    /// <summary>In sRGB, eight bits a channel, the right way up, no larger than the largest box.</summary>
    private static Image Unpack(byte[] original, PictureHeader header)
    {
        using var reduced = header.Unpacked <= HeldWhole ? ReduceInMemory(original) : ReduceAsItIsRead(original);
        using var coloured = reduced.Colourspace(Enums.Interpretation.Srgb);
        using var bytes = coloured.Cast(Enums.BandFormat.Uchar);
        return bytes.CopyMemory();
    }

    private static Image ReduceInMemory(byte[] original)
    {
        using var rows = Rows(original);
        using var held = rows.CopyMemory();                     // to its last row, or it throws
        return held.ThumbnailImage(Largest, height: Largest, size: Enums.Size.Down, outputProfile: ProfileFor(held));
    }

    /// <summary>
    /// While it reduces what it reads, libvips takes rows that cannot be read for black ones (and says so to the log alone). So a first pass,
    /// which keeps nothing, reads to the end; the second one unpacks no more than it needs.
    /// </summary>
    private static Image ReduceAsItIsRead(byte[] original)
    {
        string? profile;
        using (var rows = Rows(original))
        {
            profile = ProfileFor(rows);
            rows.Avg();
        }

        return Image.ThumbnailBuffer(original, Largest, height: Largest, size: Enums.Size.Down, outputProfile: profile, failOn: Enums.FailOn.Error);
    }

    private static Image Rows(byte[] original) => Image.NewFromBuffer(original, access: Enums.Access.Sequential, failOn: Enums.FailOn.Error);

    // What says nothing of its colours is in sRGB already; asked to bring it there, libvips takes the long way round, longer than all the rest.
    private static string? ProfileFor(Image whole) => whole.Contains("icc-profile-data") || whole.Interpretation == Enums.Interpretation.Cmyk ? "srgb" : null;

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
