using System.Collections.Frozen;
using System.Text.Json.Serialization;

namespace Marketplace.Catalog.Categories;

/// <summary>What may be said of a listing.</summary>
/// <param name="Name">As it is sent and filtered by: <c>screen-size</c>.</param>
/// <param name="Type">text, number, boolean or choice.</param>
/// <param name="Required">A published listing has it.</param>
/// <param name="Facet">Shoppers may narrow by it.</param>
public sealed record AttributeDefinition(
    string Name, string Label, string Type, string? Unit, decimal? Min, decimal? Max, IReadOnlyList<string>? Choices, bool Required, bool Facet);

/// <param name="Path">Codes from the root to this category.</param>
/// <param name="Attributes">Those of the categories above, too.</param>
public sealed record Category(
    [property: JsonPropertyName("category")] string Code, string Name, string? Parent, IReadOnlyList<string> Path, IReadOnlyList<AttributeDefinition> Attributes);

/// <summary>All categories, in the order they are shown; any depth.</summary>
public sealed class CategoryTree
{
    private readonly FrozenDictionary<string, Category> byCode;
    private readonly FrozenDictionary<string, string[]> subtrees;

    private CategoryTree(IReadOnlyList<Category> all)
    {
        All = all;
        byCode = all.ToFrozenDictionary(category => category.Code, StringComparer.Ordinal);
        subtrees = all.ToFrozenDictionary(
            category => category.Code,
            category => all.Where(other => other.Path.Contains(category.Code)).Select(other => other.Code).ToArray(),
            StringComparer.Ordinal);
    }

    public static CategoryTree Empty { get; } = new([]);

    public IReadOnlyList<Category> All { get; }

    public static CategoryTree Of(IReadOnlyList<(string Code, string Name, string? Parent)> rows, ILookup<string, AttributeDefinition> definitions)
    {
        var known = rows.ToDictionary(row => row.Code, StringComparer.Ordinal);
        return new CategoryTree([.. rows.Select(row =>
        {
            var path = new List<string>();
            for (string? at = row.Code; at is not null && !path.Contains(at); at = known.TryGetValue(at, out var category) ? category.Parent : null)
                path.Insert(0, at);

            // What a category says of a name counts for it and below, whatever those above say.
            var attributes = path.SelectMany(code => definitions[code]).GroupBy(definition => definition.Name, StringComparer.Ordinal).Select(same => same.Last()).ToList();
            return new Category(row.Code, row.Name, row.Parent, path, attributes);
        })]);
    }

    public Category? Find(string code) => byCode.GetValueOrDefault(code);

    /// <summary>The category and everything below it; nothing for one that does not exist.</summary>
    public IReadOnlyList<string> Subtree(string code) => subtrees.GetValueOrDefault(code, []);
}
