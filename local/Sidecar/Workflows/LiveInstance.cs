using Dapr.Workflow.Protocol;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Marketplace.Local.Sidecar.State;
using EventType = Dapr.Workflow.Protocol.HistoryEvent.EventTypeOneofCase;

namespace Marketplace.Local.Sidecar.Workflows;

/// <summary>
/// One instance that is not finished. Events gather in its inbox; a turn takes all of them to a worker, and the answer becomes one entry of
/// the log. Only when that entry is durable does anybody see its effects: activities, timers, children, a status. Results of activities and
/// timers are stored with the turn that takes them, since after a crash the open ones come again; what a caller was told is stored at once.
/// </summary>
internal sealed class LiveInstance
{
    private readonly Lock gate = new();
    private readonly WorkflowEngine engine;
    private readonly List<Arrival> inbox = [];
    private readonly HashSet<int> answered = [];
    private readonly Dictionary<int, ActivityOrder> activities = [];
    private readonly Dictionary<int, TimerQueue.Entry> timers = [];
    private List<ActivityOrder>? doubles;
    private InstanceState state;
    private TurnOrder? turn;
    private TimerQueue.Entry? scheduledStart;
    private int nextEntry;
    private int leftovers;
    private bool marked;
    private bool committing;
    private bool restarting;
    private bool stalled;
    private bool finishing;
    private bool settled;
    private bool gone;

    // Writes build on each other; after one was refused a new chain begins.
    private object chain = new();
    private bool failing;

    /// <param name="leftovers">Log entries of an earlier, finished execution under this id, which the first write replaces.</param>
    public LiveInstance(WorkflowEngine engine, string id, int leftovers = 0)
    {
        this.engine = engine;
        this.leftovers = leftovers;
        Id = id;
        state = new InstanceState(id);
    }

    /// <summary>An instance as the log left it; <see cref="Resume"/> sets it going.</summary>
    public LiveInstance(WorkflowEngine engine, InstanceState state) : this(engine, state.InstanceId)
    {
        this.state = state;
        nextEntry = state.Entries;
        marked = true;
        inbox.AddRange(state.Inbox.Select(e => new Arrival(e, Stored: true)));
    }

    public string Id { get; }

    /// <summary>Why the store would not take the state of this instance, which nothing else is left of.</summary>
    public string? Lost { get; private set; }

    public OrchestrationStatus Status
    {
        get
        {
            lock (gate) return state.Status;
        }
    }

    public WorkflowState Describe(bool inputsAndOutputs)
    {
        lock (gate) return state.ToWorkflowState(inputsAndOutputs, PendingStart());
    }

    public IReadOnlyList<HistoryEvent> History()
    {
        lock (gate) return [.. state.History];
    }

    /// <summary>The parent that started this execution, also before its first turn.</summary>
    public ParentInstanceInfo? Parent()
    {
        lock (gate) return (state.StartEvent ?? PendingStart())?.ExecutionStarted.ParentInstance;
    }

    /// <summary>Adds an event. The task ends when it is durable; without <paramref name="durable"/> it is when a turn has taken it.</summary>
    public Task PostAsync(HistoryEvent e, bool durable)
    {
        lock (gate)
        {
            if (gone || finishing || state.IsCompleted) return Task.CompletedTask;
            if (InstanceState.IsResolution(e) && !IsFirstResult(e)) return Task.CompletedTask;

            // daprd wakes an instance for any event, also one whose start lies in the future.
            if (e.EventTypeCase != EventType.ExecutionStarted) Unschedule();
            inbox.Add(new Arrival(e, Stored: false));
            var stored = durable ? StoreInbox() : Task.CompletedTask;
            if (e.ExecutionStarted is { ScheduledStartTimestamp: { } at } && at.ToDateTimeOffset() > engine.Now) Schedule(at);
            TryStartTurn();
            return stored;
        }
    }

    /// <summary>The result of a child: it belongs to the execution that started the child and to no later one.</summary>
    public void PostResult(HistoryEvent e, string? executionId)
    {
        lock (gate)
        {
            if (state.ExecutionId == executionId) _ = PostAsync(e, durable: false);
        }
    }

