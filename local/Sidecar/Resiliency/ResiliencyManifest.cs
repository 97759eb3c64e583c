using System.Globalization;
using Marketplace.Local.Sidecar.Resources;

namespace Marketplace.Local.Sidecar.Resiliency;

/// <summary>A document of kind Resiliency: named policies, and which target uses which.</summary>
public sealed record ResiliencyManifest(
    string Name,
    IReadOnlyDictionary<string, TimeSpan> Timeouts,
    IReadOnlyDictionary<string, RetryPolicy> Retries,
    IReadOnlyDictionary<string, BreakerPolicy> Breakers,
    IReadOnlyDictionary<string, PolicyNames> Apps,
    IReadOnlyDictionary<string, PolicyNames> Actors,
    IReadOnlyDictionary<string, ComponentPolicyNames> Components,
    IReadOnlyList<string> Scopes,
    Place Place)
{
    /// <summary>Where each of the scopes stands.</summary>
    public IReadOnlyList<Place> ScopePlaces { get; init; } = [];

    /// <summary>The components it aims at, and where each of them is named.</summary>
    public IReadOnlyList<(string Name, Place Place)> ComponentPlaces { get; init; } = [];

    public static ResiliencyManifest Of(YamlView document)
    {
        document.Only("apiVersion", "kind", "metadata", "spec", "scopes");
        var spec = document.Get("spec").Only("policies", "targets");
        var policies = spec.Find("policies") is { } named ? named.Only("timeouts", "retries", "circuitBreakers") : null;
        var targets = spec.Find("targets") is { } aimed ? aimed.Only("apps", "actors", "components") : null;
        return new ResiliencyManifest(
            document.Get("metadata").Get("name").Text(),
            Map(policies?.Find("timeouts"), (_, view) => Duration(view)),
            Map(policies?.Find("retries"), (_, view) => Retry(view)),
            Map(policies?.Find("circuitBreakers"), Breaker),
            Map(targets?.Find("apps"), (_, view) => Names(view, PolicyNames.AppCacheSize, "circuitBreakerCacheSize")),
            Map(targets?.Find("actors"), (_, view) => Actor(view)),
            Map(targets?.Find("components"), (_, view) => Component(view)),
            document.Find("scopes")?.Texts() ?? [],
            document.Place)
        {
            ScopePlaces = [.. document.Find("scopes")?.Items().Select(scope => scope.Place) ?? []],
            ComponentPlaces = [.. targets?.Find("components")?.Keys() ?? []],
        };
    }

    private static Dictionary<string, T> Map<T>(YamlView? view, Func<string, YamlView, T> read) =>
        view?.Entries().ToDictionary(entry => entry.Key, entry => read(entry.Key, entry.Value)) ?? [];

    private static RetryPolicy Retry(YamlView view)
    {
        view.Only("policy", "duration", "maxInterval", "maxRetries", "matching");
        var policy = view.Find("policy");
        var exponential = policy?.Text().ToLowerInvariant() switch
        {
            null or "constant" => false,
            "exponential" => true,
            var other => throw policy.Error($"must be constant or exponential, not {other}."),
        };
        var matching = view.Find("matching") is { } match ? match.Only("httpStatusCodes", "gRPCStatusCodes") : null;
        return new RetryPolicy(
            exponential,
            view.Find("duration") is { } duration ? Duration(duration) : TimeSpan.FromSeconds(5),
            view.Find("maxInterval") is { } longest ? Duration(longest) : TimeSpan.FromSeconds(60),
            view.Find("maxRetries")?.Int() ?? -1,
            matching?.Find("httpStatusCodes") is { } http ? Codes(http, 100, 599) : null,
            matching?.Find("gRPCStatusCodes") is { } grpc ? Codes(grpc, 0, 16) : null);
    }

    private static BreakerPolicy Breaker(string name, YamlView view)
    {
        view.Only("maxRequests", "interval", "timeout", "trip");
        return new BreakerPolicy(
            name,
            view.Find("maxRequests")?.Int(0) is { } max and > 0 ? max : 1,
            view.Find("interval") is { } interval ? Duration(interval) : TimeSpan.Zero,
            view.Find("timeout") is { } timeout && Duration(timeout) is var open && open > TimeSpan.Zero ? open : TimeSpan.FromSeconds(60),
            view.Find("trip") is { } trip ? BreakerTrip.Parse(trip) : BreakerTrip.Default);
    }

    private static PolicyNames Actor(YamlView view)
    {
        var names = Names(view, PolicyNames.ActorCacheSize, "circuitBreakerScope", "circuitBreakerCacheSize");
        if (names.Breaker is null) return names;
        var scope = view.Find("circuitBreakerScope") ?? throw view.Error("circuitBreakerScope is required beside circuitBreaker: type, id or both.");

        // "both" is what daprd does with it: one breaker for each actor.
        return scope.Text() is "type" or "id" or "both"
            ? names with { BreakerPerId = scope.Text() != "type" }
            : throw scope.Error($"must be type, id or both, not {scope.Text()}.");
    }

    private static ComponentPolicyNames Component(YamlView view)
    {
        if (view.IsEmpty) return new ComponentPolicyNames(PolicyNames.None, PolicyNames.None);
        view.Only("inbound", "outbound");
        return new ComponentPolicyNames(
            view.Find("inbound") is { } inbound ? Names(inbound, 1) : PolicyNames.None,
            view.Find("outbound") is { } outbound ? Names(outbound, 1) : PolicyNames.None);
    }

    private static PolicyNames Names(YamlView view, int breakers, params ReadOnlySpan<string> more)
    {
        if (view.IsEmpty) return PolicyNames.None;
        view.Only(["timeout", "retry", "circuitBreaker", .. more]);
        return new PolicyNames(
            view.Find("timeout"),
            view.Find("retry"),
            view.Find("circuitBreaker"),
            view.Find("circuitBreakerCacheSize")?.Int(0) is { } size and > 0 ? size : breakers);
    }

    /// <summary>As daprd reads the durations of these documents, and only these: a bare number is milliseconds.</summary>
    private static TimeSpan Duration(YamlView view) =>
        long.TryParse(view.Scalar(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var milliseconds)
            ? TimeSpan.FromMilliseconds(milliseconds)
            : view.Duration();

    /// <summary>A list such as "429,500-599".</summary>
    private static List<(int From, int To)>? Codes(YamlView view, int min, int max)
    {
        if (view.Scalar().Length == 0) return null;
        var codes = new List<(int, int)>();
        foreach (var part in view.Scalar().Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            var ends = part.Split('-', StringSplitOptions.TrimEntries);
            if (ends.Length > 2 || !int.TryParse(ends[0], out var from) || !int.TryParse(ends[^1], out var to) || from > to || from < min || to > max)
                throw view.Error($"must be codes and ranges between {min} and {max} such as \"{(min == 0 ? "4,13-15" : "429,500-599")}\", not {part}.");
            codes.Add((from, to));
        }

        return codes;
    }
}

/// <summary>The policies a target names; looked up when all documents are read, since one document may use the policies of another.</summary>
/// <param name="CacheSize">Breakers that a target keeps: one for each endpoint of an app or each actor of a type, the least used are forgotten.</param>
public sealed record PolicyNames(YamlView? Timeout, YamlView? Retry, YamlView? Breaker, int CacheSize, bool BreakerPerId = false)
{
    public const int AppCacheSize = 100;
    public const int ActorCacheSize = 5000;
    public static readonly PolicyNames None = new(null, null, null, 1);
}

public sealed record ComponentPolicyNames(PolicyNames Inbound, PolicyNames Outbound);
