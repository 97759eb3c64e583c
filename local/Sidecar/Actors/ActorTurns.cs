namespace Marketplace.Local.Sidecar.Actors;

/// <summary>
/// One turn at a time for one actor, first come first served. A caller that carries the id of the turn under way enters without waiting: that is reentrancy.
/// </summary>
internal sealed class ActorTurns
{
    private readonly Lock gate = new();
    private readonly LinkedList<Waiter> waiting = [];
    private string? holder;
    private int depth;
    private bool closed;

    /// <summary>Null when the actor was put away meanwhile: look it up anew.</summary>
    /// <param name="caller">The reentrancy id; unique where reentrancy is off.</param>
    public async ValueTask<Turn?> EnterAsync(string caller, int maxDepth, CancellationToken ct)
    {
        Waiter waiter;
        lock (gate)
        {
            if (closed) return null;
            if (holder is null)
            {
                (holder, depth) = (caller, 1);
                return new Turn(this);
            }

            if (holder == caller)
            {
                if (depth >= maxDepth) throw new StackDepthException(maxDepth);
                depth++;
                return new Turn(this);
            }
            waiter = new Waiter(caller);
            waiting.AddLast(waiter);
        }

        await using var cancelled = ct.UnsafeRegister(static state => ((Waiter)state!).Entered.TrySetCanceled(), waiter);
        try
        {
            await waiter.Entered.Task;
            return new Turn(this);
        }
        catch (OperationCanceledException)
        {
            lock (gate) waiting.Remove(waiter);
            ct.ThrowIfCancellationRequested();
            throw;
        }
    }

    /// <summary>Only when nobody is in or waits; afterwards nobody can enter.</summary>
    public bool TryClose()
    {
        lock (gate)
        {
            if (holder is not null) return false;
            return closed = true;
        }
    }

    private void Leave()
    {
        lock (gate)
        {
            if (--depth > 0) return;
            holder = null;
            while (waiting.First is { } next)
            {
                waiting.RemoveFirst();
                (holder, depth) = (next.Value.Caller, 1);
                if (next.Value.Entered.TrySetResult()) return;
                holder = null;   // gave up in the same moment
            }
        }
    }

    public readonly struct Turn(ActorTurns turns) : IDisposable
    {
        public void Dispose() => turns.Leave();
    }

    private sealed class Waiter(string caller)
    {
        public string Caller { get; } = caller;
        public TaskCompletionSource Entered { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}

internal sealed class StackDepthException(int depth) : Exception($"maximum stack depth exceeded: {depth}");
