using Marketplace.Local.Sidecar.Resources;

namespace Marketplace.Local.Sidecar.PubSub;

/// <summary>Which topics of a component an app may use: allowedTopics, protectedTopics, publishingScopes, subscriptionScopes.</summary>
internal sealed class TopicScopes(Component component, string app)
{
    private readonly HashSet<string> allowed = Names(component.Get("allowedTopics"));
    private readonly HashSet<string> guarded = Names(component.Get("protectedTopics"));
    private readonly HashSet<string>? publishing = Scope(component.Get("publishingScopes"), app);
    private readonly HashSet<string>? subscribing = Scope(component.Get("subscriptionScopes"), app);

    public bool MayPublish(string topic) => May(topic, publishing);

    public bool MaySubscribe(string topic) => May(topic, subscribing);

    private bool May(string topic, HashSet<string>? scope)
    {
        if (allowed.Count > 0 && !allowed.Contains(topic)) return false;
        return scope is null ? !guarded.Contains(topic) : scope.Contains(topic);
    }

    private static HashSet<string> Names(string? list) =>
        [.. (list ?? "").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)];

    /// <summary>Null when the app is not listed, which allows all but the protected topics; listed without topics allows none.</summary>
    private static HashSet<string>? Scope(string? list, string app)
    {
        foreach (var entry in (list ?? "").Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            var at = entry.IndexOf('=', StringComparison.Ordinal);
            if (at > 0 && entry[..at].Trim() == app) return Names(entry[(at + 1)..]);
        }
        return null;
    }
}
