namespace Marketplace.Hosting;

/// <summary>Wakes this process's relay right after a commit, so that an event does not wait for the next look at the table.</summary>
public sealed class OutboxSignal
{
    private TaskCompletionSource wake = NewWake();

    public void Notify() => Interlocked.Exchange(ref wake, NewWake()).TrySetResult();

    /// <summary>Taken before looking at the table: a notification between the look and the wait is not lost.</summary>
    internal Task Next => Volatile.Read(ref wake).Task;

    private static TaskCompletionSource NewWake() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
