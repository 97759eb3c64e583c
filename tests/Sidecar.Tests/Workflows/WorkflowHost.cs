using Marketplace.Local.Sidecar;
using Marketplace.TestKit;

namespace Marketplace.Sidecar.Tests.Workflows;

/// <summary>A sidecar host with an actor state store, in this process.</summary>
internal sealed class WorkflowHost : IAsyncDisposable
{
    private readonly string folder;
    private IAsyncDisposable? running;

    private WorkflowHost(string folder, SidecarPlan plan)
    {
        this.folder = folder;
        Plan = plan;
    }

    public SidecarPlan Plan { get; private set; }

    public SidecarHost Sidecars
    {
        get
        {
            SidecarsUnderTest.LocalOnly("it looks into the host");
            return (SidecarHost?)running ?? throw new InvalidOperationException("The host is down.");
        }
    }

    public int GrpcPort => Plan.Apps[0].GrpcPort;
    public Uri Http => new($"http://127.0.0.1:{Plan.Apps[0].HttpPort}/");

    /// <summary>One app <c>shop</c>, unless apps are named; the store is in memory, unless a database is.</summary>
    public static async Task<WorkflowHost> StartAsync(string? database = null, string[]? apps = null, string? configuration = null, long maxBody = 4 << 20)
    {
        var workflows = Prepare(database, apps ?? ["shop"], configuration, maxBody);
        await workflows.UpAsync();
        return workflows;
    }

    public static WorkflowHost Prepare(string? database, string[] apps, string? configuration = null, long maxBody = 4 << 20, string? redis = null)
    {
        var folder = Directory.CreateTempSubdirectory("workflows-").FullName;
        var resources = Directory.CreateDirectory(Path.Combine(folder, "components")).FullName;
        File.WriteAllText(Path.Combine(resources, "actors.yaml"), redis is not null
            ? $$"""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: { name: actors }
            spec:
              type: state.redis
              version: v1
              metadata:
              - { name: redisHost, value: "{{redis}}" }
              - { name: redisPassword, value: "secret" }
              - { name: actorStateStore, value: "true" }
            """
            : database is null
            ? """
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: { name: actors }
            spec:
              type: state.in-memory
              version: v1
              metadata:
              - { name: actorStateStore, value: "true" }
            """
            : $$"""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: { name: actors }
            spec:
              type: state.postgresql
              version: v2
              metadata:
              - { name: connectionString, value: "{{database}}" }
              - { name: actorStateStore, value: "true" }
            """);
        string? configFile = null;
        if (configuration is not null)
            File.WriteAllText(configFile = Path.Combine(folder, "config.yaml"), configuration);
        return new WorkflowHost(folder, new SidecarPlan(folder, 0, null, null, null,
        [
            .. apps.Select(app => new SidecarApp(app, folder, AppPort: null, Ports.Free(), Ports.Free(), [resources], configFile, MaxBodyBytes: maxBody)),
        ]));
    }

    public async Task UpAsync() => running = await SidecarsUnderTest.RunAsync(Plan);

    public async Task DownAsync()
    {
        if (running is not null) await running.DisposeAsync();
        running = null;
    }

    public async ValueTask DisposeAsync()
    {
        await DownAsync();
        Directory.Delete(folder, recursive: true);
    }
}
