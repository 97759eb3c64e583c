namespace Marketplace.Local.Sidecar.Resources;

/// <summary>Where a piece of YAML stands, for messages.</summary>
public readonly record struct Place(string File, int Line)
{
    public ResourceException Error(string field, string problem) => new(File, Line, field, problem);

    public override string ToString() => $"{File}:{Line}";
}

/// <summary>A document of kind Component. Metadata names ignore case; references are resolved when the component is opened.</summary>
public sealed record ComponentManifest(
    string Name,
    string? Namespace,
    string Type,
    string Version,
    bool IgnoreErrors,
    TimeSpan InitTimeout,
    IReadOnlyDictionary<string, MetadataItem> Metadata,
    string? SecretStore,
    IReadOnlyList<string> Scopes,
    Place Place,
    Place TypePlace)
{
    /// <summary>Where each of the scopes stands.</summary>
    public IReadOnlyList<Place> ScopePlaces { get; init; } = [];

    public static ComponentManifest Of(YamlView document)
    {
        Shape.Component.Check(document);
        var name = document.Get("metadata").Get("name").Text();
        var spec = document.Get("spec");
        var type = spec.Get("type");
        var metadata = new Dictionary<string, MetadataItem>(StringComparer.OrdinalIgnoreCase);
        foreach (var item in spec.Find("metadata")?.Items() ?? [])
        {
            var one = Item(item);
            if (!metadata.TryAdd(one.Name, one)) throw item.Error($"{one.Name} stands twice (names ignore case).");
        }

        if (!type.Text().Contains('.', StringComparison.Ordinal)) throw type.Error($"must be <kind>.<name>, such as state.redis, not {type.Text()}.");
        return new ComponentManifest(
            name,
            document.Get("metadata").Find("namespace")?.Text(),
            type.Text(),
            spec.Find("version")?.Text() ?? "v1",
            spec.Find("ignoreErrors")?.Bool() ?? false,
            spec.Find("initTimeout")?.Duration() ?? TimeSpan.FromSeconds(5),
            metadata,
            document.Find("auth")?.Find("secretStore")?.Text(),
            document.Find("scopes")?.Texts() ?? [],
            document.Place,
            type.Place)
        {
            ScopePlaces = [.. document.Find("scopes")?.Items().Select(scope => scope.Place) ?? []],
        };
    }

    private static MetadataItem Item(YamlView item)
    {
        var name = item.Get("name").Text();
        if (item.Find("secretKeyRef") is { } secret)
        {
            var secretName = secret.Get("name").Text();
            return new MetadataItem(name, null, new SecretReference(secretName, secret.Find("key")?.Text() ?? secretName), null, item.Place);
        }

        if (item.Find("envRef") is { } environment)
        {
            var variable = environment.Text();
            if (variable.StartsWith("DAPR_", StringComparison.OrdinalIgnoreCase) || variable.Equals("APP_API_TOKEN", StringComparison.OrdinalIgnoreCase) || variable.Contains(' ', StringComparison.Ordinal))
                throw environment.Error($"may not name {variable}.");
            return new MetadataItem(name, null, null, variable, item.Place);
        }

        return new MetadataItem(name, item.Find("value")?.Scalar() ?? "", null, null, item.Place);
    }
}

/// <summary>One of value, secretKeyRef and envRef.</summary>
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
    Place Place)
{
    /// <summary>Where each of the scopes stands.</summary>
    public IReadOnlyList<Place> ScopePlaces { get; init; } = [];

    public static SubscriptionManifest Of(YamlView document, bool second)
    {
        (second ? Shape.SubscriptionWithRules : Shape.Subscription).Check(document);
        var spec = document.Get("spec");
        var routes = second ? spec.Get("routes") : null;
        return new SubscriptionManifest(
            document.Get("metadata").Get("name").Text(),
            spec.Get("pubsubname").Text(),
            spec.Get("topic").Text(),
            [.. routes?.Find("rules")?.Items().Select(rule => new RouteRule(rule.Find("match")?.Text() ?? "", rule.Get("path").Text())) ?? []],
            second ? routes!.Find("default")?.Text() : spec.Get("route").Text(),
            spec.Find("deadLetterTopic")?.Text(),
            spec.Find("metadata")?.Entries().ToDictionary(entry => entry.Key, entry => entry.Value.Text()) ?? [],
            spec.Find("bulkSubscribe") is { } bulk
                ? new BulkSubscribe(bulk.Find("enabled")?.Bool() ?? false, bulk.Find("maxMessagesCount")?.Int(0) ?? 100, bulk.Find("maxAwaitDurationMs")?.Int(0) ?? 1000)
                : null,
            document.Find("scopes")?.Texts() ?? [],
            document.Place)
        {
            ScopePlaces = [.. document.Find("scopes")?.Items().Select(scope => scope.Place) ?? []],
        };
    }
}

