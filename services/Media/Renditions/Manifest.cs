using Marketplace.Contracts;
using Marketplace.Media.Storage;

namespace Marketplace.Media.Renditions;

/// <param name="Hash">SHA-256 of the bytes, lower-case hexadecimal.</param>
public sealed record RenditionFile(int Box, string Format, int Width, int Height, long Bytes, string Hash)
{
    public string Extension => Format == PictureMaker.Jpeg ? "jpg" : Format;

    public string ContentType => $"image/{Format}";
}

/// <summary>What became of an original, written when all of it is stored; whoever finds it has nothing left to make.</summary>
/// <param name="MadeBy">The version of libvips. A newer one looks again at what an older one could not read.</param>
public sealed record Manifest(int Width, int Height, IReadOnlyList<RenditionFile> Files, string MadeBy, string? Refusal = null)
{
    public static string Address(string imageId, RenditionFile file) => $"/api/v1/media/{imageId}/{file.Box}.{file.Extension}";

    public RenditionFile? Find(int box, string extension) => Files.FirstOrDefault(file => file.Box == box && file.Extension == extension);

    public IReadOnlyList<ImageRendition> Renditions(string imageId) =>
        [.. Files.OrderBy(file => file.Box).Select(file => new ImageRendition(file.Box, file.Format, file.Width, file.Height, file.Bytes, Address(imageId, file)))];

    public static string NameOf(string imageId, RenditionFile file) => MediaNames.Rendition(imageId, file.Box, file.Hash, file.Extension);
}
