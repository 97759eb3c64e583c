using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using Dapr.Workflow.Protocol;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Marketplace.Local.Sidecar.Resources;
using Marketplace.Local.Sidecar.State;
using Status = Grpc.Core.Status;

namespace Marketplace.Local.Sidecar.Workflows;

/// <summary>
/// The workflows of one app id. Unfinished instances live in memory and in the store, finished ones only in the store. Errors are those of
/// daprd: clients match their texts.
/// </summary>
internal sealed partial class WorkflowEngine : IAsyncDisposable
{
    private const int LongestId = 512;

    private readonly SidecarHost host;
    private readonly ConcurrentDictionary<string, LiveInstance> live = new();
    private readonly ConcurrentDictionary<string, Waiters> waiters = new();
    private readonly ConcurrentDictionary<string, TimerQueue.Entry> retained = new();
    private readonly SemaphoreSlim[] doors;
    private readonly CancellationTokenSource stop = new();
    private readonly WorkflowSettings settings;
    private readonly ILogger log;
    private readonly Task ready;

    public WorkflowEngine(SidecarHost host, AppGroup app, IStateStore store, WorkflowKeys keys, WorkflowSettings settings)
    {
        this.host = host;
        this.settings = settings;
        log = host.Loggers.CreateLogger<WorkflowEngine>();
        AppId = app.AppId;
        Keys = keys;
        MaxBodyBytes = app.Instances[0].App.MaxBodyBytes;
        Commits = new GroupCommit(store, host.Time, log);
        Timers = new TimerQueue(host.Time);
        Dispatcher = new Dispatcher(settings.MaxConcurrentWorkflows ?? 0, settings.MaxConcurrentActivities ?? 0);

        // Starting or purging an id is one at a time; ids that share a door merely wait for each other.
        doors = [.. Enumerable.Range(0, 256).Select(_ => new SemaphoreSlim(1))];
        ready = Task.Run(() => RecoverAsync(stop.Token));
    }

    public string AppId { get; }
    public long MaxBodyBytes { get; }
    public WorkflowKeys Keys { get; }
    public GroupCommit Commits { get; }
    public TimerQueue Timers { get; }
    public Dispatcher Dispatcher { get; }
    public DateTimeOffset Now => host.Time.GetUtcNow();

    public Timestamp Timestamp() => Google.Protobuf.WellKnownTypes.Timestamp.FromDateTimeOffset(host.Time.GetUtcNow());

    public Fault? ActivityFault(string name) => host.Faults.Activity(name);

    // ---- what clients ask ---------------------------------------------------------------------------------------------

    /// <summary>
    /// Starts an instance. With <paramref name="untilStarted"/> it returns after the first turn, which also makes it durable; without, it is
    /// durable and may still be pending. As on daprd nothing starts while no worker is connected: the call waits.
    /// </summary>
    public async Task StartAsync(ExecutionStartedEvent start, bool untilStarted, CancellationToken ct)
    {
        var id = start.WorkflowInstance.InstanceId;
        await ready.WaitAsync(ct);
        await Dispatcher.Connected.WaitAsync(ct);
        start.WorkflowInstance.ExecutionId = Guid.NewGuid().ToString();

        var wait = untilStarted && start.ScheduledStartTimestamp is null;
        using var started = wait ? Watch(id) : null;
        var instance = await CreateAsync(id, start, ct);
        var stored = instance.PostAsync(new HistoryEvent { EventId = -1, Timestamp = Timestamp(), ExecutionStarted = start }, durable: !wait);
        if (started is null)
        {
            await stored.WaitAsync(ct);
            return;
        }

        try
        {
            await started.UntilAsync(static status => status != OrchestrationStatus.Pending, ct);
        }
        catch (OperationCanceledException)
        {
            instance.Keep();
            throw;
        }

        if (instance.Lost is { } why) throw GroupCommit.Refusal(why);
    }

    public async Task<WorkflowState?> GetAsync(string id, bool inputsAndOutputs, CancellationToken ct)
    {
        await ready.WaitAsync(ct);
        if (live.TryGetValue(id, out var instance)) return instance.Describe(inputsAndOutputs);
        return (await LoadAsync(id, firstRead: 8, ct))?.ToWorkflowState(inputsAndOutputs);
    }

