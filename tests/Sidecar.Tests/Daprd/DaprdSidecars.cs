using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Marketplace.Local.Sidecar;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Sidecar.Tests.Daprd;

/// <summary>
/// The plan of the local host, done by real processes: a daprd for each app instance, and placement and scheduler of their own when a
/// component of the plan is an actor state store. Names are resolved through a SQLite file: multicast is closed in many a container.
/// </summary>
internal sealed class DaprdSidecars : IAsyncDisposable
{
    private const string Loopback = "127.0.0.1";

    private readonly string folder;
    private readonly List<Running> processes = [];

    private DaprdSidecars(string folder) => this.folder = folder;

    public IReadOnlyList<int> ProcessIds => [.. processes.Select(one => one.Process.Id)];

    public static async Task<DaprdSidecars> StartAsync(DaprdPrograms programs, SidecarPlan plan)
    {
        var folder = Directory.CreateDirectory(Path.Combine(plan.DataFolder, "daprd")).FullName;
        var sidecars = new DaprdSidecars(folder);
        try
        {
            await sidecars.StartAllAsync(programs, plan);
            return sidecars;
        }
        catch (Exception)
        {
            await sidecars.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var (process, log, _) in processes)
        {
            if (!process.HasExited) process.Kill();
            await process.WaitForExitAsync();
            process.Dispose();
            await log.DisposeAsync();
        }

        processes.Clear();
    }

    private async Task StartAllAsync(DaprdPrograms programs, SidecarPlan plan)
    {
        int? placement = null, scheduler = null;
        if (plan.Apps.SelectMany(app => app.ResourcesPaths).Any(HoldsActorStore))
        {
            placement = Ports.Free();
            scheduler = Ports.Free();
            Start("placement", programs.Placement, folder, plan,
            [
                "--log-level=info",
                "--id=placement",
                $"--port={placement}",
                $"--listen-address={Loopback}",
                $"--healthz-port={Ports.Free()}",
                $"--healthz-listen-address={Loopback}",
                $"--initial-cluster=placement={Loopback}:{Ports.Free()}",
                "--enable-metrics=false",
            ]);
            Start("scheduler", programs.Scheduler, folder, plan,
            [
                "--log-level=info",
                "--id=scheduler",
                $"--port={scheduler}",
                $"--listen-address={Loopback}",
                $"--override-broadcast-host-port={Loopback}:{scheduler}",
                $"--healthz-port={Ports.Free()}",
                $"--healthz-listen-address={Loopback}",
                $"--etcd-data-dir={Directory.CreateDirectory(Path.Combine(folder, "scheduler")).FullName}",
                $"--etcd-client-port={Ports.Free()}",
                $"--etcd-initial-cluster=scheduler=http://{Loopback}:{Ports.Free()}",
                $"--identity-directory-write={Path.Combine(folder, "identity")}",
                "--enable-metrics=false",
            ]);
            await ListensAsync(placement.Value, "placement");
            await ListensAsync(scheduler.Value, "scheduler");
        }

        var names = Path.Combine(folder, "names.yaml");
        await File.WriteAllTextAsync(names, $$"""
            apiVersion: dapr.io/v1alpha1
            kind: Configuration
            metadata: { name: names }
            spec:
              nameResolution:
                component: sqlite
                version: v1
                configuration: { connectionString: "{{Path.Combine(folder, "names.db")}}" }
            """);
        foreach (var app in plan.Apps)
            Start(app.AppId, programs.Daprd, app.AppFolder, plan, [.. Flags(app, names, placement, scheduler)]);

        using var http = new HttpClient();
        foreach (var app in plan.Apps)
            await WhileAllRunAsync(() => AnswersAsync(http, app.HttpPort), $"the API of {app.AppId} answers");
    }

