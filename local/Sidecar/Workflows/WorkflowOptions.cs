using Dapr.Workflow.Protocol;

namespace Marketplace.Local.Sidecar.Workflows;

/// <summary><c>spec.workflow</c> of a Configuration: work at a time (0 is unlimited) and how long finished instances are kept (null is for ever).</summary>
internal sealed record WorkflowOptions(
    int MaxTurns = 0,
    int MaxActivities = 0,
    TimeSpan? KeepAny = null,
    TimeSpan? KeepCompleted = null,
    TimeSpan? KeepFailed = null,
    TimeSpan? KeepTerminated = null)
{
    public TimeSpan? RetentionOf(OrchestrationStatus status) => (status switch
    {
        OrchestrationStatus.Completed => KeepCompleted,
        OrchestrationStatus.Failed => KeepFailed,
        OrchestrationStatus.Terminated => KeepTerminated,
        _ => null,
    }) ?? KeepAny;
}
