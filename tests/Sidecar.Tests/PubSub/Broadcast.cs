using System.Diagnostics;
using System.Text.Json;
using Dapr.Client;
using Marketplace.Local.Sidecar;
using Marketplace.TestKit;

namespace Marketplace.Sidecar.Tests.PubSub;

/// <summary>
/// Sidecars of some apps with three pub/sub components of one kind: <c>pubsub</c> retries three times 50 ms apart, <c>patient</c> without end, <c>plain</c> not at all.
/// They run in this process, or in one of their own that can be killed.
/// </summary>
internal sealed class Broadcast : IAsyncDisposable
{
    private readonly IBroker broker;
    private readonly ListeningApp[] apps;
    private readonly string folder = Directory.CreateTempSubdirectory("broadcast-").FullName;
    private readonly List<IDisposable> clients = [];
    private SidecarHost? host;
    private Process? process;

    private Broadcast(IBroker broker, ListeningApp[] apps, string more)
    {
        this.broker = broker;
        this.apps = apps;
        var resources = Directory.CreateDirectory(Path.Combine(folder, "components")).FullName;
        File.WriteAllText(Path.Combine(resources, "all.yaml"), string.Join("\n---\n",
            broker.Component("pubsub"), broker.Component("patient"), broker.Component("plain", ("protectedTopics", "vault"))) + "\n" + more);
        File.WriteAllText(Path.Combine(resources, "resiliency.yaml"), """
            apiVersion: dapr.io/v1alpha1
            kind: Resiliency
            metadata: { name: messages }
            spec:
              policies:
                retries:
                  short: { policy: constant, duration: 50ms, maxRetries: 3 }
                  endless: { policy: constant, duration: 100ms, maxRetries: -1 }
              targets:
                components:
                  pubsub: { inbound: { retry: short } }
                  patient: { inbound: { retry: endless } }
            """);
        Plan = new SidecarPlan(Path.Combine(folder, "data"), Ports.Free(), null, "app-token", $"t{Guid.NewGuid():N}",
        [
            new SidecarApp("shop", folder, AppPort: null, Ports.Free(), Ports.Free(), [resources]),   // only publishes
            .. apps.Select(app => new SidecarApp(app.AppId, folder, app.Port, Ports.Free(), Ports.Free(), [resources], HealthCheck: app.HealthCheck)),
        ]);
    }

    public SidecarPlan Plan { get; }
    public SidecarHost Host => host ?? throw new InvalidOperationException("The sidecars run in a process of their own.");

    /// <summary>Everything in this process, ready to publish and to receive; on the in-memory broker.</summary>
    public static Task<Broadcast> StartAsync(params ListeningApp[] apps) => StartAsync(BrokersUnderTest.InMemory, apps);

    /// <param name="broker">One of <see cref="BrokersUnderTest.Names"/>.</param>
    public static async Task<Broadcast> StartAsync(string broker, params ListeningApp[] apps) => await StartAsync(await BrokersUnderTest.StartAsync(broker), "", apps);

    /// <param name="broker">Belongs to the result from now on.</param>
    /// <param name="more">Further YAML documents.</param>
    public static async Task<Broadcast> StartAsync(IBroker broker, string more, params ListeningApp[] apps)
    {
        var broadcast = new Broadcast(broker, apps, more);
        foreach (var app in apps) await app.StartAsync();
        await broadcast.UpAsync();
        return broadcast;
    }

    /// <summary>The sidecars in a process of their own.</summary>
    public static async Task<Broadcast> StartProcessAsync(IBroker broker, params ListeningApp[] apps)
    {
        var broadcast = new Broadcast(broker, apps, "");
        foreach (var app in apps) await app.StartAsync();
        await broadcast.UpProcessAsync();
        return broadcast;
    }

    /// <summary>Events of a component that some app has not finished.</summary>
    public Task<long> WaitingAsync(string pubsub) => Host.Block<Local.Sidecar.PubSub.PubSubBlock>().WaitingAsync(pubsub);

    public async Task UpAsync()
    {
        host = await SidecarHost.StartAsync(Plan);
        await ReadyAsync();
    }

    public async Task DownAsync()
    {
        if (host is not null) await host.DisposeAsync();
        host = null;
    }

    public async Task UpProcessAsync()
    {
        var plan = Path.Combine(folder, "plan.json");
        Plan.Write(plan);
        process = Process.Start(new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "Local.dll"), "sidecars", "--plan", plan]))!;
        await ReadyAsync();
    }

    /// <summary>SIGKILL: nothing is flushed, nobody is told.</summary>
    public async Task KillAsync()
    {
        process!.Kill();
        await process.WaitForExitAsync();
        process.Dispose();
        process = null;
    }

    public DaprClient Client(string appId = "shop")
    {
        var app = Plan.Apps.First(one => one.AppId == appId);
        var client = new DaprClientBuilder().UseGrpcEndpoint($"http://127.0.0.1:{app.GrpcPort}").UseHttpEndpoint($"http://127.0.0.1:{app.HttpPort}").Build();
        clients.Add(client);
        return client;
    }

    public HttpClient Http(string appId = "shop")
    {
        var client = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{Plan.Apps.First(one => one.AppId == appId).HttpPort}/") };
        clients.Add(client);
        return client;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var client in clients) client.Dispose();
        await DownAsync();
        if (process is not null) await KillAsync();
        foreach (var app in apps) await app.DisposeAsync();
        await broker.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }

    /// <summary>Every app that is up has told its sidecar what it listens to: only then is an event published for it.</summary>
    private async Task ReadyAsync()
    {
        using var control = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{Plan.ControlPort}/") };
        await Eventually.Async(async () =>
        {
            try
            {
                foreach (var app in Plan.Apps)
                {
                    using var metadata = await control.GetAsync($"http://127.0.0.1:{app.HttpPort}/v1.0/metadata");
                    if (!metadata.IsSuccessStatusCode) return false;
                    using var json = JsonDocument.Parse(await metadata.Content.ReadAsStringAsync());
                    if (apps.Any(one => one.Port == app.AppPort && one.IsUp) && !json.RootElement.TryGetProperty("subscriptions", out _)) return false;
                }
                return true;
            }
            catch (HttpRequestException)
            {
                return false;
            }
        }, "the sidecars are up and know the subscriptions", TimeSpan.FromSeconds(30));
    }
}
