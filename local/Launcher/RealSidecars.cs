using System.Globalization;
using System.Text.Json;
using Marketplace.Local.Sidecar.RunFile;

namespace Marketplace.Local.Launcher;

/// <summary>
/// A real Dapr: placement, scheduler and one daprd for each app instance, started as <c>dapr run -f</c> starts them, each with a log of
/// its own and started again when it dies. An app's daprd stays when the app ends: it waits for its return, as in Kubernetes.
/// </summary>
internal sealed class RealSidecars : ISidecars
{
    private const string Loopback = "127.0.0.1";
    private static readonly HttpClient Probe = new(new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(1) }) { Timeout = TimeSpan.FromSeconds(3) };

    private readonly DaprPrograms programs;
    private readonly DataFolder data;
    private readonly KeyRing keys;
    private readonly PortBook ports;
    private readonly IReadOnlyList<AppInstance> instances;

    public RealSidecars(DaprPrograms programs, DataFolder data, KeyRing keys, PortBook ports, IReadOnlyList<AppInstance> instances, IReadOnlyList<Part> needs, Action changed)
    {
        this.programs = programs;
        this.data = data;
        this.keys = keys;
        this.ports = ports;
        this.instances = instances;
        var placement = new Part("placement", "dapr", changed) { Port = ports.Take("placement", null) };
        var scheduler = new Part("scheduler", "dapr", changed) { Port = ports.Take("scheduler", null) };
        Parts =
        [
            placement, scheduler,
            .. instances.Select(instance => new Part(LogName(instance), "dapr", changed) { Port = instance.HttpPort, Needs = [.. needs, placement, scheduler] }),
        ];
    }

    public IReadOnlyList<Part> Parts { get; }
    public string ControlUrl => "";

    private Part Placement => Parts[0];
    private Part Scheduler => Parts[1];

    public async Task StartAsync(string set, CancellationToken ct)
    {
        var folder = Directory.CreateDirectory(Path.Combine(data.Root, "dapr")).FullName;
        StartPlacement(folder);
        StartScheduler(folder);
        await Task.WhenAll(Placement.UntilReadyAsync(TimeSpan.FromSeconds(60), ct), Scheduler.UntilReadyAsync(TimeSpan.FromSeconds(60), ct));

        var names = await NamesAsync(folder, ct);
        foreach (var (instance, part) in instances.Zip(Parts.Skip(2)))
        {
            part.Port = instance.HttpPort;
            var flags = Flags(instance.Service.App, new DaprdPorts(instance.Port, instance.HttpPort, instance.GrpcPort,
                    ports.Take($"{instance.Name}/internal", instance.IsFirst ? instance.Service.App.DaprInternalGrpcPort : null),
                    ports.Take($"{instance.Name}/metrics", instance.IsFirst ? instance.Service.App.MetricsPort : null)),
                set, names, $"{Loopback}:{Text(Placement.Port!.Value)}", $"{Loopback}:{Text(Scheduler.Port!.Value)}");
            var environment = new Dictionary<string, string?>
            {
                ["APP_API_TOKEN"] = keys.AppToken,
                ["MARKETPLACE_SECRETS"] = data.Secrets,

                // The address that others are given for this one: the machine's own may lead through a firewall.
                ["DAPR_HOST_IP"] = Environment.GetEnvironmentVariable("DAPR_HOST_IP") is { Length: > 0 } address ? address : Loopback,
            };
            part.Start(
                new ChildSpec(part.Name, [programs.Daprd, .. flags], instance.Service.App.Folder, data.FreshLog(part.Name)) { Environment = environment },
                token => LocalSystem.OkAsync($"http://{Loopback}:{Text(instance.HttpPort)}/v1.0/healthz/outbound", token));
        }

        ports.Save();
    }

    /// <summary>
    /// The port of the app is open (that is what /healthz waits for) and, where the app listens to topics, they are subscribed to.
    /// </summary>
    public async Task<bool> KnowsAsync(AppInstance instance, CancellationToken ct)
    {
        var sidecar = $"http://{Loopback}:{Text(instance.HttpPort)}/v1.0";
        if (!await LocalSystem.OkAsync($"{sidecar}/healthz", ct))
            return false;
        if (instance.Service.App.AppProtocol != "http" || await CountAsync($"http://{Loopback}:{Text(instance.Port)}/dapr/subscribe", null, keys.AppToken, ct) is null or 0)
            return true;
        return await CountAsync($"{sidecar}/metadata", "subscriptions", Environment.GetEnvironmentVariable("DAPR_API_TOKEN"), ct) > 0;
    }

    public async Task StopAsync()
    {
        await Task.WhenAll(Parts.Skip(2).Select(part => part.StopAsync()));
        await Task.WhenAll(Placement.StopAsync(), Scheduler.StopAsync());
    }

    /// <summary>
    /// What the Dapr CLI passes to daprd for the same keys of dapr.yaml, in its order. Ours are the first --config (the app's own is laid
    /// over it), the addresses of our placement and scheduler where the file names none, and that nothing listens beyond loopback.
    /// </summary>
    internal static List<string> Flags(RunApp app, DaprdPorts ports, string set, string namesConfig, string placement, string scheduler)
    {
        List<string> flags = ["--config", namesConfig];
        void Add(string flag, string? value)
        {
            if (!string.IsNullOrEmpty(value))
                flags.AddRange([flag, value]);
        }

        void Switch(string flag, bool on)
        {
            if (on)
                flags.Add(flag);
        }

        Add("--config", app.ConfigFile);
        Add("--app-protocol", app.AppProtocol);
        Add("--dapr-listen-addresses", app.ApiListenAddresses);
        Switch("--enable-profiling", app.EnableProfiling);
        Add("--log-level", app.LogLevel);
        Add("--app-max-concurrency", Text(app.MaxConcurrency));
        Add("--placement-host-address", app.PlacementAddress is { } placed ? WithPort(placed, "50005") : placement);
        foreach (var path in app.HasOwnResources ? app.ResourcesPaths : [set])
            Add("--resources-path", path);
        Add("--max-body-size", Size(app.MaxBodyBytes));
        Add("--read-buffer-size", Size(app.ReadBufferBytes));
        if (app.HealthCheck is { } check)
        {
            flags.Add("--enable-app-health-check");
            Add("--app-health-check-path", check.Path);
            Add("--app-health-probe-interval", Text((int)check.Interval.TotalSeconds));
            Add("--app-health-probe-timeout", Text((int)check.Timeout.TotalMilliseconds));
            Add("--app-health-threshold", Text(check.Threshold));
        }

        Switch("--enable-api-logging", app.EnableApiLogging);
        Add("--scheduler-host-address", app.SchedulerAddress is { } scheduled ? WithPort(scheduled, "50006") : scheduler);
        Add("--app-id", app.AppId);
        Add("--app-channel-address", app.AppChannelAddress == Loopback ? null : app.AppChannelAddress);
        Add("--app-port", Text(ports.App));
        Add("--dapr-http-port", Text(ports.Http));
        Add("--dapr-grpc-port", Text(ports.Grpc));
        Add("--profile-port", Text(app.ProfilePort ?? -1));
        Add("--metrics-port", Text(ports.Metrics));
        Add("--unix-domain-socket", app.UnixDomainSocket);
        Add("--dapr-internal-grpc-port", Text(ports.Internal));
        Add("--metrics-listen-address", Loopback);
        Add("--dapr-internal-grpc-listen-address", Loopback);
        return flags;
    }

    private void StartPlacement(string folder)
    {
        var health = ports.Take("placement/health", null);
        Placement.Start(
            new ChildSpec("placement",
            [
                programs.Placement, "--id", "marketplace", "--initial-cluster", $"marketplace={Loopback}:{Text(ports.Take("placement/raft", null))}",
                "--port", Text(Placement.Port!.Value), "--listen-address", Loopback, "--healthz-port", Text(health), "--healthz-listen-address", Loopback, "--enable-metrics=false",
            ], folder, data.FreshLog("placement")),
            token => LocalSystem.OkAsync($"http://{Loopback}:{Text(health)}/healthz", token));
    }

    private void StartScheduler(string folder)
    {
        var health = ports.Take("scheduler/health", null);
        Scheduler.Start(
            new ChildSpec("scheduler",
            [
                programs.Scheduler, "--id", "marketplace", "--port", Text(Scheduler.Port!.Value), "--listen-address", Loopback,
                "--override-broadcast-host-port", $"{Loopback}:{Text(Scheduler.Port.Value)}",
                "--healthz-port", Text(health), "--healthz-listen-address", Loopback, "--enable-metrics=false",
                "--etcd-data-dir", Directory.CreateDirectory(Path.Combine(folder, "scheduler")).FullName,
                "--etcd-client-port", Text(ports.Take("scheduler/etcd", null)),
                "--etcd-initial-cluster", $"marketplace=http://{Loopback}:{Text(ports.Take("scheduler/etcd-peer", null))}",
                "--identity-directory-write", Path.Combine(folder, "identity"),
            ], folder, data.FreshLog("scheduler")),
            token => LocalSystem.OkAsync($"http://{Loopback}:{Text(health)}/healthz", token));
    }

    /// <summary>
    /// A Configuration that lets the daprds of this machine find each other through a SQLite file. Their own way is multicast DNS, which is
    /// closed in containers, on many CI machines and by many a firewall; then every call ends with "couldn't find service".
    /// </summary>
    private static async Task<string> NamesAsync(string folder, CancellationToken ct)
    {
        // Addresses of the last run lead nowhere.
        foreach (var old in Directory.GetFiles(folder, "names.db*"))
            File.Delete(old);
        var file = Path.Combine(folder, "names.yaml");
        await File.WriteAllTextAsync(file, $"""
            # Laid under the app's own configuration: without it the sidecars look for each other by multicast DNS, which containers,
            # CI machines and firewalls often close.
            apiVersion: dapr.io/v1alpha1
            kind: Configuration
            metadata:
              name: names
            spec:
              nameResolution:
                component: sqlite
                version: v1
                configuration:
                  connectionString: {JsonSerializer.Serialize(Path.Combine(folder, "names.db"))}

            """, ct);
        return file;
    }

    /// <summary>How many items the list has, or the list under a name; null where there is none.</summary>
    private static async Task<int?> CountAsync(string url, string? name, string? token, CancellationToken ct)
    {
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, url);
            if (!string.IsNullOrEmpty(token))
                request.Headers.Add("dapr-api-token", token);
            using var response = await Probe.SendAsync(request, ct);
            if (!response.IsSuccessStatusCode)
                return null;
            using var json = await JsonDocument.ParseAsync(await response.Content.ReadAsStreamAsync(ct), cancellationToken: ct);
            var list = json.RootElement;
            if (name is not null && !list.TryGetProperty(name, out list))
                return 0;
            return list.ValueKind == JsonValueKind.Array ? list.GetArrayLength() : null;
        }
        catch (Exception failure) when (failure is HttpRequestException or JsonException || failure is TaskCanceledException && !ct.IsCancellationRequested)
        {
            return null;
        }
    }

    private static string LogName(AppInstance instance) => $"{instance.Name}-daprd";

    private static string? WithPort(string address, string port) => address.Length == 0 ? null : address.Contains(':', StringComparison.Ordinal) ? address : $"{address}:{port}";

    private static string Size(long bytes) => bytes switch
    {
        > 0 when bytes % (1 << 20) == 0 => $"{Text(bytes >> 20)}Mi",
        > 0 when bytes % (1 << 10) == 0 => $"{Text(bytes >> 10)}Ki",
        _ => Text(bytes),
    };

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);
}

internal readonly record struct DaprdPorts(int App, int Http, int Grpc, int Internal, int Metrics);
