using Dapr.Workflow.Protocol;
using EventType = Dapr.Workflow.Protocol.HistoryEvent.EventTypeOneofCase;

namespace Marketplace.Local.Sidecar.Workflows;

/// <summary>What the log of one instance says, entry by entry. No I/O, no clock: the same entries always give the same state.</summary>
internal sealed class InstanceState(string instanceId)
{
    private readonly Dictionary<int, HistoryEvent> open = [];
    private List<string>? patches;
    private bool continued;

    public string InstanceId { get; } = instanceId;

    /// <summary>Log entries applied so far, which is the index of the next one.</summary>
    public int Entries { get; private set; }

    public List<HistoryEvent> History { get; } = [];

    /// <summary>Stored events that no turn has taken yet.</summary>
    public List<HistoryEvent> Inbox { get; } = [];

    public string? CustomStatus { get; private set; }
    public HistoryEvent? StartEvent { get; private set; }
    public HistoryEvent? CompletedEvent { get; private set; }
    public ExecutionTerminatedEvent? Terminated { get; private set; }
    public ExecutionStalledEvent? Stalled { get; private set; }
    public bool Suspended { get; private set; }

    /// <summary>Bytes of the history on the wire.</summary>
    public long Bytes { get; private set; }

    public ExecutionStartedEvent? Start => StartEvent?.ExecutionStarted;
    public bool IsCompleted => CompletedEvent is not null;
    public string? ExecutionId => Start?.WorkflowInstance?.ExecutionId;

    /// <summary>Tasks, timers and children that were created and have no result in the history, by event id.</summary>
    public IReadOnlyDictionary<int, HistoryEvent> Open => open;

    /// <summary>Patches recorded by the turns so far, in order.</summary>
    public IReadOnlyList<string> Patches => patches ?? (IReadOnlyList<string>)[];

    public OrchestrationStatus Status
    {
        get
        {
            if (CompletedEvent is not null) return CompletedEvent.ExecutionCompleted.WorkflowStatus;
            if (Stalled is not null) return OrchestrationStatus.Stalled;
            if (StartEvent is null) return continued ? OrchestrationStatus.Running : OrchestrationStatus.Pending;
            return Suspended ? OrchestrationStatus.Suspended : OrchestrationStatus.Running;
        }
    }

    public static bool IsTerminal(OrchestrationStatus status) => status
        is OrchestrationStatus.Completed or OrchestrationStatus.Failed or OrchestrationStatus.Terminated or OrchestrationStatus.Canceled;

    public void Apply(LogEntry entry)
    {
        Entries++;
        continued |= entry.Continued;
        Inbox.AddRange(entry.Inbox);
        if (entry.Taken > 0) Inbox.RemoveRange(0, entry.Taken);
        foreach (var e in entry.History)
            Append(e);
        if (entry.Turn) CustomStatus = entry.CustomStatus;
    }

    /// <summary>The open item that this event is the result of, or null when it resolves nothing that is open.</summary>
    public HistoryEvent? Resolved(HistoryEvent e) =>
        ResolvedId(e) is { } id && open.TryGetValue(id, out var created) && Resolves(e, created) ? created : null;

    public static bool IsResolution(HistoryEvent e) => ResolvedId(e) is not null;

    /// <param name="pendingStart">The start that no turn has taken yet.</param>
    public WorkflowState ToWorkflowState(bool inputsAndOutputs, HistoryEvent? pendingStart = null)
    {
        var started = StartEvent ?? pendingStart ?? Inbox.Find(e => e.EventTypeCase == EventType.ExecutionStarted);
        var state = new WorkflowState
        {
            InstanceId = InstanceId,
            WorkflowStatus = Status,
            Name = started?.ExecutionStarted.Name ?? "",
            CreatedTimestamp = started?.Timestamp,
            LastUpdatedTimestamp = History.Count > 0 ? History[^1].Timestamp : started?.Timestamp,
            StartedAt = History.Count > 0 ? History[0].Timestamp : null,
            ParentInstanceId = started?.ExecutionStarted.ParentInstance?.WorkflowInstance?.InstanceId,
            ParentAppId = started?.ExecutionStarted.ParentInstance is { HasAppID: true } parent ? parent.AppID : null,
        };
        if (!inputsAndOutputs) return state;

        state.Input = started?.ExecutionStarted.Input;
        state.Output = CompletedEvent?.ExecutionCompleted.Result;
        state.FailureDetails = CompletedEvent?.ExecutionCompleted.FailureDetails;
        state.CustomStatus = CustomStatus;
        return state;
    }