    /// <summary>A caller that waited for the start is leaving: what it began must not depend on this process any more.</summary>
    public void Keep()
    {
        lock (gate)
        {
            if (!gone && !marked && !committing) _ = StoreInbox();
        }
    }

    /// <summary>Takes up what was under way when the host stopped.</summary>
    public void Resume()
    {
        List<(ParentInstanceInfo Parent, HistoryEvent Created)> children = [];
        bool completed;
        lock (gate)
        {
            completed = finishing = state.IsCompleted;
            foreach (var e in state.Open.Values.OrderBy(e => e.EventId))
            {
                switch (e.EventTypeCase)
                {
                    case EventType.TaskScheduled:
                        Dispatch(e);
                        break;
                    case EventType.TimerCreated when !completed:
                        Arm(e);
                        break;
                    case EventType.ChildWorkflowInstanceCreated:
                        children.Add((ParentOf(e), e));
                        break;
                    default:
                        break;
                }
            }

            if (!completed)
            {
                if (inbox.Count == 1 && inbox[0].Event.ExecutionStarted?.ScheduledStartTimestamp is { } at && at.ToDateTimeOffset() > engine.Now) Schedule(at);
                TryStartTurn();
            }
        }

        _ = SettleAsync(children, completed);
    }

    /// <summary>A worker connected, perhaps one whose code fits.</summary>
    public void Unstall()
    {
        lock (gate)
        {
            if (!stalled) return;
            stalled = false;
            TryStartTurn();
        }
    }

    public void CompleteTurn(WorkflowResponse response)
    {
        lock (gate)
        {
            if (turn is not { } order || !engine.Dispatcher.TryComplete(order, response.CompletionToken)) return;
            turn = null;
            var stored = 0;
            while (stored < order.Taken && inbox[stored].Stored) stored++;
            switch (Turn.Apply(state, order.Events, stored, response, engine.Timestamp(), engine.AppId))
            {
                case TurnOutcome.Advanced advanced when TooBig(advanced.Entry) is { } tooBig:
                    Stall(StalledReason.PayloadSizeExceeded, tooBig);
                    break;
                case TurnOutcome.Advanced advanced:
                    inbox.RemoveRange(0, order.Taken);
                    Commit(advanced.Entry);
                    break;
                case TurnOutcome.ContinuedAsNew again:
                    inbox.RemoveRange(0, order.Taken);
                    inbox.InsertRange(0, again.Inbox.Select(e => new Arrival(e, Stored: true)));
                    Restart(again.CustomStatus);
                    break;
                case TurnOutcome.Stalled stall:
                    Stall(stall.Reason, stall.Description);
                    break;
                case TurnOutcome.Refused refused:
                    engine.LogTurnRefused(Id, refused.Why);
                    break;
            }
        }
    }

    public void CompleteActivity(ActivityResponse response)
    {
        lock (gate)
        {
            if (!activities.TryGetValue(response.TaskId, out var order) || !engine.Dispatcher.TryComplete(order, response.CompletionToken))
            {
                if (doubles?.Find(one => one.Scheduled.EventId == response.TaskId && engine.Dispatcher.TryComplete(one, response.CompletionToken)) is { } ignored)
                    doubles.Remove(ignored);
                return;
            }

            activities.Remove(response.TaskId);
            switch (order.Fault?.Mode)
            {
                case "lost":
                    Dispatch(order.Scheduled);
                    return;
                case "after":
                    response.FailureDetails = Injected(order.Fault);
                    break;
            }

            Answer(order.Scheduled, response);
        }
    }

    /// <summary>Removes the instance and all it stored.</summary>
    public Task PurgeAsync()
    {
        lock (gate)
        {
            gone = true;
            Unschedule();
            if (turn is not null) engine.Dispatcher.Withdraw(turn);
            foreach (var order in activities.Values)
                engine.Dispatcher.Withdraw(order);
            foreach (var timer in timers.Values)
                engine.Timers.Remove(timer);
            engine.Forget(this);
            return engine.Commits.WriteAsync(engine.Keys.Purge(Id, Math.Max(nextEntry, leftovers)), CancellationToken.None);
        }
    }

