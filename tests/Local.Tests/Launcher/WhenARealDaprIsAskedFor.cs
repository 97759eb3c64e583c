using Marketplace.Local.Launcher;
using Marketplace.Local.Sidecar.RunFile;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Local.Tests.Launcher;

/// <summary>`up --sidecar daprd`, with programs that stand in for Dapr's: they show what is started how and in which order, not what daprd does.</summary>
public sealed class WhenARealDaprIsAskedFor : IDisposable
{
    private readonly SmallTree tree = new();

    public void Dispose() => tree.Dispose();

    [Fact]
    public async Task Everything_is_started_in_order_kept_alive_and_ended_in_order()
    {
        SmallTree.NeedsPostgres();
        using var launched = tree.Launch("up", "--sidecar", "daprd", "--ports", "free", "--instances", "office=2", "--json");
        var running = await launched.ReadyAsync();

        Assert.Equal("daprd", running.Sidecar);
        Assert.Equal(
            ["mail", "office", "office-2", "office-2-daprd", "office-daprd", "placement", "postgres", "provider", "scheduler", "shop", "shop-daprd"],
            running.Parts.Select(part => part.Name).Append("mail").Order(StringComparer.Ordinal));
        Assert.All(running.Parts, part => Assert.Equal(nameof(PartState.Ready), part.State));
        await Eventually.Async(() => tree.Starts.Count == 8, "all of them have written down how they were started", TimeSpan.FromSeconds(20));

        // A sidecar knows placement and scheduler before it starts, and an app counts as up only with its sidecar.
        Assert.True(At("placement listens") < At("daprd shop starts") && At("scheduler listens") < At("daprd shop starts"), string.Join('\n', tree.Events));

        var (placement, scheduler) = (Start("placement"), Start("scheduler"));
        var daprd = Start("daprd shop");
        var shop = running.Parts.Single(part => part.Name == "shop");
        Assert.Equal($"{shop.Port}", daprd.Value("--app-port"));
        Assert.Equal(($"{shop.DaprHttpPort}", $"{shop.DaprGrpcPort}"), (daprd.Value("--dapr-http-port"), daprd.Value("--dapr-grpc-port")));
        Assert.Equal($"127.0.0.1:{placement.Value("--port")}", daprd.Value("--placement-host-address"));
        Assert.Equal($"127.0.0.1:{scheduler.Value("--port")}", daprd.Value("--scheduler-host-address"));
        Assert.Equal(Path.Combine(tree.Data.Root, "dapr", "scheduler"), scheduler.Value("--etcd-data-dir"));
        Assert.Equal(Path.Combine(tree.Root, "apps", "shop"), daprd.Folder);
        Assert.Equal(Path.Combine(tree.Root, "components", "redis"), daprd.Value("--resources-path"));
        Assert.Equal([Path.Combine(tree.Data.Root, "dapr", "names.yaml"), Path.Combine(tree.Root, "components", "config.yaml")], daprd.Arguments.Zip(daprd.Arguments.Skip(1)).Where(pair => pair.First == "--config").Select(pair => pair.Second));
        Assert.Contains("component: sqlite", File.ReadAllText(daprd.Value("--config")!));
        Assert.Equal(("127.0.0.1", tree.Data.Secrets), (daprd.Environment["DAPR_HOST_IP"], daprd.Environment["MARKETPLACE_SECRETS"]));

        // The app and its sidecar share a secret; it is in no argument, which every user of the machine can read.
        var app = Start("app shop");
        Assert.Equal(app.Environment["APP_API_TOKEN"], daprd.Environment["APP_API_TOKEN"]);
        Assert.DoesNotContain(tree.Starts.SelectMany(start => start.Arguments), argument => argument.Contains(app.Environment["APP_API_TOKEN"]!, StringComparison.Ordinal));
        Assert.Equal(daprd.Value("--dapr-http-port"), app.Environment["DAPR_HTTP_PORT"]);

        // Two instances of one app id have a sidecar each.
        var offices = tree.Starts.Where(start => start.Who == "daprd office").ToList();
        Assert.Equal(2, offices.Count);
        Assert.Equal(2, offices.Select(office => office.Value("--app-port")).Distinct().Count());
        Assert.Equal(10, offices.SelectMany(office => new[] { "--app-port", "--dapr-http-port", "--dapr-grpc-port", "--dapr-internal-grpc-port", "--metrics-port" }.Select(office.Value)).Distinct().Count());

        // One that dies is started again as it was, and the rest stays.
        Signals.Send(daprd.Pid, Signals.Kill);
        await Eventually.Async(() => RunningSystem.Read(tree.Data)!.Parts.Single(part => part.Name == "shop-daprd") is { State: nameof(PartState.Ready), Restarts: 1 }, "the sidecar is back", TimeSpan.FromSeconds(60));
        Assert.Equal(9, tree.Starts.Count);
        var again = tree.Starts.Single(start => start.Who == "daprd shop" && start.Pid != daprd.Pid);
        Assert.Equal(daprd.Arguments, again.Arguments);
        Assert.True(File.Exists(tree.Data.Log("shop-daprd")));

        Assert.Equal(0, await launched.StopAsync());

        var ends = tree.Events.Where(line => line.EndsWith(" ends", StringComparison.Ordinal)).ToList();
        Assert.Equal(8, ends.Count);
        Assert.All(ends[..3], line => Assert.StartsWith("app ", line));
        Assert.All(ends[3..6], line => Assert.StartsWith("daprd ", line));
        Assert.Equal(["placement ends", "scheduler ends"], ends[6..].Order());
        Assert.All(tree.Starts, start => Assert.False(Signals.IsAlive(start.Pid, DateTime.UtcNow)));
        Assert.All(running.Parts.Where(part => part.Pid is not null), part => Assert.False(Signals.IsAlive(part.Pid!.Value, part.StartedAt!.Value), part.Name));
        Assert.False(File.Exists(tree.Data.State));
    }

