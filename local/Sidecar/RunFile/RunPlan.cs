using System.Globalization;
using Marketplace.Local.Sidecar.Resources;

namespace Marketplace.Local.Sidecar.RunFile;

/// <summary>A multi-app run file (dapr.yaml, version 1), with the common part merged into every app as the Dapr CLI merges it.</summary>
public sealed record RunPlan(string File, string? Name, IReadOnlyList<RunApp> Apps)
{
    /// <param name="path">The file, or the folder that holds a dapr.yaml.</param>
    /// <param name="home">The home folder, where the CLI looks for <c>.dapr/components</c> last.</param>
    public static RunPlan Read(string path, string? home = null)
    {
        var file = Directory.Exists(path) ? Path.Combine(path, "dapr.yaml") : path;
        if (!System.IO.File.Exists(file)) throw new ResourceException(file, 0, "", "there is no such file.");

        file = Path.GetFullPath(file);
        return new RunFileReader(file, home ?? Environment.GetFolderPath(Environment.SpecialFolder.UserProfile)).Read();
    }
}

/// <summary>One app of a run file. Paths are absolute; a port the file leaves out is null: choose a free one.</summary>
public sealed record RunApp(
    string AppId,
    string Folder,
    IReadOnlyList<string> Command,
    int? AppPort,
    string AppChannelAddress,
    int? DaprHttpPort,
    int? DaprGrpcPort,
    int? DaprInternalGrpcPort,
    int? MetricsPort,
    int? ProfilePort,
    IReadOnlyList<string> ResourcesPaths,
    string? ConfigFile,
    string AppProtocol,
    IReadOnlyDictionary<string, string> Environment,
    AppHealthCheck? HealthCheck,
    int MaxConcurrency,
    long MaxBodyBytes,
    int ReadBufferBytes,
    LogDestination AppLog,
    LogDestination DaprdLog,
    string? LogLevel,
    bool EnableApiLogging,
    string? PlacementAddress,
    string? SchedulerAddress,
    Place Place)
{
    /// <summary>Ours: the app is started only when asked for by name. The Dapr CLI ignores the key, as every key it does not know.</summary>
    public bool OptIn { get; init; }

    /// <summary>True when the app names resources of its own, so that those of the common part do not count.</summary>
    public bool HasOwnResources { get; init; }
}

public enum LogDestination
{
    File,
    Console,
    FileAndConsole,
}

internal sealed class RunFileReader(string file, string home)
{
    private readonly string root = Path.GetDirectoryName(file)!;

    public RunPlan Read()
    {
        var documents = YamlView.Documents(file);
        if (documents is not [var document, ..]) throw new ResourceException(file, 1, "", "holds no document.");
        if (document.Get("version").Int() != 1) throw document.Get("version").Error("must be 1.");

        var common = document.Find("common");
        var list = document.Get("apps");
        var apps = list.Items().Select(app => App(app, common)).ToList();
        if (apps.Count == 0) throw list.Error("names no app.");

        var seen = new HashSet<string>();
        foreach (var (app, view) in apps.Zip(list.Items()))
        {
            if (!seen.Add(app.AppId)) throw (view.Find("appID") ?? view).Error($"app id {app.AppId} is taken by an earlier app.");
        }

        return new RunPlan(file, document.Find("name")?.Scalar(), apps);
    }

