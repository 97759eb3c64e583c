using Dapr.Workflow.Abstractions;

namespace Dapr.Workflow;

/// <summary>What the worker needs to run a workflow; authors derive from <see cref="Workflow{TInput,TOutput}"/> instead.</summary>
public interface IWorkflow
{
    Type InputType { get; }

    Type OutputType { get; }

    Task<object?> RunAsync(WorkflowContext context, object? input);
}

/// <summary>
/// Durable orchestration code. It is run again from the start whenever something happens to the instance, with recorded results in place of
/// calls, so it may take time, ids and results only from its <see cref="WorkflowContext"/> and await only tasks that the context gave.
/// </summary>
public abstract class Workflow<TInput, TOutput> : IWorkflow
{
    Type IWorkflow.InputType => typeof(TInput);

    Type IWorkflow.OutputType => typeof(TOutput);

    async Task<object?> IWorkflow.RunAsync(WorkflowContext context, object? input) => await RunAsync(context, (TInput)input!);

    public abstract Task<TOutput> RunAsync(WorkflowContext context, TInput input);
}

/// <summary>One effect on the world, called by a workflow. It may run more than once (a crash after the effect, before its result was recorded).</summary>
public abstract class WorkflowActivity<TInput, TOutput> : IWorkflowActivity
{
    Type IWorkflowActivity.InputType => typeof(TInput);

    Type IWorkflowActivity.OutputType => typeof(TOutput);

    async Task<object?> IWorkflowActivity.RunAsync(WorkflowActivityContext context, object? input) => await RunAsync(context, (TInput)input!);

    public abstract Task<TOutput> RunAsync(WorkflowActivityContext context, TInput input);
}

/// <summary>Which call of which instance an activity serves.</summary>
public abstract class WorkflowActivityContext
{
    /// <summary>The name it was called by.</summary>
    public abstract TaskIdentifier Identifier { get; }

    /// <summary>The same for every run of one scheduled call; another for a retry, which is a new call.</summary>
    public abstract string TaskExecutionKey { get; }

    public abstract string InstanceId { get; }
}
