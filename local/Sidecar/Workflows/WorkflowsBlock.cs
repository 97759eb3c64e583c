using Dapr.Client.Autogen.Grpc.v1;

namespace Marketplace.Local.Sidecar.Workflows;

/// <summary>Durable workflows of every app that has an actor state store.</summary>
internal sealed class WorkflowsBlock(SidecarHost host) : BuildingBlock(host)
{
    private readonly Dictionary<string, WorkflowEngine> engines = [];

    public override void ConfigureServices(IServiceCollection services)
    {
        services.AddSingleton(this);
        services.AddSingleton<TaskHubService>();
    }

    public override void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGrpcService<TaskHubService>();
        new WorkflowApi(this).Map(routes);
    }

    public override void MapGrpc(DaprMethods methods) => new WorkflowApi(this).MapGrpc(methods);

    public override Task StartAsync(CancellationToken ct)
    {
        foreach (var group in Host.Groups)
        {
            if (group.Instances[0].Components.ActorStore is not { } actors) continue;
            var keys = new WorkflowKeys(group.AppId, Host.Namespace);
            engines.Add(group.AppId, new WorkflowEngine(Host, group, actors.Store, keys, group.Instances[0].Components.Configuration.Workflow));
        }

        return Task.CompletedTask;
    }

    public override void Describe(SidecarInstance instance, GetMetadataResponse metadata)
    {
        if (engines.TryGetValue(instance.AppId, out var engine))
            metadata.Workflows = new MetadataWorkflows { ConnectedWorkers = engine.Dispatcher.Streams };
    }

    public override async ValueTask DisposeAsync()
    {
        foreach (var engine in engines.Values)
            await engine.DisposeAsync();
        await base.DisposeAsync();
    }

    public WorkflowEngine EngineOf(SidecarInstance instance) => engines.TryGetValue(instance.AppId, out var engine)
        ? engine
        : throw new DaprApiException(500, Grpc.Core.StatusCode.Internal, "ERR_ACTOR_RUNTIME_NOT_FOUND", "the state store is not configured to use the actor runtime. Have you set the - name: actorStateStore value: \"true\" in your state store component file?");
}
