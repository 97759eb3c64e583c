using Dapr.Workflow;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Marketplace.Sidecar.Tests.Workflows;

/// <summary>An app that runs workflows with the project's own library.</summary>
internal sealed class WorkerApp : IAsyncDisposable
{
    private readonly IHost app;

    private WorkerApp(IHost app) => this.app = app;

    public DaprWorkflowClient Client => app.Services.GetRequiredService<DaprWorkflowClient>();

    public static async Task<WorkerApp> StartAsync(int grpcPort, Action<WorkflowRuntimeOptions> register)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Configuration.AddInMemoryCollection([KeyValuePair.Create("DAPR_GRPC_PORT", (string?)$"{grpcPort}")]);
        builder.Services.AddDaprWorkflow(register);
        var app = builder.Build();
        await app.StartAsync();
        return new WorkerApp(app);
    }

    public async ValueTask DisposeAsync()
    {
        await app.StopAsync();
        app.Dispose();
    }
}