    /// <summary>Waits for a status, also of an instance that does not exist yet.</summary>
    public async Task<WorkflowState> WaitAsync(string id, Func<OrchestrationStatus, bool> condition, bool inputsAndOutputs, CancellationToken ct)
    {
        using var watch = Watch(id);
        if (await GetAsync(id, inputsAndOutputs: true, ct) is { } state && condition(state.WorkflowStatus))
            return inputsAndOutputs ? state : Trim(state);
        var met = await watch.UntilAsync(condition, ct);
        return inputsAndOutputs ? met : Trim(met);
    }

    /// <summary>Gives an instance an event of a client; durable when it returns. A finished instance swallows it.</summary>
    public async Task RaiseAsync(string id, HistoryEvent e, CancellationToken ct)
    {
        await ready.WaitAsync(ct);
        e.EventId = -1;
        e.Timestamp = Timestamp();
        if (live.TryGetValue(id, out var instance))
        {
            if (e.EventRaised is not null && instance.Status == OrchestrationStatus.Stalled) throw Unknown("workflow is stalled");
            await instance.PostAsync(e, durable: true).WaitAsync(ct);
            return;
        }

        if (await LoadAsync(id, firstRead: 1, ct) is null) throw NotFound();
        LogSwallowed(id, e.EventTypeCase);
    }

    /// <summary>The number of instances removed.</summary>
    public async Task<int> PurgeAsync(string id, bool recursive, bool force, CancellationToken ct)
    {
        await ready.WaitAsync(ct);
        List<string> children;
        using (await EnterAsync(id, ct))
        {
            var (history, status) = await FindAsync(id, ct) ?? throw NotFound();
            if (!force && status == OrchestrationStatus.Stalled) throw Unknown("workflow is stalled");
            if (!force && !InstanceState.IsTerminal(status)) throw Unknown("orchestration has not yet completed");
            children = recursive ? ChildrenOf(history) : [];
        }

        var removed = 0;
        foreach (var child in children)
        {
            try
            {
                removed += await PurgeAsync(child, recursive, force, ct);
            }
            catch (RpcException e) when (e.Status.Detail == NoSuchInstance)
            {
                continue;       // purged on its own before
            }
            catch (RpcException e)
            {
                throw Unknown($"failed to purge child workflow \"{child}\": {e.Status.Detail}");
            }
        }

        using (await EnterAsync(id, ct))
            await RemoveAsync(id, ct);
        return removed + 1;
    }

    /// <summary>
    /// Runs a finished instance again from one of its activities, timers or children, under a new id: what came before that event is taken
    /// over as it was, what was open then and the event itself are under way again.
    /// </summary>
    public async Task<string> RerunAsync(RerunWorkflowFromEventRequest request, CancellationToken ct)
    {
        await ready.WaitAsync(ct);
        await Dispatcher.Connected.WaitAsync(ct);
        var source = request.SourceInstanceID;
        if (source.Length == 0) throw Invalid("rerun workflow source instance ID is required");
        var id = request.HasNewInstanceID ? request.NewInstanceID : Guid.NewGuid().ToString();
        if (id == source) throw Invalid("rerun workflow instance ID must be different from the original instance ID");
        if (await FindAsync(source, ct) is not { } found) throw new RpcException(new Status(StatusCode.NotFound, $"workflow instance does not exist with ID '{source}'"));
        if (!InstanceState.IsTerminal(found.Status)) throw Invalid($"'{source}' is not in a terminal state");

        var entry = new LogEntry { Turn = true, History = { Fork.Build(found.History, request, id, Timestamp()) } };
        var state = new InstanceState(id);
        state.Apply(entry);
        CheckId(id);
        var instance = new LiveInstance(this, state);
        using (await EnterAsync(id, ct))
        {
            if (live.ContainsKey(id) || await LoadAsync(id, firstRead: 1, ct) is not null)
                throw new RpcException(new Status(StatusCode.AlreadyExists, $"workflow '{id}' has already been created"));
            await Commits.WriteAsync([new StateWrite(Keys.Entry(id, 0), entry.ToByteArray()), new StateWrite(Keys.Active(id), "1"u8.ToArray())], ct);
            live[id] = instance;
        }

        instance.Resume();
        return id;
    }

    public async Task<IReadOnlyList<HistoryEvent>> HistoryAsync(string id, CancellationToken ct)
    {
        await ready.WaitAsync(ct);
        return await FindAsync(id, ct) is { } found
            ? found.History
            : throw new RpcException(new Status(StatusCode.NotFound, $"workflow instance does not exist with ID '{id}'"));
    }

