using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Text.Json;
using Marketplace.Local.Pictures;
using Marketplace.Local.Sidecar;
using Marketplace.Local.Sidecar.RunFile;
using Spectre.Console;

namespace Marketplace.Local.Launcher;

/// <summary>
/// The running marketplace: infrastructure, the sidecars and the services of dapr.yaml, started in an order that wastes no
/// time and stopped in one that loses nothing.
/// </summary>
public sealed class LocalSystem : IAsyncDisposable
{
    private static readonly HttpClient Probe = new(new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(1) }) { Timeout = TimeSpan.FromSeconds(3) };
    private readonly SourceTree tree;
    private readonly LaunchOptions options;
    private readonly LaunchView view;
    private readonly FileStream guard;
    private readonly KeyRing keys;
    private readonly PortBook ports;
    private readonly List<LocalService> services;
    private readonly List<Part> parts = [];
    private readonly DateTime launcherStarted = Process.GetCurrentProcess().StartTime.ToUniversalTime();
    private readonly Lock writing = new();
    private readonly Dictionary<string, (int Port, int Http, int Grpc)> addresses = [];
    private Part? postgres, redis, mail, provider, sidecars;
    private PostgresLogin? login;
    private string redisAddress = "";
    private string cluster = "";
    private int controlPort;
    private int picturesPort;
    private WebApplication? pictures;
    private bool ready;
    private bool stopped;

    private LocalSystem(SourceTree tree, DataFolder data, LaunchOptions options, LaunchView view, FileStream guard)
    {
        this.tree = tree;
        this.options = options;
        this.view = view;
        this.guard = guard;
        Data = data;
        keys = KeyRing.Open(data);
        ports = new PortBook(data.Ports, options.FreePorts);
        services = [.. RunPlan.Read(tree.RunFile).Apps.Select(app => new LocalService(app))];
        if (options.Only?.FirstOrDefault(app => services.All(service => service.AppId != app)) is { } unknown)
            throw new UsageException($"--only: there is no app {unknown} in dapr.yaml.");
        if (options.Instances.Keys.FirstOrDefault(app => services.All(service => service.AppId != app)) is { } stranger)
            throw new UsageException($"--instances: there is no app {stranger} in dapr.yaml.");
        if (options.Only is not null)
            services.RemoveAll(service => !options.Only.Contains(service.AppId));
    }

    public DataFolder Data { get; }

    /// <summary>Remarks for the person who started it, shown below the table.</summary>
    public IReadOnlyList<string> Remarks => remarks;
    private readonly List<string> remarks = [];

    public string OperatorPassword => keys.OperatorPassword;
    public string AppToken => keys.AppToken;

    /// <summary>Everything: builds, starts, migrates, waits. A failure stops what was already started.</summary>
    public static async Task<LocalSystem> StartAsync(SourceTree tree, LaunchOptions options, LaunchView view, CancellationToken ct)
    {
        var system = await OpenAsync(tree, options, view);
        try
        {
            await view.WhileAsync(system.parts, system.BringUpAsync(ct));
            return system;
        }
        catch
        {
            await system.DisposeAsync();
            throw;
        }
    }

    /// <summary>Only what the services need from outside, with the databases made and the secrets written.</summary>
    public static async Task<LocalSystem> StartInfrastructureAsync(SourceTree tree, LaunchOptions options, LaunchView view, bool migrate, CancellationToken ct)
    {
        var system = await OpenAsync(tree, options, view);
        try
        {
            await view.WhileAsync(system.parts, system.BringUpInfrastructureAsync(migrate, ct));
            return system;
        }
        catch
        {
            await system.DisposeAsync();
            throw;
        }
    }

    public RunningSystem Describe()
    {
        var gateway = addresses.TryGetValue("gateway", out var address) ? $"http://127.0.0.1:{address.Port}" : "";
        return new RunningSystem(
            Environment.ProcessId, launcherStarted, ready, Data.Root, options.Components, gateway,
            controlPort == 0 ? "" : $"http://127.0.0.1:{controlPort}",
            provider?.Port is { } providerPort ? $"http://127.0.0.1:{providerPort}" : "",
            picturesPort == 0 ? "" : $"http://127.0.0.1:{picturesPort}/pictures", Data.Mail, login is null ? "" : $"{login.Host}:{login.Port}", redisAddress, Data.Secrets,
            [.. parts.Select(part => part.Describe())]);
    }

    public async ValueTask DisposeAsync()
    {
        if (stopped)
            return;
        stopped = true;
        ready = false;
        // Callers before the called: services, then their sidecars, then what all of them write to.
        await Task.WhenAll(parts.Where(part => part.Kind == "service").Select(part => part.StopAsync()));
        if (sidecars is not null)
            await sidecars.StopAsync();
        await Task.WhenAll(parts.Where(part => part is { Kind: "infrastructure" }).Select(part => part.StopAsync()));
        foreach (var part in parts)
            await part.DisposeAsync();
        if (pictures is not null)
            await pictures.DisposeAsync();
        if (File.Exists(Data.State))
            File.Delete(Data.State);
        await guard.DisposeAsync();
    }

    private static async Task<LocalSystem> OpenAsync(SourceTree tree, LaunchOptions options, LaunchView view)
    {
        var data = DataFolder.Of(tree, options.Data);
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

            return new LocalSystem(tree, data, options, view, guard);
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
        var set = Path.Combine(tree.Root, "components", options.Components);
        if (!Directory.Exists(set))
            throw new LaunchException($"There is no component set {options.Components}: no folder {set}.");

        Declare();
        foreach (var service in services)
        {
            for (var instance = 1; instance <= options.Instances.GetValueOrDefault(service.AppId, 1); instance++)
            {
                var name = instance == 1 ? service.AppId : $"{service.AppId}-{instance}";
                addresses[name] = (ports.Take(name, instance == 1 ? service.App.AppPort : null),
                    ports.Take($"{name}/http", instance == 1 ? service.App.DaprHttpPort : null),
                    ports.Take($"{name}/grpc", instance == 1 ? service.App.DaprGrpcPort : null));
            }
        }

        controlPort = ports.Take("control", 3590);
        picturesPort = ports.Take("pictures", 8191);
        pictures = await PictureServer.StartAsync(picturesPort, ct);
        sidecars = new Part("sidecars", "sidecar host", Changed) { Port = controlPort, Needs = [postgres!, redis!] };
        parts.Add(sidecars);
        foreach (var (name, service, _) in Instances())
        {
            var (port, http, grpc) = addresses[name];
            parts.Add(new Part(name, "service", Changed) { AppId = service.AppId, Port = port, DaprHttpPort = http, DaprGrpcPort = grpc, Needs = [postgres!, redis!] });
        }

        // Building and starting servers are different work: one wants the processors, the other mostly waits for the disk.
        var built = BuildAsync(ct);
        await StartServersAsync(ct);
        await built;
        await MigrateAsync(ct);

        LookAtPortsAgain();
        StartSidecars(ForThisFolder(set));
        foreach (var (name, service, part) in Instances())
            StartService(name, service, part!);

        using var abandon = CancellationTokenSource.CreateLinkedTokenSource(ct);
        List<Task> waits = [.. parts.Where(part => part.Kind != "infrastructure").Select(part => part.UntilReadyAsync(TimeSpan.FromSeconds(90), abandon.Token))];
        while (waits.Count > 0)
        {
            var done = await Task.WhenAny(waits);
            waits.Remove(done);
            if (done.IsFaulted)
                await abandon.CancelAsync();   // one that cannot start is news enough; the others need not run into their deadline
            await done;
        }

        ready = true;
        view.Headline("The marketplace is up");
        Changed();
    }

    /// <summary>A build takes a minute; a port that was free before it may not be any more. The gateway's address is known to others by now and stays.</summary>
    private void LookAtPortsAgain()
    {
        foreach (var (name, _, part) in Instances())
        {
            var (port, http, grpc) = addresses[name];
            int Still(int taken, string purpose) => PortBook.IsFree(taken) ? taken : ports.Take(purpose, null);
            addresses[name] = (name == "gateway" ? port : Still(port, name), Still(http, $"{name}/http"), Still(grpc, $"{name}/grpc"));
            (part!.Port, part.DaprHttpPort, part.DaprGrpcPort) = addresses[name];
        }

        ports.Save();
    }

    private async Task BringUpInfrastructureAsync(bool migrate, CancellationToken ct)
    {
        view.Headline("Starting the infrastructure");
        Declare();
        var built = migrate ? BuildAsync(ct) : Task.CompletedTask;
        await StartServersAsync(ct);
        await built;
        if (migrate)
            await MigrateAsync(ct);
        ready = true;
        view.Headline("The infrastructure is up");
        Changed();
    }

    /// <summary>Ports first, so that everybody can be told everybody's address before anything runs.</summary>
    private void Declare()
    {
        postgres = new Part("postgres", "infrastructure", Changed);
        redis = new Part("redis", "infrastructure", Changed);
        mail = new Part("mail", "infrastructure", Changed) { Port = ports.Take("mail", 1025) };
        provider = new Part("provider", "infrastructure", Changed) { Port = ports.Take("provider", 8190) };
        parts.AddRange([postgres, redis, mail, provider]);
    }

    private async Task BuildAsync(CancellationToken ct)
    {
        var builds = new Builds(tree);
        var buildable = services.Where(service => service.Project is not null && service.Output.Length > 0).ToList();
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
        view.Headline($"Building {stale.Count} of {services.Count} services");
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

    private async Task StartServersAsync(CancellationToken ct)
    {
        await Task.WhenAll(Task.Run(() => StartPostgresAsync(ct), ct), Task.Run(() => StartRedisAsync(ct), ct), Task.Run(() => StartMailAsync(ct), ct), Task.Run(() => StartProviderAsync(ct), ct));
        ports.Save();
        WriteSecrets();
    }

    private async Task StartPostgresAsync(CancellationToken ct)
    {
        if (PostgresServer.Configured() is { } configured)
        {
            login = configured;
            await PostgresServer.WaitAsync(login, () => false, TimeSpan.FromSeconds(10), ct);
            postgres!.IsElsewhere($"{login.Host}:{login.Port}");
        }
        else
        {
            var server = new PostgresServer(Data, keys, ports);
            postgres!.Says("preparing the cluster");
            (var spec, login) = await server.PrepareAsync(ct);
            postgres.Port = login.Port;
            postgres.Start(spec, async token =>
            {
                await PostgresServer.WaitAsync(login, () => postgres.Child!.HasExited, TimeSpan.FromSeconds(60), token);
                return true;
            });
            await postgres.UntilReadyAsync(TimeSpan.FromSeconds(60), ct);
            postgres.Says(server.How);
            if (server.Remark is { } remark)
                remarks.Add(remark);
        }

        var passwords = services.Where(service => service.Database is not null).ToDictionary(service => service.Database!, service => keys.Database(service.AppId));
        passwords["dapr"] = keys.Database("actors");
        cluster = await PostgresServer.CreateDatabasesAsync(login, passwords, ct);
    }

    private async Task StartRedisAsync(CancellationToken ct)
    {
        if (Environment.GetEnvironmentVariable("MARKETPLACE_REDIS") is { Length: > 0 } configured)
        {
            redisAddress = configured.Split(',')[0];
            if (!await AcceptsAsync(redisAddress, ct))
                throw new LaunchException($"Nothing answers at MARKETPLACE_REDIS={redisAddress}.", "Start that server, or unset the variable: the launcher brings its own.");
            redis!.IsElsewhere(redisAddress);
            return;
        }

        var port = ports.Take("redis", 6379);
        redisAddress = $"127.0.0.1:{port}";
        redis!.Port = port;
        var server = Programs.Find("redis-server") ?? Programs.Find("valkey-server");
        string[] command = server is not null
            ? [server, "--port", Text(port), "--bind", "127.0.0.1", "--dir", Data.Redis, "--appendonly", "yes", "--save", "", "--daemonize", "no"]
            : [.. Self("redis"), "--port", Text(port), "--data", Data.Redis];
        redis.Start(new ChildSpec("redis", command, Data.Root, Data.FreshLog("redis")), token => AcceptsAsync(redisAddress, token));
        await redis.UntilReadyAsync(TimeSpan.FromSeconds(30), ct);
        redis.Says(server ?? "Garnet");
    }

    private async Task StartMailAsync(CancellationToken ct)
    {
        var port = mail!.Port!.Value;
        mail.Start(new ChildSpec("mail", [.. Self("mail"), "--port", Text(port), "--data", Data.Mail], Data.Root, Data.FreshLog("mail")),
            token => AcceptsAsync($"127.0.0.1:{port}", token));
        await mail.UntilReadyAsync(TimeSpan.FromSeconds(30), ct);
        mail.Says(Data.Mail);
    }

    private async Task StartProviderAsync(CancellationToken ct)
    {
        if (Environment.GetEnvironmentVariable("MARKETPLACE_STRIPE_KEY") is { Length: > 0 })
        {
            provider!.IsElsewhere("Stripe, with MARKETPLACE_STRIPE_KEY");
            return;
        }

        var gateway = addresses.TryGetValue("gateway", out var address) ? address.Port : services.FirstOrDefault(service => service.AppId == "gateway")?.App.AppPort ?? 8080;
        var port = provider!.Port!.Value;
        provider.Start(
            new ChildSpec("provider", [.. Self("provider"), "--port", Text(port), "--data", Data.Provider, "--webhook", $"http://127.0.0.1:{gateway}/webhooks/stripe", "--webhook-secret", keys.WebhookSecret],
                Data.Root, Data.FreshLog("provider")),
            token => AcceptsAsync($"127.0.0.1:{port}", token));
        await provider.UntilReadyAsync(TimeSpan.FromSeconds(30), ct);
    }

    private async Task MigrateAsync(CancellationToken ct)
    {
        var migrations = new Migrations(Data, cluster);
        var due = services.Where(service => service.Database is not null && migrations.IsNeeded(service)).ToList();
        foreach (var service in due)
            PartOf(service)?.Says("migrating");
        await Parallel.ForEachAsync(due, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(2, Environment.ProcessorCount), CancellationToken = ct }, async (service, token) =>
        {
            await migrations.RunAsync(service, login!.To(service.Database!, service.Database, keys.Database(service.AppId)), token);
            PartOf(service)?.Says("migrated");
        });
    }

    /// <summary>
    /// A set for a real Dapr names the secrets' usual place, relative to the app. On another data folder a copy of the set that
    /// names its place does the same.
    /// </summary>
    private string ForThisFolder(string set)
    {
        const string Usual = "../../.local/secrets.json";
        if (Path.GetFullPath(Data.Root) == Path.Combine(tree.Root, ".local") || !Directory.EnumerateFiles(set).Any(file => File.ReadAllText(file).Contains(Usual, StringComparison.Ordinal)))
            return set;
        var copy = Directory.CreateDirectory(Path.Combine(Data.Root, "components", options.Components)).FullName;
        foreach (var old in Directory.EnumerateFiles(copy))
            File.Delete(old);
        foreach (var file in Directory.EnumerateFiles(set))
            File.WriteAllText(Path.Combine(copy, Path.GetFileName(file)), File.ReadAllText(file).Replace(Usual, Data.Secrets, StringComparison.Ordinal));
        return copy;
    }

    private void StartSidecars(string set)
    {
        var apps = Instances().Select(instance =>
        {
            var (name, service, _) = instance;
            var (port, http, grpc) = addresses[name];
            var app = service.App;
            return new SidecarApp(app.AppId, app.Folder, port, http, grpc, [set], app.ConfigFile, app.AppProtocol, app.HealthCheck, app.MaxConcurrency, app.MaxBodyBytes);
        }).ToList();
        new SidecarPlan(Data.Root, controlPort, null, keys.AppToken, null, apps).Write(Data.Plan);
        sidecars!.Start(
            new ChildSpec("sidecars", [.. Self("sidecars"), "--plan", Data.Plan], Data.Root, Data.FreshLog("sidecars"))
            {
                Environment = new Dictionary<string, string?> { ["MARKETPLACE_SECRETS"] = Data.Secrets, ["APP_API_TOKEN"] = keys.AppToken },
            },
            token => OkAsync($"http://127.0.0.1:{controlPort}/livez", token));
    }

    private void StartService(string name, LocalService service, Part part)
    {
        var (port, http, grpc) = addresses[name];
        var app = service.App;
        var environment = new Dictionary<string, string?>
        {
            ["APP_ID"] = app.AppId,
            ["APP_PORT"] = Text(port),
            ["APP_CHANNEL_ADDRESS"] = app.AppChannelAddress,
            ["APP_PROTOCOL"] = app.AppProtocol,
            ["DAPR_HTTP_PORT"] = Text(http),
            ["DAPR_GRPC_PORT"] = Text(grpc),
            ["DAPR_HTTP_ENDPOINT"] = null,
            ["DAPR_GRPC_ENDPOINT"] = null,
            ["APP_API_TOKEN"] = keys.AppToken,
            ["MARKETPLACE_DATA"] = Data.Root,
        };
        foreach (var (key, value) in app.Environment)
            environment[key] = value;
        if (app.AppId == "identity" && addresses.TryGetValue("gateway", out var gateway))
            environment["Discovery__PublicUrl"] = $"http://127.0.0.1:{gateway.Port}";
        part.Start(new ChildSpec(name, app.Command, app.Folder, Data.FreshLog(name)) { Environment = environment }, async token =>
            await OkAsync($"http://127.0.0.1:{port}/readyz", token)

            // What is published before the sidecar knows who listens is lost on the first start of all: ready means that it knows.
            && await OkAsync($"http://127.0.0.1:{controlPort}/apps/{port}/introduced", token));
    }

    private void WriteSecrets()
    {
        var secrets = services.Where(service => service.Database is not null)
            .ToDictionary(service => $"{service.AppId}-db", service => login!.To(service.Database!, service.Database, keys.Database(service.AppId)));
        secrets["actors-db"] = login!.ToSidecar("dapr", "dapr", keys.Database("actors"));
        var redisOptions = Environment.GetEnvironmentVariable("MARKETPLACE_REDIS")?.Split(',') ?? [];
        secrets["redis-host"] = redisAddress;
        secrets["redis-password"] = redisOptions.FirstOrDefault(part => part.StartsWith("password=", StringComparison.OrdinalIgnoreCase))?["password=".Length..] ?? "";
        var realKey = Environment.GetEnvironmentVariable("MARKETPLACE_STRIPE_KEY");
        secrets["stripe-key"] = realKey is { Length: > 0 } ? realKey : keys.StripeKey;
        secrets["stripe-webhook-secret"] = Environment.GetEnvironmentVariable("MARKETPLACE_STRIPE_WEBHOOK_SECRET") is { Length: > 0 } real ? real : keys.WebhookSecret;
        secrets["stripe-api-base"] = realKey is { Length: > 0 } ? "" : $"http://127.0.0.1:{provider!.Port}";
        secrets["operator-password"] = keys.OperatorPassword;
        secrets["signing-key-wrap"] = keys.SigningKeyWrap;
        secrets["smtp-host"] = "127.0.0.1";
        secrets["smtp-port"] = Text(mail!.Port!.Value);
        PrivateFile.Write(Data.Secrets, JsonSerializer.Serialize(secrets, PrivateFile.Readable));
    }

    private IEnumerable<(string Name, LocalService Service, Part? Part)> Instances() => services.SelectMany(service =>
        Enumerable.Range(1, options.Instances.GetValueOrDefault(service.AppId, 1)).Select(instance =>
        {
            var name = instance == 1 ? service.AppId : $"{service.AppId}-{instance}";
            return (name, service, parts.FirstOrDefault(part => part.Name == name));
        }));

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
    private static string[] Self(string verb) => ["dotnet", Path.Combine(AppContext.BaseDirectory, "Local.dll"), verb];

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

    private static async Task<bool> OkAsync(string url, CancellationToken ct)
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

    private static async Task<bool> AcceptsAsync(string address, CancellationToken ct)
    {
        try
        {
            using var socket = new TcpClient();
            var (host, port) = address.Split(':') is [var name, var number] ? (name, int.Parse(number, CultureInfo.InvariantCulture)) : (address, 6379);
            await socket.ConnectAsync(host, port, ct);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
