using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.DependencyInjection;

namespace Marketplace.Hosting;

public sealed class OutboxOptions
{
    /// <summary>Off in tests without a sidecar: rows stay in the table, where the test reads them.</summary>
    public bool Publish { get; set; } = true;

    /// <summary>How many events or commands a process has under way at once per lane; one aggregate's go one after the other.</summary>
    [Range(1, 256)]
    public int Concurrency { get; set; } = 16;

    /// <summary>Aggregates taken at once. Small, because a batch is as slow as its slowest row and what comes meanwhile waits for it.</summary>
    [Range(1, 5000)]
    public int BatchSize { get; set; } = 64;

    /// <summary>Tries before a row that fails by its own fault is parked. A neighbour that is away parks nothing.</summary>
    [Range(1, 1000)]
    public int Tries { get; set; } = 10;

    /// <summary>How often the table is looked at when nothing announced itself: after a crash, or for another process's rows.</summary>
    public TimeSpan Poll { get; set; } = TimeSpan.FromMilliseconds(250);

    public TimeSpan SendTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>Sent rows are kept this long, for whoever wants to see what went out.</summary>
    public TimeSpan KeepSent { get; set; } = TimeSpan.FromMinutes(15);
}

/// <summary>A lane besides the published events: its rows are handled by this process, in the order of their aggregate.</summary>
internal sealed record OutboxLane(string Name, Func<IServiceProvider, OutboxMessage, CancellationToken, Task> Handler);

public static class OutboxLanes
{
    /// <summary>A handler that throws is called again with back-off; it must bear being called twice for one row.</summary>
    public static IServiceCollection AddOutboxLane(
        this IServiceCollection services, string lane, Func<IServiceProvider, OutboxMessage, CancellationToken, Task> handler) =>
        services.AddSingleton(new OutboxLane(lane, handler));
}
