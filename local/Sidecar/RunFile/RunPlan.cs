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

    public string? ApiListenAddresses { get; init; }
    public bool EnableProfiling { get; init; }
    public bool AppSsl { get; init; }
    public string? UnixDomainSocket { get; init; }

    /// <summary>The folder of Dapr's own programs.</summary>
    public string? RuntimePath { get; init; }

    /// <summary>Where each key of the app itself stands.</summary>
    public IReadOnlyDictionary<string, Place> Places { get; init; } = new Dictionary<string, Place>();
}

public enum LogDestination
{
    File,
    Console,
    FileAndConsole,
}

internal sealed class RunFileReader(string file, string home)
{
    public static readonly string[] TopKeys = ["version", "name", "common", "apps"];

    /// <summary>Keys that an app and the common part both have.</summary>
    public static readonly string[] CommonKeys =
    [
        "configFilePath", "appProtocol", "apiListenAddresses", "enableProfiling", "logLevel", "appMaxConcurrency", "placementHostAddress", "resourcesPath", "resourcesPaths", "appSSL",
        "maxBodySize", "readBufferSize", "enableAppHealthCheck", "appHealthCheckPath", "appHealthProbeInterval", "appHealthProbeTimeout", "appHealthThreshold", "enableApiLogging",
        "runtimePath", "env", "daprdLogDestination", "appLogDestination", "schedulerHostAddress",
    ];

    /// <summary>Keys of an app alone, as the CLI has them.</summary>
    public static readonly string[] AppKeys =
    [
        "appID", "appDirPath", "appChannelAddress", "appPort", "daprHTTPPort", "daprGRPCPort", "daprInternalGRPCPort", "metricsPort", "profilePort", "unixDomainSocket", "command",
        "containerImage", "containerImagePullPolicy", "createService",
    ];

    /// <summary>Keys that only this launcher acts on.</summary>
    public static readonly string[] OurKeys = ["optIn"];

    private static readonly string[] Ports = ["appPort", "daprHTTPPort", "daprGRPCPort", "daprInternalGRPCPort", "metricsPort", "profilePort"];

    private readonly string root = Path.GetDirectoryName(file)!;

    public RunPlan Read()
    {
        var documents = YamlView.Documents(file);
        if (documents is not [var document, ..]) throw new ResourceException(file, 1, "", "holds no document.");
        document.Only(TopKeys);
        if (document.Get("version").Int() != 1) throw document.Get("version").Error("must be 1.");

        var common = document.Find("common")?.Only(CommonKeys);
        var list = document.Get("apps");
        var apps = list.Items().Select(app => App(app, common)).ToList();
        if (apps.Count == 0) throw list.Error("names no app.");

        var ids = new Dictionary<string, Place>();
        var ports = new Dictionary<int, (string Key, Place Place)>();
        foreach (var (app, view) in apps.Zip(list.Items()))
        {
            var name = view.Find("appID") ?? view.Get("appDirPath");
            if (!ids.TryAdd(app.AppId, name.Place)) throw name.Error($"app id {app.AppId} is taken by the app at {ids[app.AppId]}; give this one another.");
            foreach (var key in Ports.Where(key => view.Find(key) is not null))
            {
                var port = view.Get(key);
                if (port.Int() > 0 && !ports.TryAdd(port.Int(), (key, port.Place)))
                    throw port.Error($"port {port.Int()} is the {ports[port.Int()].Key} at {ports[port.Int()].Place} already; take another.");
            }
        }

        return new RunPlan(file, document.Find("name")?.Scalar(), apps);
    }

