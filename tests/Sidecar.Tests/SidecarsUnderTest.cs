using System.Text;
using Dapr.Client;
using Marketplace.Local.Sidecar;
using Marketplace.TestKit;

namespace Marketplace.Sidecar.Tests;

/// <summary>
/// The sidecars a test talks to. Tests see only ports and resource files, so that the same test can run against another kind of sidecar:
/// <see cref="StartAsync"/> is the one place that knows which kind it is.
/// </summary>
public sealed class SidecarsUnderTest : IAsyncDisposable
{
    private readonly string folder;
    private readonly IReadOnlyList<SidecarApp> apps;

    private SidecarsUnderTest(string folder, IReadOnlyList<SidecarApp> apps, SidecarHost host)
    {
        this.folder = folder;
        this.apps = apps;
        Host = host;
    }

    /// <summary>For what only the local host can do: faults.</summary>
    public SidecarHost Host { get; }

    public string Folder => folder;

    /// <param name="resources">YAML documents; the text {folder} stands for the folder of the test.</param>
    public static async Task<SidecarsUnderTest> StartAsync(string resources, params IReadOnlyList<AppUnderTest> apps)
    {
        var folder = Directory.CreateTempSubdirectory("sidecar-tests-").FullName;
        var resourceFolder = Directory.CreateDirectory(Path.Combine(folder, "resources")).FullName;
        await File.WriteAllTextAsync(Path.Combine(resourceFolder, "resources.yaml"), resources.Replace("{folder}", folder, StringComparison.Ordinal), Encoding.UTF8);
        SidecarApp[] planned = [.. apps.Select(app => new SidecarApp(app.AppId, folder, app.Port, Ports.Free(), Ports.Free(), [resourceFolder], HealthCheck: app.HealthCheck, MaxBodyBytes: app.MaxBodyBytes, MaxConcurrency: app.MaxConcurrency))];
        var plan = new SidecarPlan(Path.Combine(folder, "data"), apps[0].ControlPort, apps[0].ApiToken, apps[0].AppToken, Namespace: null, planned);
        return new SidecarsUnderTest(folder, planned, await SidecarHost.StartAsync(plan));
    }

    /// <summary>Where the sidecar of an app listens, for clients of other languages.</summary>
    public int HttpPort(int app = 0) => apps[app].HttpPort;

    public int GrpcPort(int app = 0) => apps[app].GrpcPort;

    public DaprClient Client(int app = 0, string? apiToken = null)
    {
        var builder = new DaprClientBuilder()
            .UseHttpEndpoint($"http://127.0.0.1:{apps[app].HttpPort}")
            .UseGrpcEndpoint($"http://127.0.0.1:{apps[app].GrpcPort}");
        if (apiToken is not null) builder.UseDaprApiToken(apiToken);
        return builder.Build();
    }

    public HttpClient Http(int app = 0) => new() { BaseAddress = new Uri($"http://127.0.0.1:{apps[app].HttpPort}") };

    /// <summary>Until the app of every sidecar that has one is called healthy.</summary>
    public Task ReadyAsync(TimeSpan? limit = null) => Task.WhenAll(Host.Instances.Where(instance => instance.App.AppPort is not null)
        .Select(instance => instance.Channel.WhenHealthyAsync(CancellationToken.None).WaitAsync(limit ?? TimeSpan.FromSeconds(20))));

    public async ValueTask DisposeAsync()
    {
        await Host.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }
}

public sealed record AppUnderTest(
    string AppId,
    int? Port = null,
    AppHealthCheck? HealthCheck = null,
    string? ApiToken = null,
    string? AppToken = null,
    int MaxConcurrency = -1,
    long MaxBodyBytes = 4 << 20,
    int ControlPort = 0);
