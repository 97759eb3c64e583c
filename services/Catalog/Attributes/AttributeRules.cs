using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using Marketplace.Catalog.Categories;
using Marketplace.Catalog.Listings;
using Marketplace.Contracts;

namespace Marketplace.Catalog.Attributes;

/// <summary>What a listing says of itself, as its category lets it: tidied values, and those shoppers narrow by in words.</summary>
/// <param name="Missing">Names of what a published listing of the category must say and this one does not.</param>
/// <param name="Hash">The same for the same values, however they were written; null when there are none.</param>
public sealed record CheckedAttributes(
    IReadOnlyDictionary<string, JsonElement> Values, IReadOnlyList<ListingAttribute> Facets, IReadOnlyList<string> Missing, string? Hash)
{
    public static CheckedAttributes None { get; } = new(new Dictionary<string, JsonElement>(), [], [], null);
}

public static class AttributeRules
{
    public const int LongestText = 500;

    public static CheckedAttributes Check(
        Category category, IReadOnlyDictionary<string, JsonElement>? given, string prefix, List<(string Field, string Message)> errors)
    {
        given ??= new Dictionary<string, JsonElement>();
        foreach (var name in given.Keys.Where(name => category.Attributes.All(definition => definition.Name != name)).Take(20))
            errors.Add(($"{prefix}attributes.{(name.Length <= 50 ? name : name[..50])}", $"A listing in {category.Name} has no such attribute."));

        var values = new Dictionary<string, JsonElement>(StringComparer.Ordinal);
        var facets = new List<ListingAttribute>();
        var missing = new List<string>();
        foreach (var definition in category.Attributes)
        {
            if (!given.TryGetValue(definition.Name, out var value) || value.ValueKind is JsonValueKind.Null or JsonValueKind.Undefined)
            {
                if (definition.Required)
                    missing.Add(definition.Name);
                continue;
            }

            var (tidy, words, wrong) = Read(definition, value);
            if (wrong is not null)
            {
                errors.Add(($"{prefix}attributes.{definition.Name}", wrong));
                continue;
            }

            values[definition.Name] = tidy;
            if (definition.Facet)
                facets.Add(new ListingAttribute(definition.Name, words!));
        }

        return new CheckedAttributes(values, facets, missing, values.Count == 0 ? null : HashOf(values));
    }

    private static (JsonElement Value, string? Words, string? Wrong) Read(AttributeDefinition definition, JsonElement value)
    {
        switch (definition.Type)
        {
            case "number":
                if (value.ValueKind != JsonValueKind.Number || !value.TryGetDecimal(out var number))
                    return Wrong("A number is needed here.");
                if (number < definition.Min || number > definition.Max)
                    return Wrong($"Between {Words(definition.Min)} and {Words(definition.Max)}{Unit(definition)}.");
                number = Plain(number);
                return (JsonSerializer.SerializeToElement(number), $"{Words(number)}{Unit(definition)}", null);

            case "boolean":
                return value.ValueKind is JsonValueKind.True or JsonValueKind.False
                    ? (value.Clone(), value.GetBoolean() ? "yes" : "no", null)
                    : Wrong("Either true or false.");

            case "choice":
                var choice = value.ValueKind == JsonValueKind.String
                    ? definition.Choices?.FirstOrDefault(one => one.Equals(value.GetString()!.Trim(), StringComparison.OrdinalIgnoreCase))
                    : null;
                return choice is not null
                    ? (JsonSerializer.SerializeToElement(choice), choice, null)
                    : Wrong($"One of {string.Join(", ", definition.Choices ?? [])}.");

            default:
                if (value.ValueKind != JsonValueKind.String)
                    return Wrong("A text is needed here.");
                var text = value.GetString()!.Trim();
                if (text.Length is 0 or > LongestText)
                    return Wrong($"Between 1 and {LongestText} characters.");
                return PlainText.IsOneLine(text) ? (JsonSerializer.SerializeToElement(text), text, null) : Wrong(PlainText.OneLineOnly);
        }

        static (JsonElement, string?, string?) Wrong(string why) => (default, null, why);
    }

    private static string Unit(AttributeDefinition definition) => definition.Unit is { } unit ? $" {unit}" : "";

    private static string Words(decimal? number) => number is { } plain ? plain.ToString("0.#############################", CultureInfo.InvariantCulture) : "any";

    // 6.10 and 6.1 are the same size.
    private static decimal Plain(decimal number) => number / 1.0000000000000000000000000000m;

    private static string HashOf(Dictionary<string, JsonElement> values) => Convert.ToHexStringLower(
        SHA256.HashData(JsonSerializer.SerializeToUtf8Bytes(values.OrderBy(value => value.Key, StringComparer.Ordinal).Select(value => new[] { value.Key, value.Value.GetRawText() }))));
}
