using NetVips;

namespace Marketplace.Media.Uploads;

/// <summary>What a picture says of itself before any of it is unpacked.</summary>
/// <param name="Width">As it is looked at: turned as its EXIF orientation says.</param>
public sealed record PictureHeader(int Width, int Height, int Frames, long Unpacked)
{
    /// <summary>Null when not even the header can be read.</summary>
    public static PictureHeader? Read(byte[] file)
    {
        try
        {
            using var picture = Image.NewFromBuffer(file, access: Enums.Access.Sequential);
            var frames = picture.Contains("n-pages") && picture.Get("n-pages") is int pages ? pages : 1;
            var turned = picture.Contains("orientation") && picture.Get("orientation") is int and >= 5 and <= 8;
            var each = picture.Bands * (picture.Format is Enums.BandFormat.Uchar or Enums.BandFormat.Char ? 1L : picture.Format is Enums.BandFormat.Ushort or Enums.BandFormat.Short ? 2L : 4L);
            var (width, height) = turned ? (picture.Height, picture.Width) : (picture.Width, picture.Height);
            return new PictureHeader(width, height, frames, (long)width * height * each);
        }
        catch (VipsException)
        {
            return null;
        }
    }

    /// <summary>Why it is too much; null when it is not.</summary>
    public string? Excess(UploadOptions limits)
    {
        if ((long)Width * Height > limits.MostPixels || Unpacked > limits.MostUnpacked)
            return $"The picture is {Width} by {Height} pixels; at most {limits.MostPixels / 1_000_000} million are taken, half of that with 16 bits a channel.";
        return Frames > limits.MostFrames ? $"The picture has {Frames} frames; at most {limits.MostFrames} are taken." : null;
    }
}
