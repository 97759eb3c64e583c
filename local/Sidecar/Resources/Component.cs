using System.Globalization;

namespace Marketplace.Local.Sidecar.Resources;

/// <summary>A component with its metadata as final text: secrets and environment are filled in. Names ignore case, empty values count as absent.</summary>
public record Component(ComponentManifest Manifest, IReadOnlyDictionary<string, string> Metadata)
{
    public string Name => Manifest.Name;
    public string Type => Manifest.Type;

    public string? Get(string name) => Metadata.TryGetValue(name, out var value) && value.Length > 0 ? value : null;

    public string Require(string name)
    {
        if (Get(name) is { } value) return value;
        if (Manifest.Metadata.TryGetValue(name, out var item) && item.Environment is { } variable)
            throw Error(name, $"the environment variable {variable} is not set.");
        throw Error(name, $"is required by {Type}.");
    }

    /// <summary>True for y, yes, true, t, on and 1, as daprd reads booleans of metadata.</summary>
    public bool Bool(string name, bool otherwise = false) => Get(name) is { } text
        ? text.Trim().ToUpperInvariant() is "Y" or "YES" or "TRUE" or "T" or "ON" or "1"
        : otherwise;

    public int Int(string name, int otherwise) => Get(name) is not { } text ? otherwise
        : int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) ? number
        : throw Error(name, $"must be a whole number, not {text}.");

    public int? Int(string name) => Get(name) is null ? null : Int(name, 0);

    public TimeSpan Duration(string name, TimeSpan otherwise) => Get(name) is not { } text ? otherwise
        : GoDuration.TryParse(text, out var duration) ? duration
        : throw Error(name, $"must be a duration such as 5s or 1h30m, not {text}.");

    /// <summary>What stands before the app's keys, by the metadata keyPrefix; empty for nothing.</summary>
    public string KeyPrefix(string appId, string? @namespace)
    {
        var prefix = Get("keyPrefix");
        if (prefix?.Contains("||", StringComparison.Ordinal) == true) throw Error("keyPrefix", "may not contain ||.");
        return prefix switch
        {
            null or "appid" => appId,
            "name" => Name,
            "none" => "",
            "namespace" => string.IsNullOrEmpty(@namespace) ? appId : $"{@namespace}.{appId}",
            _ => prefix,
        };
    }

    /// <summary>A complaint about one metadata value, at its place in the file.</summary>
    public ResourceException Error(string name, string problem) =>
        (Manifest.Metadata.TryGetValue(name, out var item) ? item.Place : Manifest.Place).Error($"component {Name}: spec.metadata.{name}", problem);

    public ResourceException Error(string problem) => Manifest.Place.Error($"component {Name}", problem);

    public ResourceException UnknownType() => NotServed(Manifest);

    internal static ResourceException NotServed(ComponentManifest manifest) => manifest.TypePlace.Error("spec.type",
        $"{manifest.Type}/{manifest.Version} of component {manifest.Name} is not served by the built-in sidecars. A real Dapr runs it: `up --sidecar daprd` with its programs on this machine, or Kubernetes.");
}
