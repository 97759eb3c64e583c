using Microsoft.Extensions.Logging;

namespace Dapr.Workflow;

/// <summary>Everything a workflow may use: calls, timers, events, the time and ids of its history.</summary>
public abstract class WorkflowContext
{
    public abstract string Name { get; }

    public abstract string InstanceId { get; }

    /// <summary>The time of the turn under way, the same in every replay. UTC.</summary>
    public abstract DateTime CurrentUtcDateTime { get; }

    /// <summary>True while recorded history is being replayed: what is written to the outside then was written before.</summary>
    public abstract bool IsReplaying { get; }

    public virtual Task CallActivityAsync(string name, object? input = null, WorkflowTaskOptions? options = null) =>
        CallActivityAsync<object?>(name, input, options);

    /// <exception cref="WorkflowTaskFailedException">The activity failed and, with a retry policy, used up its attempts.</exception>
    public abstract Task<T> CallActivityAsync<T>(string name, object? input = null, WorkflowTaskOptions? options = null);

    public virtual Task CreateTimer(TimeSpan delay, CancellationToken cancellationToken = default) =>
        CreateTimer(CurrentUtcDateTime.Add(delay), cancellationToken);

    public abstract Task CreateTimer(DateTime fireAt, CancellationToken cancellationToken);

    /// <summary>Waits for an event raised to this instance; names compare without case. An event that came earlier was kept.</summary>
    public abstract Task<T> WaitForExternalEventAsync<T>(string eventName, CancellationToken cancellationToken = default);

    /// <exception cref="TaskCanceledException">No such event within <paramref name="timeout"/>.</exception>
    public abstract Task<T> WaitForExternalEventAsync<T>(string eventName, TimeSpan timeout);

    /// <summary>What a management client reads beside the status; JSON.</summary>
    public abstract void SetCustomStatus(object? customStatus);

    public virtual Task CallChildWorkflowAsync(string workflowName, object? input = null, ChildWorkflowTaskOptions? options = null) =>
        CallChildWorkflowAsync<object?>(workflowName, input, options);

    public abstract Task<TResult> CallChildWorkflowAsync<TResult>(string workflowName, object? input = null, ChildWorkflowTaskOptions? options = null);

    public abstract ILogger CreateReplaySafeLogger(string categoryName);

    public virtual ILogger CreateReplaySafeLogger(Type type) => CreateReplaySafeLogger(type.FullName ?? type.Name);

    public virtual ILogger CreateReplaySafeLogger<T>() => CreateReplaySafeLogger(typeof(T));

    /// <summary>Ends this run and starts the next with an empty history; return right after calling it.</summary>
    /// <param name="preserveUnprocessedEvents">Events that arrived and were not waited for go on to the next run.</param>
    public abstract void ContinueAsNew(object? newInput = null, bool preserveUnprocessedEvents = true);

    /// <summary>An id that is the same in every replay (RFC 9562, version 5 over the instance id and a counter).</summary>
    public abstract Guid NewGuid();
}
