using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using Marketplace.Local.Sidecar.Resources;

namespace Marketplace.Local.Sidecar.Resiliency;

/// <summary>
/// What the Resiliency documents of one app say about each target; null means no policy, one attempt. A target that no document names gets
/// the policies with a reserved name, of each kind the narrowest. A component named for one direction only has no policy in the other.
/// </summary>
public sealed class ResiliencyPolicies
{
    public static readonly ResiliencyPolicies None = new([]);

    private const string ServiceRetries = "DaprBuiltInServiceRetries";
    private static readonly RetryPolicy ThreeTimes = new(Exponential: false, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(60), MaxRetries: 3);

    // What can be named in a document, but not replaced with less.
    private static readonly string[] BuiltIn = [ServiceRetries, "DaprBuiltInActorRetries", "DaprBuiltInActorReminderRetries", "DaprBuiltInInitializationRetries"];

    private readonly Dictionary<string, TimeSpan> timeouts = [];
    private readonly Dictionary<string, RetryPolicy> retries = [];
    private readonly Dictionary<string, BreakerPolicy> breakers = [];
    private readonly Dictionary<string, Target> apps = [];
    private readonly Dictionary<string, Target> actors = [];
    private readonly Dictionary<string, (Target Inbound, Target Outbound)> components = [];
    private readonly ConcurrentDictionary<string, Target> unnamedApps = new();
    private readonly ConcurrentDictionary<string, Target> unnamedActors = new();
    private readonly ConcurrentDictionary<(string Name, string Kind), (ResiliencePolicy? Inbound, ResiliencePolicy? Outbound)> componentPolicies = new();
    private readonly ConcurrentDictionary<string, Breaker> componentBreakers = new();

    public ResiliencyPolicies(IReadOnlyList<ResiliencyManifest> manifests)
    {
        foreach (var manifest in manifests)
        {
            foreach (var (name, value) in manifest.Timeouts) timeouts[name] = value;
            foreach (var (name, value) in manifest.Retries) retries[name] = BuiltIn.Contains(name) && value.MaxRetries is >= 0 and < 3 ? value with { MaxRetries = 3 } : value;
            foreach (var (name, value) in manifest.Breakers) breakers[name] = value;
        }

        foreach (var manifest in manifests)
        {
            foreach (var (name, target) in manifest.Apps) apps[name] = Resolve(target);
            foreach (var (name, target) in manifest.Actors) actors[name] = Resolve(target);
            foreach (var (name, target) in manifest.Components) components[name] = (Resolve(target.Inbound), Resolve(target.Outbound));
        }
    }

    /// <summary>Retries of a call that found no instance of the app to connect to; null for an app with policies of its own, which replace them.</summary>
    public RetryPolicy? Unreachable(string appId) => apps.ContainsKey(appId) ? null : retries.GetValueOrDefault(ServiceRetries, ThreeTimes);

    /// <param name="endpoint">The method called, without the query: each has a breaker of its own.</param>
    public ResiliencePolicy? App(string appId, string endpoint)
    {
        var target = apps.GetValueOrDefault(appId) ?? unnamedApps.GetOrAdd(appId, static (_, self) => self.Default(PolicyNames.AppCacheSize, "App", ""), this);
        return target.For(endpoint);
    }

    /// <summary>For a call through the API, outside the actor's turn: retry and breaker.</summary>
    public ResiliencePolicy? ActorCall(string type, string id)
    {
        var target = Actor(type);
        var policy = target.For(target.BreakerPerId ? $"{type}-{id}" : type);
        return policy is { Retry: null, Breaker: null } ? null : policy?.Timeout is null ? policy : policy with { Timeout = null };
    }

    /// <summary>For the turn itself, whoever asked for it: a call, a timer or a reminder.</summary>
    public TimeSpan? ActorTimeout(string type) => Actor(type).Timeout;

    /// <param name="kind">Statestore, Pubsub, Binding, Secretstore, Configuration, Lock: as in the names of the default policies.</param>
    public ResiliencePolicy? ComponentInbound(string name, string kind) => Component(name, kind).Inbound;

    /// <inheritdoc cref="ComponentInbound"/>
    public ResiliencePolicy? ComponentOutbound(string name, string kind) => Component(name, kind).Outbound;

    private Target Actor(string type) =>
        actors.GetValueOrDefault(type) ?? unnamedActors.GetOrAdd(type, static (_, self) => self.Default(1, "Actor", ""), this);

    private (ResiliencePolicy? Inbound, ResiliencePolicy? Outbound) Component(string name, string kind) =>
        componentPolicies.TryGetValue((name, kind), out var policies) ? policies : componentPolicies.GetOrAdd((name, kind), static (key, self) =>
        {
            if (!self.components.TryGetValue(key.Name, out var targets))
            {
                targets = (self.Default(1, key.Kind + "ComponentInbound", "ComponentInbound", "Component", ""),
                    self.Default(1, key.Kind + "ComponentOutbound", "ComponentOutbound", "Component", ""));
            }

            // Both directions count in one breaker, as in daprd.
            return (targets.Inbound.With(rule => self.componentBreakers.GetOrAdd(key.Name, static (_, rule) => new Breaker(rule), rule)),
                targets.Outbound.With(rule => self.componentBreakers.GetOrAdd(key.Name, static (_, rule) => new Breaker(rule), rule)));
        }, this);