    private RunApp App(YamlView app, YamlView? common)
    {
        var folderView = app.Get("appDirPath");
        var folder = Existing(folderView, root, directory: true);
        var appId = app.Find("appID")?.Scalar() ?? Path.GetFileName(folder.TrimEnd('/'));

        // A value of the app counts unless it is the zero of its type: then the common one is taken, also over an explicit false or 0.
        string? Text(string key) => app.Find(key)?.Scalar() is { Length: > 0 } own ? own : common?.Find(key)?.Scalar();
        bool Flag(string key) => (app.Find(key)?.Bool() ?? false) || (common?.Find(key)?.Bool() ?? false);
        int? Number(string key) => app.Find(key)?.Int() is { } own and not 0 ? own : common?.Find(key)?.Int() is { } shared and not 0 ? shared : null;
        int? Port(string key) => app.Find(key)?.Int(0, 65535) is { } port and not 0 ? port : null;

        var environment = new Dictionary<string, string>(common?.Find("env")?.TextMap() ?? new Dictionary<string, string>());
        foreach (var (name, value) in app.Find("env")?.TextMap() ?? new Dictionary<string, string>())
            environment[name] = value;

        var health = Flag("enableAppHealthCheck")
            ? new AppHealthCheck(
                Text("appHealthCheckPath") is { Length: > 0 } path ? (path.StartsWith('/') ? path : "/" + path) : "/healthz",
                TimeSpan.FromSeconds(Number("appHealthProbeInterval") ?? 5),
                TimeSpan.FromMilliseconds(Number("appHealthProbeTimeout") ?? 500),
                Number("appHealthThreshold") ?? 3)
            : null;

        return new RunApp(
            appId,
            folder,
            [.. app.Find("command")?.Items().Select(part => part.Scalar()) ?? []],
            Port("appPort"),
            app.Find("appChannelAddress")?.Scalar() ?? "127.0.0.1",
            Port("daprHTTPPort"),
            Port("daprGRPCPort"),
            Port("daprInternalGRPCPort"),
            Port("metricsPort"),
            Port("profilePort"),
            Resources(app, common, folder),
            Config(app, common, folder),
            Protocol(app, common),
            environment,
            health,
            Number("appMaxConcurrency") ?? -1,
            Bytes("maxBodySize", 4 << 20),
            (int)Bytes("readBufferSize", 4 << 10),
            Destination("appLogDestination", LogDestination.FileAndConsole),
            Destination("daprdLogDestination", LogDestination.File),
            Text("logLevel"),
            Flag("enableApiLogging"),
            Text("placementHostAddress"),
            Text("schedulerHostAddress"),
            app.Place)
        {
            OptIn = app.Find("optIn")?.Bool() ?? false,
            HasOwnResources = Paths(app, folder).Count > 0 || Directory.Exists(Path.Combine(folder, ".dapr", "resources")),
        };

        YamlView? Either(string key) => app.Find(key) is { } own && own.Scalar() is not ("" or "0") ? own : common?.Find(key);

        long Bytes(string key, long otherwise) => Either(key) is { } view
            ? Quantity.TryParse(view.Scalar(), out var bytes) && bytes > 0 ? bytes : throw view.Error($"must be a size such as 4Mi or 4194304, not {view.Scalar()}.")
            : otherwise;

        LogDestination Destination(string key, LogDestination otherwise) => Either(key) is { } view
            ? view.Scalar() switch
            {
                "file" => LogDestination.File,
                "console" => LogDestination.Console,
                "fileAndConsole" => LogDestination.FileAndConsole,
                var other => throw view.Error($"must be file, console or fileAndConsole, not {other}."),
            }
            : otherwise;
    }

    private static string Protocol(YamlView app, YamlView? common)
    {
        var view = app.Find("appProtocol") ?? common?.Find("appProtocol");
        return view?.Scalar() switch
        {
            null or "" => "http",
            var known and ("http" or "https" or "grpc" or "grpcs" or "h2c") => known,
            var other => throw view.Error($"must be http, https, grpc, grpcs or h2c, not {other}."),
        };
    }

    private List<string> Resources(YamlView app, YamlView? common, string folder)
    {
        if (Paths(app, folder) is { Count: > 0 } own) return own;
        var inApp = Path.Combine(folder, ".dapr", "resources");
        if (Directory.Exists(inApp)) return [inApp];
        if (common is not null && Paths(common, root) is { Count: > 0 } shared) return shared;
        var inHome = Path.Combine(home, ".dapr", "components");
        return Directory.Exists(inHome) ? [inHome] : [];
    }

    private List<string> Paths(YamlView part, string from)
    {
        List<string> paths = [.. part.Find("resourcesPaths")?.Items().Select(path => Existing(path, from, directory: true)) ?? []];
        if (part.Find("resourcesPath") is { } single) paths.Add(Existing(single, from, directory: true));
        return paths;
    }

    private string? Config(YamlView app, YamlView? common, string folder)
    {
        if (app.Find("configFilePath") is { } own) return Existing(own, folder, directory: false);
        var inApp = Path.Combine(folder, ".dapr", "config.yaml");
        if (System.IO.File.Exists(inApp)) return inApp;
        if (common?.Find("configFilePath") is { } shared) return Existing(shared, root, directory: false);
        var inHome = Path.Combine(home, ".dapr", "config.yaml");
        return System.IO.File.Exists(inHome) ? inHome : null;
    }

    private string Existing(YamlView view, string from, bool directory)
    {
        var text = view.Scalar();
        var expanded = text == "~" || text.StartsWith("~/", StringComparison.Ordinal) ? home + text[1..] : text;
        var path = Path.GetFullPath(expanded, from);
        if (directory ? !Directory.Exists(path) : !System.IO.File.Exists(path))
            throw view.Error($"there is no {(directory ? "folder" : "file")} {path}.");
        return path;
    }
}

/// <summary>Sizes as Kubernetes writes them: 4194304, 4Mi, 16k.</summary>
internal static class Quantity
{
    public static bool TryParse(string text, out long bytes)
    {
        var digits = text.AsSpan().IndexOfAnyExceptInRange('0', '9');
        var unit = digits < 0 ? 1 : text[digits..] switch
        {
            "k" => 1_000,
            "M" => 1_000_000,
            "G" => 1_000_000_000,
            "Ki" => 1L << 10,
            "Mi" => 1L << 20,
            "Gi" => 1L << 30,
            _ => 0,
        };
        var number = digits < 0 ? text : text[..digits];
        bytes = 0;
        if (unit == 0 || !long.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var count) || count > long.MaxValue / unit) return false;
        bytes = count * unit;
        return true;
    }
}
