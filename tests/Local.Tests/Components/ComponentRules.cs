using System.Globalization;
using System.Text.RegularExpressions;
using Marketplace.Local.Sidecar.Resources;
using YamlDotNet.RepresentationModel;
using static Marketplace.Local.Tests.Components.Yaml;

namespace Marketplace.Local.Tests.Components;

/// <summary>What is wrong with a component set, found without starting a sidecar. A complaint names file and key.</summary>
/// <param name="schemas">Folder of Dapr's component metadata, one file per type.</param>
/// <param name="definitions">Folder of Dapr's resource definitions.</param>
/// <param name="apps">Every app id there is.</param>
/// <param name="secrets">What the secrets file of a self-hosted set holds; null where a store in the cloud holds the secrets.</param>
internal sealed partial class ComponentRules(string schemas, string definitions, IReadOnlySet<string> apps, IReadOnlySet<string>? secrets)
{
    /// <summary>Keys that the runtime itself reads, whatever the type.</summary>
    private static readonly Dictionary<string, string[]> OfTheKind = new()
    {
        ["state"] = ["keyPrefix", "actorStateStore", "outboxPublishPubsub", "outboxPublishTopic"],
        ["pubsub"] = ["consumerID", "publishingScopes", "subscriptionScopes", "protectedTopics"],
    };

    /// <summary>Sign-in profiles that a schema names and does not spell out. One whose keys are all optional takes what the environment offers.</summary>
    private static readonly Dictionary<string, Way[]> Profiles = new()
    {
        ["aws"] =
        [
            new([], ["region", "awsRegion", "accessKey", "secretKey", "sessionToken"]),
            new(["region"], ["assumeRoleArn", "sessionName"]),
            new(["trustAnchorArn", "trustProfileArn", "assumeRoleArn"], []),
        ],
        ["azuread"] =
        [
            new([], ["azureClientId", "azureEnvironment"]),
            new(["azureTenantId", "azureClientId", "azureClientSecret"], ["azureEnvironment"]),
            new(["azureTenantId", "azureClientId"], ["azureCertificate", "azureCertificateFile", "azureCertificatePassword", "azureEnvironment"]),
        ],
        ["gcp"] =
        [
            new(["projectID"], []),   // the identity of the machine: not in the profile, but what the components do without a key
            new(["privateKeyID", "privateKey", "projectID", "clientEmail", "clientID"], ["type", "authURI", "tokenURI", "authProviderX509CertURL", "clientX509CertURL"]),
        ],
    };

    public IEnumerable<string> Complaints(string folder) =>
        Directory.EnumerateFiles(folder).Order().SelectMany(file => Documents(file).SelectMany(document => Complaints(document, Path.GetFileName(file))));

    private IEnumerable<string> Complaints(YamlMappingNode document, string file)
    {
        if (Text(document, "apiVersion") != "dapr.io/v1alpha1") yield return $"{file}: apiVersion is {Text(document, "apiVersion")}";
        var kind = Text(document, "kind");
        var definition = Path.Combine(definitions, kind switch { "Component" => "components.yaml", "Configuration" => "configuration.yaml", "Resiliency" => "resiliency.yaml", "Subscription" => "subscription.yaml", _ => "none" });
        if (!File.Exists(definition))
        {
            yield return $"{file}: there is no kind {kind}";
            yield break;
        }

        var version = Items(Map(Load(definition), "spec")!, "versions").Single(version => Text(version, "name") == "v1alpha1");
        var shape = Shape(document, Map(Map(version, "schema")!, "openAPIV3Schema")!, file).ToList();
        foreach (var complaint in shape.Concat(Scopes(document).Except(apps).Select(scope => $"{file}: scopes: there is no app {scope}")))
            yield return complaint;
        if (shape.Count > 0 || kind != "Component") yield break;

        foreach (var complaint in Metadata(Map(document, "spec")!, file).Concat(Secrets(document, file)))
            yield return complaint;
    }

