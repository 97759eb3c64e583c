namespace Marketplace.Local.Sidecar.Resources;

/// <summary>Where a piece of YAML stands, for messages.</summary>
public readonly record struct Place(string File, int Line)
{
    public ResourceException Error(string field, string problem) => new(File, Line, field, problem);

    public override string ToString() => $"{File}:{Line}";
}

/// <summary>A document of kind Component. Metadata names ignore case; values are final text, references are resolved when the component is opened.</summary>
public sealed record ComponentManifest(
    string Name,
    string Type,
    string Version,
    bool IgnoreErrors,
    TimeSpan InitTimeout,
    IReadOnlyDictionary<string, MetadataItem> Metadata,
    string? SecretStore,
    IReadOnlyList<string> Scopes,
    Place Place);

public sealed record MetadataItem(string Name, string? Value, SecretReference? Secret, string? Environment, Place Place);

public sealed record SecretReference(string Name, string Key);

/// <summary>A document of kind Subscription, v1alpha1 (route) or v2alpha1 (routes).</summary>
public sealed record SubscriptionManifest(
    string Name,
    string PubsubName,
    string Topic,
    IReadOnlyList<RouteRule> Rules,
    string? DefaultRoute,
    string? DeadLetterTopic,
    IReadOnlyDictionary<string, string> Metadata,
    BulkSubscribe? Bulk,
    IReadOnlyList<string> Scopes,
    Place Place);

public sealed record RouteRule(string Match, string Path);

public sealed record BulkSubscribe(bool Enabled, int MaxMessagesCount, int MaxAwaitDurationMs);
