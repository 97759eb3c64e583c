using System.Net;
using System.Text;
using Dapr.Client;
using Marketplace.Local.Sidecar;
using Marketplace.Sidecar.Tests.Daprd;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Sidecar.Tests;

public enum SidecarKind
{
    /// <summary>The local sidecar host, in the process of the test.</summary>
    Local,

    /// <summary>Processes of a real daprd, with placement and scheduler where actors are asked for.</summary>
    Daprd,
}

/// <summary>
/// The sidecars a test talks to. Tests see only ports and resource files, so that the same test runs against every kind of sidecar:
/// <see cref="StartAsync"/> is the one place that knows which kind it is. The kind is that of the whole process, given by the variable
/// SIDECAR; <see cref="OnDaprd"/> starts a process for each class that carries <see cref="EverySidecarAttribute"/>.
/// </summary>
public sealed class SidecarsUnderTest : IAsyncDisposable
{
    private readonly string folder;
    private readonly IReadOnlyList<SidecarApp> apps;
    private readonly IAsyncDisposable running;

    private SidecarsUnderTest(string folder, IReadOnlyList<SidecarApp> apps, IAsyncDisposable running)
    {
        this.folder = folder;
        this.apps = apps;
        this.running = running;
    }

    public static SidecarKind Kind { get; } = Environment.GetEnvironmentVariable("SIDECAR") switch
    {
        null or "" or "local" => SidecarKind.Local,
        "daprd" => SidecarKind.Daprd,
        var other => throw new InvalidOperationException($"SIDECAR is {other}; it may be local or daprd."),
    };

    /// <summary>For what only the local host can do; a test that gets here against a daprd is skipped.</summary>
    public SidecarHost Host
    {
        get
        {
            LocalOnly("it looks into the host");
            return (SidecarHost)running;
        }
    }

    public string Folder => folder;

    /// <summary>Skips the test where the sidecar is a real daprd.</summary>
    /// <param name="reason">What a daprd has no means for, after "local host only: ".</param>
    public static void LocalOnly(string reason) => Assert.SkipUnless(Kind == SidecarKind.Local, $"local host only: {reason}");

    /// <summary>The sidecars of a plan, of the kind under test. Their APIs answer; nothing is said about the apps.</summary>
    internal static async Task<IAsyncDisposable> RunAsync(SidecarPlan plan) =>
        Kind == SidecarKind.Local ? await SidecarHost.StartAsync(plan) : await DaprdSidecars.StartAsync(DaprdPrograms.Need(), plan);

    /// <param name="resources">YAML documents; the text {folder} stands for the folder of the test.</param>
    public static async Task<SidecarsUnderTest> StartAsync(string resources, params IReadOnlyList<AppUnderTest> apps)
    {
        var folder = Directory.CreateTempSubdirectory("sidecar-tests-").FullName;
        SidecarApp[] planned = [.. apps.Select((app, number) => new SidecarApp(
            app.AppId,
            folder,
            app.Port,
            Ports.Free(),
            Ports.Free(),
            [Resources(number, app.Resources)],
            Configuration(number, app.Configuration),
            app.Protocol,
            app.HealthCheck,
            app.MaxConcurrency,
            app.MaxBodyBytes))];
        var plan = new SidecarPlan(Path.Combine(folder, "data"), apps[0].ControlPort, apps[0].ApiToken, apps[0].AppToken, apps[0].Namespace, planned);
        return new SidecarsUnderTest(folder, planned, await RunAsync(plan));

        string Resources(int number, string? own)
        {
            var path = Directory.CreateDirectory(Path.Combine(folder, own is null ? "resources" : $"resources-{number}")).FullName;

            // Policies have files of their own: of several documents in one file daprd looks at the first only when it looks for them.
            var documents = (own ?? resources).Replace("{folder}", folder, StringComparison.Ordinal).Split("---\n").ToLookup(document => document.Contains("kind: Resiliency", StringComparison.Ordinal));
            File.WriteAllText(Path.Combine(path, "resources.yaml"), string.Join("---\n", documents[false]), Encoding.UTF8);
            foreach (var (place, policies) in documents[true].Index())
                File.WriteAllText(Path.Combine(path, $"resiliency-{place}.yaml"), policies, Encoding.UTF8);
            return path;
        }

        string? Configuration(int number, string? text)
        {
            if (text is null) return null;
            var file = Path.Combine(folder, $"config-{number}.yaml");
            File.WriteAllText(file, text, Encoding.UTF8);
            return file;
        }
    }

    /// <summary>Where the sidecar of an app listens, for clients of other languages.</summary>
    public int HttpPort(int app = 0) => apps[app].HttpPort;

    public int GrpcPort(int app = 0) => apps[app].GrpcPort;

    public DaprClient Client(int app = 0, string? apiToken = null, int? largestAnswer = null)
    {
        var builder = new DaprClientBuilder()
            .UseHttpEndpoint($"http://127.0.0.1:{apps[app].HttpPort}")
            .UseGrpcEndpoint($"http://127.0.0.1:{apps[app].GrpcPort}");
        if (apiToken is not null) builder.UseDaprApiToken(apiToken);
        if (largestAnswer is not null) builder.UseGrpcChannelOptions(new() { MaxReceiveMessageSize = largestAnswer });
        return builder.Build();
    }

    public HttpClient Http(int app = 0) => new() { BaseAddress = new Uri($"http://127.0.0.1:{apps[app].HttpPort}") };

    /// <summary>Until the app of every sidecar that has one may be called.</summary>
    public async Task ReadyAsync(TimeSpan? limit = null)
    {
        using var http = new HttpClient();
        foreach (var app in apps.Where(app => app.AppPort is not null))
            await Eventually.Async(() => IsReadyAsync(http, app), $"the sidecar of {app.AppId} is ready", limit ?? TimeSpan.FromSeconds(Kind == SidecarKind.Local ? 20 : 60));
        if (running is SidecarHost host)
            await Task.WhenAll(host.Instances.Where(instance => instance.App.AppPort is not null).Select(instance => instance.Channel.WhenHealthyAsync(TestContext.Current.CancellationToken)));
    }

    public async ValueTask DisposeAsync()
    {
        await running.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }

    private static async Task<bool> IsReadyAsync(HttpClient http, SidecarApp app)
    {
        using var answer = await http.GetAsync(new Uri($"http://127.0.0.1:{app.HttpPort}/v1.0/healthz"));
        return answer.StatusCode == HttpStatusCode.NoContent;
    }
}

/// <param name="Configuration">YAML of a Configuration, as text.</param>
/// <param name="Resources">YAML documents instead of those of all apps.</param>
public sealed record AppUnderTest(
    string AppId,
    int? Port = null,
    AppHealthCheck? HealthCheck = null,
    string? ApiToken = null,
    string? AppToken = null,
    int MaxConcurrency = -1,
    long MaxBodyBytes = 4 << 20,
    int ControlPort = 0,
    string Protocol = "http",
    string? Configuration = null,
    string? Resources = null,
    string? Namespace = null);
