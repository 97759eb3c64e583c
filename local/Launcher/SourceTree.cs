namespace Marketplace.Local.Launcher;

/// <summary>The checkout this program was built from: where dapr.yaml, the services and the component sets are.</summary>
public sealed record SourceTree(string Root)
{
    public string RunFile => Path.Combine(Root, "dapr.yaml");
    public string Solution => Path.Combine(Root, "Marketplace.sln");

    public static SourceTree Find()
    {
        foreach (var start in (string[])[Directory.GetCurrentDirectory(), AppContext.BaseDirectory])
        {
            for (var folder = new DirectoryInfo(start); folder is not null; folder = folder.Parent)
            {
                if (File.Exists(Path.Combine(folder.FullName, "dapr.yaml")) && File.Exists(Path.Combine(folder.FullName, "Marketplace.sln")))
                    return new SourceTree(folder.FullName);
            }
        }

        throw new LaunchException("No dapr.yaml above this folder or above the program.", "Run it inside a checkout of the repository.");
    }
}

/// <summary>Something the person at the keyboard can act on; shown without a stack trace.</summary>
public sealed class LaunchException(string message, string? advice = null, Exception? inner = null) : Exception(message, inner)
{
    public string? Advice { get; } = advice;
}
