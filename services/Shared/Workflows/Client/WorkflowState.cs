using Dapr.Workflow.Protocol;
using Dapr.Workflow.Worker;

namespace Dapr.Workflow;

/// <summary>An instance as the sidecar knows it; <see cref="Exists"/> is false for an unknown id.</summary>
public sealed class WorkflowState
{
    private readonly Protocol.WorkflowState? state;

    internal WorkflowState(GetInstanceResponse response) => state = response.Exists ? response.WorkflowState : null;

    public bool Exists => state is not null;

    public string? WorkflowName => state?.Name;

    public bool IsWorkflowRunning => RuntimeStatus is WorkflowRuntimeStatus.Running;

    public bool IsWorkflowCompleted => RuntimeStatus is
        WorkflowRuntimeStatus.Completed or WorkflowRuntimeStatus.Failed or WorkflowRuntimeStatus.Terminated or WorkflowRuntimeStatus.Canceled;

    public DateTimeOffset CreatedAt => state?.CreatedTimestamp?.ToDateTimeOffset() ?? default;

    public DateTimeOffset LastUpdatedAt => state?.LastUpdatedTimestamp?.ToDateTimeOffset() ?? default;

    public WorkflowRuntimeStatus RuntimeStatus => state is null ? WorkflowRuntimeStatus.Unknown : (WorkflowRuntimeStatus)state.WorkflowStatus;

    public WorkflowTaskFailureDetails? FailureDetails => state?.FailureDetails is { } failure
        ? new WorkflowTaskFailureDetails(failure.ErrorType, failure.ErrorMessage, failure.StackTrace)
        : null;

    public T? ReadInputAs<T>() => WorkflowJson.Read<T>(state?.Input);

    public T? ReadOutputAs<T>() => WorkflowJson.Read<T>(state?.Output);

    public T? ReadCustomStatusAs<T>() => WorkflowJson.Read<T>(state?.CustomStatus);
}