    // ---- under the gate from here on --------------------------------------------------------------------------------

    private void TryStartTurn()
    {
        if (turn is not null || committing || stalled || finishing || gone || scheduledStart is not null || inbox.Count == 0) return;

        var size = state.Bytes;
        foreach (var arrival in inbox)
            size += InstanceState.Size(arrival.Event);
        if (size > Limit)
        {
            Stall(StalledReason.PayloadSizeExceeded, $"Workflow payload size {size} bytes exceeds 95% of max gRPC body size {engine.MaxBodyBytes} bytes; increase daprd --max-body-size and restart to resume");
            return;
        }

        var events = new List<HistoryEvent>(inbox.Count + 1) { new() { EventId = -1, Timestamp = engine.Timestamp(), WorkflowStarted = new WorkflowStartedEvent() } };
        foreach (var arrival in inbox)
            events.Add(arrival.Event);
        turn = new TurnOrder(Id, state.History, events);
        engine.Dispatcher.Send(turn);
    }

    private long Limit => engine.MaxBodyBytes > 0 ? engine.MaxBodyBytes * 95 / 100 : long.MaxValue;

    /// <summary>An activity whose request would not fit into a message to the worker.</summary>
    private string? TooBig(LogEntry entry)
    {
        var big = entry.History.FirstOrDefault(e => e.EventTypeCase == EventType.TaskScheduled && InstanceState.Size(e) > Limit);
        return big is null ? null
            : $"activity '{big.TaskScheduled.Name}::{big.EventId}' payload {InstanceState.Size(big)} bytes exceeds 95% of max gRPC body size {engine.MaxBodyBytes} bytes; increase daprd --max-body-size and restart to resume";
    }

    /// <summary>Appends the entry of a turn; the effects follow when it is durable.</summary>
    private void Commit(LogEntry entry)
    {
        committing = true;
        List<StateWrite> writes = [];
        Append(entry, writes);
        var completed = entry.History.FirstOrDefault(e => e.EventTypeCase == EventType.ExecutionCompleted)?.ExecutionCompleted;
        var retired = false;
        if (completed is not null)
        {
            finishing = true;
            retired = activities.Count == 0 && !entry.History.Any(HasAftermath);
            if (retired) Unmark(writes);
            engine.Retain(Id, completed.WorkflowStatus, writes);
        }

        Write(writes, () => OnCommitted(entry, retired));
    }

    private static bool HasAftermath(HistoryEvent e) => e.EventTypeCase is EventType.TaskScheduled or EventType.ChildWorkflowInstanceCreated
        || e.ExecutionTerminated is { Recurse: true };

    private void Restart(string? customStatus)
    {
        committing = restarting = true;
        inbox.RemoveAll(arrival => InstanceState.IsResolution(arrival.Event));
        var entry = new LogEntry { Turn = true, Continued = true, CustomStatus = customStatus };
        for (var i = 0; i < inbox.Count; i++)
        {
            entry.Inbox.Add(inbox[i].Event);
            inbox[i] = inbox[i] with { Stored = true };
        }

        leftovers = Math.Max(leftovers, nextEntry);
        nextEntry = 0;
        List<StateWrite> writes = [];
        Append(entry, writes);
        Write(writes, () =>
        {
            lock (gate)
            {
                state = new InstanceState(Id);
                state.Apply(entry);
                committing = restarting = false;
                answered.Clear();

                // What the old execution had under way goes on, but nobody waits for it.
                (doubles ??= []).AddRange(activities.Values);
                activities.Clear();
                foreach (var timer in timers.Values)
                    engine.Timers.Remove(timer);
                timers.Clear();
                if (gone) return;
                engine.Notify(Id, state);
                TryStartTurn();
            }
        });
    }