    /// <summary>What one daprd 1.18 is started with. Later --config files are laid over earlier ones.</summary>
    internal static IEnumerable<string> Flags(SidecarApp app, string names, int? placementPort, int? schedulerPort)
    {
        yield return $"--app-id={app.AppId}";
        yield return $"--app-protocol={app.AppProtocol}";
        if (app.AppPort is { } port)
        {
            yield return $"--app-port={port}";
            yield return $"--app-channel-address={Loopback}";
        }

        yield return $"--dapr-http-port={app.HttpPort}";
        yield return $"--dapr-grpc-port={app.GrpcPort}";
        yield return $"--dapr-internal-grpc-port={Ports.Free()}";
        yield return $"--dapr-listen-addresses={Loopback}";
        foreach (var path in app.ResourcesPaths) yield return $"--resources-path={path}";
        yield return $"--config={names}";
        if (app.ConfigFile is { } config) yield return $"--config={config}";
        if (placementPort is not null) yield return $"--placement-host-address={Loopback}:{placementPort}";
        if (schedulerPort is not null) yield return $"--scheduler-host-address={Loopback}:{schedulerPort}";
        if (app.MaxConcurrency > 0) yield return $"--app-max-concurrency={app.MaxConcurrency}";
        yield return app.MaxBodyBytes % (1 << 20) == 0 ? $"--max-body-size={app.MaxBodyBytes >> 20}Mi" : $"--max-body-size={app.MaxBodyBytes}";
        if (app.HealthCheck is { } check)
        {
            // Whole seconds between probes, and a probe may not take longer than that.
            var interval = Math.Max(1, (int)Math.Ceiling(check.Interval.TotalSeconds));
            yield return "--enable-app-health-check=true";
            yield return $"--app-health-check-path={check.Path}";
            yield return $"--app-health-probe-interval={interval}";
            yield return $"--app-health-probe-timeout={Math.Min(interval * 1000, (int)check.Timeout.TotalMilliseconds)}";
            yield return $"--app-health-threshold={check.Threshold}";
        }

        yield return "--enable-metrics=false";
        yield return "--log-level=info";
    }

    private static bool HoldsActorStore(string folder) =>
        Directory.EnumerateFiles(folder, "*.yaml").Any(file => File.ReadAllText(file).Contains("actorStateStore", StringComparison.OrdinalIgnoreCase));

    private void Start(string name, string program, string workingFolder, SidecarPlan plan, string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            WorkingDirectory = workingFolder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            Environment =
            {
                ["DAPR_HOST_IP"] = Loopback,
                ["DAPR_API_TOKEN"] = plan.ApiToken ?? "",
                ["APP_API_TOKEN"] = plan.AppToken ?? "",
                ["NAMESPACE"] = plan.Namespace ?? "",
            },
        };
        var log = TextWriter.Synchronized(File.CreateText(Path.Combine(folder, $"{name}-{processes.Count}.log")));
        var process = new Process { StartInfo = start };
        var lines = new Queue<string>();
        void Write(object sender, DataReceivedEventArgs line)
        {
            if (line.Data is null) return;
            lock (lines)
            {
                log.WriteLine(line.Data);
                lines.Enqueue(line.Data);
                if (lines.Count > 40) lines.Dequeue();
            }
        }

        process.OutputDataReceived += Write;
        process.ErrorDataReceived += Write;
        if (!process.Start()) throw new InvalidOperationException($"{program} was not started.");
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        processes.Add(new Running(process, log, () =>
        {
            lock (lines) return $"{name} ({process.Id}):\n{string.Join('\n', lines)}";
        }));
    }

    private Task ListensAsync(int port, string name) => WhileAllRunAsync(async () =>
    {
        using var client = new TcpClient();
        try
        {
            await client.ConnectAsync(IPAddress.Loopback, port);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }, $"{name} listens on port {port.ToString(CultureInfo.InvariantCulture)}");

    private static async Task<bool> AnswersAsync(HttpClient http, int port)
    {
        try
        {
            using var answer = await http.GetAsync(new Uri($"http://{Loopback}:{port}/v1.0/healthz/outbound"));
            return answer.StatusCode == HttpStatusCode.NoContent;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    /// <summary>Waits for the condition; a process that ends meanwhile, or time that runs out, fails the test with the last lines of every log.</summary>
    private async Task WhileAllRunAsync(Func<Task<bool>> condition, string because)
    {
        var clock = Stopwatch.StartNew();
        await Eventually.Async(async () =>
        {
            if (await condition()) return true;
            if (processes.Any(one => one.Process.HasExited) || clock.Elapsed > TimeSpan.FromSeconds(60))
                Assert.Fail($"Not so: {because}\n\n{string.Join("\n\n", processes.Select(one => one.LastLines()))}");
            return false;
        }, because, TimeSpan.FromSeconds(90));
    }

    private sealed record Running(Process Process, TextWriter Log, Func<string> LastLines);
}
