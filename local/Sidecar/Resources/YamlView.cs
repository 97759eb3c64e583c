using System.Globalization;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Marketplace.Local.Sidecar.Resources;

/// <summary>A node of a YAML file that knows where it stands, so that a wrong one is reported by file, line and field.</summary>
public sealed class YamlView
{
    private readonly string file;
    private readonly YamlNode node;
    private readonly string path;

    private YamlView(string file, YamlNode node, string path)
    {
        this.file = file;
        this.node = node;
        this.path = path;
    }

    public Place Place => new(file, (int)node.Start.Line);

    /// <summary>The documents of a file, empty ones left out.</summary>
    public static IReadOnlyList<YamlView> Documents(string file)
    {
        using var text = new StreamReader(file);
        return Documents(file, text);
    }

    public static IReadOnlyList<YamlView> Documents(string file, TextReader text)
    {
        var stream = new YamlStream();
        try
        {
            stream.Load(text);
        }
        catch (YamlException e)
        {
            throw new ResourceException(file, (int)e.Start.Line, "", $"not valid YAML: {e.Message}");
        }

        return [.. stream.Documents.Where(document => !IsNull(document.RootNode)).Select(document => new YamlView(file, document.RootNode, ""))];
    }

    public ResourceException Error(string problem) => new(file, (int)node.Start.Line, path, problem);

    /// <summary>The value of a key, or null when the key is absent or its value empty.</summary>
    public YamlView? Find(string key)
    {
        if (node is not YamlMappingNode map) throw Error("must be a mapping.");
        return map.Children.TryGetValue(new YamlScalarNode(key), out var value) && !IsNull(value)
            ? new YamlView(file, value, path.Length == 0 ? key : $"{path}.{key}")
            : null;
    }

    public YamlView Get(string key) => Find(key) ?? throw new ResourceException(file, (int)node.Start.Line, path.Length == 0 ? key : $"{path}.{key}", "is required.");

    public IEnumerable<YamlView> Items()
    {
        if (node is not YamlSequenceNode list) throw Error("must be a list.");
        return list.Children.Select((item, index) => new YamlView(file, item, $"{path}[{index}]"));
    }

    public IEnumerable<(string Key, YamlView Value)> Entries()
    {
        if (node is not YamlMappingNode map) throw Error("must be a mapping.");
        return map.Children.Select(pair => pair.Key is YamlScalarNode { Value: { } key }
            ? (key, new YamlView(file, pair.Value, path.Length == 0 ? key : $"{path}.{key}"))
            : throw new ResourceException(file, (int)pair.Key.Start.Line, path, "has a key that is no text."));
    }

    /// <summary>Where the keys of a mapping stand: what is said of the key itself belongs there, not where its value begins.</summary>
    public IEnumerable<(string Key, Place Place)> Keys() => Entries().Zip(((YamlMappingNode)node).Children.Keys, (entry, key) => (entry.Key, new Place(file, (int)key.Start.Line)));

    public bool IsEmpty => IsNull(node);

    internal bool IsList => node is YamlSequenceNode;

    internal bool IsMapping => node is YamlMappingNode;

    /// <summary>Refuses any other key, where it stands and with the one that may have been meant.</summary>
    public YamlView Only(params IReadOnlyCollection<string> keys)
    {
        if (node is not YamlMappingNode map) throw Error("must be a mapping.");
        foreach (var key in map.Children.Keys)
        {
            var name = key is YamlScalarNode scalar ? scalar.Value ?? "" : "";
            if (keys.Contains(name)) continue;
            var free = keys.Where(one => !map.Children.ContainsKey(new YamlScalarNode(one)));
            throw new ResourceException(file, (int)key.Start.Line, path.Length == 0 ? name : $"{path}.{name}",
                $"there is no such key here{Nearest.Hint(name, free)}. There are: {string.Join(", ", keys)}.");
        }

        return this;
    }

    /// <summary>Text. Kubernetes resources are typed: a bare <c>1</c> or <c>true</c> is no text there, and daprd refuses it.</summary>
    public string Text()
    {
        var text = Scalar();
        if (node is YamlScalarNode { Style: ScalarStyle.Plain } && (text is "true" or "false" || double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out _)))
            throw Error($"must be text; put {text} in quotes.");
        return text;
    }

    /// <summary>Any scalar as text, as component metadata and dapr.yaml allow.</summary>
    public string Scalar() => node is YamlScalarNode scalar ? scalar.Value ?? "" : throw Error("must be a single value.");

    public bool Bool() => Scalar() switch
    {
        "true" or "True" or "TRUE" => true,
        "false" or "False" or "FALSE" => false,
        var other => throw Error($"must be true or false, not {other}."),
    };

    /// <summary>As the Dapr CLI's reader of dapr.yaml takes them, which knows the older words too.</summary>
    internal bool LooseBool() => Scalar() switch
    {
        "y" or "Y" or "yes" or "Yes" or "YES" or "on" or "On" or "ON" => true,
        "n" or "N" or "no" or "No" or "NO" or "off" or "Off" or "OFF" => false,
        _ => Bool(),
    };

    public int Int(int min = int.MinValue, int max = int.MaxValue)
    {
        if (!int.TryParse(Scalar(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number)) throw Error($"must be a whole number, not {Scalar()}.");
        return number >= min && number <= max ? number : throw Error($"must be between {min} and {max}, not {number}.");
    }

    public TimeSpan Duration() => GoDuration.TryParse(Scalar(), out var duration)
        ? duration
        : throw Error($"must be a duration such as 500ms, 5s or 1h30m, not {Scalar()}.");

    public IReadOnlyList<string> Texts() => [.. Items().Select(item => item.Text())];

    public IReadOnlyDictionary<string, string> TextMap() => Entries().ToDictionary(entry => entry.Key, entry => entry.Value.Scalar());

    private static bool IsNull(YamlNode node) => node is YamlScalarNode { Style: ScalarStyle.Plain, Value: null or "" or "~" or "null" };
}