    private RunApp App(YamlView app, YamlView? common)
    {
        app.Only([.. AppKeys, .. CommonKeys, .. OurKeys]);
        var folderView = app.Get("appDirPath");
        if (folderView.Scalar().Length == 0) throw folderView.Error("is required.");
        var folder = Existing(folderView, root, directory: true);
        var appId = Given(app, "appID")?.Scalar() ?? Path.GetFileName(Path.TrimEndingDirectorySeparator(folder));

        // A value of the app counts unless it is the zero of its type: then the common one is taken, also over an explicit false or 0.
        string? Text(string key) => Either(key)?.Scalar();
        bool Flag(string key) => (app.Find(key)?.LooseBool() ?? false) || (common?.Find(key)?.LooseBool() ?? false);
        int? Number(string key) => app.Find(key)?.Int() is { } own and not 0 ? own : common?.Find(key)?.Int() is { } shared and not 0 ? shared : null;
        int? Port(string key) => app.Find(key)?.Int(max: 65535) is { } port and > 0 ? port : null;

        // These two are pointers in the CLI: an address that is given and empty counts, and means none.
        string? Address(string key) => (app.Find(key) ?? common?.Find(key))?.Scalar().Trim();

        var environment = new Dictionary<string, string>(common?.Find("env")?.TextMap() ?? new Dictionary<string, string>());
        foreach (var (name, value) in app.Find("env")?.TextMap() ?? new Dictionary<string, string>())
            environment[name] = value;

        if (Given(app, "containerImagePullPolicy") is { } policy && policy.Scalar() is not ("Always" or "Never" or "IfNotPresent"))
            throw policy.Error($"must be Always, Never or IfNotPresent, not {policy.Scalar()}.");

        // Only Kubernetes uses it; the CLI still refuses what is no boolean.
        app.Find("createService")?.LooseBool();

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
            Given(app, "appChannelAddress")?.Scalar() ?? "127.0.0.1",
            Port("daprHTTPPort"),
            Port("daprGRPCPort"),
            Port("daprInternalGRPCPort"),
            Port("metricsPort"),
            Port("profilePort"),
            Resources(app, common, folder),
            Config(app, common, folder),
            Protocol(Either("appProtocol"), Flag("appSSL")),
            environment,
            health,
            Number("appMaxConcurrency") is { } calls and > 0 ? calls : -1,
            Bytes("maxBodySize", 4 << 20),
            (int)Math.Min(int.MaxValue, Bytes("readBufferSize", 4 << 10)),
            Destination("appLogDestination", LogDestination.FileAndConsole),
            Destination("daprdLogDestination", LogDestination.File),
            Text("logLevel"),
            Flag("enableApiLogging"),
            Address("placementHostAddress"),
            Address("schedulerHostAddress"),
            app.Place)
        {
            OptIn = app.Find("optIn")?.LooseBool() ?? false,
            HasOwnResources = Paths(app, folder).Count > 0 || Directory.Exists(Path.Combine(folder, ".dapr", "resources")),
            ApiListenAddresses = Text("apiListenAddresses"),
            EnableProfiling = Flag("enableProfiling"),
            AppSsl = Flag("appSSL"),
            UnixDomainSocket = Given(app, "unixDomainSocket")?.Scalar(),
            RuntimePath = Given(app, "runtimePath") is { } own ? Existing(own, folder, directory: true)
                : Given(common, "runtimePath") is { } shared ? Existing(shared, root, directory: true) : null,
            Places = app.Entries().ToDictionary(entry => entry.Key, entry => entry.Value.Place),
        };

        YamlView? Either(string key) => Given(app, key) ?? Given(common, key);

        // A size below zero is daprd's word for no limit.
        long Bytes(string key, long otherwise) => Either(key) is { } view
            ? Quantity.TryParse(view.Scalar(), out var bytes) ? (bytes < 0 ? -1 : bytes) : throw view.Error($"must be a size such as 4Mi or 4194304, not {view.Scalar()}.")
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

    /// <summary>Empty text is the zero of its type: as good as absent.</summary>
    private static YamlView? Given(YamlView? part, string key) => part?.Find(key) is { } view && (view.IsList || view.IsMapping || view.Scalar().Length > 0) ? view : null;