public sealed record RouteRule(string Match, string Path);

public sealed record BulkSubscribe(bool Enabled, int MaxMessagesCount, int MaxAwaitDurationMs);

/// <summary>The parts of a Configuration that this host acts on; the rest is checked for its shape and left to daprd.</summary>
public sealed record Configuration(
    IReadOnlyDictionary<string, bool> Features,
    IReadOnlyList<SecretScope> SecretScopes,
    WorkflowSettings Workflow)
{
    public static readonly Configuration Default = new(new Dictionary<string, bool>(), [], WorkflowSettings.Default);

    public static Configuration Read(string file)
    {
        var documents = YamlView.Documents(file);
        var document = documents.FirstOrDefault(one => one.Find("kind")?.Text() == "Configuration")
            ?? throw new ResourceException(file, 1, "kind", "no document of kind Configuration.");
        Shape.Configuration.Check(document);
        document.Get("metadata").Get("name").Text();
        var spec = document.Get("spec");
        spec.Find("tracing")?.Find("samplingRate")?.Text();
        spec.Find("metrics")?.Find("enabled")?.Bool();

        var features = new Dictionary<string, bool>();
        foreach (var feature in spec.Find("features")?.Items() ?? [])
            features[feature.Get("name").Text()] = feature.Get("enabled").Bool();

        return new Configuration(
            features,
            [.. spec.Find("secrets")?.Find("scopes")?.Items().Select(scope => new SecretScope(
                scope.Get("storeName").Text(),
                scope.Find("defaultAccess") is { } access ? access.Text() switch
                {
                    "allow" => true,
                    "deny" => false,
                    var other => throw access.Error($"must be allow or deny, not {other}."),
                } : true,
                scope.Find("allowedSecrets")?.Texts() ?? [],
                scope.Find("deniedSecrets")?.Texts() ?? [])) ?? []],
            spec.Find("workflow") is { } workflow ? WorkflowSettings.Of(workflow) : WorkflowSettings.Default);
    }
}

public sealed record SecretScope(string Store, bool AllowedByDefault, IReadOnlyList<string> Allowed, IReadOnlyList<string> Denied)
{
    public bool Allows(string secret) => Allowed.Count > 0 ? Allowed.Contains(secret) : !Denied.Contains(secret) && AllowedByDefault;
}

/// <summary>How long finished workflows are kept (null: until purged), and how many run at a time (null: unlimited).</summary>
public sealed record WorkflowSettings(
    int? MaxConcurrentWorkflows,
    int? MaxConcurrentActivities,
    TimeSpan? KeepAnyTerminal,
    TimeSpan? KeepCompleted,
    TimeSpan? KeepFailed,
    TimeSpan? KeepTerminated)
{
    public static readonly WorkflowSettings Default = new(null, null, null, null, null, null);

    public static WorkflowSettings Of(YamlView view)
    {
        var keep = view.Find("stateRetentionPolicy");
        return new WorkflowSettings(
            view.Find("maxConcurrentWorkflowInvocations")?.Int(1),
            view.Find("maxConcurrentActivityInvocations")?.Int(1),
            keep?.Find("anyTerminal")?.Duration(),
            keep?.Find("completed")?.Duration(),
            keep?.Find("failed")?.Duration(),
            keep?.Find("terminated")?.Duration());
    }
}