    private IEnumerable<string> Metadata(YamlMappingNode spec, string file)
    {
        var (type, version) = (Text(spec, "type")!, Text(spec, "version")!);
        var schema = ((string[])[$"{type}.{version}.yaml", $"{type}.yaml"]).Select(name => Path.Combine(schemas, name)).Where(File.Exists).Select(Load).FirstOrDefault();
        if (schema is null)
        {
            yield return $"{file}: spec.type: there is no {type}";
            yield break;
        }

        if (Text(schema, "version") != version) yield return $"{file}: spec.version: {type} has no {version}";

        var ways = Ways(schema).ToList();
        var given = Items(spec, "metadata").ToDictionary(item => Text(item, "name")!, StringComparer.OrdinalIgnoreCase);
        var keys = Items(schema, "metadata");
        var known = keys.Select(item => Text(item, "name")!).Concat(ways.SelectMany(way => way.Required.Concat(way.Optional))).Concat(OfTheKind.GetValueOrDefault(type.Split('.')[0], []));
        foreach (var stray in given.Keys.Except(known, StringComparer.OrdinalIgnoreCase))
            yield return $"{file}: {type} has no key {stray}";
        foreach (var missing in keys.Where(item => Text(item, "required") == "true").Select(item => Text(item, "name")!).Except(given.Keys, StringComparer.OrdinalIgnoreCase))
            yield return $"{file}: {type} needs the key {missing}";
        if (ways.Count > 0 && !ways.Any(way => way.IsOpen(given)))
            yield return $"{file}: no way to sign in to {type} is complete";

        foreach (var key in keys.Concat(ways.SelectMany(way => way.Declarations)))
        {
            if (given.TryGetValue(Text(key, "name")!, out var item) && Text(item, "value") is { } value && Against(key, value) is { } problem && !Elsewhere(key, value))
                yield return $"{file}: {Text(key, "name")} {problem}";
        }

        // Several ways may declare one key, each with its own values: one of them is enough.
        bool Elsewhere(YamlMappingNode key, string value) => ways.SelectMany(way => way.Declarations).Any(other => other != key && Text(other, "name") == Text(key, "name") && Against(other, value) is null);
    }

    /// <summary>Every way to sign in that the schema knows; empty where it knows none.</summary>
    private static IEnumerable<Way> Ways(YamlMappingNode schema)
    {
        foreach (var profile in Items(schema, "authenticationProfiles"))
            yield return Way.Of(Items(profile, "metadata"));
        foreach (var profile in Items(schema, "builtinAuthenticationProfiles"))
        {
            var own = Way.Of(Items(profile, "metadata"));
            foreach (var way in Profiles[Text(profile, "name")!])
                yield return new Way([.. own.Required, .. way.Required], [.. own.Optional, .. way.Optional]) { Declarations = own.Declarations };
        }

        // A mail server may ask for no login; its schema does not say so.
        if (Text(schema, "name") == "smtp") yield return new Way([], []);
    }

    private static string? Against(YamlMappingNode key, string value)
    {
        var allowed = Items<YamlScalarNode>(key, "allowedValues").Select(one => one.Value).ToList();
        if (allowed.Count > 0) return allowed.Contains(value) ? null : $"may be {string.Join(", ", allowed)}, not {value}";
        return Text(key, "type") switch
        {
            "bool" => value is "true" or "false" ? null : $"is true or false, not {value}",
            "number" => double.TryParse(value, NumberStyles.Float, CultureInfo.InvariantCulture, out _) ? null : $"is a number, not {value}",
            "duration" => GoDuration.TryParse(value, out _) ? null : $"is a duration such as 5s, not {value}",
            _ => null,
        };
    }

    private IEnumerable<string> Secrets(YamlMappingNode component, string file)
    {
        var references = Items(Map(component, "spec")!, "metadata").Where(item => Map(item, "secretKeyRef") is not null).ToList();
        var store = Map(component, "auth") is { } auth ? Text(auth, "secretStore") : null;
        if (references.Count > 0 && store != "secrets") yield return $"{file}: auth.secretStore must be secrets";
        if (references.Count == 0 && store is not null) yield return $"{file}: auth.secretStore is named and no secret is asked for";
        foreach (var reference in references)
        {
            var (name, key) = (Text(Map(reference, "secretKeyRef")!, "name"), Text(Map(reference, "secretKeyRef")!, "key"));
            if (name != key) yield return $"{file}: {Text(reference, "name")}: every secret has one value, under its own name: not {name}/{key}";
            if (secrets?.Contains(name!) == false) yield return $"{file}: {Text(reference, "name")}: the launcher writes no secret {name}";
        }

        foreach (var item in Items(Map(component, "spec")!, "metadata").Where(item => Text(item, "value") is not null && Sensitive().IsMatch(Text(item, "name")!)))
            yield return $"{file}: {Text(item, "name")} stands there for all to read; it belongs in the secret store";
    }