    [Fact]
    public async Task A_sidecar_that_cannot_start_ends_it_all_with_its_last_words()
    {
        SmallTree.NeedsPostgres();
        tree.Environment["STANDIN_CRASH"] = "daprd office";
        var (code, output) = await tree.RunAsync("up", "--sidecar", "daprd", "--ports", "free");

        Assert.Equal(1, code);
        Assert.Contains("office-daprd ended with code 7", output, StringComparison.Ordinal);
        Assert.Contains("the sky is falling", output, StringComparison.Ordinal);
        Assert.All(tree.Starts, start => Assert.False(Signals.IsAlive(start.Pid, DateTime.UtcNow)));
        Assert.False(File.Exists(tree.Data.State));
    }

    [Theory]
    [InlineData("daprd")]
    [InlineData("placement")]
    [InlineData("scheduler")]
    public async Task What_is_missing_of_it_is_named_before_anything_starts(string program)
    {
        File.Delete(Path.Combine(tree.DaprFolder, program));
        var (code, output) = await tree.RunAsync("up", "--sidecar", "daprd");
        Assert.Equal(1, code);
        Assert.Contains($"holds no {program}", output.ReplaceLineEndings(" "), StringComparison.Ordinal);
        Assert.Contains("dapr init --slim", output, StringComparison.Ordinal);

        tree.Environment["DAPRD_PATH"] = null;
        tree.Environment["HOME"] = tree.Root;
        tree.Environment["PATH"] = $"{Environment.GetEnvironmentVariable("PATH")}:{tree.DaprFolder}";
        (code, output) = await tree.RunAsync("up", "--sidecar", "daprd");
        Assert.Equal(1, code);
        Assert.Contains($"there is no {program} on PATH", output.ReplaceLineEndings(" "), StringComparison.Ordinal);
        Assert.Empty(tree.Starts);
    }

    [Fact]
    public async Task Events_that_never_leave_one_daprd_are_refused()
    {
        tree.Write("components/redis/pubsub.yaml", """
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata:
              name: pubsub
            spec:
              type: pubsub.in-memory
              version: v1
            """);
        foreach (var arguments in new string[][] { ["up", "--sidecar", "daprd"], ["infra"] })
        {
            var (code, output) = await tree.RunAsync(arguments);
            Assert.Equal(1, code);
            Assert.Contains("pubsub.yaml:6: spec.type", output, StringComparison.Ordinal);
            Assert.Contains("--components redis", output, StringComparison.Ordinal);
        }

        Assert.False(File.Exists(tree.Data.State));
    }