    /// <summary>Ids in ordinal order, after <paramref name="after"/>.</summary>
    public async Task<(List<string> Ids, string? Next)> ListAsync(string? after, int pageSize, CancellationToken ct)
    {
        await ready.WaitAsync(ct);
        var ids = new SortedSet<string>(StringComparer.Ordinal);
        await foreach (var key in Commits.ListKeysAsync(Keys.LogPrefix, ct))
        {
            if (Keys.FirstOf(key) is { } id && (after is null || string.CompareOrdinal(id, after) > 0)) ids.Add(id);
        }

        var page = ids.Take(pageSize).ToList();
        return (page, ids.Count > pageSize ? page[^1] : null);
    }

    // ---- what workers bring -------------------------------------------------------------------------------------------

    public void CompleteTurn(WorkflowResponse response)
    {
        if (live.TryGetValue(response.InstanceId, out var instance)) instance.CompleteTurn(response);
        else LogStale(response.InstanceId);
    }

    public void CompleteActivity(ActivityResponse response)
    {
        if (live.TryGetValue(response.InstanceId, out var instance)) instance.CompleteActivity(response);
        else LogStale(response.InstanceId);
    }

    public WorkStream OpenStream()
    {
        var stream = Dispatcher.Open();
        foreach (var instance in live.Values)
            instance.Unstall();
        return stream;
    }

    // ---- what instances ask -------------------------------------------------------------------------------------------

    public void Forget(LiveInstance instance) => live.TryRemove(KeyValuePair.Create(instance.Id, instance));

    public void Notify(string id, InstanceState state)
    {
        if (waiters.TryGetValue(id, out var waiting)) waiting.Tell(state);
    }

    /// <summary>Starts a child, once per scheduling however often it is asked: after a crash the parent asks again.</summary>
    public async Task StartChildAsync(LiveInstance parent, ParentInstanceInfo info, HistoryEvent created)
    {
        var child = created.ChildWorkflowInstanceCreated;
        if (ElsewhereReason(created) is { } elsewhere)
        {
            Fail("TargetAppNotSupported", elsewhere);
            return;
        }

        var start = new ExecutionStartedEvent
        {
            Name = child.Name,
            Version = child.Version,
            Input = child.Input,
            ParentInstance = info,
            ParentTraceContext = child.ParentTraceContext,
            WorkflowInstance = new WorkflowInstance { InstanceId = child.InstanceId, ExecutionId = Guid.NewGuid().ToString() },
        };
        try
        {
            var instance = await CreateAsync(child.InstanceId, start, stop.Token);
            await instance.PostAsync(new HistoryEvent { EventId = -1, Timestamp = Timestamp(), ExecutionStarted = start }, durable: false);
        }
        catch (AlreadyStartedException)
        {
            LogChildKnown(child.InstanceId, parent.Id);
        }
        catch (RpcException e)
        {
            Fail("WorkflowInstanceAlreadyExists", e.Status.Detail);
        }
        catch (OperationCanceledException)
        {
            LogStopped(parent.Id);
        }
        catch (Exception e)
        {
            // The parent still has the child open and asks again after a restart.
            LogChildFailed(e, child.InstanceId, parent.Id);
        }

        void Fail(string type, string message)
        {
            var details = new TaskFailureDetails { ErrorType = type, ErrorMessage = message };
            var failed = new ChildWorkflowInstanceFailedEvent { TaskScheduledId = created.EventId, FailureDetails = details };
            parent.PostResult(new HistoryEvent { EventId = -1, Timestamp = Timestamp(), ChildWorkflowInstanceFailed = failed }, info.WorkflowInstance.ExecutionId);
        }
    }

    /// <summary>Why an activity or a child cannot run here: daprd also routes them to other apps, this host does not.</summary>
    public string? ElsewhereReason(HistoryEvent created) => created.Router is { HasTargetAppID: true } router && router.TargetAppID.Length > 0 && router.TargetAppID != AppId
        ? $"The local sidecar host runs activities and child workflows in their own app only, not in '{router.TargetAppID}'."
        : null;

    public void TellParent(InstanceState child)
    {
        if (child.Start?.ParentInstance is not { } parent || !live.TryGetValue(parent.WorkflowInstance.InstanceId, out var waiting)) return;
        var completed = child.CompletedEvent!.ExecutionCompleted;
        var e = new HistoryEvent { EventId = -1, Timestamp = Timestamp() };
        if (completed.WorkflowStatus == OrchestrationStatus.Completed)
            e.ChildWorkflowInstanceCompleted = new ChildWorkflowInstanceCompletedEvent { TaskScheduledId = parent.TaskScheduledId, Result = completed.Result };
        else
            e.ChildWorkflowInstanceFailed = new ChildWorkflowInstanceFailedEvent { TaskScheduledId = parent.TaskScheduledId, FailureDetails = completed.FailureDetails };
        waiting.PostResult(e, parent.WorkflowInstance.ExecutionId);
    }

