using Marketplace.Local.Launcher;

namespace Marketplace.Local.Tests;

/// <summary>Published data that this repository does not ship: beside the checkout, or where MARKETPLACE_SHARED_DATA says.</summary>
internal static class Outside
{
    public static string? Find(string path)
    {
        if (Environment.GetEnvironmentVariable("MARKETPLACE_SHARED_DATA") is { Length: > 0 } named)
            return Existing(Path.Combine(named, path));
        for (var folder = Directory.GetParent(SourceTree.Find().Root); folder is not null; folder = folder.Parent)
        {
            if (Existing(Path.Combine(folder.FullName, "shared", "data", path)) is { } found)
                return found;
        }

        return null;
    }

    private static string? Existing(string path) => File.Exists(path) || Directory.Exists(path) ? path : null;
}
