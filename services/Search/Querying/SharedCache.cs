using System.Diagnostics.Metrics;
using Dapr;
using Dapr.Client;
using Grpc.Core;
using Marketplace.Search.Indexing;

namespace Marketplace.Search.Querying;

/// <summary>What outlives this process and other replicas may use. Nothing in it is needed: absent and away are the same.</summary>
public interface ISharedCache
{
    /// <summary>Null when it is not there.</summary>
    Task<T?> ReadAsync<T>(string key, CancellationToken ct)
        where T : class;

    Task WriteAsync<T>(string key, T value, TimeSpan keep, CancellationToken ct)
        where T : class;
}

/// <summary>The state store <c>cache</c>. While it does not answer nobody waits for it: after a failure it is left alone for a moment.</summary>
public sealed partial class StateStoreCache(DaprClient dapr, IMeterFactory meters, TimeProvider time, ILogger<StateStoreCache> log) : ISharedCache
{
    private const string Store = "cache";
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LeftAlone = TimeSpan.FromSeconds(10);
    private readonly Counter<long> failures = meters.Create(IndexFeed.MeterName).CreateCounter<long>("search.cache.failures", "{call}", "Calls of the state store that failed or took too long.");
    private DateTimeOffset again;

    public Task<T?> ReadAsync<T>(string key, CancellationToken ct)
        where T : class => TryAsync(async one => await dapr.GetStateAsync<T?>(Store, key, cancellationToken: one), ct);

    public Task WriteAsync<T>(string key, T value, TimeSpan keep, CancellationToken ct)
        where T : class => TryAsync(
        async one =>
        {
            await dapr.SaveStateAsync(Store, key, value, metadata: new Dictionary<string, string> { ["ttlInSeconds"] = $"{Math.Max(1, (int)keep.TotalSeconds)}" }, cancellationToken: one);
            return value;
        },
        ct);

    private async Task<T?> TryAsync<T>(Func<CancellationToken, Task<T?>> ask, CancellationToken ct)
        where T : class
    {
        if (time.GetUtcNow() < again)
            return null;

        using var patient = CancellationTokenSource.CreateLinkedTokenSource(ct);
        patient.CancelAfter(Patience);
        try
        {
            return await ask(patient.Token);
        }
        catch (Exception away) when (away is DaprException or RpcException or OperationCanceledException or HttpRequestException && !ct.IsCancellationRequested)
        {
            again = time.GetUtcNow() + LeftAlone;
            failures.Add(1);
            LogAway(away.Message);
            return null;
        }
    }

    [LoggerMessage(LogLevel.Warning, "The state store cache does not answer, searches go on without it ({Reason})")]
    private partial void LogAway(string reason);
}

/// <summary>For a process alone.</summary>
public sealed class NothingShared : ISharedCache
{
    public Task<T?> ReadAsync<T>(string key, CancellationToken ct)
        where T : class => Task.FromResult<T?>(null);

    public Task WriteAsync<T>(string key, T value, TimeSpan keep, CancellationToken ct)
        where T : class => Task.CompletedTask;
}