    /// <summary>Passes a recursive terminate on to the children that are still running.</summary>
    public async Task TerminateChildrenAsync(InstanceState parent)
    {
        if (parent.Terminated is not { Recurse: true } terminated) return;
        foreach (var child in ChildrenOf(parent.History))
        {
            if (!live.TryGetValue(child, out var instance)) continue;
            try
            {
                await instance.PostAsync(
                    new HistoryEvent { EventId = -1, Timestamp = Timestamp(), ExecutionTerminated = new ExecutionTerminatedEvent { Input = terminated.Input, Recurse = true } },
                    durable: true);
            }
            catch (RpcException e)
            {
                // Refused by the store: the child has ended as failed by that.
                LogChildFailed(e, child, parent.InstanceId);
            }
        }
    }

    /// <summary>Remembers with the last write of an instance when it may be removed.</summary>
    public void Retain(string id, OrchestrationStatus status, List<StateWrite> writes)
    {
        var own = status switch
        {
            OrchestrationStatus.Completed => settings.KeepCompleted,
            OrchestrationStatus.Failed => settings.KeepFailed,
            OrchestrationStatus.Terminated => settings.KeepTerminated,
            _ => null,
        };
        if ((own ?? settings.KeepAnyTerminal) is not { } kept) return;
        var due = Now + kept;
        writes.Add(new StateWrite(Keys.Retained(id), Encoding.UTF8.GetBytes(due.ToUnixTimeMilliseconds().ToString(CultureInfo.InvariantCulture))));
        Remove(id, due);
    }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await ready.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        Timers.Dispose();
        await Commits.DisposeAsync();
        stop.Dispose();
    }

    // ---- inside -------------------------------------------------------------------------------------------------------

    private async Task<LiveInstance> CreateAsync(string id, ExecutionStartedEvent start, CancellationToken ct)
    {
        CheckId(id);
        using (await EnterAsync(id, ct))
        {
            if (live.TryGetValue(id, out var running))
            {
                if (IsSame(running.Parent(), start.ParentInstance)) throw new AlreadyStartedException();
                throw InstanceState.IsTerminal(running.Status)
                    ? Unknown($"a terminated workflow with ID '{id}' is already awaiting an activity result")
                    : new RpcException(new Status(StatusCode.AlreadyExists, $"an active workflow with ID '{id}' already exists"));
            }

            var earlier = await LoadAsync(id, firstRead: 1, ct);
            if (earlier is not null)
            {
                if (IsSame(earlier.Start?.ParentInstance, start.ParentInstance))
                {
                    if (earlier.IsCompleted) TellParent(earlier);
                    throw new AlreadyStartedException();
                }

                foreach (var child in ChildrenOf(earlier.History))
                {
                    if (live.TryGetValue(child, out var descendant) && !InstanceState.IsTerminal(descendant.Status))
                        throw new RpcException(new Status(StatusCode.AlreadyExists, $"cannot recreate workflow with ID '{id}': child workflow '{child}': orchestration has not yet completed"));
                }

                if (retained.TryRemove(id, out var timer))
                {
                    Timers.Remove(timer);
                    await Commits.WriteAsync([new StateWrite(Keys.Retained(id), Delete: true)], ct);
                }
            }

            return live[id] = new LiveInstance(this, id, leftovers: earlier?.Entries ?? 0);
        }
    }

    private async Task<(IReadOnlyList<HistoryEvent> History, OrchestrationStatus Status)?> FindAsync(string id, CancellationToken ct)
    {
        if (live.TryGetValue(id, out var instance)) return (instance.History(), instance.Status);
        return await LoadAsync(id, firstRead: 8, ct) is { } state ? (state.History, state.Status) : null;
    }

    private async Task RemoveAsync(string id, CancellationToken ct)
    {
        if (retained.TryRemove(id, out var timer)) Timers.Remove(timer);
        if (live.TryGetValue(id, out var instance)) await instance.PurgeAsync();
        else if (await LoadAsync(id, firstRead: 8, ct) is { } state) await Commits.WriteAsync(Keys.Purge(id, state.Entries), ct);
    }

    private async Task<InstanceState?> LoadAsync(string id, int firstRead, CancellationToken ct)
    {
        var state = new InstanceState(id);
        for (var count = firstRead; ; count = 64)
        {
            var keys = new string[count];
            for (var i = 0; i < count; i++) keys[i] = Keys.Entry(id, state.Entries + i);
            foreach (var entry in await Commits.ReadAsync(keys, ct))
            {
                if (entry is null) return state.Entries == 0 ? null : state;
                state.Apply(LogEntry.Parser.ParseFrom(entry.Value.Span));
            }
        }
    }

    private async Task RecoverAsync(CancellationToken ct)
    {
        for (var pause = TimeSpan.FromMilliseconds(100); ; pause = pause < TimeSpan.FromSeconds(5) ? pause * 2 : pause)
        {
            try
            {
                await LoadUnfinishedAsync(ct);
                await LoadRetainedAsync(ct);
                return;
            }
            catch (Exception e) when (!ct.IsCancellationRequested)
            {
                LogRecoveryFailed(e, AppId);
            }

            await Task.Delay(pause, host.Time, ct);
        }
    }

    private async Task LoadUnfinishedAsync(CancellationToken ct)
    {
        var loading = new List<Task<InstanceState?>>();
        await foreach (var key in Commits.ListKeysAsync(Keys.ActivePrefix, ct))
            loading.Add(LoadAsync(key[Keys.ActivePrefix.Length..], firstRead: 8, ct));

        // All of them are known before one of them moves: a child must find its parent.
        var instances = new List<LiveInstance>();
        foreach (var state in await Task.WhenAll(loading))
        {
            if (state is null || !live.TryAdd(state.InstanceId, new LiveInstance(this, state))) continue;
            instances.Add(live[state.InstanceId]);
        }

        foreach (var instance in instances)
            instance.Resume();
        if (instances.Count > 0) LogResumed(AppId, instances.Count);
    }

    private async Task LoadRetainedAsync(CancellationToken ct)
    {
        var marks = new List<string>();
        await foreach (var key in Commits.ListKeysAsync(Keys.RetainedPrefix, ct))
            marks.Add(key);
        foreach (var keys in marks.Chunk(1000))
        {
            var found = await Commits.ReadAsync(keys, ct);
            for (var i = 0; i < keys.Length; i++)
            {
                if (found[i] is { } due)
                    Remove(keys[i][Keys.RetainedPrefix.Length..], DateTimeOffset.FromUnixTimeMilliseconds(long.Parse(due.Value.Span, CultureInfo.InvariantCulture)));
            }
        }
    }

    private void Remove(string id, DateTimeOffset due) => retained[id] = Timers.Add(due, () => _ = RemoveRetainedAsync(id));

    private async Task RemoveRetainedAsync(string id)
    {
        try
        {
            await PurgeAsync(id, recursive: false, force: false, stop.Token);
        }
        catch (RpcException e)
        {
            LogNotRemoved(id, e.Status.Detail);
        }
        catch (OperationCanceledException)
        {
            LogStopped(id);
        }
    }

    private async ValueTask<Door> EnterAsync(string id, CancellationToken ct)
    {
        var door = doors[(uint)string.GetHashCode(id, StringComparison.Ordinal) % doors.Length];
        await door.WaitAsync(ct);
        return new Door(door);
    }

    private Watcher Watch(string id)
    {
        while (true)
        {
            var waiting = waiters.GetOrAdd(id, static (key, all) => new Waiters(key, all), waiters);
            if (waiting.TryAdd() is { } watcher) return watcher;
        }
    }

    private static bool IsSame(ParentInstanceInfo? known, ParentInstanceInfo? asked) => known is not null && asked is not null
        && known.TaskScheduledId == asked.TaskScheduledId
        && known.WorkflowInstance.InstanceId == asked.WorkflowInstance.InstanceId
        && known.WorkflowInstance.ExecutionId == asked.WorkflowInstance.ExecutionId;

    private static List<string> ChildrenOf(IReadOnlyList<HistoryEvent> history) =>
        [.. history.Where(e => e.ChildWorkflowInstanceCreated is not null).Select(e => e.ChildWorkflowInstanceCreated.InstanceId).Distinct()];

    private static WorkflowState Trim(WorkflowState state)
    {
        var trimmed = state.Clone();
        trimmed.Input = trimmed.Output = trimmed.CustomStatus = null;
        trimmed.FailureDetails = null;
        return trimmed;
    }

    public const string NoSuchInstance = "no such instance exists";

    private static void CheckId(string id)
    {
        if (id.Length is 0 or > LongestId || id.Contains("||", StringComparison.Ordinal) || id.Any(char.IsControl))
            throw Invalid($"workflow instance ID '{id}' is invalid");
    }

    private static RpcException Invalid(string detail) => new(new Status(StatusCode.InvalidArgument, detail));

    private static RpcException NotFound() => Unknown(NoSuchInstance);

    private static RpcException Unknown(string detail) => new(new Status(StatusCode.Unknown, detail));

    private readonly struct Door(SemaphoreSlim door) : IDisposable
    {
        public void Dispose() => door.Release();
    }

    private sealed class AlreadyStartedException : Exception;

    /// <summary>Those who watch one instance id. It removes itself with the last of them.</summary>
    private sealed class Waiters(string id, ConcurrentDictionary<string, Waiters> all)
    {
        private readonly List<Watcher> watchers = [];
        private bool closed;

        public Watcher? TryAdd()
        {
            lock (watchers)
            {
                if (closed) return null;
                var watcher = new Watcher(this);
                watchers.Add(watcher);
                return watcher;
            }
        }

        public void Remove(Watcher watcher)
        {
            lock (watchers)
            {
                watchers.Remove(watcher);
                if (watchers.Count > 0) return;
                closed = true;
                all.TryRemove(KeyValuePair.Create(id, this));
            }
        }

        public void Tell(InstanceState state)
        {
            lock (watchers)
            {
                var described = state.ToWorkflowState(inputsAndOutputs: true);
                foreach (var watcher in watchers)
                    watcher.Tell(described);
            }
        }
    }

    private sealed class Watcher(Waiters waiters) : IDisposable
    {
        private readonly Lock gate = new();
        private TaskCompletionSource<WorkflowState>? wanted;
        private Func<OrchestrationStatus, bool>? condition;
        private WorkflowState? last;

        public Task<WorkflowState> UntilAsync(Func<OrchestrationStatus, bool> met, CancellationToken ct)
        {
            lock (gate)
            {
                if (last is not null && met(last.WorkflowStatus)) return Task.FromResult(last);
                condition = met;
                wanted = new TaskCompletionSource<WorkflowState>(TaskCreationOptions.RunContinuationsAsynchronously);
                return wanted.Task.WaitAsync(ct);
            }
        }

        public void Tell(WorkflowState state)
        {
            lock (gate)
            {
                last = state;
                if (condition is not null && condition(state.WorkflowStatus)) wanted!.TrySetResult(state);
            }
        }

        public void Dispose() => waiters.Remove(this);
    }

    [LoggerMessage(LogLevel.Information, "{AppId}: {Count} unfinished workflows go on")]
    private partial void LogResumed(string appId, int count);

    [LoggerMessage(LogLevel.Error, "{AppId}: the unfinished workflows could not be read, trying again")]
    private partial void LogRecoveryFailed(Exception exception, string appId);

    [LoggerMessage(LogLevel.Warning, "Workflow {InstanceId} is finished, its {Kind} is dropped")]
    private partial void LogSwallowed(string instanceId, HistoryEvent.EventTypeOneofCase kind);

    [LoggerMessage(LogLevel.Debug, "An answer for workflow {InstanceId} came too late and is dropped")]
    private partial void LogStale(string instanceId);

    [LoggerMessage(LogLevel.Debug, "Child workflow {InstanceId} of {Parent} was started before")]
    private partial void LogChildKnown(string instanceId, string parent);

    [LoggerMessage(LogLevel.Error, "Child workflow {InstanceId} of {Parent} could not be started")]
    private partial void LogChildFailed(Exception exception, string instanceId, string parent);

    [LoggerMessage(LogLevel.Debug, "Stopped while workflow {InstanceId} had work left; it goes on after the next start")]
    private partial void LogStopped(string instanceId);

    [LoggerMessage(LogLevel.Warning, "Workflow {InstanceId} was to be removed and is not: {Reason}")]
    private partial void LogNotRemoved(string instanceId, string reason);

    [LoggerMessage(LogLevel.Error, "Workflow {InstanceId}: {Reason}; the turn is lost")]
    internal partial void LogTurnRefused(string instanceId, string reason);

    [LoggerMessage(LogLevel.Warning, "Workflow {InstanceId} is stalled: {Reason}")]
    internal partial void LogStalled(string instanceId, string reason);

    [LoggerMessage(LogLevel.Error, "Workflow {InstanceId} ends as failed: the actor state store refused its state: {Reason}")]
    internal partial void LogStateRefused(string instanceId, string reason);
}
