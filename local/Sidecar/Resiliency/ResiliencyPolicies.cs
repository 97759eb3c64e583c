using Marketplace.Local.Sidecar.Resources;

namespace Marketplace.Local.Sidecar.Resiliency;

/// <summary>What the Resiliency documents of one app say about each target. Null means: no policy, one attempt.</summary>
public sealed class ResiliencyPolicies
{
    public static readonly ResiliencyPolicies None = new([]);

    private readonly Dictionary<string, TimeSpan> timeouts = [];
    private readonly Dictionary<string, RetryPolicy> retries = [];
    private readonly Dictionary<string, BreakerPolicy> breakers = [];
    private readonly Dictionary<string, ResiliencePolicy> apps = [];
    private readonly Dictionary<string, ResiliencePolicy> actors = [];
    private readonly Dictionary<string, ResiliencePolicy> inbound = [];
    private readonly Dictionary<string, ResiliencePolicy> outbound = [];

    public ResiliencyPolicies(IReadOnlyList<ResiliencyManifest> manifests)
    {
        foreach (var manifest in manifests)
        {
            foreach (var (name, value) in manifest.Timeouts) timeouts[name] = value;
            foreach (var (name, value) in manifest.Retries) retries[name] = value;
            foreach (var (name, value) in manifest.Breakers) breakers[name] = value;
        }

        foreach (var manifest in manifests)
        {
            foreach (var (name, target) in manifest.Apps) apps[name] = Resolve(target, "DaprApp:" + name);
            foreach (var (name, target) in manifest.Actors) actors[name] = Resolve(target, "actor:" + name);
            foreach (var (name, target) in manifest.Inbound) inbound[name] = Resolve(target, "inbound:" + name);
            foreach (var (name, target) in manifest.Outbound) outbound[name] = Resolve(target, "outbound:" + name);
        }
    }

    public ResiliencePolicy? App(string appId) => Of(apps, appId, "app:", ["App", ""]);

    public ResiliencePolicy? Actor(string type) => Of(actors, type, "actor:", ["Actor", ""]);

    /// <param name="kind">Statestore, Pubsub, Binding, Secretstore, Configuration, Lock: as in the names of the default policies.</param>
    public ResiliencePolicy? ComponentInbound(string name, string kind) =>
        Of(inbound, name, "inbound:", [kind + "ComponentInbound", "ComponentInbound", "Component", ""]);

    public ResiliencePolicy? ComponentOutbound(string name, string kind) =>
        Of(outbound, name, "outbound:", [kind + "ComponentOutbound", "ComponentOutbound", "Component", ""]);

    /// <summary>A target's own policies, else those with a reserved name, the narrowest first.</summary>
    private ResiliencePolicy? Of(Dictionary<string, ResiliencePolicy> targets, string name, string breakerScope, ReadOnlySpan<string> widening)
    {
        lock (targets)
        {
            if (targets.TryGetValue(name, out var policy)) return policy.IsEmpty ? null : policy;

            policy = new ResiliencePolicy(
                Default(timeouts, widening, "TimeoutPolicy", out var timeout) ? timeout : null,
                Default(retries, widening, "RetryPolicy", out var retry) ? retry : null,
                Default(breakers, widening, "CircuitBreakerPolicy", out var breaker) ? new Breaker(breaker, breakerScope + name) : null);
            targets[name] = policy;
            return policy.IsEmpty ? null : policy;
        }
    }

    private static bool Default<T>(Dictionary<string, T> policies, ReadOnlySpan<string> widening, string suffix, [System.Diagnostics.CodeAnalysis.MaybeNullWhen(false)] out T policy)
    {
        policy = default;
        if (policies.Count == 0) return false;
        foreach (var target in widening)
        {
            if (policies.TryGetValue($"Default{target}{suffix}", out policy)) return true;
        }

        return false;
    }

    private ResiliencePolicy Resolve(PolicyNames names, string target) => new(
        names.Timeout is { } timeout ? timeouts.TryGetValue(timeout.Text(), out var limit) ? limit : throw Unknown(timeout, "timeout") : null,
        names.Retry is { } retry ? retries.TryGetValue(retry.Text(), out var policy) ? policy : throw Unknown(retry, "retry") : null,
        names.Breaker is { } breaker ? breakers.TryGetValue(breaker.Text(), out var rule) ? new Breaker(rule, target) : throw Unknown(breaker, "circuit breaker") : null);

    private static ResourceException Unknown(YamlView view, string kind) => view.Error($"there is no {kind} policy {view.Text()}.");
}

/// <summary>Retry around breaker around timeout around the call.</summary>
public sealed record ResiliencePolicy(TimeSpan? Timeout, RetryPolicy? Retry, Breaker? Breaker)
{
    public bool IsEmpty => Timeout is null && Retry is null && Breaker is null;
}

/// <param name="MaxRetries">After the first attempt; -1 is without end.</param>
/// <param name="HttpCodes">Null retries every failure; otherwise only these status codes.</param>
public sealed record RetryPolicy(
    bool Exponential,
    TimeSpan Duration,
    TimeSpan MaxInterval,
    int MaxRetries,
    IReadOnlyList<(int From, int To)>? HttpCodes = null,
    IReadOnlyList<(int From, int To)>? GrpcCodes = null)
{
    /// <summary>The pause before retry number <paramref name="retry"/> (from 1), or null when the policy gives up.</summary>
    /// <param name="elapsed">Since the first attempt: an exponential policy ends after a quarter of an hour.</param>
    public TimeSpan? Pause(int retry, TimeSpan elapsed)
    {
        if (MaxRetries >= 0 && retry > MaxRetries) return null;
        if (!Exponential) return Duration;
        if (elapsed > TimeSpan.FromMinutes(15)) return null;

        var interval = Math.Min(500 * Math.Pow(1.5, retry - 1), MaxInterval.TotalMilliseconds);
        return TimeSpan.FromMilliseconds(Math.Min(interval * (0.5 + Random.Shared.NextDouble()), MaxInterval.TotalMilliseconds));
    }

    public bool RetriesHttp(int status) => Matches(HttpCodes, status);

    public bool RetriesGrpc(int code) => Matches(GrpcCodes, code);

    private static bool Matches(IReadOnlyList<(int From, int To)>? codes, int code)
    {
        if (codes is null) return true;
        foreach (var (from, to) in codes)
        {
            if (code >= from && code <= to) return true;
        }

        return false;
    }
}

public sealed record BreakerPolicy(string Name, int MaxRequests, TimeSpan Interval, TimeSpan Timeout, BreakerTrip Trip);
