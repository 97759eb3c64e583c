#pragma warning disable CA2225 // The official package has these operators without named twins.
namespace Dapr.Workflow.Abstractions;

/// <summary>What the worker needs to run an activity; authors derive from <see cref="WorkflowActivity{TInput,TOutput}"/> instead.</summary>
public interface IWorkflowActivity
{
    Type InputType { get; }

    Type OutputType { get; }

    Task<object?> RunAsync(WorkflowActivityContext context, object? input);
}

/// <summary>The registered name of a workflow or an activity.</summary>
public readonly record struct TaskIdentifier(string Name)
{
    public static implicit operator TaskIdentifier(string name) => new(name);

    public static implicit operator string(TaskIdentifier identifier) => identifier.Name;

    public override string ToString() => Name;
}
