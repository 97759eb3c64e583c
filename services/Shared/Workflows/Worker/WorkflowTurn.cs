using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Dapr.Workflow.Protocol;
using Google.Protobuf.WellKnownTypes;
using Microsoft.Extensions.Logging;
using static Dapr.Workflow.Protocol.HistoryEvent;

namespace Dapr.Workflow.Worker;

/// <summary>
/// One turn of one instance: replays the recorded history, feeds what is new, and collects the actions that the workflow function asked
/// for and history does not have yet. The rules are those of the durabletask protocol as daprd 1.18 speaks it.
/// </summary>
internal sealed class WorkflowTurn(string instanceId, Func<string, IWorkflow?> workflows, ILoggerFactory loggers) : WorkflowContext
{
    private readonly WorkflowSynchronizationContext scheduler = new();
    private readonly SortedDictionary<int, WorkflowAction> pending = [];
    private readonly Dictionary<int, IOpenCall> open = [];
    private readonly List<EventWaiter> waiters = [];
    private readonly List<EventRaisedEvent> buffered = [];
    private readonly Queue<HistoryEvent> withheld = new();

    private string name = "";
    private string executionKey = "";
    private DateTime now;
    private bool replaying;
    private bool suspended;
    private int nextId;
    private int nextGuid;
    private string? customStatus;
    private Task<object?>? run;
    private ExecutionTerminatedEvent? terminated;
    private WorkflowTaskFailureDetails? broken;
    private (object? Input, bool KeepEvents)? continueAsNew;

    public override string Name => name;

    public override string InstanceId => instanceId;

    public override DateTime CurrentUtcDateTime => now;

    public override bool IsReplaying => replaying;

    /// <summary>Runs the turn to its end and gives what to answer the sidecar.</summary>
    public WorkflowResponse Run(WorkflowRequest request)
    {
        var outer = SynchronizationContext.Current;
        SynchronizationContext.SetSynchronizationContext(scheduler);
        try
        {
            replaying = true;
            foreach (var past in request.PastEvents) Apply(past);
            replaying = false;
            foreach (var fresh in request.NewEvents) Apply(fresh);
            return Answer();
        }
        finally
        {
            scheduler.Close();
            SynchronizationContext.SetSynchronizationContext(outer);
        }
    }

    public override async Task<T> CallActivityAsync<T>(string name, object? input = null, WorkflowTaskOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        var json = WorkflowJson.Write(input);
        string? firstKey = null;
        return await WithRetriesAsync(options?.RetryPolicy, () =>
        {
            var id = nextId++;
            var key = string.Create(CultureInfo.InvariantCulture, $"{executionKey}-{id}");
            firstKey ??= key;
            return Schedule<T>(new WorkflowAction { Id = id, ScheduleTask = new ScheduleTaskAction { Name = name, Input = json, TaskExecutionId = key } }, name);
        }, timer => timer.ActivityRetry = new TimerOriginActivityRetry { TaskExecutionId = firstKey });
    }

    public override async Task<TResult> CallChildWorkflowAsync<TResult>(string workflowName, object? input = null, ChildWorkflowTaskOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(workflowName);
        var json = WorkflowJson.Write(input);
        string? firstChild = null;
        return await WithRetriesAsync(options?.RetryPolicy, () =>
        {
            var id = nextId++;
            // The sidecar would derive the same id when left empty; naming it lets the retry timer refer to the first child.
            var child = options?.InstanceId ?? string.Create(CultureInfo.InvariantCulture, $"{instanceId}:{id:x4}");
            firstChild ??= child;
            return Schedule<TResult>(
                new WorkflowAction { Id = id, CreateChildWorkflow = new CreateChildWorkflowAction { InstanceId = child, Name = workflowName, Input = json } },
                workflowName);
        }, timer => timer.ChildWorkflowRetry = new TimerOriginChildWorkflowRetry { InstanceId = firstChild });
    }

    public override async Task CreateTimer(DateTime fireAt, CancellationToken cancellationToken) =>
        await TimerAsync(fireAt, timer => timer.CreateTimer = new TimerOriginCreateTimer(), cancellationToken);

    public override async Task<T> WaitForExternalEventAsync<T>(string eventName, CancellationToken cancellationToken = default)
    {
        if (TakeBuffered(eventName) is { } early) return WorkflowJson.Read<T>(early.Input);
        var waiter = Wait(eventName);
        await using var cancel = cancellationToken.Register(() => Abandon(waiter));
        return WorkflowJson.Read<T>((await waiter.Arrived.Task).Input);
    }

