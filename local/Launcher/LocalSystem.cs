using System.Diagnostics;
using System.Globalization;
using Marketplace.Local.Pictures;
using Spectre.Console;

namespace Marketplace.Local.Launcher;

/// <summary>
/// The running marketplace: infrastructure, the sidecars and the services of dapr.yaml, started in an order that wastes no
/// time and stopped in one that loses nothing.
/// </summary>
public sealed class LocalSystem : IAsyncDisposable
{
    private static readonly HttpClient Probe = new(new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(1) }) { Timeout = TimeSpan.FromSeconds(3) };

    /// <summary>Pages and carts. When many orders (or starting processes) want all processors of one machine, the others stand back for these.</summary>
    private static readonly string[] ShoppersWaitFor = ["gateway", "catalog", "search", "cart", "inventory"];
    private readonly SystemPlan plan;
    private readonly LaunchOptions options;
    private readonly LaunchView view;
    private readonly FileStream guard;
    private readonly KeyRing keys;
    private readonly PortBook ports;
    private readonly Servers servers;
    private readonly List<Part> parts = [];
    private readonly List<AppInstance> instances = [];
    private readonly List<string> remarks = [];
    private readonly DateTime launcherStarted = Process.GetCurrentProcess().StartTime.ToUniversalTime();
    private readonly Lock writing = new();
    private ISidecars? sidecars;
    private int picturesPort;
    private WebApplication? pictures;
    private bool ready;
    private bool stopped;

    private LocalSystem(SystemPlan plan, DataFolder data, LaunchView view, FileStream guard)
    {
        this.plan = plan;
        options = plan.Options;
        this.view = view;
        this.guard = guard;
        Data = data;
        keys = KeyRing.Open(data);
        ports = new PortBook(data.Ports, options.FreePorts);
        servers = new Servers(plan, data, keys, ports, remarks, Changed);
    }

    public DataFolder Data { get; }

    /// <summary>Remarks for the person who started it, shown below the table.</summary>
    public IReadOnlyList<string> Remarks => remarks;

    /// <summary>After `infra`: the command that starts everything else, with its environment.</summary>
    public string GoOn { get; private set; } = "";

    public string OperatorPassword => keys.OperatorPassword;
    public string AppToken => keys.AppToken;

    /// <summary>Everything: builds, starts, migrates, waits. A failure stops what was already started.</summary>
    public static Task<LocalSystem> StartAsync(SourceTree tree, LaunchOptions options, LaunchView view, CancellationToken ct) =>
        StartAsync(SystemPlan.Read(tree, options, options.Sidecar), view, system => system.BringUpAsync(ct));

    /// <summary>Only what the services need from outside, with the databases made and the secrets written.</summary>
    public static Task<LocalSystem> StartInfrastructureAsync(SourceTree tree, LaunchOptions options, LaunchView view, CancellationToken ct) =>
        StartAsync(SystemPlan.Read(tree, options, SidecarKind.DaprCli), view, system => system.BringUpInfrastructureAsync(ct));

    /// <summary>As little as migrating takes.</summary>
    public static Task<LocalSystem> StartDatabasesAsync(SourceTree tree, LaunchOptions options, LaunchView view, CancellationToken ct) =>
        StartAsync(SystemPlan.Read(tree, options, SidecarKind.Local), view, system => system.BringUpInfrastructureAsync(ct));

    public RunningSystem Describe()
    {
        var gateway = instances.Find(instance => instance.Name == "gateway") is { } one ? $"http://127.0.0.1:{one.Port}" : "";
        return new RunningSystem(
            Environment.ProcessId, launcherStarted, ready, Data.Root, plan.Set.Name, gateway, sidecars?.ControlUrl ?? "",
            servers.ProviderPort is { } providerPort ? $"http://127.0.0.1:{providerPort}" : "",
            picturesPort == 0 ? "" : $"http://127.0.0.1:{picturesPort}/pictures", Data.Mail, servers.Login is { } login ? $"{login.Host}:{login.Port}" : "", servers.RedisAddress, Data.Secrets,
            [.. parts.Select(part => part.Describe())])
        {
            Sidecar = sidecars is null ? "none" : plan.Dapr is null ? "local" : "daprd",
            RabbitMqAddress = servers.RabbitMqAddress,
            KafkaBrokers = servers.KafkaBrokers,
            GoOn = GoOn,
        };
    }

    public async ValueTask DisposeAsync()
    {
        if (stopped)
            return;
        stopped = true;
        ready = false;
        // Callers before the called: services, then their sidecars, then what all of them write to.
        await Task.WhenAll(instances.Select(instance => instance.Part.StopAsync()));
        if (sidecars is not null)
            await sidecars.StopAsync();
        await Task.WhenAll(servers.Parts.Select(part => part.StopAsync()));
        foreach (var part in parts)
            await part.DisposeAsync();
        if (pictures is not null)
            await pictures.DisposeAsync();
        if (File.Exists(Data.State))
            File.Delete(Data.State);
        await guard.DisposeAsync();
    }

    private static async Task<LocalSystem> StartAsync(SystemPlan plan, LaunchView view, Func<LocalSystem, Task> bringUp)
    {
        var system = await OpenAsync(plan, view);
        try
        {
            await view.WhileAsync(system.parts, bringUp(system));
            return system;
        }
        catch
        {
            await system.DisposeAsync();
            throw;
        }
    }

    private static async Task<LocalSystem> OpenAsync(SystemPlan plan, LaunchView view)
    {
        var data = DataFolder.Of(plan.Tree, plan.Options.Data);
        data.Create();
        var guard = data.TryLock() ?? throw new LaunchException(
            $"The marketplace already runs on {data.Root}{(RunningSystem.Read(data) is { GatewayUrl.Length: > 0 } running ? $": {running.GatewayUrl}" : "")}.",
            "Stop it with Ctrl-C where it was started, or choose another folder with --data.");
        try
        {
            if (RunningSystem.Read(data) is { } before)
            {
                if (await before.EndLeftoversAsync() is var ended and > 0)
                    view.Console.WriteLine($"Ended {ended} processes that a killed launcher had left behind.");
                File.Delete(data.State);
            }

            return new LocalSystem(plan, data, view, guard);
        }
        catch
        {
            await guard.DisposeAsync();
            throw;
        }
    }

    private async Task BringUpAsync(CancellationToken ct)
    {
        view.Headline("Starting the marketplace");
        Declare();
        foreach (var service in plan.Services)
        {
            for (var number = 1; number <= options.Instances.GetValueOrDefault(service.AppId, 1); number++)
            {
                var name = number == 1 ? service.AppId : $"{service.AppId}-{number}";
                instances.Add(new AppInstance(name, service, new Part(name, "service", Changed)
                {
                    AppId = service.AppId,
                    Port = TakePort(name, number == 1 ? service : null, "appPort", service.App.AppPort),
                    DaprHttpPort = TakePort($"{name}/http", number == 1 ? service : null, "daprHTTPPort", service.App.DaprHttpPort),
                    DaprGrpcPort = TakePort($"{name}/grpc", number == 1 ? service : null, "daprGRPCPort", service.App.DaprGrpcPort),
                    Needs = servers.Stores,
                }));
            }
        }

        picturesPort = ports.Take("pictures", 8191);
        pictures = await PictureServer.StartAsync(picturesPort, ct);
        sidecars = plan.Dapr is { } programs
            ? new RealSidecars(programs, Data, keys, ports, instances, servers.Stores, Changed)
            : new BuiltInSidecars(Data, keys, ports, instances, servers.Stores, Changed);
        parts.AddRange([.. sidecars.Parts, .. instances.Select(instance => instance.Part)]);

        // Building and starting servers are different work: one wants the processors, the other mostly waits for the disk.
        var built = BuildAsync(ct);
        await servers.StartAsync(instances.Find(instance => instance.Name == "gateway")?.Port ?? GatewayPort, ct);
        await built;
        await MigrateAsync(ct);

        LookAtPortsAgain();
        remarks.AddRange([.. plan.Missing(), .. plan.Aimless()]);
        var set = ForThisFolder(plan.Set.Folder);
        await sidecars.StartAsync(set, ct);
        if (servers.Forgetful is { } forgetful)
            forgetful.BeforeRestart = EndSidecars;
        foreach (var instance in instances)
            StartService(instance, sidecars);

        using var abandon = CancellationTokenSource.CreateLinkedTokenSource(ct);
        List<Task> waits = [.. parts.Except(servers.Parts).Select(part => part.UntilReadyAsync(options.Patience, abandon.Token))];
        while (waits.Count > 0)
        {
            var done = await Task.WhenAny(waits);
            waits.Remove(done);
            if (done.IsFaulted)
                await abandon.CancelAsync();   // one that cannot start is news enough; the others need not run into their deadline
            try
            {
                await done;
            }
            catch (LaunchException wrong) when (set != plan.Set.Folder)
            {
                // What reads the copy names the copy; the file to correct is the one that was copied.
                throw new LaunchException(wrong.Message.Replace(set, plan.Set.Folder, StringComparison.Ordinal), wrong.Advice?.Replace(set, plan.Set.Folder, StringComparison.Ordinal), wrong);
            }
        }

        ready = true;
        view.Headline("The marketplace is up");
        Changed();
    }

    /// <summary>The port of dapr.yaml, or another one with a remark where somebody has it; that is an error where exactly these are wanted.</summary>
    /// <param name="first">Null for a further instance, whose ports stand nowhere.</param>
    private int TakePort(string purpose, LocalService? first, string key, int? usual)
    {
        if (first is null)
            return ports.Take(purpose, null);
        if (!ports.IsTaken(usual))
            return ports.Take(purpose, usual);
        var place = first.App.Places.GetValueOrDefault(key);
        var taken = $"port {usual} is taken{(PortHolder.Of(usual!.Value) is { } holder ? $" by {holder}" : "")}";
        if (options.FixedPorts)
            throw place.Error($"{first.AppId}: {key}", $"{taken}. End that, write another port there, or leave out --ports fixed.");
        var other = ports.Take(purpose, usual);
        remarks.Add($"{place}: {taken}; {first.AppId} has {other} as its {key} instead. (`--ports fixed` makes that an error.)");
        return other;
    }

    private int GatewayPort => plan.RunFile.Apps.FirstOrDefault(app => app.AppId == "gateway")?.AppPort ?? 8080;

    /// <summary>A build takes a minute; a port that was free before it may not be any more. The gateway's address is known to others by now and stays.</summary>
    private void LookAtPortsAgain()
    {
        foreach (var (name, _, part) in instances)
        {
            int Still(int? taken, string purpose) => PortBook.IsFree(taken!.Value) ? taken.Value : ports.Take(purpose, null);
            if (name != "gateway")
                part.Port = Still(part.Port, name);
            part.DaprHttpPort = Still(part.DaprHttpPort, $"{name}/http");
            part.DaprGrpcPort = Still(part.DaprGrpcPort, $"{name}/grpc");
        }

        ports.Save();
    }

    private async Task BringUpInfrastructureAsync(CancellationToken ct)
    {
        view.Headline("Starting the infrastructure");
        Declare();
        var built = BuildAsync(ct);
        await servers.StartAsync(GatewayPort, ct);
        await built;
        await MigrateAsync(ct);
        foreach (var service in plan.Services)
        {
            foreach (var (key, port) in new[] { ("appPort", service.App.AppPort), ("daprHTTPPort", service.App.DaprHttpPort), ("daprGRPCPort", service.App.DaprGrpcPort) })
            {
                if (ports.IsTaken(port))
                    remarks.Add($"{service.App.Places.GetValueOrDefault(key)}: {service.AppId}: {key}: port {port} is taken{(PortHolder.Of(port!.Value) is { } holder ? $" by {holder}" : "")}; `dapr run` will end there.");
            }
        }

        GoOn = RunFileCopy.Command(plan, Data, keys, ForThisFolder(plan.Set.Folder));
        ready = true;
        view.Headline("The infrastructure is up");
        Changed();
    }

    private void Declare()
    {
        Servers.CheckPrograms(plan);
        servers.Declare();
        parts.AddRange(servers.Parts);
    }

    private async Task BuildAsync(CancellationToken ct)
    {
        var builds = new Builds(plan.Tree);
        var buildable = plan.Services.Where(service => service.Project is not null && service.Output.Length > 0).ToList();
        if (!options.Build)
        {
            if (buildable.FirstOrDefault(service => !File.Exists(service.Output)) is { } missing)
                throw new LaunchException($"{missing.AppId} is not built: no {missing.Output}.", "Leave --no-build out.");
            return;
        }

        var stale = buildable.Where(service => builds.IsStale(service.App.Folder, service.Output)).ToList();
        if (stale.Count == 0)
            return;

        foreach (var service in stale)
            PartOf(service)?.Says("building");
        view.Headline($"Building {stale.Count} of {plan.Services.Count} services");
        var done = 0;
        await builds.BuildAsync([.. stale.Select(service => (service.Project!, service.Output))], Data.Root, name =>
        {
            var service = stale.FirstOrDefault(service => Path.GetFileNameWithoutExtension(service.Project) == name);
            if (service is null)
                return;
            PartOf(service)?.Says("built");
            view.Headline($"Building: {Interlocked.Increment(ref done)} of {stale.Count} services done");
        }, ct);
        view.Headline("Starting the marketplace");
    }

    private async Task MigrateAsync(CancellationToken ct)
    {
        var migrations = new Migrations(Data, servers.Cluster);
        var due = plan.Services.Where(service => service.Database is not null && migrations.IsNeeded(service)).ToList();
        foreach (var service in due)
            PartOf(service)?.Says("migrating");
        await Parallel.ForEachAsync(due, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(2, Environment.ProcessorCount), CancellationToken = ct }, async (service, token) =>
        {
            await migrations.RunAsync(service, servers.Login!.To(service.Database!, service.Database, keys.Database(service.AppId)), token);
            PartOf(service)?.Says("migrated");
        });
    }

    /// <summary>
    /// A set for a real Dapr names the usual places of secrets and pictures, relative to the app. On another data folder a copy of
    /// the set that names its places does the same.
    /// </summary>
    private string ForThisFolder(string set)
    {
        const string Usual = SystemPlan.UsualFolder;
        if (Path.GetFullPath(Data.Root) == Path.Combine(plan.Tree.Root, ".local") || !Directory.EnumerateFiles(set).Any(file => File.ReadAllText(file).Contains(Usual, StringComparison.Ordinal)))
            return set;
        var copy = Directory.CreateDirectory(Path.Combine(Data.Root, "components", plan.Set.Name)).FullName;
        foreach (var old in Directory.EnumerateFiles(copy))
            File.Delete(old);
        foreach (var file in Directory.EnumerateFiles(set))
            File.WriteAllText(Path.Combine(copy, Path.GetFileName(file)), File.ReadAllText(file).Replace(Usual, $"{Path.GetFullPath(Data.Root)}/", StringComparison.Ordinal));
        return copy;
    }

    private void StartService(AppInstance instance, ISidecars beside)
    {
        var app = instance.Service.App;
        var environment = new Dictionary<string, string?>
        {
            ["APP_ID"] = app.AppId,
            ["APP_PORT"] = Text(instance.Port),
            ["APP_CHANNEL_ADDRESS"] = app.AppChannelAddress,
            ["APP_PROTOCOL"] = app.AppProtocol,
            ["DAPR_HTTP_PORT"] = Text(instance.HttpPort),
            ["DAPR_GRPC_PORT"] = Text(instance.GrpcPort),
            ["DAPR_HTTP_ENDPOINT"] = null,
            ["DAPR_GRPC_ENDPOINT"] = null,
            ["APP_API_TOKEN"] = keys.AppToken,
            ["MARKETPLACE_DATA"] = Data.Root,
        };
        foreach (var (key, value) in app.Environment)
            environment[key] = value;
        if (app.OptIn)
            environment[instance.Service.Switch] = "on";
        if (app.AppId == "identity" && instances.Find(one => one.Name == "gateway") is { } gateway)
            environment["Discovery__PublicUrl"] = $"http://127.0.0.1:{gateway.Port}";
        var readiness = $"http://127.0.0.1:{instance.Port}{instance.Service.ReadyPath}";
        instance.Part.Asked = readiness;
        var spec = new ChildSpec(instance.Name, app.Command, app.Folder, Data.FreshLog(instance.Name)) { Environment = environment, Niceness = ShoppersWaitFor.Contains(app.AppId) ? 0 : 10 };
        instance.Part.Start(spec, async token =>
            await OkAsync(readiness, token) && await beside.KnowsAsync(instance, token));
    }

    /// <summary>
    /// A consumer that outlives its broker's memory goes on where it was, commits that, and never sees what the new log holds before it.
    /// New ones have no place yet and read all there is; they start when the broker is back.
    /// </summary>
    private void EndSidecars()
    {
        foreach (var part in sidecars?.Parts.Where(part => part.Name is not ("placement" or "scheduler")) ?? [])
            part.Child?.Kill();
    }

    private Part? PartOf(LocalService service) => parts.FirstOrDefault(part => part.Name == service.AppId);

    private void Changed()
    {
        lock (writing)
        {
            if (!stopped)
                Describe().Write(Data);
        }
    }

    /// <summary>Another verb of this program, as a process of its own; its runtime is tuned as those of the services in dapr.yaml are.</summary>
    internal static string[] Self(string verb) => ["dotnet", Path.Combine(AppContext.BaseDirectory, "Local.dll"), verb];

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

    internal static async Task<bool> OkAsync(string url, CancellationToken ct)
    {
        try
        {
            using var response = await Probe.GetAsync(new Uri(url), ct);
            return response.IsSuccessStatusCode;
        }
        catch (Exception failure) when (failure is HttpRequestException || failure is TaskCanceledException && !ct.IsCancellationRequested)
        {
            return false;
        }
    }
}
