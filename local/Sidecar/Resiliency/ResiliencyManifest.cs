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
    IReadOnlyDictionary<string, PolicyNames> Inbound,
    IReadOnlyDictionary<string, PolicyNames> Outbound,
    IReadOnlyList<string> Scopes,
    Place Place)
{
    public static ResiliencyManifest Of(YamlView document)
    {
        var spec = document.Get("spec");
        var policies = spec.Find("policies");
        var targets = spec.Find("targets");
        var components = targets?.Find("components")?.Entries().ToList() ?? [];
        return new ResiliencyManifest(
            document.Get("metadata").Get("name").Text(),
            Map(policies?.Find("timeouts"), (_, view) => view.Duration()),
            Map(policies?.Find("retries"), (_, view) => Retry(view)),
            Map(policies?.Find("circuitBreakers"), Breaker),
            Map(targets?.Find("apps"), (_, view) => Names(view, actor: false)),
            Map(targets?.Find("actors"), (_, view) => Names(view, actor: true)),
            components.Where(one => one.Value.Find("inbound") is not null).ToDictionary(one => one.Key, one => Names(one.Value.Get("inbound"), actor: false)),
            components.Where(one => one.Value.Find("outbound") is not null).ToDictionary(one => one.Key, one => Names(one.Value.Get("outbound"), actor: false)),
            document.Find("scopes")?.Texts() ?? [],
            document.Place);
    }

    private static Dictionary<string, T> Map<T>(YamlView? view, Func<string, YamlView, T> read) =>
        view?.Entries().ToDictionary(entry => entry.Key, entry => read(entry.Key, entry.Value)) ?? [];

    private static RetryPolicy Retry(YamlView view)
    {
        var policy = view.Find("policy");
        var exponential = policy?.Text() switch
        {
            null or "constant" => false,
            "exponential" => true,
            var other => throw policy.Error($"must be constant or exponential, not {other}."),
        };
        var matching = view.Find("matching");
        return new RetryPolicy(
            exponential,
            view.Find("duration")?.Duration() ?? TimeSpan.FromSeconds(5),
            view.Find("maxInterval")?.Duration() ?? TimeSpan.FromSeconds(60),
            view.Find("maxRetries")?.Int(-1) ?? -1,
            matching?.Find("httpStatusCodes") is { } http ? Codes(http, 100, 599) : null,
            matching?.Find("gRPCStatusCodes") is { } grpc ? Codes(grpc, 0, 16) : null);
    }

    private static BreakerPolicy Breaker(string name, YamlView view) => new(
        name,
        view.Find("maxRequests")?.Int(0) is { } max and > 0 ? max : 1,
        view.Find("interval")?.Duration() ?? TimeSpan.Zero,
        view.Find("timeout")?.Duration() is { } timeout && timeout > TimeSpan.Zero ? timeout : TimeSpan.FromSeconds(60),
        view.Find("trip") is { } trip ? BreakerTrip.Parse(trip) : BreakerTrip.Default);

    private static PolicyNames Names(YamlView view, bool actor)
    {
        var scope = view.Find("circuitBreakerScope");
        if (actor && view.Find("circuitBreaker") is not null)
        {
            if (scope is null) throw view.Error("circuitBreakerScope is required beside circuitBreaker.");
            if (scope.Text() is not ("type" or "id" or "both")) throw scope.Error($"must be type, id or both, not {scope.Text()}.");
        }

        return new PolicyNames(view.Find("timeout"), view.Find("retry"), view.Find("circuitBreaker"), scope?.Text());
    }

    /// <summary>A list such as "429,500-599".</summary>
    private static List<(int From, int To)> Codes(YamlView view, int min, int max)
    {
        var codes = new List<(int, int)>();
        foreach (var part in view.Scalar().Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            var ends = part.Split('-', StringSplitOptions.TrimEntries);
            if (ends.Length > 2 || !int.TryParse(ends[0], out var from) || !int.TryParse(ends[^1], out var to) || from > to || from < min || to > max)
                throw view.Error($"must be codes and ranges between {min} and {max} such as \"429,500-599\", not {part}.");
            codes.Add((from, to));
        }

        return codes;
    }
}

/// <summary>The policies a target names; looked up when all documents are read, since one document may use the policies of another.</summary>
public sealed record PolicyNames(YamlView? Timeout, YamlView? Retry, YamlView? Breaker, string? BreakerScope);
