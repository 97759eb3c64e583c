using System.ComponentModel.DataAnnotations;
using Marketplace.Catalog.Listings;
using Marketplace.Contracts;

namespace Marketplace.Catalog.Variants;

/// <param name="Price">The listing's when it has none of its own.</param>
/// <param name="VariantId">One this listing has or had: it keeps its id when its SKU changes. Without it the SKU says which it is.</param>
public sealed record VariantRequest(
    [property: Required, StringLength(ListingText.LongestSku)] string Sku, [property: Required] IReadOnlyList<ListingAttribute?> Options, Money? Price = null, Guid? VariantId = null);

/// <param name="Values">One for each of the listing's option names, in their order.</param>
public sealed record WantedVariant(Guid? VariantId, string Sku, IReadOnlyList<string> Values, long PriceMinor);

public static class VariantRules
{
    public const int MostVariants = 100;
    public const int MostOptions = 3;
    public const int LongestName = 30;
    public const int LongestValue = 50;

    /// <summary>Every variant has a value for each option, and no two have the same values, SKU or id.</summary>
    public static (IReadOnlyList<string> OptionNames, IReadOnlyList<WantedVariant> Variants) Check(
        ListingRequest request, string prefix, List<(string Field, string Message)> errors)
    {
        if (request.Variants is not { Count: > 0 } variants)
            return ([], []);

        if (variants.Count > MostVariants)
        {
            errors.Add(($"{prefix}variants", $"A listing has at most {MostVariants} variants."));
            return ([], []);
        }

        var before = errors.Count;
        var names = request.OptionNames is { Count: > 0 } given
            ? given.Select(name => name?.Trim() ?? "").ToList()
            : variants[0]?.Options.Select(option => option?.Name?.Trim() ?? "").ToList() ?? [];
        if (names.Count is 0 or > MostOptions)
            errors.Add(($"{prefix}optionNames", $"Variants differ in one to {MostOptions} options."));
        if (names.Any(name => name.Length is 0 or > LongestName || !PlainText.IsOneLine(name)))
            errors.Add(($"{prefix}optionNames", $"An option has a name of 1 to {LongestName} characters."));
        if (names.Distinct(StringComparer.OrdinalIgnoreCase).Count() < names.Count)
            errors.Add(($"{prefix}optionNames", "An option is named twice."));
        if (errors.Count > before)
            return ([], []);

        var wanted = new List<WantedVariant>(variants.Count);
        var skus = new HashSet<string>(StringComparer.Ordinal);
        var ids = new HashSet<Guid>();
        var looks = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        if (!string.IsNullOrWhiteSpace(request.Sku))
            skus.Add(request.Sku.Trim());
        for (var at = 0; at < variants.Count; at++)
        {
            var here = $"{prefix}variants[{at}]";
            if (variants[at] is not { } variant)
            {
                errors.Add((here, "A variant is missing."));
                continue;
            }

            var sku = variant.Sku?.Trim() ?? "";
            if (sku.Length is 0 or > ListingText.LongestSku || !PlainText.IsOneLine(sku))
                errors.Add(($"{here}.sku", $"A variant needs a SKU of 1 to {ListingText.LongestSku} characters on one line."));
            else if (!skus.Add(sku))
                errors.Add(($"{here}.sku", "This SKU comes twice."));
            if (variant.VariantId is { } id && !ids.Add(id))
                errors.Add(($"{here}.variantId", "This variant comes twice."));

            var price = variant.Price ?? request.Price;
            ListingText.CheckPrice(price, $"{here}.", errors);
            if (ValuesOf(variant, names) is not { } values)
                errors.Add(($"{here}.options", $"Exactly {string.Join(", ", names)}, each with a value of 1 to {LongestValue} characters."));
            else if (!looks.Add(string.Join('\0', values)))
                errors.Add(($"{here}.options", "Another variant has the same options."));
            else
                wanted.Add(new WantedVariant(variant.VariantId, sku, values, price.Minor));
        }

        return (names, wanted);
    }

    private static string[]? ValuesOf(VariantRequest variant, IReadOnlyList<string> names)
    {
        if (variant.Options is not { } options || options.Count != names.Count)
            return null;

        var values = names.Select(name => options.FirstOrDefault(option => name.Equals(option?.Name?.Trim(), StringComparison.OrdinalIgnoreCase))?.Value?.Trim() ?? "").ToArray();
        return values.All(value => value.Length is > 0 and <= LongestValue && PlainText.IsOneLine(value)) ? values : null;
    }
}