    private static string Protocol(YamlView? view, bool ssl) => (view?.Scalar().ToLowerInvariant() ?? "http") switch
    {
        // The older way to ask for TLS.
        "http" => ssl ? "https" : "http",
        "grpc" => ssl ? "grpcs" : "grpc",
        var known and ("https" or "grpcs" or "h2c") => known,
        var other => throw view!.Error($"must be http, https, grpc, grpcs or h2c, not {other}."),
    };

    private List<string> Resources(YamlView app, YamlView? common, string folder)
    {
        // Looked at even when the app has its own: the CLI refuses a path that does not exist wherever it stands.
        var shared = common is not null ? Paths(common, root) : [];
        if (Paths(app, folder) is { Count: > 0 } own) return own;
        var inApp = Path.Combine(folder, ".dapr", "resources");
        if (Directory.Exists(inApp)) return [inApp];
        if (shared.Count > 0) return shared;
        var inHome = Path.Combine(home, ".dapr", "components");
        return Directory.Exists(inHome) ? [inHome] : [];
    }

    private List<string> Paths(YamlView part, string from)
    {
        List<string> paths = [.. part.Find("resourcesPaths")?.Items().Select(path => Existing(path, from, directory: true)) ?? []];
        if (Given(part, "resourcesPath") is { } single) paths.Add(Existing(single, from, directory: true));
        return paths;
    }

    private string? Config(YamlView app, YamlView? common, string folder)
    {
        var shared = Given(common, "configFilePath") is { } path ? Existing(path, root, directory: false) : null;
        if (Given(app, "configFilePath") is { } own) return Existing(own, folder, directory: false);
        var inApp = Path.Combine(folder, ".dapr", "config.yaml");
        if (System.IO.File.Exists(inApp)) return inApp;
        if (shared is not null) return shared;
        var inHome = Path.Combine(home, ".dapr", "config.yaml");
        return System.IO.File.Exists(inHome) ? inHome : null;
    }

    private string Existing(YamlView view, string from, bool directory)
    {
        var text = view.Scalar();
        var expanded = text == "~" || text.StartsWith("~/", StringComparison.Ordinal) ? home + text[1..] : text;
        var path = Path.GetFullPath(expanded, from);
        if (directory ? !Directory.Exists(path) : !System.IO.File.Exists(path))
        {
            var beside = Path.GetDirectoryName(path) is { } parent && Directory.Exists(parent)
                ? (directory ? Directory.EnumerateDirectories(parent) : Directory.EnumerateFiles(parent)).Select(one => Path.GetFileName(one)) : [];
            throw view.Error($"there is no {(directory ? "folder" : "file")} {path}{Nearest.Hint(Path.GetFileName(path), beside)}.");
        }

        return path;
    }
}

/// <summary>Sizes as Kubernetes writes them: 4194304, 4Mi, 1.5Gi, 16k, 1e6.</summary>
internal static class Quantity
{
    public static bool TryParse(string text, out long bytes)
    {
        bytes = 0;
        var end = text.Length;
        while (end > 0 && char.IsLetter(text[end - 1])) end--;
        var unit = text[end..] switch
        {
            "" => 1m,
            "m" => 0.001m,
            "k" => 1e3m,
            "M" => 1e6m,
            "G" => 1e9m,
            "T" => 1e12m,
            "Ki" => 1024m,
            "Mi" => 1024m * 1024,
            "Gi" => 1024m * 1024 * 1024,
            "Ti" => 1024m * 1024 * 1024 * 1024,
            _ => 0m,
        };
        if (unit == 0 || !decimal.TryParse(text.AsSpan(0, end), NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent, CultureInfo.InvariantCulture, out var number)) return false;
        if (Math.Abs(number) > long.MaxValue / unit) return false;
        bytes = (long)Math.Ceiling(number * unit);
        return true;
    }
}