    private Task StoreInbox()
    {
        var entry = new LogEntry();
        for (var i = 0; i < inbox.Count; i++)
        {
            if (inbox[i].Stored) continue;
            entry.Inbox.Add(inbox[i].Event);
            inbox[i] = inbox[i] with { Stored = true };
        }

        var stored = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        List<StateWrite> writes = [];
        Append(entry, writes);
        Write(writes, () =>
        {
            lock (gate)
            {
                state.Apply(entry);
                engine.Notify(Id, state);
            }

            stored.SetResult();
        }, why => stored.SetException(GroupCommit.Refusal(why)));
        return stored.Task;
    }

    private void Stall(StalledReason reason, string description)
    {
        stalled = true;
        engine.LogStalled(Id, description);
        if (state.Stalled is { } already && already.Description == description) return;

        var entry = new LogEntry
        {
            History =
            {
                new HistoryEvent
                {
                    EventId = -1,
                    Timestamp = engine.Timestamp(),
                    ExecutionStalled = new ExecutionStalledEvent { Reason = reason, Description = description },
                },
            },
        };
        committing = true;
        List<StateWrite> writes = [];
        Append(entry, writes);
        Write(writes, () => OnCommitted(entry, retired: false));
    }

    private void Append(LogEntry entry, List<StateWrite> writes)
    {
        writes.Add(new StateWrite(engine.Keys.Entry(Id, nextEntry++), entry.ToByteArray()));
        for (; leftovers > nextEntry; leftovers--)
            writes.Add(new StateWrite(engine.Keys.Entry(Id, leftovers - 1), Delete: true));
        leftovers = 0;
        if (marked) return;
        marked = true;
        writes.Add(new StateWrite(engine.Keys.Active(Id), "1"u8.ToArray()));
    }

    private void Unmark(List<StateWrite> writes)
    {
        // Never stored at all when one turn did everything.
        var index = writes.FindIndex(write => write.Key == engine.Keys.Active(Id));
        if (index >= 0) writes.RemoveAt(index);
        else writes.Add(new StateWrite(engine.Keys.Active(Id), Delete: true));
    }

    private void Write(List<StateWrite> writes, Action committed, Action<string>? refused = null)
    {
        var own = chain;
        engine.Commits.Write([.. writes], own, committed, why =>
        {
            OnRefused(own, why);
            refused?.Invoke(why);
        });
    }

    /// <summary>
    /// The store will never take what this instance came to: it goes back to what is stored and ends there as failed. Where nothing is stored,
    /// or not even that is taken, it is gone, and whoever waits for it is told.
    /// </summary>
    private void OnRefused(object refused, string why)
    {
        InstanceState? told = null;
        lock (gate)
        {
            // Those behind the first refused one are refused too and mean nothing more.
            if (refused != chain || gone) return;
            chain = new object();
            engine.LogStateRefused(Id, why);

            if (turn is not null) engine.Dispatcher.Withdraw(turn);
            turn = null;
            foreach (var order in activities.Values)
                engine.Dispatcher.Withdraw(order);
            activities.Clear();
            foreach (var timer in timers.Values)
                engine.Timers.Remove(timer);
            timers.Clear();
            Unschedule();

            var entry = new LogEntry { Turn = true, Taken = state.Inbox.Count, CustomStatus = state.CustomStatus };
            if (state.StartEvent is null && (PendingStart() ?? state.Inbox.Find(e => e.EventTypeCase == EventType.ExecutionStarted)) is { } start) entry.History.Add(start);
            entry.History.Add(new HistoryEvent
            {
                EventId = -1,
                Timestamp = engine.Timestamp(),
                ExecutionCompleted = new ExecutionCompletedEvent
                {
                    WorkflowStatus = OrchestrationStatus.Failed,
                    FailureDetails = new TaskFailureDetails { ErrorType = "StateRefused", ErrorMessage = GroupCommit.Refusal(why).Status.Detail, IsNonRetriable = true },
                },
            });
            inbox.Clear();
            committing = restarting = false;
            nextEntry = state.Entries;
            if (state.Entries > 0 && !failing)
            {
                failing = true;
                Commit(entry);
                return;
            }

            finishing = gone = true;
            Lost = why;
            if (state.CompletedEvent is null) state.Apply(entry);
            engine.Forget(this);
            engine.Notify(Id, state);
            told = state;
        }

        engine.TellParent(told);
    }