    [Fact]
    public void The_flags_are_those_of_the_dapr_cli_in_its_order()
    {
        tree.Write("dapr.yaml", """
            version: 1
            apps:
              - appID: shop
                appDirPath: ./apps/shop
                resourcesPaths: ["../../components/local", "../../components/redis"]
                configFilePath: ../../components/config.yaml
                appProtocol: grpc
                appSSL: true
                apiListenAddresses: "127.0.0.1,::1"
                enableProfiling: true
                profilePort: 7777
                logLevel: debug
                appMaxConcurrency: 4
                placementHostAddress: ""
                schedulerHostAddress: elsewhere
                maxBodySize: 16Mi
                readBufferSize: 10000
                enableAppHealthCheck: true
                appHealthProbeTimeout: 700
                enableApiLogging: true
                appChannelAddress: 127.0.0.7
                unixDomainSocket: /tmp/sockets
            """);
        var app = RunPlan.Read(tree.Root, tree.Root).Apps.Single();

        var flags = RealSidecars.Flags(app, new DaprdPorts(1, 2, 3, 4, 5), "unused", "names.yaml", "127.0.0.1:6", "127.0.0.1:7");

        string In(string file) => Path.Combine(tree.Root, "components", file);
        Assert.Equal(
        [
            "--config", "names.yaml", "--config", In("config.yaml"), "--app-protocol", "grpcs", "--dapr-listen-addresses", "127.0.0.1,::1", "--enable-profiling", "--log-level", "debug",
            "--app-max-concurrency", "4", "--resources-path", In("local"), "--resources-path", In("redis"), "--max-body-size", "16Mi", "--read-buffer-size", "10000",
            "--enable-app-health-check", "--app-health-check-path", "/healthz", "--app-health-probe-interval", "5", "--app-health-probe-timeout", "700", "--app-health-threshold", "3",
            "--enable-api-logging", "--scheduler-host-address", "elsewhere:50006", "--app-id", "shop", "--app-channel-address", "127.0.0.7", "--app-port", "1", "--dapr-http-port", "2",
            "--dapr-grpc-port", "3", "--profile-port", "7777", "--metrics-port", "5", "--unix-domain-socket", "/tmp/sockets", "--dapr-internal-grpc-port", "4",
            "--metrics-listen-address", "127.0.0.1", "--dapr-internal-grpc-listen-address", "127.0.0.1",
        ], flags);

        tree.Write("dapr.yaml", "version: 1\napps:\n  - appID: shop\n    appDirPath: ./apps/shop\n");
        flags = RealSidecars.Flags(RunPlan.Read(tree.Root, tree.Root).Apps.Single(), new DaprdPorts(1, 2, 3, 4, 5), "set", "names.yaml", "127.0.0.1:6", "127.0.0.1:7");
        Assert.Equal(
        [
            "--config", "names.yaml", "--app-protocol", "http", "--app-max-concurrency", "-1", "--placement-host-address", "127.0.0.1:6", "--resources-path", "set", "--max-body-size", "4Mi", "--read-buffer-size", "4Ki",
            "--scheduler-host-address", "127.0.0.1:7", "--app-id", "shop", "--app-port", "1", "--dapr-http-port", "2", "--dapr-grpc-port", "3", "--profile-port", "-1", "--metrics-port", "5",
            "--dapr-internal-grpc-port", "4", "--metrics-listen-address", "127.0.0.1", "--dapr-internal-grpc-listen-address", "127.0.0.1",
        ], flags);
    }

    private StandInStart Start(string who) => tree.Starts.Single(start => start.Who == who);

    private int At(string line) => tree.Events.ToList().IndexOf(line) is var at and >= 0 ? at : throw new InvalidOperationException($"{line} did not happen:\n{string.Join('\n', tree.Events)}");
}
