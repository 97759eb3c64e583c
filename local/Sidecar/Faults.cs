using System.Collections.Immutable;

namespace Marketplace.Local.Sidecar;

/// <summary>A fault ordered through the control port: it strikes <see cref="Times"/> matching calls, then rests until it is removed.</summary>
public sealed record Fault
{
    private readonly TaskCompletionSource released = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int hits;

    public long Id { get; internal init; }
    public required string Kind { get; init; }
    public required string Mode { get; init; }
    public string? Name { get; init; }
    public string? Topic { get; init; }
    public string? App { get; init; }
    public string? Callee { get; init; }
    public string? Path { get; init; }
    public int Times { get; init; } = 1;
    public int DelayMs { get; init; }
    public int Hits => Math.Min(Volatile.Read(ref hits), Times);

    /// <summary>Ends when somebody removes the fault; what the mode "hold" keeps back waits for it.</summary>
    internal Task Released => released.Task;

    internal bool TryHit() => Volatile.Read(ref hits) < Times && Interlocked.Increment(ref hits) <= Times;

    internal void Release() => released.TrySetResult();
}

/// <summary>The faults in force. Asking costs one read of a field as long as there are none.</summary>
public sealed class Faults
{
    private static readonly Dictionary<string, string[]> Modes = new()
    {
        ["activity"] = ["before", "after", "lost", "twice", "hold"],
        ["deliver"] = ["twice", "fail"],
        ["invoke"] = ["before", "after", "delay"],
    };

    private ImmutableArray<Fault> faults = [];
    private long lastId;

    public ImmutableArray<Fault> All => faults;

    /// <summary>The reason for refusing a fault, or null when it is in force.</summary>
    public string? TryAdd(Fault fault, out Fault added)
    {
        added = fault with { Id = Interlocked.Increment(ref lastId) };
        if (!Modes.TryGetValue(fault.Kind, out var modes))
            return $"kind must be one of {string.Join(", ", Modes.Keys)}.";
        if (!modes.Contains(fault.Mode))
            return $"mode of kind {fault.Kind} must be one of {string.Join(", ", modes)}.";
        if (fault.Times < 1)
            return "times must be at least 1.";

        var entry = added;
        ImmutableInterlocked.Update(ref faults, (all, one) => all.Add(one), entry);
        return null;
    }

    public bool Remove(long id)
    {
        foreach (var fault in faults)
        {
            if (fault.Id != id) continue;
            ImmutableInterlocked.Update(ref faults, (all, one) => all.Remove(one), fault);
            fault.Release();
            return true;
        }

        return false;
    }

    public void Clear()
    {
        foreach (var fault in ImmutableInterlocked.InterlockedExchange(ref faults, []))
            fault.Release();
    }

    /// <summary>The fault that strikes this dispatch of an activity, counted as hit.</summary>
    public Fault? Activity(string name) => faults.IsEmpty ? null : Find("activity", fault => fault.Name is null || fault.Name == name);

    /// <summary>The fault that strikes this delivery of an event to an app, counted as hit.</summary>
    public Fault? Deliver(string topic, string appId) => faults.IsEmpty
        ? null
        : Find("deliver", fault => (fault.Topic is null || fault.Topic == topic) && (fault.App is null || fault.App == appId));

    /// <summary>The fault that strikes this invocation, counted as hit.</summary>
    public Fault? Invoke(string callee, string path) => faults.IsEmpty
        ? null
        : Find("invoke", fault => (fault.Callee is null || fault.Callee == callee) && (fault.Path is null || path.StartsWith(fault.Path, StringComparison.Ordinal)));

    private Fault? Find(string kind, Func<Fault, bool> matches)
    {
        foreach (var fault in faults)
        {
            if (fault.Kind == kind && matches(fault) && fault.TryHit())
                return fault;
        }

        return null;
    }
}