    private void OnCommitted(LogEntry entry, bool retired)
    {
        List<(ParentInstanceInfo Parent, HistoryEvent Created)>? children = null;
        bool completed;
        lock (gate)
        {
            state.Apply(entry);
            committing = false;
            if (gone) return;
            completed = state.IsCompleted;
            foreach (var e in entry.History)
            {
                switch (e.EventTypeCase)
                {
                    case EventType.TaskScheduled:
                        Dispatch(e);
                        break;
                    case EventType.TimerCreated when !completed:
                        Arm(e);
                        break;
                    case EventType.ChildWorkflowInstanceCreated:
                        (children ??= []).Add((ParentOf(e), e));
                        break;
                    default:
                        if (InstanceState.ResolvedId(e) is { } id) answered.Remove(id);
                        break;
                }
            }

            // An event may have ended the wait of a timer, and the end of the workflow ends them all.
            if (timers.Count > 0)
            {
                foreach (var id in timers.Keys.Where(id => completed || !state.Open.ContainsKey(id)).ToList())
                {
                    engine.Timers.Remove(timers[id]);
                    timers.Remove(id);
                }
            }

            if (retired) engine.Forget(this);
            engine.Notify(Id, state);
            if (!completed) TryStartTurn();
        }

        if (completed) engine.TellParent(state);
        if (children is not null || (completed && !retired)) _ = SettleAsync(children ?? [], completed);
    }

    /// <summary>What reaches other instances. The mark of a finished one stays until this is done, so that a crash in between only repeats it.</summary>
    private async Task SettleAsync(IReadOnlyList<(ParentInstanceInfo Parent, HistoryEvent Created)> children, bool completed)
    {
        foreach (var (parent, created) in children)
            await engine.StartChildAsync(this, parent, created);
        if (!completed) return;
        await engine.TerminateChildrenAsync(state);
        lock (gate)
        {
            settled = true;
            RetireWhenDrained();
        }
    }

    /// <summary>A finished instance whose activities still run keeps its mark, so that they run again after a crash.</summary>
    private void RetireWhenDrained()
    {
        if (activities.Count > 0 || gone || !settled) return;
        List<StateWrite> writes = [];
        Unmark(writes);
        Write(writes, static () => { });
        engine.Forget(this);
    }

