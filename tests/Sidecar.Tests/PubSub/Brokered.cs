using System.Text;
using Dapr.Client;
using Marketplace.Local.Sidecar;
using Marketplace.Sidecar.Tests.Workflows;
using Marketplace.TestKit;

namespace Marketplace.Sidecar.Tests.PubSub;

/// <summary>Sidecar hosts in processes of their own that share nothing but a broker, so that one of them can be killed.</summary>
internal sealed class Brokered : IAsyncDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("brokered-").FullName;
    private readonly List<Member> members = [];

    /// <summary>A pub/sub component named <c>pubsub</c> of the given type.</summary>
    public static string Component(string type, params IEnumerable<(string Name, string Value)> metadata) => $$"""
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata:
          name: pubsub
        spec:
          type: {{type}}
          version: v1
          metadata:
        {{string.Join('\n', metadata.Select(item => $"  - {{ name: {item.Name}, value: \"{item.Value}\" }}"))}}

        """;

    /// <summary>A policy that tries an event of <c>pubsub</c> again, so often and so quickly.</summary>
    public static string Retries(int times) => $$"""
        ---
        apiVersion: dapr.io/v1alpha1
        kind: Resiliency
        metadata: { name: messages }
        spec:
          policies: { retries: { quick: { policy: constant, duration: 50ms, maxRetries: {{times}} } } }
          targets: { components: { pubsub: { inbound: { retry: quick } } } }
        """;

    /// <summary>Every app that is up has been asked what it listens to: an event published from now on is for it.</summary>
    public static Task IntroducedAsync(SidecarsUnderTest sidecars) => Eventually.Async(
        () => sidecars.Host.Instances.All(instance => instance.App.AppPort is null || instance.Introduced), "the sidecars know who listens", TimeSpan.FromSeconds(40));

    /// <summary>One more host with one app; ready when its app may be sent events.</summary>
    public async Task<Member> AddAsync(string resources, string appId, int? appPort)
    {
        var home = Directory.CreateDirectory(Path.Combine(folder, $"{members.Count}")).FullName;
        var documents = Directory.CreateDirectory(Path.Combine(home, "resources")).FullName;
        await File.WriteAllTextAsync(Path.Combine(documents, "all.yaml"), resources, Encoding.UTF8);
        var plan = new SidecarPlan(Directory.CreateDirectory(Path.Combine(home, "data")).FullName, Ports.Free(), null, "app-token", null,
            [new SidecarApp(appId, home, appPort, Ports.Free(), Ports.Free(), [documents])]);
        var member = new Member(plan);
        members.Add(member);
        await member.UpAsync();
        return member;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var member in members) await member.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }

    internal sealed class Member(SidecarPlan plan) : IAsyncDisposable
    {
        private readonly SidecarProcess process = new(plan);
        private DaprClient? client;

        public DaprClient Client => client ??= new DaprClientBuilder()
            .UseGrpcEndpoint($"http://127.0.0.1:{plan.Apps[0].GrpcPort}").UseHttpEndpoint($"http://127.0.0.1:{plan.Apps[0].HttpPort}").Build();

        public async Task UpAsync()
        {
            await process.StartAsync();
            if (plan.Apps[0].AppPort is not { } port) return;
            using var control = new HttpClient();
            await Eventually.Async(async () => (await control.GetAsync($"http://127.0.0.1:{plan.ControlPort}/apps/{port}/introduced")).IsSuccessStatusCode,
                "the sidecar knows what its app listens to", TimeSpan.FromSeconds(40));
        }

        public Task KillAsync() => process.KillAsync();

        public async ValueTask DisposeAsync()
        {
            client?.Dispose();
            await process.DisposeAsync();
        }
    }
}
