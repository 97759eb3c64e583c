using Marketplace.Local.Sidecar.RunFile;

namespace Marketplace.Local.Launcher;

/// <summary>An app of dapr.yaml as it lies on disk.</summary>
public sealed record LocalService(RunApp App)
{
    public string AppId => App.AppId;

    public string Output => Path.GetFullPath(App.Command.FirstOrDefault(part => part.EndsWith(".dll", StringComparison.Ordinal)) ?? "", App.Folder);

    public string? Project => Directory.EnumerateFiles(App.Folder, "*.csproj").FirstOrDefault();

    /// <summary>A service with migrations has a database, named after its app id.</summary>
    public string? Database => Directory.Exists(Path.Combine(App.Folder, "Migrations")) ? App.AppId.Replace('-', '_') : null;
}