    private void Dispatch(HistoryEvent scheduled)
    {
        var task = scheduled.TaskScheduled;
        if (engine.ElsewhereReason(scheduled) is { } elsewhere)
        {
            Answer(scheduled, new ActivityResponse { FailureDetails = new TaskFailureDetails { ErrorType = "TargetAppNotSupported", ErrorMessage = elsewhere, IsNonRetriable = true } });
            return;
        }

        var order = new ActivityOrder(Id, scheduled);
        activities[scheduled.EventId] = order;
        if (engine.ActivityFault(task.Name) is { } fault)
        {
            order.Fault = fault;
            switch (fault.Mode)
            {
                case "before":
                    activities.Remove(scheduled.EventId);
                    Answer(scheduled, new ActivityResponse { FailureDetails = Injected(fault) });
                    return;
                case "hold":
                    fault.Released.ContinueWith(_ => engine.Dispatcher.Send(order), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
                    return;
                case "twice":
                    var first = new ActivityOrder(Id, scheduled);
                    (doubles ??= []).Add(first);
                    engine.Dispatcher.Send(first);
                    break;
            }
        }

        engine.Dispatcher.Send(order);
    }

    private void Answer(HistoryEvent scheduled, ActivityResponse response)
    {
        if (gone) return;
        if (state.IsCompleted)
        {
            RetireWhenDrained();
            return;
        }

        var result = new HistoryEvent { EventId = -1, Timestamp = engine.Timestamp() };
        if (response.FailureDetails is { } failure)
            result.TaskFailed = new TaskFailedEvent { TaskScheduledId = scheduled.EventId, FailureDetails = failure, TaskExecutionId = scheduled.TaskScheduled.TaskExecutionId };
        else
            result.TaskCompleted = new TaskCompletedEvent { TaskScheduledId = scheduled.EventId, Result = response.Result, TaskExecutionId = scheduled.TaskScheduled.TaskExecutionId };

        // While the last turn of an execution is being committed, a result comes too late for it.
        if (finishing || restarting || !answered.Add(scheduled.EventId)) return;
        inbox.Add(new Arrival(result, Stored: false));
        TryStartTurn();
    }

    private bool IsFirstResult(HistoryEvent e) => !restarting && state.Resolved(e) is { } created && answered.Add(created.EventId);

    private void Arm(HistoryEvent created)
    {
        var fireAt = created.TimerCreated.FireAt;
        timers[created.EventId] = engine.Timers.Add(fireAt.ToDateTimeOffset(), () => _ = PostAsync(new HistoryEvent
        {
            EventId = -1,
            Timestamp = engine.Timestamp(),
            TimerFired = new TimerFiredEvent { TimerId = created.EventId, FireAt = fireAt },
        }, durable: false));
    }

    private void Schedule(Timestamp at) => scheduledStart = engine.Timers.Add(at.ToDateTimeOffset(), () =>
    {
        lock (gate)
        {
            scheduledStart = null;
            TryStartTurn();
        }
    });

    private void Unschedule()
    {
        if (scheduledStart is null) return;
        engine.Timers.Remove(scheduledStart);
        scheduledStart = null;
    }

    private HistoryEvent? PendingStart()
    {
        foreach (var arrival in inbox)
        {
            if (arrival.Event.EventTypeCase == EventType.ExecutionStarted) return arrival.Event;
        }

        return null;
    }

    private ParentInstanceInfo ParentOf(HistoryEvent child) => new()
    {
        TaskScheduledId = child.EventId,
        Name = state.Start?.Name ?? "",
        WorkflowInstance = new WorkflowInstance { InstanceId = Id, ExecutionId = state.ExecutionId },
        AppID = engine.AppId,
    };

    private static TaskFailureDetails Injected(Fault fault) => new()
    {
        ErrorType = "InjectedFault",
        ErrorMessage = $"The control port ordered this failure (fault {fault.Id}, {fault.Mode}).",
    };

    private readonly record struct Arrival(HistoryEvent Event, bool Stored);
}

internal sealed class TurnOrder(string instanceId, List<HistoryEvent> history, List<HistoryEvent> events) : WorkOrder
{
    private readonly int past = history.Count;

    /// <summary>workflowStarted and what the inbox held.</summary>
    public List<HistoryEvent> Events { get; } = events;

    public int Taken => Events.Count - 1;

    public override bool IsTurn => true;

    public override WorkItem Build()
    {
        var request = new WorkflowRequest { InstanceId = instanceId };
        request.PastEvents.Capacity = past;
        for (var i = 0; i < past; i++) request.PastEvents.Add(history[i]);
        request.NewEvents.AddRange(Events);
        return new WorkItem { WorkflowRequest = request, CompletionToken = Token };
    }
}

internal sealed class ActivityOrder(string instanceId, HistoryEvent scheduled) : WorkOrder
{
    public HistoryEvent Scheduled { get; } = scheduled;
    public Fault? Fault { get; set; }
    public override bool IsTurn => false;

    public override WorkItem Build()
    {
        var task = Scheduled.TaskScheduled;
        return new WorkItem
        {
            CompletionToken = Token,
            ActivityRequest = new ActivityRequest
            {
                Name = task.Name,
                Version = task.Version,
                Input = task.Input,
                WorkflowInstance = new WorkflowInstance { InstanceId = instanceId },
                TaskId = Scheduled.EventId,
                ParentTraceContext = task.ParentTraceContext,
                TaskExecutionId = task.TaskExecutionId,
            },
        };
    }
}
