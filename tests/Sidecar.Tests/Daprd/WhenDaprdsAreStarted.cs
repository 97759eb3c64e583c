using System.Diagnostics;
using Marketplace.Local.Sidecar;
using Marketplace.Sidecar.Tests.Invocation;
using Marketplace.TestKit;
using Xunit;
using Xunit.Sdk;

namespace Marketplace.Sidecar.Tests.Daprd;

/// <summary>How the suite starts a real Dapr, shown with programs that stand in for it.</summary>
public sealed class WhenDaprdsAreStarted
{
    // The flags of the three programs in 1.18; an unknown one would end them at once.
    private static readonly string[] Common = ["log-level", "log-as-json", "enable-metrics", "metrics-port", "metrics-listen-address", "mode", "trust-anchors-file", "sentry-address"];

    private static readonly Dictionary<string, string[]> Known = new()
    {
        ["daprd"] =
        [
            .. Common, "app-id", "app-port", "app-protocol", "app-ssl", "app-channel-address", "app-max-concurrency", "app-health-check-path", "app-health-probe-interval", "app-health-probe-timeout",
            "app-health-threshold", "enable-app-health-check", "allowed-origins", "components-path", "resources-path", "config", "control-plane-address", "control-plane-trust-domain",
            "control-plane-namespace", "dapr-http-port", "dapr-grpc-port", "dapr-internal-grpc-port", "dapr-internal-grpc-listen-address", "dapr-listen-addresses", "dapr-public-port",
            "dapr-public-listen-address", "dapr-graceful-shutdown-seconds", "dapr-block-shutdown-duration", "disable-builtin-k8s-secret-store", "disable-init-endpoints", "enable-api-logging",
            "enable-mtls", "enable-profiling", "profile-port", "max-body-size", "read-buffer-size", "placement-host-address", "scheduler-host-address", "scheduler-job-streams",
            "actors-disseminate-timeout", "unix-domain-socket", "sentry-request-jwt-audiences",
        ],
        ["placement"] =
        [
            .. Common, "id", "initial-cluster", "inmem-store-enabled", "raft-logstore-path", "port", "listen-address", "healthz-port", "healthz-listen-address", "tls-enabled", "metadata-enabled",
            "replicationFactor", "keepalive-time", "keepalive-timeout", "disseminate-timeout", "trust-domain",
        ],
        ["scheduler"] =
        [
            .. Common, "id", "port", "listen-address", "override-broadcast-host-port", "healthz-port", "healthz-listen-address", "tls-enabled", "trust-domain", "etcd-embed", "etcd-initial-cluster",
            "etcd-data-dir", "etcd-client-port", "etcd-client-listen-address", "etcd-space-quota", "etcd-compaction-mode", "etcd-compaction-retention", "etcd-snapshot-count", "etcd-max-snapshots",
            "etcd-max-wals", "etcd-backend-batch-limit", "etcd-backend-batch-interval", "identity-directory-write", "workers",
        ],
    };