    public override async Task<T> WaitForExternalEventAsync<T>(string eventName, TimeSpan timeout)
    {
        if (TakeBuffered(eventName) is { } early) return WorkflowJson.Read<T>(early.Input);
        var waiter = Wait(eventName);
        var deadline = TimerAsync(now + timeout, timer => timer.ExternalEvent = new TimerOriginExternalEvent { Name = eventName }, CancellationToken.None);
        if (await Task.WhenAny(waiter.Arrived.Task, deadline) == deadline && !waiter.Arrived.Task.IsCompleted) Abandon(waiter);
        return WorkflowJson.Read<T>((await waiter.Arrived.Task).Input);
    }

    public override void SetCustomStatus(object? customStatus) => this.customStatus = customStatus is null ? null : WorkflowJson.Write(customStatus);

    public override void ContinueAsNew(object? newInput = null, bool preserveUnprocessedEvents = true) => continueAsNew = (newInput, preserveUnprocessedEvents);

    public override ILogger CreateReplaySafeLogger(string categoryName) => new ReplaySafeLogger(loggers.CreateLogger(categoryName), this);

    public override Guid NewGuid()
    {
        // Version 5 of RFC 9562: SHA-1 over a namespace and a name; the namespace is the instance's own when its id is a GUID.
        Span<byte> bytes = stackalloc byte[20];
        var space = Guid.TryParse(instanceId, out var id) ? id : Guid.Empty;
        var text = Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{instanceId}_{nextGuid++}"));
        var data = new byte[16 + text.Length];
        space.TryWriteBytes(data, bigEndian: true, out _);
        text.CopyTo(data, 16);
#pragma warning disable CA5350 // A name-based id, not a secret: the RFC prescribes SHA-1.
        SHA1.HashData(data, bytes);
#pragma warning restore CA5350
        bytes[6] = (byte)((bytes[6] & 0x0F) | 0x50);
        bytes[8] = (byte)((bytes[8] & 0x3F) | 0x80);
        return new Guid(bytes[..16], bigEndian: true);
    }

    private void Apply(HistoryEvent e)
    {
        // A terminated instance does no more; a suspended one keeps what comes until it is resumed.
        if (terminated is not null) return;
        if (suspended && e.EventTypeCase is not (EventTypeOneofCase.ExecutionResumed or EventTypeOneofCase.ExecutionTerminated or EventTypeOneofCase.WorkflowStarted))
        {
            withheld.Enqueue(e);
            return;
        }

        switch (e.EventTypeCase)
        {
            case EventTypeOneofCase.WorkflowStarted:
                now = e.Timestamp.ToDateTime();
                break;
            case EventTypeOneofCase.ExecutionStarted:
                Start(e.ExecutionStarted, e.Timestamp);
                break;
            case EventTypeOneofCase.TaskScheduled:
                Echo(e, WorkflowAction.WorkflowActionTypeOneofCase.ScheduleTask, e.TaskScheduled.Name, action => action.ScheduleTask.Name);
                break;
            case EventTypeOneofCase.ChildWorkflowInstanceCreated:
                Echo(e, WorkflowAction.WorkflowActionTypeOneofCase.CreateChildWorkflow, e.ChildWorkflowInstanceCreated.Name, action => action.CreateChildWorkflow.Name);
                break;
            case EventTypeOneofCase.TimerCreated:
                Echo(e, WorkflowAction.WorkflowActionTypeOneofCase.CreateTimer, "", _ => "");
                break;
            case EventTypeOneofCase.TaskCompleted:
                if (open.Remove(e.TaskCompleted.TaskScheduledId, out var done)) done.Complete(e.TaskCompleted.Result);
                break;
            case EventTypeOneofCase.TaskFailed:
                if (open.Remove(e.TaskFailed.TaskScheduledId, out var failed)) failed.Fail(e.TaskFailed.FailureDetails);
                break;
            case EventTypeOneofCase.ChildWorkflowInstanceCompleted:
                if (open.Remove(e.ChildWorkflowInstanceCompleted.TaskScheduledId, out var child)) child.Complete(e.ChildWorkflowInstanceCompleted.Result);
                break;
            case EventTypeOneofCase.ChildWorkflowInstanceFailed:
                if (open.Remove(e.ChildWorkflowInstanceFailed.TaskScheduledId, out var lost)) lost.Fail(e.ChildWorkflowInstanceFailed.FailureDetails);
                break;
            case EventTypeOneofCase.TimerFired:
                if (open.Remove(e.TimerFired.TimerId, out var timer)) timer.Complete(null);
                break;
            case EventTypeOneofCase.EventRaised:
                Raise(e.EventRaised);
                break;
            case EventTypeOneofCase.ExecutionSuspended:
                suspended = true;
                break;
            case EventTypeOneofCase.ExecutionResumed:
                suspended = false;
                while (!suspended && withheld.TryDequeue(out var kept)) Apply(kept);
                break;
            case EventTypeOneofCase.ExecutionTerminated when run is not { IsCompleted: true }:
                terminated = e.ExecutionTerminated;
                break;
            default:
                break;      // marks of the runtime that mean nothing to the function
        }

        scheduler.Drain();
    }

