using System.Text;

namespace Marketplace.Media.Uploads;

/// <summary>What a file is by its first bytes, whatever it is called or said to be.</summary>
/// <param name="Refusal">Why it is not taken; null for the kinds that are.</param>
public sealed record PictureKind(string Name, string ContentType, string? Refusal = null)
{
    /// <summary>So many bytes are enough to tell.</summary>
    public const int Head = 512;

    public const string Taken = "JPEG, PNG, WebP, GIF or AVIF";

    public static readonly PictureKind Jpeg = new("JPEG", "image/jpeg");
    public static readonly PictureKind Png = new("PNG", "image/png");
    public static readonly PictureKind Webp = new("WebP", "image/webp");
    public static readonly PictureKind Gif = new("GIF", "image/gif");
    public static readonly PictureKind Avif = new("AVIF", "image/avif");

    private static readonly PictureKind Heic = NotTaken("HEIC", "image/heic");
    private static readonly PictureKind Tiff = NotTaken("TIFF", "image/tiff");
    private static readonly PictureKind Bmp = NotTaken("BMP", "image/bmp");
    private static readonly PictureKind Pdf = NotTaken("PDF", "application/pdf");
    private static readonly PictureKind Svg = new("SVG", "image/svg+xml", $"An SVG is a program as much as a picture and is not taken; send it as {Taken}.");
    private static readonly PictureKind Empty = new("empty", "", "The file is empty.");
    private static readonly PictureKind Unknown = new("unknown", "", $"This is not a picture; send {Taken}.");

    public static PictureKind Of(ReadOnlySpan<byte> head)
    {
        if (head.IsEmpty)
            return Empty;
        if (head.StartsWith((ReadOnlySpan<byte>)[0xFF, 0xD8, 0xFF]))
            return Jpeg;
        if (head.StartsWith((ReadOnlySpan<byte>)[0x89, (byte)'P', (byte)'N', (byte)'G', 0x0D, 0x0A, 0x1A, 0x0A]))
            return Png;
        if (head.Length >= 12 && head.StartsWith("RIFF"u8) && head[8..].StartsWith("WEBP"u8))
            return Webp;
        if (head.StartsWith("GIF87a"u8) || head.StartsWith("GIF89a"u8))
            return Gif;
        if (head.Length >= 12 && head[4..].StartsWith("ftyp"u8))
            return OfBrands(head);
        if (head.StartsWith("II*\0"u8) || head.StartsWith("MM\0*"u8))
            return Tiff;
        if (head.StartsWith("BM"u8))
            return Bmp;
        if (head.StartsWith("%PDF"u8))
            return Pdf;
        return LooksLikeSvg(head) ? Svg : Unknown;
    }

    /// <summary>Whether a type that came with the file may be a name of this kind; saying nothing in particular is no lie.</summary>
    public bool IsCalled(string? said)
    {
        var type = said?.Split(';')[0].Trim().ToLowerInvariant();
        return type is null or "" or "image/*" or "application/octet-stream"
            || type == ContentType
            || (this == Jpeg && type is ("image/jpg" or "image/pjpeg"))
            || (this == Png && type is ("image/x-png" or "image/apng"));
    }

    // A box of brands: length, "ftyp", the major brand, its version, then what else the file is compatible with.
    private static PictureKind OfBrands(ReadOnlySpan<byte> head)
    {
        var length = Math.Min(head.Length, System.Buffers.Binary.BinaryPrimitives.ReadInt32BigEndian(head));
        var heic = false;
        for (var at = 8; at + 4 <= length; at += at == 8 ? 8 : 4)
        {
            var brand = head[at..(at + 4)];
            if (brand.SequenceEqual("avif"u8) || brand.SequenceEqual("avis"u8))
                return Avif;
            heic |= brand.StartsWith("hei"u8) || brand.StartsWith("hev"u8) || brand.SequenceEqual("mif1"u8);
        }

        return heic ? Heic : Unknown;
    }

    private static bool LooksLikeSvg(ReadOnlySpan<byte> head)
    {
        var text = Encoding.UTF8.GetString(head).TrimStart('\uFEFF', ' ', '\t', '\r', '\n');
        return text.StartsWith('<') && text.Contains("<svg", StringComparison.OrdinalIgnoreCase);
    }

    private static PictureKind NotTaken(string name, string type) => new(name, type, $"{name} files are not taken; send {Taken}.");
}
