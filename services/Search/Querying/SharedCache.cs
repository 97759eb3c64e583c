using System.Diagnostics.Metrics;
using Dapr;
using Dapr.Client;
using Grpc.Core;
using Marketplace.Search.Indexing;

namespace Marketplace.Search.Querying;

/// <param name="Answered">False while the cache is away: it may well be there.</param>
/// <param name="Value">Null when it is not there.</param>
public readonly record struct Kept<T>(bool Answered, T? Value)
    where T : class;

/// <summary>What outlives this process and other replicas may use. Nothing in it is needed.</summary>
public interface ISharedCache
{
    Task<Kept<T>> ReadAsync<T>(string key, CancellationToken ct)
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

    public Task<Kept<T>> ReadAsync<T>(string key, CancellationToken ct)
        where T : class => TryAsync(async one => await dapr.GetStateAsync<T?>(Store, key, cancellationToken: one), ct);

    public Task WriteAsync<T>(string key, T value, TimeSpan keep, CancellationToken ct)
        where T : class => TryAsync(
        async one =>
        {
            await dapr.SaveStateAsync(Store, key, value, metadata: new Dictionary<string, string> { ["ttlInSeconds"] = $"{Math.Max(1, (int)keep.TotalSeconds)}" }, cancellationToken: one);
            return value;
        },
        ct);

    private async Task<Kept<T>> TryAsync<T>(Func<CancellationToken, Task<T?>> ask, CancellationToken ct)
        where T : class
    {
        if (time.GetUtcNow() < again)
            return default;

        using var patient = CancellationTokenSource.CreateLinkedTokenSource(ct);
        patient.CancelAfter(Patience);
        try
        {
            return new Kept<T>(true, await ask(patient.Token));
        }
        catch (Exception away) when (away is DaprException or RpcException or OperationCanceledException or HttpRequestException && !ct.IsCancellationRequested)
        {
            again = time.GetUtcNow() + LeftAlone;
            failures.Add(1);
            LogAway(away.Message);
            return default;
        }
    }

    [LoggerMessage(LogLevel.Warning, "The state store cache does not answer, searches go on without it ({Reason})")]
    private partial void LogAway(string reason);
}

/// <summary>For a process alone.</summary>
public sealed class NothingShared : ISharedCache
{
    public Task<Kept<T>> ReadAsync<T>(string key, CancellationToken ct)
        where T : class => Task.FromResult(new Kept<T>(true, null));

    public Task WriteAsync<T>(string key, T value, TimeSpan keep, CancellationToken ct)
        where T : class => Task.CompletedTask;
}