    [Fact]
    public async Task Each_app_has_one_and_actors_have_placement_and_scheduler()
    {
        using var programs = Need();
        var folder = Directory.CreateTempSubdirectory("sidecar-tests-").FullName;
        var resources = Directory.CreateDirectory(Path.Combine(folder, "resources")).FullName;
        await File.WriteAllTextAsync(Path.Combine(resources, "store.yaml"), """
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: store}
            spec: {type: state.in-memory, metadata: [{name: actorStateStore, value: "true"}]}
            """);
        await using var app = await TestApp.StartAsync(_ => { });
        var plan = new SidecarPlan(Path.Combine(folder, "data"), 0, "key", "app-key", null,
        [
            new SidecarApp("shop", folder, app.Port, Ports.Free(), Ports.Free(), [resources], HealthCheck: new AppHealthCheck("/livez", TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(2), 2), MaxConcurrency: 5),
            new SidecarApp("office", folder, null, Ports.Free(), Ports.Free(), [resources], MaxBodyBytes: 16 << 20),
        ]);

        IReadOnlyList<int> ids;
        await using (var sidecars = await DaprdSidecars.StartAsync(programs.Programs, plan))
        {
            ids = sidecars.ProcessIds;
            using var http = new HttpClient { DefaultRequestHeaders = { { "dapr-api-token", "key" } } };
            foreach (var one in plan.Apps)
                Assert.Contains($"\"id\":\"{one.AppId}\"", await http.GetStringAsync($"http://127.0.0.1:{one.HttpPort}/v1.0/metadata"));
        }

        Assert.Equal(4, ids.Count);
        Assert.All(ids, id => Assert.Throws<ArgumentException>(() => Process.GetProcessById(id)));

        foreach (var (program, flags) in Known)
        {
            var starts = programs.Starts(program);
            Assert.Equal(program == "daprd" ? 2 : 1, starts.Count);
            foreach (var (arguments, environment) in starts)
            {
                Assert.All(arguments, argument => Assert.Contains(argument[2..].Split('=')[0], flags));
                Assert.Equal(arguments.Length, arguments.Where(argument => !argument.StartsWith("--config", StringComparison.Ordinal)).Select(argument => argument.Split('=')[0]).Distinct().Count()
                    + arguments.Count(argument => argument.StartsWith("--config", StringComparison.Ordinal)));
                Assert.Equal(("key", "app-key", "127.0.0.1"), (environment["DAPR_API_TOKEN"], environment["APP_API_TOKEN"], environment["DAPR_HOST_IP"]));
            }
        }

        var shop = programs.Starts("daprd").Single(start => start.Arguments.Contains("--app-id=shop")).Arguments;
        Assert.Superset(new HashSet<string>
        {
            "--app-protocol=http", $"--app-port={app.Port}", $"--dapr-http-port={plan.Apps[0].HttpPort}", $"--dapr-grpc-port={plan.Apps[0].GrpcPort}", "--dapr-listen-addresses=127.0.0.1",
            $"--resources-path={resources}", "--max-body-size=4Mi", "--app-max-concurrency=5", "--enable-metrics=false",
            "--enable-app-health-check=true", "--app-health-check-path=/livez", "--app-health-probe-interval=1", "--app-health-probe-timeout=1000", "--app-health-threshold=2",
        }, shop.ToHashSet());
        var office = programs.Starts("daprd").Single(start => start.Arguments.Contains("--app-id=office")).Arguments;
        Assert.Contains("--max-body-size=16Mi", office);
        Assert.DoesNotContain(office, argument => argument.StartsWith("--app-port", StringComparison.Ordinal) || argument.Contains("health", StringComparison.Ordinal));
        Assert.Equal(Port("placement", "--port="), Port("daprd", "--placement-host-address=127.0.0.1:"));
        Assert.Equal(Port("scheduler", "--port="), Port("daprd", "--scheduler-host-address=127.0.0.1:"));
        Directory.Delete(folder, recursive: true);

        string Port(string program, string flag) => programs.Starts(program)[0].Arguments.Single(argument => argument.StartsWith(flag, StringComparison.Ordinal))[flag.Length..];
    }

    [Fact]
    public async Task One_that_ends_at_once_fails_the_test_with_its_last_words_and_leaves_nothing_running()
    {
        using var programs = Need("echo 'level=fatal msg=\"no such component\"'; exit 1");
        var folder = Directory.CreateTempSubdirectory("sidecar-tests-").FullName;
        var plan = new SidecarPlan(folder, 0, null, null, null, [new SidecarApp("shop", folder, null, Ports.Free(), Ports.Free(), [folder])]);
        var failure = await Assert.ThrowsAnyAsync<XunitException>(() => DaprdSidecars.StartAsync(programs.Programs, plan));
        Assert.Contains("no such component", failure.Message);
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task A_class_of_tests_runs_on_them_in_a_process_of_its_own()
    {
        using var programs = Need();
        var (code, output) = await OnDaprd.RunAsync("Invocation." + nameof(WhenTokensAreSet), programs.Folder, TestContext.Current.CancellationToken);
        Assert.True(code == 0, output);
        Assert.NotEmpty(programs.Starts("daprd"));
    }

    private static StandIns Need(string? daprd = null)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "The stand-ins are shell scripts.");
        Assert.SkipWhen(SidecarsUnderTest.Kind == SidecarKind.Daprd, "The stand-ins stand in for what is here.");
        return StandIns.Write(daprd);
    }
}
