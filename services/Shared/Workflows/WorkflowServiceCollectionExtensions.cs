using Dapr.Workflow.Worker;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace Dapr.Workflow;

public static class WorkflowServiceCollectionExtensions
{
    /// <summary>Adds the worker that runs the registered workflows and activities, and <see cref="DaprWorkflowClient"/>.</summary>
    public static IServiceCollection AddDaprWorkflow(this IServiceCollection services, Action<WorkflowRuntimeOptions> configure)
    {
        var options = new WorkflowRuntimeOptions();
        configure(options);
        services.AddSingleton(options);
        services.TryAddSingleton(TimeProvider.System);
        services.AddSingleton<TaskHub>();
        services.AddSingleton(provider => new DaprWorkflowClient(provider.GetRequiredService<TaskHub>()));
        services.AddHostedService<WorkflowWorker>();
        return services;
    }
}