    private void Append(HistoryEvent e)
    {
        History.Add(e);
        Bytes += Size(e);
        if (e.EventTypeCase != EventType.ExecutionStalled) Stalled = null;
        switch (e.EventTypeCase)
        {
            case EventType.ExecutionStarted:
                StartEvent ??= e;
                break;
            case EventType.ExecutionCompleted:
                CompletedEvent ??= e;
                break;
            case EventType.ExecutionTerminated:
                Terminated ??= e.ExecutionTerminated;
                break;
            case EventType.ExecutionSuspended:
                Suspended = true;
                break;
            case EventType.ExecutionResumed:
                Suspended = false;
                break;
            case EventType.ExecutionStalled:
                Stalled = e.ExecutionStalled;
                break;
            case EventType.WorkflowStarted when e.WorkflowStarted.Version is { Patches.Count: > 0 } version:
                (patches ??= []).AddRange(version.Patches);
                break;
            case EventType.TaskScheduled or EventType.TimerCreated or EventType.ChildWorkflowInstanceCreated:
                open[e.EventId] = e;
                break;
            case EventType.EventRaised:
                CloseTimerOfWait(e.EventRaised.Name);
                break;
            default:
                if (Resolved(e) is { } created) open.Remove(created.EventId);
                break;
        }
    }

    /// <summary>
    /// An event ends the oldest wait for its name, so the timer of that wait must not fire any more. A timer with a name and no origin
    /// is one too: older libraries mark it that way.
    /// </summary>
    private void CloseTimerOfWait(string name)
    {
        HistoryEvent? oldest = null;
        foreach (var e in open.Values)
        {
            if (WaitedFor(e) is { } waited && waited.Equals(name, StringComparison.OrdinalIgnoreCase) && (oldest is null || e.EventId < oldest.EventId))
                oldest = e;
        }

        if (oldest is not null) open.Remove(oldest.EventId);
    }

    private static string? WaitedFor(HistoryEvent e) => e.TimerCreated switch
    {
        null => null,
        { OriginCase: TimerCreatedEvent.OriginOneofCase.ExternalEvent } timer => timer.ExternalEvent.Name,
        { OriginCase: TimerCreatedEvent.OriginOneofCase.None, HasName: true } timer => timer.Name,
        _ => null,
    };

    public static int? ResolvedId(HistoryEvent e) => e.EventTypeCase switch
    {
        EventType.TaskCompleted => e.TaskCompleted.TaskScheduledId,
        EventType.TaskFailed => e.TaskFailed.TaskScheduledId,
        EventType.TimerFired => e.TimerFired.TimerId,
        EventType.ChildWorkflowInstanceCompleted => e.ChildWorkflowInstanceCompleted.TaskScheduledId,
        EventType.ChildWorkflowInstanceFailed => e.ChildWorkflowInstanceFailed.TaskScheduledId,
        _ => null,
    };

    private static bool Resolves(HistoryEvent e, HistoryEvent created) => e.EventTypeCase switch
    {
        EventType.TaskCompleted or EventType.TaskFailed => created.EventTypeCase == EventType.TaskScheduled,
        EventType.TimerFired => created.EventTypeCase == EventType.TimerCreated,
        _ => created.EventTypeCase == EventType.ChildWorkflowInstanceCreated,
    };

    /// <summary>An event inside a request also has a tag and a length.</summary>
    internal static int Size(HistoryEvent e) => e.CalculateSize() + 4;
}
