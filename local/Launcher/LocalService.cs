using System.Text.Json;
using Marketplace.Local.Sidecar.RunFile;

namespace Marketplace.Local.Launcher;

/// <summary>An app of dapr.yaml as it lies on disk.</summary>
public sealed record LocalService(RunApp App)
{
    public string AppId => App.AppId;

    public string Output => Path.GetFullPath(App.Command.FirstOrDefault(part => part.EndsWith(".dll", StringComparison.Ordinal)) ?? "", App.Folder);

    public string? Project => Directory.EnumerateFiles(App.Folder, "*.csproj").FirstOrDefault();

    /// <summary>By its app id, or by the name of the folder it lies in.</summary>
    public bool IsNamed(string name) => name == AppId || name == Path.GetFileName(Path.TrimEndingDirectorySeparator(App.Folder));

    /// <summary>The variable that an opt-in app's start script asks for: ORDER_FEED for order-feed.</summary>
    public string Switch => AppId.Replace('-', '_').ToUpperInvariant();

    /// <summary>Our own services tell when they can serve; of others we know only what dapr.yaml says of their health.</summary>
    public string ReadyPath => Project is not null ? "/readyz" : App.HealthCheck?.Path ?? "/";

    /// <summary>How many processes of it there may be, where its own settings limit them.</summary>
    public ReplicaLimit? Replicas => ReplicaLimit.Read(Path.Combine(App.Folder, "appsettings.json"));

    /// <summary>A service with migrations has a database, named after its app id.</summary>
    public string? Database => Directory.Exists(Path.Combine(App.Folder, "Migrations")) ? App.AppId.Replace('-', '_') : null;
}

/// <summary>
/// A service with an index or store of its own inside says in its settings that it lets one process in, and why; and, where that depends on
/// a setting, while which one has which value (<c>"While": { "Search:Engine": "lucene" }</c>).
/// </summary>
public sealed record ReplicaLimit(int AtMost, string Because, string File)
{
    public static ReplicaLimit? Read(string settings)
    {
        if (!System.IO.File.Exists(settings))
            return null;
        try
        {
            using var json = JsonDocument.Parse(System.IO.File.ReadAllBytes(settings), new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
            return json.RootElement.TryGetProperty("Replicas", out var replicas) && Applies(json.RootElement, replicas)
                ? new ReplicaLimit(replicas.GetProperty(nameof(AtMost)).GetInt32(), replicas.GetProperty(nameof(Because)).GetString()!, settings)
                : null;
        }
        catch (JsonException wrong)
        {
            throw new LaunchException($"{settings}:{wrong.LineNumber + 1}: not valid JSON: {wrong.Message}");
        }
    }

    private static bool Applies(JsonElement settings, JsonElement replicas) =>
        !replicas.TryGetProperty("While", out var conditions) || conditions.EnumerateObject().All(condition =>
            string.Equals(Environment.GetEnvironmentVariable(condition.Name.Replace(":", "__", StringComparison.Ordinal)) ?? Setting(settings, condition.Name), condition.Value.GetString(), StringComparison.OrdinalIgnoreCase));

    private static string? Setting(JsonElement settings, string path)
    {
        foreach (var name in path.Split(':'))
        {
            if (settings.ValueKind != JsonValueKind.Object || !settings.TryGetProperty(name, out settings))
                return null;
        }

        return settings.ToString();
    }
}
