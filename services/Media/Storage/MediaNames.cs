using System.Text.RegularExpressions;

namespace Marketplace.Media.Storage;

/// <summary>Where things lie behind the binding.</summary>
public static partial class MediaNames
{
    public static string Original(string imageId) => $"originals/{imageId}";

    public static string Manifest(string imageId) => $"renditions/{imageId}/manifest.json";

    /// <summary>Named by its own contents too: two versions of libvips, one after the other or at once, cannot mix up their files.</summary>
    public static string Rendition(string imageId, int box, string hash, string extension) => $"renditions/{imageId}/{box}-{hash[..32]}.{extension}";

    /// <summary>Whether it is a name that this service gave; it becomes part of a path.</summary>
    public static bool IsImageId(string? text) => text is not null && ImageId().IsMatch(text);

    [GeneratedRegex("^[0-9a-f]{64}\\z")]
    private static partial Regex ImageId();
}