    private Target Default(int cacheSize, params ReadOnlySpan<string> widening) => new(
        Default(timeouts, widening, "TimeoutPolicy", out var timeout) && timeout > TimeSpan.Zero ? timeout : null,
        Default(retries, widening, "RetryPolicy", out var retry) ? retry : null,
        Default(breakers, widening, "CircuitBreakerPolicy", out var breaker) ? new BreakerCache(breaker, cacheSize) : null);

    private static bool Default<T>(Dictionary<string, T> policies, ReadOnlySpan<string> widening, string suffix, [MaybeNullWhen(false)] out T policy)
    {
        policy = default;
        if (policies.Count == 0) return false;
        foreach (var target in widening)
        {
            if (policies.TryGetValue($"Default{target}{suffix}", out policy)) return true;
        }

        return false;
    }

    private Target Resolve(PolicyNames names) => new(
        names.Timeout is { } timeout ? timeouts.TryGetValue(timeout.Text(), out var limit) ? limit > TimeSpan.Zero ? limit : null : throw Unknown(timeout, "timeout", timeouts.Keys) : null,
        names.Retry is { } retry ? retries.TryGetValue(retry.Text(), out var policy) ? policy : throw Unknown(retry, "retry", retries.Keys) : null,
        names.Breaker is { } breaker ? breakers.TryGetValue(breaker.Text(), out var rule) ? new BreakerCache(rule, names.CacheSize) : throw Unknown(breaker, "circuit breaker", breakers.Keys) : null,
        names.BreakerPerId);

    private static ResourceException Unknown(YamlView view, string kind, IReadOnlyCollection<string> known) =>
        view.Error($"there is no {kind} policy {view.Text()}; {(known.Count == 0 ? $"no document of this app defines a {kind} policy" : $"there are {string.Join(", ", known.Order(StringComparer.Ordinal))}")}.");

    private sealed record Target(TimeSpan? Timeout, RetryPolicy? Retry, BreakerCache? Breakers, bool BreakerPerId = false)
    {
        private readonly ResiliencePolicy? unbroken = Timeout is null && Retry is null ? null : new ResiliencePolicy(Timeout, Retry, null);

        public ResiliencePolicy? For(string key) => Breakers is null ? unbroken : new ResiliencePolicy(Timeout, Retry, Breakers.Of(key));

        public ResiliencePolicy? With(Func<BreakerPolicy, Breaker> breaker) => Breakers is null ? unbroken : new ResiliencePolicy(Timeout, Retry, breaker(Breakers.Policy));
    }
}

/// <summary>Retry around breaker around timeout around the call.</summary>
public sealed record ResiliencePolicy(TimeSpan? Timeout, RetryPolicy? Retry, Breaker? Breaker);

/// <param name="MaxRetries">After the first attempt; less than 0 is without end.</param>
/// <param name="HttpCodes">Null retries every failure; otherwise only these status codes.</param>
public sealed record RetryPolicy(
    bool Exponential,
    TimeSpan Duration,
    TimeSpan MaxInterval,
    int MaxRetries,
    IReadOnlyList<(int From, int To)>? HttpCodes = null,
    IReadOnlyList<(int From, int To)>? GrpcCodes = null)
{
    private const double FirstInterval = 500;
    private const double Growth = 1.5;
    private static readonly TimeSpan LongestInAll = TimeSpan.FromMinutes(15);

    /// <summary>The pause before retry number <paramref name="retry"/> (from 1), or null when the policy gives up.</summary>
    /// <param name="elapsed">Since the first attempt: an exponential policy ends after a quarter of an hour, the pause included.</param>
    public TimeSpan? Pause(int retry, TimeSpan elapsed)
    {
        if (MaxRetries >= 0 && retry > MaxRetries) return null;
        if (!Exponential) return Duration > TimeSpan.Zero ? Duration : TimeSpan.Zero;

        // The first interval stands even where the limit is below it; the spread of half of it goes beyond the limit.
        var interval = retry == 1 ? FirstInterval : Math.Min(FirstInterval * Math.Pow(Growth, retry - 1), MaxInterval.TotalMilliseconds);
        var pause = TimeSpan.FromMilliseconds(Math.Max(0, interval) * (0.5 + Random.Shared.NextDouble()));
        return elapsed + pause > LongestInAll ? null : pause;
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

/// <param name="MaxRequests">Let through while half open; as many successes close it.</param>
/// <param name="Interval">After which the counts of a closed breaker start again; zero never.</param>
/// <param name="Timeout">From open to half open.</param>
public sealed record BreakerPolicy(string Name, int MaxRequests, TimeSpan Interval, TimeSpan Timeout, BreakerTrip Trip);
