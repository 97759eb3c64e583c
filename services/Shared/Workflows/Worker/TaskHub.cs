using Dapr.Workflow.Protocol;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.Extensions.Configuration;

namespace Dapr.Workflow.Worker;

/// <summary>
/// The connection to the sidecar's workflow service: <c>DAPR_GRPC_ENDPOINT</c>, else <c>http://localhost:DAPR_GRPC_PORT</c> (50001), with
/// <c>DAPR_API_TOKEN</c> on every call when set.
/// </summary>
internal sealed class TaskHub : IDisposable
{
    private readonly GrpcChannel channel;

    public TaskHub(IConfiguration configuration, WorkflowRuntimeOptions options)
    {
        var endpoint = configuration["DAPR_GRPC_ENDPOINT"] is { Length: > 0 } configured ? configured : $"http://127.0.0.1:{configuration["DAPR_GRPC_PORT"] ?? "50001"}";
        channel = GrpcChannel.ForAddress(endpoint, options.GrpcChannelOptions ?? new GrpcChannelOptions
        {
            // The sidecar's own limit is 4 MiB unless raised there; history comes in one message.
            MaxReceiveMessageSize = 16 * 1024 * 1024,
            HttpHandler = new SocketsHttpHandler { EnableMultipleHttp2Connections = true, KeepAlivePingDelay = TimeSpan.FromSeconds(30), PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan },
        });
        Client = new TaskHubSidecarService.TaskHubSidecarServiceClient(channel);
        Headers = [];
        if (configuration["DAPR_API_TOKEN"] is { Length: > 0 } token) Headers.Add("dapr-api-token", token);
    }

    public TaskHubSidecarService.TaskHubSidecarServiceClient Client { get; }

    public Metadata Headers { get; }

    public void Dispose() => channel.Dispose();
}
