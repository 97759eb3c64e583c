using Dapr.Client.Autogen.Grpc.v1;

namespace Marketplace.Local.Sidecar;

/// <summary>
/// One part of the Dapr API for all apps of the host. Handlers find the app instance they were called through in the connection:
/// <see cref="SidecarInstance.Of(HttpContext)"/> for HTTP, the first parameter for gRPC.
/// </summary>
public abstract class BuildingBlock(SidecarHost host) : IAsyncDisposable
{
    protected SidecarHost Host { get; } = host;

    public virtual void ConfigureServices(IServiceCollection services)
    {
    }

    /// <summary>Routes of the HTTP API and whole gRPC services of its own (<c>MapGrpcService</c>).</summary>
    public virtual void Map(IEndpointRouteBuilder routes)
    {
    }

    /// <summary>Methods of the service dapr.proto.runtime.v1.Dapr.</summary>
    public virtual void MapGrpc(DaprMethods methods)
    {
    }

    /// <summary>Components are loaded, ports are not open yet.</summary>
    public virtual Task StartAsync(CancellationToken ct) => Task.CompletedTask;

    /// <summary>The app turned healthy, for the first time or again. Calls for one instance never overlap with its <see cref="AppLostAsync"/>.</summary>
    public virtual Task AppReadyAsync(SidecarInstance instance, CancellationToken ct) => Task.CompletedTask;

    /// <summary>The app's port closed or its probes fail: send it nothing until it is ready again.</summary>
    public virtual Task AppLostAsync(SidecarInstance instance, CancellationToken ct) => Task.CompletedTask;

    /// <summary>Adds what this block knows to the answer of the metadata API.</summary>
    public virtual void Describe(SidecarInstance instance, GetMetadataResponse metadata)
    {
    }

    public virtual ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        return ValueTask.CompletedTask;
    }
}
