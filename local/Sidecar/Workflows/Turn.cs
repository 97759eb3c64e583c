using Dapr.Workflow.Protocol;
using Google.Protobuf.WellKnownTypes;
using EventType = Dapr.Workflow.Protocol.HistoryEvent.EventTypeOneofCase;

namespace Marketplace.Local.Sidecar.Workflows;

/// <summary>How a turn ended.</summary>
internal abstract record TurnOutcome
{
    /// <summary>One entry more in the log.</summary>
    public sealed record Advanced(LogEntry Entry) : TurnOutcome;

    /// <summary>The history starts afresh; these events are the inbox of the new execution, before whatever arrived meanwhile.</summary>
    public sealed record ContinuedAsNew(IReadOnlyList<HistoryEvent> Inbox, string? CustomStatus) : TurnOutcome;

    /// <summary>The worker's code does not fit this history: the events stay in the inbox until another worker comes.</summary>
    public sealed record Stalled(StalledReason Reason, string Description) : TurnOutcome;

    /// <summary>An action that the sidecar has no way to carry out; as in daprd the turn is lost and the instance stays as it was.</summary>
    public sealed record Refused(string Why) : TurnOutcome;
}

/// <summary>Turns the answer of a worker into history. Pure: the caller brings the clock and commits what comes out.</summary>
internal static class Turn
{
    /// <param name="events">workflowStarted and the events that the worker was given, in order.</param>
    /// <param name="taken">How many of them are stored in the inbox.</param>
    public static TurnOutcome Apply(InstanceState state, IReadOnlyList<HistoryEvent> events, int taken, WorkflowResponse response, Timestamp now, string appId)
    {
        var entry = new LogEntry { Turn = true, Taken = taken, CustomStatus = response.CustomStatus };
        entry.History.AddRange(events);
        if (Version(state, entry, response.Version) is { } mismatch)
            return new TurnOutcome.Stalled(StalledReason.PatchMismatch, mismatch);

        var start = state.Start ?? Find(events, EventType.ExecutionStarted)?.ExecutionStarted;
        var terminate = Find(events, EventType.ExecutionTerminated)?.ExecutionTerminated;
        var completed = false;
        var ownRouter = new TaskRouter { SourceAppID = appId };
        foreach (var action in response.Actions)
        {
            var router = ownRouter;
            if (RouterOf(action) is { } asked)
            {
                router = asked.Clone();
                router.SourceAppID = appId;
            }

            var echo = new HistoryEvent { EventId = action.Id, Timestamp = now, Router = router };
            switch (action.WorkflowActionTypeCase)
            {
                case WorkflowAction.WorkflowActionTypeOneofCase.ScheduleTask:
                    var task = action.ScheduleTask;
                    echo.TaskScheduled = new TaskScheduledEvent
                    {
                        Name = task.Name,
                        Version = task.Version,
                        Input = task.Input,
                        TaskExecutionId = task.TaskExecutionId,
                        ParentTraceContext = start?.ParentTraceContext,
                    };
                    break;

                case WorkflowAction.WorkflowActionTypeOneofCase.CreateTimer:
                    echo.TimerCreated = Timer(action.CreateTimer);
                    break;

                case WorkflowAction.WorkflowActionTypeOneofCase.CreateChildWorkflow:
                    var child = action.CreateChildWorkflow;
                    echo.ChildWorkflowInstanceCreated = new ChildWorkflowInstanceCreatedEvent
                    {
                        InstanceId = child.InstanceId.Length > 0 ? child.InstanceId : $"{state.InstanceId}:{action.Id:x4}",
                        Name = child.Name,
                        Version = child.Version,
                        Input = child.Input,
                        ParentTraceContext = start?.ParentTraceContext,
                    };
                    break;

                case WorkflowAction.WorkflowActionTypeOneofCase.CompleteWorkflow:
                    var completion = action.CompleteWorkflow;
                    if (completed) continue;
                    if (completion.WorkflowStatus == OrchestrationStatus.ContinuedAsNew)
                    {
                        // The terminate was taken with this turn and never comes again: a fresh execution must not run away from it.
                        if (terminate is not null) continue;
                        return Continue(state.InstanceId, start, completion, response.CustomStatus, now, router);
                    }

                    completed = true;
                    echo.ExecutionCompleted = new ExecutionCompletedEvent
                    {
                        WorkflowStatus = completion.WorkflowStatus,
                        Result = completion.Result,
                        FailureDetails = completion.FailureDetails,
                    };
                    break;

                case WorkflowAction.WorkflowActionTypeOneofCase.WorkflowVersionNotAvailable:
                    var version = state.History.Concat(events).FirstOrDefault(e => e.EventTypeCase == EventType.WorkflowStarted)?.WorkflowStarted.Version;
                    return new TurnOutcome.Stalled(StalledReason.VersionNotAvailable, $"Version not available: {version?.Name}");

                default:
                    return new TurnOutcome.Refused($"don't know how to process outbound message '{action.WorkflowActionTypeCase}'");
            }

            entry.History.Add(echo);
        }

        if (terminate is not null && !completed)
        {
            // The worker did not end it, so we do, and what else it asked for in this turn is not carried out.
            entry.History.Add(new HistoryEvent
            {
                EventId = -1,
                Timestamp = now,
                Router = ownRouter,
                ExecutionCompleted = new ExecutionCompletedEvent { WorkflowStatus = OrchestrationStatus.Terminated, Result = terminate.Input },
            });
            for (var i = entry.History.Count - 2; i >= events.Count; i--)
                entry.History.RemoveAt(i);
        }

        return new TurnOutcome.Advanced(entry);
    }