    private void Start(ExecutionStartedEvent started, Timestamp at)
    {
        if (run is not null) return;
        name = started.Name;
        if (now == default) now = at.ToDateTime();
        executionKey = at.ToDateTime().Ticks.ToString("x", CultureInfo.InvariantCulture);
        if (workflows(name) is not { } workflow)
        {
            broken = new WorkflowTaskFailureDetails("WorkflowNotFound", $"This worker has no workflow named '{name}'. Register it with AddDaprWorkflow.");
            return;
        }

        run = RunAsync(workflow, started.Input);
    }

    private async Task<object?> RunAsync(IWorkflow workflow, string? input) => await workflow.RunAsync(this, WorkflowJson.Read(input, workflow.InputType));

    /// <summary>History says that an action was taken: the function must have asked for the very same one.</summary>
    private void Echo(HistoryEvent e, WorkflowAction.WorkflowActionTypeOneofCase kind, string recorded, Func<WorkflowAction, string> nameOf)
    {
        if (pending.Remove(e.EventId, out var action) && action.WorkflowActionTypeCase == kind && string.Equals(nameOf(action), recorded, StringComparison.OrdinalIgnoreCase)) return;
        broken ??= new WorkflowTaskFailureDetails(
            "NonDeterminism",
            $"History has {e.EventTypeCase} '{recorded}' as step {e.EventId}, the code {(action is null ? "asked for nothing" : $"asked for {action.WorkflowActionTypeCase} '{nameOf(action)}'")} there. " +
            "A workflow that may be running must not be changed: register the new version under another name.");
    }

    private WorkflowResponse Answer()
    {
        var response = new WorkflowResponse { InstanceId = instanceId, CustomStatus = customStatus };
        if (terminated is not null)
        {
            response.Actions.Add(Completion(OrchestrationStatus.Terminated, terminated.Input));
            return response;
        }

        if (broken is null && run is { IsCompleted: false } && !suspended && open.Count == 0 && waiters.Count == 0)
        {
            broken = new WorkflowTaskFailureDetails(
                "NonDeterminism",
                "The workflow awaits something that its context did not give (Task.Delay, I/O, another thread): it would never be resumed. Move it into an activity.");
        }

        if (broken is not null)
        {
            response.Actions.Add(Completion(OrchestrationStatus.Failed, null, broken));
            return response;
        }

        if (suspended) return response;

        response.Actions.AddRange(pending.Values);
        if (run is not { IsCompleted: true }) return response;
        if (run.Exception?.InnerException is { } thrown)
        {
            response.Actions.Add(Completion(OrchestrationStatus.Failed, null, Details(thrown)));
        }
        else if (run.IsCanceled)
        {
            response.Actions.Add(Completion(OrchestrationStatus.Failed, null, Details(new TaskCanceledException())));
        }
        else if (continueAsNew is { } next)
        {
            var action = Completion(OrchestrationStatus.ContinuedAsNew, WorkflowJson.Write(next.Input));
            if (next.KeepEvents)
            {
                action.CompleteWorkflow.CarryoverEvents.AddRange(buffered.Select(e => new HistoryEvent { EventId = -1, Timestamp = Timestamp.FromDateTime(now), EventRaised = e }));
            }

            response.Actions.Add(action);
        }
        else
        {
            response.Actions.Add(Completion(OrchestrationStatus.Completed, WorkflowJson.Write(run.Result)));
        }

        return response;
    }

    private WorkflowAction Completion(OrchestrationStatus status, string? result, WorkflowTaskFailureDetails? failure = null) => new()
    {
        Id = nextId++,
        CompleteWorkflow = new CompleteWorkflowAction { WorkflowStatus = status, Result = result, FailureDetails = failure is null ? null : ToProto(failure) },
    };

