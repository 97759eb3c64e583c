using Dapr.Workflow;
using Dapr.Workflow.Protocol;
using Dapr.Workflow.Worker;
using Google.Protobuf.WellKnownTypes;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Marketplace.Workflows.Tests;

/// <summary>Plays the sidecar: keeps the history of one instance, runs turns, writes the echo of each action back.</summary>
internal sealed class History(IWorkflow workflow, ILoggerFactory? loggers = null)
{
    private readonly List<HistoryEvent> past = [];
    private DateTime clock = new(2026, 1, 1, 0, 0, 0, DateTimeKind.Utc);

    public string InstanceId { get; init; } = "order-1";

    public string? CustomStatus { get; private set; }

    public static HistoryEvent Started(string? input = null) => New(e => e.ExecutionStarted = new ExecutionStartedEvent { Name = "Flow", Input = input });

    public static HistoryEvent Completed(int task, string? result = null) => New(e => e.TaskCompleted = new TaskCompletedEvent { TaskScheduledId = task, Result = result });

    public static HistoryEvent Failed(int task, string message = "boom", string type = "System.InvalidOperationException") =>
        New(e => e.TaskFailed = new TaskFailedEvent { TaskScheduledId = task, FailureDetails = new TaskFailureDetails { ErrorType = type, ErrorMessage = message } });

    public static HistoryEvent Fired(int timer) => New(e => e.TimerFired = new TimerFiredEvent { TimerId = timer });

    public static HistoryEvent Raised(string name, string? json = null) => New(e => e.EventRaised = new EventRaisedEvent { Name = name, Input = json });

    public static HistoryEvent Suspended() => New(e => e.ExecutionSuspended = new ExecutionSuspendedEvent());

    public static HistoryEvent Resumed() => New(e => e.ExecutionResumed = new ExecutionResumedEvent());

    public static HistoryEvent Terminated(string? output = null) => New(e => e.ExecutionTerminated = new ExecutionTerminatedEvent { Input = output });

    public static HistoryEvent ChildCompleted(int task, string? result) =>
        New(e => e.ChildWorkflowInstanceCompleted = new ChildWorkflowInstanceCompletedEvent { TaskScheduledId = task, Result = result });

    public static HistoryEvent ChildFailed(int task, TaskFailureDetails? details) =>
        New(e => e.ChildWorkflowInstanceFailed = new ChildWorkflowInstanceFailedEvent { TaskScheduledId = task, FailureDetails = details });

    /// <summary>One turn with these new events; a second later than the last.</summary>
    public IReadOnlyList<WorkflowAction> Turn(params HistoryEvent[] inbox)
    {
        clock = clock.AddSeconds(1);
        var mark = New(e => e.WorkflowStarted = new WorkflowStartedEvent());
        HistoryEvent[] fresh = [mark, .. inbox];
        foreach (var e in fresh) e.Timestamp ??= Timestamp.FromDateTime(clock);

        var request = new WorkflowRequest { InstanceId = InstanceId };
        request.PastEvents.AddRange(past);
        request.NewEvents.AddRange(fresh);
        var response = new WorkflowTurn(InstanceId, name => name == "Flow" ? workflow : null, loggers ?? NullLoggerFactory.Instance).Run(request);
        CustomStatus = response.CustomStatus;

        past.AddRange(fresh);
        past.AddRange(response.Actions.Select(Echo).OfType<HistoryEvent>());
        return response.Actions;
    }

    public WorkflowAction Only(params HistoryEvent[] inbox) => Xunit.Assert.Single(Turn(inbox));

    private HistoryEvent? Echo(WorkflowAction action)
    {
        var echo = action.WorkflowActionTypeCase switch
        {
            WorkflowAction.WorkflowActionTypeOneofCase.ScheduleTask => New(e => e.TaskScheduled = new TaskScheduledEvent { Name = action.ScheduleTask.Name }),
            WorkflowAction.WorkflowActionTypeOneofCase.CreateTimer => New(e => e.TimerCreated = new TimerCreatedEvent { FireAt = action.CreateTimer.FireAt }),
            WorkflowAction.WorkflowActionTypeOneofCase.CreateChildWorkflow =>
                New(e => e.ChildWorkflowInstanceCreated = new ChildWorkflowInstanceCreatedEvent { Name = action.CreateChildWorkflow.Name }),
            _ => null,
        };
        if (echo is null) return null;
        echo.EventId = action.Id;
        echo.Timestamp = Timestamp.FromDateTime(clock);
        return echo;
    }

    private static HistoryEvent New(Action<HistoryEvent> set)
    {
        var e = new HistoryEvent { EventId = -1 };
        set(e);
        return e;
    }
}

/// <summary>A workflow written as a function.</summary>
internal sealed class Flow<TIn, TOut>(Func<WorkflowContext, TIn, Task<TOut>> run) : Workflow<TIn, TOut>
{
    public override Task<TOut> RunAsync(WorkflowContext context, TIn input) => run(context, input);
}

internal static class Flow
{
    public static History Of(Func<WorkflowContext, Task<string>> run) => new(new Flow<string?, string>((context, _) => run(context)));
}