    private static TurnOutcome.ContinuedAsNew Continue(
        string instanceId, ExecutionStartedEvent? start, CompleteWorkflowAction completion, string? customStatus, Timestamp now, TaskRouter router)
    {
        var again = new HistoryEvent
        {
            EventId = -1,
            Timestamp = now,
            Router = router,
            ExecutionStarted = new ExecutionStartedEvent
            {
                Name = start?.Name ?? "",
                Input = completion.Result,
                ParentInstance = start?.ParentInstance,
                ParentTraceContext = start?.ParentTraceContext,
                WorkflowInstance = new WorkflowInstance { InstanceId = instanceId, ExecutionId = Guid.NewGuid().ToString() },
            },
        };
        return new TurnOutcome.ContinuedAsNew([again, .. completion.CarryoverEvents], customStatus);
    }

    /// <summary>
    /// Patches are remembered with the turn that first met them; those of all turns must be the beginning of what the worker knows now.
    /// </summary>
    private static string? Version(InstanceState state, LogEntry entry, WorkflowVersion? version)
    {
        var current = version?.Patches ?? [];
        var known = state.Patches;
        if (known.Count > 0 && !known.SequenceEqual(current.Take(known.Count)))
            return $"Patch mismatch. History patches: [{string.Join(", ", known)}], current patches: [{string.Join(", ", current)}]. ";
        if (version is null || (current.Count == known.Count && !version.HasName)) return null;

        var started = entry.History[0].Clone();
        started.WorkflowStarted.Version = new WorkflowVersion { Patches = { current.Skip(known.Count) } };
        if (version.HasName) started.WorkflowStarted.Version.Name = version.Name;
        entry.History[0] = started;
        return null;
    }

    /// <summary>Where another app is asked for: the newer place, or the two older ones.</summary>
    private static TaskRouter? RouterOf(WorkflowAction action) => action switch
    {
        { Router: { } router } => router,
        { ScheduleTask.Router: { } router } => router,
        { CreateChildWorkflow.Router: { } router } => router,
        _ => null,
    };

    private static TimerCreatedEvent Timer(CreateTimerAction action)
    {
        var timer = new TimerCreatedEvent { FireAt = action.FireAt };
        if (action.HasName) timer.Name = action.Name;
        switch (action.OriginCase)
        {
            case CreateTimerAction.OriginOneofCase.CreateTimer:
                timer.CreateTimer = action.CreateTimer;
                break;
            case CreateTimerAction.OriginOneofCase.ExternalEvent:
                timer.ExternalEvent = action.ExternalEvent;
                break;
            case CreateTimerAction.OriginOneofCase.ActivityRetry:
                timer.ActivityRetry = action.ActivityRetry;
                break;
            case CreateTimerAction.OriginOneofCase.ChildWorkflowRetry:
                timer.ChildWorkflowRetry = action.ChildWorkflowRetry;
                break;
            default:
                break;
        }

        return timer;
    }

    private static HistoryEvent? Find(IReadOnlyList<HistoryEvent> events, EventType type)
    {
        foreach (var e in events)
        {
            if (e.EventTypeCase == type) return e;
        }

        return null;
    }
}