    private Task<T> Schedule<T>(WorkflowAction action, string callName)
    {
        var call = new OpenCall<T>(callName);
        pending.Add(action.Id, action);
        open.Add(action.Id, call);
        return call.Task;
    }

    private async Task TimerAsync(DateTime fireAt, Action<CreateTimerAction> origin, CancellationToken cancellationToken)
    {
        var timer = new CreateTimerAction { FireAt = Timestamp.FromDateTime(DateTime.SpecifyKind(fireAt, DateTimeKind.Utc)) };
        origin(timer);
        var id = nextId++;
        var call = new OpenCall<object?>("timer");
        pending.Add(id, new WorkflowAction { Id = id, CreateTimer = timer });
        open.Add(id, call);
        await using var cancel = cancellationToken.Register(() =>
        {
            open.Remove(id);
            call.Cancel();
        });
        await call.Task;
    }

    private async Task<T> WithRetriesAsync<T>(WorkflowRetryPolicy? policy, Func<Task<T>> call, Action<CreateTimerAction> origin)
    {
        var first = now;
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await call();
            }
            catch (WorkflowTaskFailedException) when (
                policy is not null && attempt < policy.MaxNumberOfAttempts && (policy.RetryTimeout == Timeout.InfiniteTimeSpan || now < first + policy.RetryTimeout))
            {
                await TimerAsync(now + policy.DelayAfter(attempt), origin, CancellationToken.None);
            }
        }
    }

    private EventWaiter Wait(string eventName)
    {
        var waiter = new EventWaiter(eventName);
        waiters.Add(waiter);
        return waiter;
    }

    private void Abandon(EventWaiter waiter)
    {
        waiters.Remove(waiter);
        waiter.Arrived.TrySetCanceled();
    }

    private void Raise(EventRaisedEvent raised)
    {
        var index = waiters.FindIndex(waiter => string.Equals(waiter.Name, raised.Name, StringComparison.OrdinalIgnoreCase));
        if (index < 0)
        {
            buffered.Add(raised);
            return;
        }

        var first = waiters[index];
        waiters.RemoveAt(index);
        first.Arrived.SetResult(raised);
    }

    private EventRaisedEvent? TakeBuffered(string eventName)
    {
        var index = buffered.FindIndex(raised => string.Equals(raised.Name, eventName, StringComparison.OrdinalIgnoreCase));
        if (index < 0) return null;
        var raised = buffered[index];
        buffered.RemoveAt(index);
        return raised;
    }

    internal static WorkflowTaskFailureDetails Details(Exception thrown) => thrown is WorkflowTaskFailedException failed
        ? new WorkflowTaskFailureDetails(failed.FailureDetails.ErrorType, failed.Message, failed.FailureDetails.StackTrace)
        : new WorkflowTaskFailureDetails(thrown.GetType().FullName ?? thrown.GetType().Name, thrown.Message, thrown.StackTrace);

    internal static TaskFailureDetails ToProto(WorkflowTaskFailureDetails details) => new()
    {
        ErrorType = details.ErrorType,
        ErrorMessage = details.ErrorMessage,
        StackTrace = details.StackTrace,
    };

    private interface IOpenCall
    {
        void Complete(string? json);

        void Fail(TaskFailureDetails? details);
    }

    private sealed class OpenCall<T>(string callName) : IOpenCall
    {
        private readonly TaskCompletionSource<T> outcome = new();

        public Task<T> Task => outcome.Task;

        public void Complete(string? json)
        {
            try
            {
                outcome.TrySetResult(WorkflowJson.Read<T>(json));
            }
            catch (System.Text.Json.JsonException unreadable)
            {
                outcome.TrySetException(unreadable);
            }
        }

        public void Cancel() => outcome.TrySetCanceled();

        public void Fail(TaskFailureDetails? details) => outcome.TrySetException(new WorkflowTaskFailedException(
            $"'{callName}' failed: {details?.ErrorMessage ?? "it was terminated"}",
            new WorkflowTaskFailureDetails(details?.ErrorType ?? "Terminated", details?.ErrorMessage ?? "", details?.StackTrace)));
    }

    private sealed class EventWaiter(string name)
    {
        public string Name { get; } = name;

        public TaskCompletionSource<EventRaisedEvent> Arrived { get; } = new();
    }

    private sealed class ReplaySafeLogger(ILogger inner, WorkflowTurn turn) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => inner.BeginScope(state);

        public bool IsEnabled(LogLevel logLevel) => !turn.replaying && inner.IsEnabled(logLevel);

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel)) inner.Log(logLevel, eventId, state, exception, formatter);
        }
    }
}
