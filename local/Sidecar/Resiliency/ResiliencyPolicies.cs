namespace Marketplace.Local.Sidecar.Resiliency;

/// <summary>What the Resiliency documents of an app say about each target. Null means: no policy, one attempt.</summary>
public sealed class ResiliencyPolicies
{
    public static readonly ResiliencyPolicies None = new();

    private readonly Dictionary<string, ResiliencePolicy> apps = [];
    private readonly Dictionary<string, ResiliencePolicy> actors = [];
    private readonly Dictionary<string, ResiliencePolicy> inbound = [];
    private readonly Dictionary<string, ResiliencePolicy> outbound = [];

    public ResiliencePolicy? App(string appId) => apps.GetValueOrDefault(appId);

    public ResiliencePolicy? Actor(string type) => actors.GetValueOrDefault(type);

    /// <param name="kind">Pubsub, Statestore, Binding … as in the reserved default names.</param>
    public ResiliencePolicy? ComponentInbound(string name, string kind) => inbound.GetValueOrDefault(name);

    public ResiliencePolicy? ComponentOutbound(string name, string kind) => outbound.GetValueOrDefault(name);
}

/// <summary>Retry around breaker around timeout around the call.</summary>
public sealed record ResiliencePolicy(TimeSpan? Timeout, RetryPolicy? Retry, BreakerPolicy? Breaker);

/// <param name="MaxRetries">After the first attempt; -1 is without end.</param>
/// <param name="MatchesHttp">Null retries every failure; otherwise only these status codes.</param>
public sealed record RetryPolicy(bool Exponential, TimeSpan Duration, TimeSpan MaxInterval, int MaxRetries, IReadOnlyList<(int From, int To)>? MatchesHttp)
{
    /// <summary>The pause before retry number <paramref name="retry"/> (from 1), or null when the policy gives up.</summary>
    public TimeSpan? Pause(int retry, TimeSpan elapsed)
    {
        if (MaxRetries >= 0 && retry > MaxRetries) return null;
        if (!Exponential) return Duration;
        if (elapsed > TimeSpan.FromMinutes(15)) return null;

        var interval = Math.Min(500 * Math.Pow(1.5, retry - 1), MaxInterval.TotalMilliseconds);
        return TimeSpan.FromMilliseconds(Math.Min(interval * (0.5 + Random.Shared.NextDouble()), MaxInterval.TotalMilliseconds));
    }

    public bool Retries(int httpStatus)
    {
        if (MatchesHttp is null) return true;
        foreach (var (from, to) in MatchesHttp)
        {
            if (httpStatus >= from && httpStatus <= to) return true;
        }

        return false;
    }
}

public sealed record BreakerPolicy(string Name, int MaxRequests, TimeSpan Interval, TimeSpan Timeout, string? Trip);