    private static IEnumerable<string> Shape(YamlNode node, YamlMappingNode schema, string where)
    {
        if (Text(schema, "x-kubernetes-preserve-unknown-fields") == "true") yield break;
        switch (Text(schema, "type"))
        {
            case "object" when node is YamlMappingNode map:
                foreach (var missing in Items<YamlScalarNode>(schema, "required").Where(field => !map.Children.ContainsKey(field)))
                    yield return $"{where}: {missing.Value} is missing";
                foreach (var (key, value) in map.Children)
                {
                    var name = ((YamlScalarNode)key).Value!;
                    var field = Map(schema, "properties") is { } properties ? Map(properties, name) : Map(schema, "additionalProperties");
                    if (field is null && Map(schema, "properties") is not null) yield return $"{where}: there is no field {name}";
                    foreach (var complaint in field is null ? [] : Shape(value, field, $"{where}: {name}"))
                        yield return complaint;
                }

                break;
            case "array" when node is YamlSequenceNode list:
                foreach (var complaint in list.Children.SelectMany(child => Shape(child, Map(schema, "items")!, where)))
                    yield return complaint;
                break;
            case "object" or "array":
                yield return $"{where} must be an {Text(schema, "type")}";
                break;
            case "integer" when !int.TryParse((node as YamlScalarNode)?.Value, out _):
                yield return $"{where} is not a whole number";
                break;
            case "boolean" when (node as YamlScalarNode)?.Value is not ("true" or "false"):
                yield return $"{where} is not true or false";
                break;
            case "string" when node is not YamlScalarNode scalar || (scalar.Style == YamlDotNet.Core.ScalarStyle.Plain && LooksLikeAnotherType().IsMatch(scalar.Value ?? "")):
                yield return $"{where}: {(node as YamlScalarNode)?.Value} must be in quotes to be text";
                break;
            default:
                break;
        }
    }

    [GeneratedRegex("^(true|false|yes|no|null|~|[0-9.]+)$", RegexOptions.IgnoreCase)]
    private static partial Regex LooksLikeAnotherType();

    [GeneratedRegex("password|connectionString|secretKey|accessKey|accountKey|masterKey|privateKey$|sessionToken|clientSecret", RegexOptions.IgnoreCase)]
    private static partial Regex Sensitive();

    /// <summary>One way to sign in: keys that it needs, keys that it knows, and what their values may be.</summary>
    private sealed record Way(IReadOnlyList<string> Required, IReadOnlyList<string> Optional)
    {
        public IReadOnlyList<YamlMappingNode> Declarations { get; init; } = [];

        public static Way Of(IReadOnlyList<YamlMappingNode> keys) => new(
            [.. keys.Where(key => Text(key, "required") == "true").Select(key => Text(key, "name")!)],
            [.. keys.Where(key => Text(key, "required") != "true").Select(key => Text(key, "name")!)])
        { Declarations = keys };

        public bool IsOpen(Dictionary<string, YamlMappingNode> given) =>
            Required.All(given.ContainsKey)
            && Declarations.All(key => !given.TryGetValue(Text(key, "name")!, out var item) || Text(item, "value") is not { } value || Against(key, value) is null);
    }
}

internal static class Yaml
{
    public static IReadOnlyList<YamlMappingNode> Documents(string file)
    {
        var stream = new YamlStream();
        using var text = new StreamReader(file);
        stream.Load(text);
        return [.. stream.Documents.Select(document => (YamlMappingNode)document.RootNode)];
    }

    public static YamlMappingNode Load(string file) => Documents(file)[^1];

    public static string Name(YamlMappingNode document) => Text(Map(document, "metadata")!, "name")!;
    public static IReadOnlyList<string> Scopes(YamlMappingNode document) => [.. Items<YamlScalarNode>(document, "scopes").Select(scope => scope.Value!)];
    public static string? Text(YamlMappingNode map, string key) => map.Children.TryGetValue(key, out var value) && value is YamlScalarNode scalar ? scalar.Value : null;
    public static YamlMappingNode? Map(YamlMappingNode map, string key) => map.Children.TryGetValue(key, out var value) ? value as YamlMappingNode : null;
    public static List<YamlMappingNode> Items(YamlMappingNode map, string key) => Items<YamlMappingNode>(map, key);
    public static List<T> Items<T>(YamlMappingNode map, string key) where T : YamlNode => map.Children.TryGetValue(key, out var value) && value is YamlSequenceNode list ? [.. list.Children.OfType<T>()] : [];
    public static HashSet<string> Keys(YamlMappingNode map) => [.. map.Children.Keys.OfType<YamlScalarNode>().Select(key => key.Value!)];
}
