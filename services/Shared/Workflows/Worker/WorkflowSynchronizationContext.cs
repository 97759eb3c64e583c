using System.Collections.Concurrent;

namespace Dapr.Workflow.Worker;

/// <summary>
/// Runs the continuations of one workflow on the thread of its turn, in the order they became ready. What is posted after the
/// turn closed came from something else than the workflow's context (Task.Delay, I/O): it is dropped, since the next turn replays.
/// </summary>
internal sealed class WorkflowSynchronizationContext : SynchronizationContext
{
    private readonly ConcurrentQueue<(SendOrPostCallback Callback, object? State)> ready = new();
    private volatile bool closed;

    public override void Post(SendOrPostCallback d, object? state)
    {
        if (!closed) ready.Enqueue((d, state));
    }

    public override void Send(SendOrPostCallback d, object? state) => d(state);

    public override SynchronizationContext CreateCopy() => this;

    public void Drain()
    {
        while (ready.TryDequeue(out var next)) next.Callback(next.State);
    }

    public void Close() => closed = true;
}
