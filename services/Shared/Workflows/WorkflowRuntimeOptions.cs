using Dapr.Workflow.Abstractions;
using Grpc.Net.Client;
using Microsoft.Extensions.DependencyInjection;

namespace Dapr.Workflow;

/// <summary>What this worker can run. Names default to the type's name and compare without case.</summary>
public sealed class WorkflowRuntimeOptions
{
    internal Dictionary<string, Func<IServiceProvider, IWorkflow>> Workflows { get; } = new(StringComparer.OrdinalIgnoreCase);

    internal Dictionary<string, Func<IServiceProvider, IWorkflowActivity>> Activities { get; } = new(StringComparer.OrdinalIgnoreCase);

    internal GrpcChannelOptions? GrpcChannelOptions { get; private set; }

    /// <summary>Workflow turns run at the same time.</summary>
    public int MaxConcurrentWorkflows { get; set; } = 100;

    public int MaxConcurrentActivities { get; set; } = 100;

    public void RegisterWorkflow<TWorkflow>(string? name = null) where TWorkflow : class, IWorkflow =>
        Workflows.Add(name ?? typeof(TWorkflow).Name, ActivatorUtilities.GetServiceOrCreateInstance<TWorkflow>);

    public void RegisterWorkflow<TInput, TOutput>(string name, Func<WorkflowContext, TInput, Task<TOutput>> implementation) =>
        Workflows.Add(name, _ => new FunctionWorkflow<TInput, TOutput>(implementation));

    public void RegisterActivity<TActivity>(string? name = null) where TActivity : class, IWorkflowActivity =>
        Activities.Add(name ?? typeof(TActivity).Name, ActivatorUtilities.GetServiceOrCreateInstance<TActivity>);

    public void RegisterActivity<TInput, TOutput>(string name, Func<WorkflowActivityContext, TInput, Task<TOutput>> implementation) =>
        Activities.Add(name, _ => new FunctionActivity<TInput, TOutput>(implementation));

    public void UseGrpcChannelOptions(GrpcChannelOptions grpcChannelOptions) => GrpcChannelOptions = grpcChannelOptions;

    private sealed class FunctionWorkflow<TInput, TOutput>(Func<WorkflowContext, TInput, Task<TOutput>> implementation) : Workflow<TInput, TOutput>
    {
        public override Task<TOutput> RunAsync(WorkflowContext context, TInput input) => implementation(context, input);
    }

    private sealed class FunctionActivity<TInput, TOutput>(Func<WorkflowActivityContext, TInput, Task<TOutput>> implementation)
        : WorkflowActivity<TInput, TOutput>
    {
        public override Task<TOutput> RunAsync(WorkflowActivityContext context, TInput input) => implementation(context, input);
    }
}
