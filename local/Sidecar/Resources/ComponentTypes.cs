namespace Marketplace.Local.Sidecar.Resources;

/// <summary>A component type as daprd knows it. Metadata names ignore case.</summary>
/// <param name="Keys">Null where the keys are not listed here: then any is taken.</param>
public sealed record ComponentType(string Name, string Version, IReadOnlyList<string>? Keys, IReadOnlyList<string> Required);

/// <summary>Every component type of daprd with its metadata keys, and those types that the local sidecar host serves itself.</summary>
public static class ComponentTypes
{
    private static readonly Dictionary<string, string[]> OfEveryKind = new()
    {
        ["state"] = ["keyPrefix", "actorStateStore", "outboxPublishPubsub", "outboxPublishTopic", "outboxPubsub", "outboxDiscardWhenMissingState"],
        ["pubsub"] = ["consumerID", "publishingScopes", "subscriptionScopes", "protectedTopics", "allowedTopics"],
        ["bindings"] = ["direction", "route"],
        ["lock"] = ["keyPrefix"],
    };

    private static readonly HashSet<string> ServedHere =
    [
        "state.in-memory v1", "state.redis v1", "state.postgresql v1", "state.postgresql v2", "state.postgres v1", "state.postgres v2",
        "pubsub.in-memory v1", "pubsub.redis v1", "pubsub.rabbitmq v1", "pubsub.kafka v1",
        "secretstores.local.file v1", "secretstores.local.env v1",
        "bindings.smtp v1", "bindings.cron v1", "bindings.http v1", "bindings.localstorage v1",
        "lock.redis v1",
    ];

    private static readonly ILookup<string, ComponentType> All = Read().ToLookup(type => type.Name);

    public static IEnumerable<string> Names => All.Select(types => types.Key);

    /// <summary>Types with version that the local sidecar host opens, such as <c>state.redis v1</c>.</summary>
    public static IReadOnlyCollection<string> Served => ServedHere;

    public static ComponentType? Find(string type, string version) => All[type].FirstOrDefault(one => one.Version == version);

    public static bool IsServed(ComponentManifest manifest) => ServedHere.Contains($"{manifest.Type} {manifest.Version}");

    /// <summary>What can be known to be wrong without opening it: the type, a key that the type does not have, a key that is missing.</summary>
    /// <exception cref="ResourceException">The first thing that is wrong.</exception>
    public static void Check(ComponentManifest manifest)
    {
        var types = All[manifest.Type].ToList();
        if (types.Count == 0)
            throw manifest.TypePlace.Error("spec.type", $"Dapr has no component type {manifest.Type}{Nearest.Hint(manifest.Type, Names)}. It stands in component {manifest.Name}.");

        if (types.Find(one => one.Version == manifest.Version) is not { } type)
            throw manifest.TypePlace.Error("spec.version", $"{manifest.Type} has no version {manifest.Version}; there is {string.Join(" and ", types.Select(one => one.Version))}. It stands in component {manifest.Name}.");

        if (type.Keys is null) return;
        foreach (var item in manifest.Metadata.Values)
        {
            if (type.Keys.Contains(item.Name, StringComparer.OrdinalIgnoreCase)) continue;
            var hint = Nearest.Hint(item.Name, type.Keys.Except(manifest.Metadata.Keys, StringComparer.OrdinalIgnoreCase));

            // Of types that only daprd serves the list may lack a key, so that one is refused there only when it looks like a slip.
            if (hint.Length > 0 || IsServed(manifest))
                throw item.Place.Error($"component {manifest.Name}: spec.metadata.{item.Name}", $"{manifest.Type} has no such key{hint}.");
        }

        if (type.Required.FirstOrDefault(key => !manifest.Metadata.TryGetValue(key, out var item) || item is { Secret: null, Environment: null, Value: "" or null }) is { } missing)
            throw (manifest.Metadata.TryGetValue(missing, out var empty) ? empty.Place : manifest.Place).Error($"component {manifest.Name}: spec.metadata.{missing}", $"is required by {manifest.Type}.");
    }

    private static List<ComponentType> Read()
    {
        using var file = new StreamReader(typeof(ComponentTypes).Assembly.GetManifestResourceStream("component-types.txt")!);
        var types = new List<ComponentType>();
        var profiles = new Dictionary<string, string[]>();
        while (file.ReadLine() is { } line)
        {
            if (line.StartsWith('#')) continue;
            var words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            switch (words)
            {
                case [var profile, .. var keys] when profile.StartsWith('+'):
                    profiles[profile] = keys;
                    break;
                case [var alias, "=", var other]:
                    types.AddRange([.. types.Where(type => type.Name == other).Select(type => type with { Name = alias })]);
                    break;
                case [var name, var version, "?"]:
                    types.Add(new ComponentType(name, version, null, []));
                    break;
                case [var name, var version, .. var keys]:
                    types.Add(new ComponentType(name, version,
                        [
                            .. keys.Where(key => !key.StartsWith('+')).Select(key => key.TrimEnd('*')),
                            .. keys.Where(key => key.StartsWith('+')).SelectMany(key => profiles[key]),
                            .. OfEveryKind.GetValueOrDefault(name.Split('.')[0], []),
                        ],
                        [.. keys.Where(key => key.EndsWith('*')).Select(key => key.TrimEnd('*'))]));
                    break;
                default:
                    break;
            }
        }

        return types;
    }
}
