using System.Text.Json;
using Marketplace.Local.Sidecar.Resources;

namespace Marketplace.Local.Sidecar.Secrets;

internal interface ISecretStore
{
    /// <summary>The values of one secret (one, of the secret's own name, unless the store keeps several); null when there is none.</summary>
    ValueTask<Dictionary<string, string>?> GetAsync(string name, CancellationToken ct);

    ValueTask<IReadOnlyDictionary<string, Dictionary<string, string>>> GetAllAsync(CancellationToken ct);
}

internal sealed record SecretStoreComponent(Component Component, ISecretStore Store, SecretScope? Scope)
{
    public bool Allows(string secret) => Scope?.Allows(secret) ?? true;

    public static ISecretStore OpenStore(Component component, SidecarApp app) => (component.Type, component.Manifest.Version) switch
    {
        ("secretstores.local.file", "v1") => LocalFileSecrets.Open(component, app.AppFolder),
        ("secretstores.local.env", "v1") => new EnvironmentSecrets(component.Get("prefix") ?? ""),
        _ => throw component.UnknownType(),
    };
}

/// <summary>secretstores.local.file: a JSON file, read once. Nested objects become flat names, or one secret of several values with multiValued.</summary>
internal sealed class LocalFileSecrets(Dictionary<string, Dictionary<string, string>> secrets) : ISecretStore
{
    /// <param name="folder">Where a relative path of the file starts: the app's folder.</param>
    public static LocalFileSecrets Open(Component component, string folder)
    {
        var file = Path.GetFullPath(component.Require("secretsFile"), folder);
        if (!File.Exists(file)) throw component.Error("secretsFile", $"there is no file {file}.");

        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(File.ReadAllBytes(file));
        }
        catch (JsonException e)
        {
            throw new ResourceException(file, (int)(e.LineNumber ?? 0) + 1, "", $"not valid JSON: {e.Message}");
        }

        using (document)
        {
            if (document.RootElement.ValueKind != JsonValueKind.Object) throw new ResourceException(file, 1, "", "must be a JSON object.");
            var separator = component.Get("nestedSeparator") ?? ":";
            return new LocalFileSecrets(component.Bool("multiValued") ? Several(document.RootElement, separator) : Flat(document.RootElement, separator));
        }
    }

    /// <summary>What can be referred to: the names of the secrets with the keys of each.</summary>
    public IEnumerable<(string Name, string Key)> Names => secrets.SelectMany(secret => secret.Value.Keys.Select(key => (secret.Key, key)));

    public ValueTask<Dictionary<string, string>?> GetAsync(string name, CancellationToken ct) => new(secrets.GetValueOrDefault(name));

    public ValueTask<IReadOnlyDictionary<string, Dictionary<string, string>>> GetAllAsync(CancellationToken ct) => new(secrets);

    private static Dictionary<string, Dictionary<string, string>> Flat(JsonElement root, string separator)
    {
        var flat = new Dictionary<string, string>();
        Flatten(root, "", separator, flat);
        return flat.ToDictionary(pair => pair.Key, pair => new Dictionary<string, string> { [pair.Key] = pair.Value });
    }

    private static Dictionary<string, Dictionary<string, string>> Several(JsonElement root, string separator)
    {
        var all = new Dictionary<string, Dictionary<string, string>>();
        foreach (var property in root.EnumerateObject())
        {
            switch (property.Value.ValueKind)
            {
                case JsonValueKind.String:
                    all[property.Name] = new Dictionary<string, string> { [property.Name] = property.Value.GetString()! };
                    break;
                case JsonValueKind.Object:
                    var values = new Dictionary<string, string>();
                    Flatten(property.Value, "", separator, values);
                    all[property.Name] = values;
                    break;
                default:
                    break;
            }
        }

        return all;
    }

    private static void Flatten(JsonElement element, string path, string separator, Dictionary<string, string> into)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.Object:
                foreach (var property in element.EnumerateObject())
                    Flatten(property.Value, path.Length == 0 ? property.Name : path + separator + property.Name, separator, into);
                break;
            case JsonValueKind.Array:
                var index = 0;
                foreach (var item in element.EnumerateArray())
                    Flatten(item, $"{path}{separator}{index++}", separator, into);
                break;
            case JsonValueKind.String:
                into[path] = element.GetString()!;
                break;
            default:
                into[path] = element.GetRawText();
                break;
        }
    }
}

/// <summary>secretstores.local.env: a missing variable is an empty secret, not an error.</summary>
internal sealed class EnvironmentSecrets(string prefix) : ISecretStore
{
    public ValueTask<Dictionary<string, string>?> GetAsync(string name, CancellationToken ct)
    {
        var variable = prefix + name;
        var value = IsOpen(variable) ? Environment.GetEnvironmentVariable(variable) : null;
        return new(new Dictionary<string, string> { [name] = value ?? "" });
    }

    public ValueTask<IReadOnlyDictionary<string, Dictionary<string, string>>> GetAllAsync(CancellationToken ct)
    {
        var all = new Dictionary<string, Dictionary<string, string>>();
        foreach (System.Collections.DictionaryEntry entry in Environment.GetEnvironmentVariables())
        {
            var variable = (string)entry.Key;
            if (!variable.StartsWith(prefix, StringComparison.Ordinal) || !IsOpen(variable)) continue;
            var name = variable[prefix.Length..];
            all[name] = new Dictionary<string, string> { [name] = (string?)entry.Value ?? "" };
        }

        return new(all);
    }

    private static bool IsOpen(string variable) =>
        !variable.StartsWith("DAPR_", StringComparison.OrdinalIgnoreCase) && !variable.Equals("APP_API_TOKEN", StringComparison.OrdinalIgnoreCase);
}
