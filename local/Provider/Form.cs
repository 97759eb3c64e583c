using System.Security.Cryptography;
using System.Text;

namespace Marketplace.Local.Provider;

/// <summary>Parameters as Stripe takes them: <c>metadata[order_id]=…</c>, <c>expand[0]=latest_charge</c>, from a form body or a query.</summary>
internal sealed class Form
{
    private readonly Dictionary<string, string> values = new(StringComparer.Ordinal);
    private readonly List<string> expansions = [];

    private Form()
    {
    }

    /// <summary>Tells whether two requests asked the same, whatever the order of their parameters.</summary>
    public string Fingerprint { get; private set; } = "";

    public IReadOnlyList<string> Expansions => expansions;

    public string? this[string name] => values.TryGetValue(name, out var value) && value.Length > 0 ? value : null;

    public static Form Parse(string text)
    {
        var form = new Form();
        foreach (var pair in text.TrimStart('?').Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            var cut = pair.IndexOf('=', StringComparison.Ordinal);
            var name = Decode(cut < 0 ? pair : pair[..cut]);
            var value = cut < 0 ? "" : Decode(pair[(cut + 1)..]);
            if (name.StartsWith("expand[", StringComparison.Ordinal))
                form.expansions.Add(value);
            else
                form.values[name] = value;
        }

        var canonical = string.Join('&', form.values.OrderBy(v => v.Key, StringComparer.Ordinal).Select(v => $"{v.Key}={v.Value}"));
        form.Fingerprint = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(canonical)));
        return form;
    }

    /// <summary>An unknown parameter is an error, as at Stripe: a misspelt one must not be silently without effect.</summary>
    public void Allow(params ReadOnlySpan<string> names)
    {
        foreach (var given in values.Keys)
        {
            var root = given.IndexOf('[', StringComparison.Ordinal) is var bracket and > 0 ? given[..bracket] : given;
            if (!names.Contains(root))
                throw ApiError.Invalid($"Received unknown parameter: {given}", given, "parameter_unknown");
        }
    }

    public string Required(string name) =>
        this[name] ?? throw ApiError.Invalid($"Missing required param: {name}.", name, "parameter_missing");

    public long? Integer(string name) => this[name] switch
    {
        null => null,
        var text when long.TryParse(text, out var number) => number,
        var text => throw ApiError.Invalid($"Invalid integer: {text}", name, "parameter_invalid_integer"),
    };

    public bool Flag(string name) => this[name] switch
    {
        null or "false" => false,
        "true" => true,
        var text => throw ApiError.Invalid($"Invalid boolean: {text}", name),
    };

    public Dictionary<string, string>? Metadata()
    {
        Dictionary<string, string>? metadata = null;
        foreach (var (name, value) in values)
        {
            if (name.StartsWith("metadata[", StringComparison.Ordinal) && name.EndsWith(']') && value.Length > 0)
                (metadata ??= new(StringComparer.Ordinal))[name["metadata[".Length..^1]] = value;
        }

        return metadata;
    }

    private static string Decode(string text) => Uri.UnescapeDataString(text.Replace('+', ' '));
}
