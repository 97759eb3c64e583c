using System.Globalization;
using System.Text.Json;
using Marketplace.Catalog.Attributes;
using Marketplace.Catalog.Categories;
using Marketplace.Catalog.Listings;
using Marketplace.Catalog.Variants;
using Marketplace.Contracts;

namespace Marketplace.Catalog.Imports;

/// <summary>A seller's listing as it is under the lock of its row.</summary>
/// <param name="ImageUrl">As the seller gave it; a listing shows the cover of its pictures where there is none.</param>
public sealed record StandingListing(Listing Listing, string? ImageUrl, string? DocumentHash, IReadOnlyList<string> Missing)
{
    /// <summary>Its attributes; null where nobody needs to know them.</summary>
    public IReadOnlyDictionary<string, JsonElement>? Values { get; init; }
}

/// <summary>
/// One listing as some rows of a file want it: the row that is about it and those of its variants, laid over what is there. No I/O.
/// </summary>
public sealed class ListingDraft(StandingListing? standing, IReadOnlyList<ImportedRow> rows)
{
    private StandingListing? there = standing;
    private readonly ImportedRow? own = rows.LastOrDefault(row => row.VariantOf.Length == 0);
    private readonly List<ImportedRow> variantRows = [.. rows.Where(row => row.VariantOf.Length > 0)];
    private readonly List<RowError> errors = [];
    private ListingText? text;

    public StandingListing? There => there;

    public IReadOnlyList<ImportedRow> Rows => rows;

    public IReadOnlyList<RowError> Errors => errors;

    /// <summary>What the listing should be; null when something is wrong, and then every row has an error.</summary>
    public ListingText? Text => errors.Count == 0 ? text : null;

    public bool IsNew => there is null;

    /// <summary>The listing's own fields differ from what is there, or there is nothing.</summary>
    public bool ListingChanges { get; private set; }

    /// <summary>SKUs of variants that are new or different.</summary>
    public IReadOnlySet<string> ChangedVariants { get; private set; } = new HashSet<string>();

    public bool Changes => ListingChanges || ChangedVariants.Count > 0;

    /// <summary>Variants or SKUs have to be written, not only the listing's row.</summary>
    public bool VariantsChange => ChangedVariants.Count > 0 || (there is not null && Text is { } wanted && wanted.Sku != there.Listing.Sku);

    /// <summary>What the listing's attributes are has to be known before this draft can be checked.</summary>
    public static bool NeedsValues(StandingListing there, IReadOnlyList<ImportedRow> rows, CategoryTree tree)
    {
        if (there.Listing.DocumentId is null || rows.LastOrDefault(row => row.VariantOf.Length == 0) is not { } own)
            return false;
        var category = own.Category ?? there.Listing.Category;
        return own.Attributes.Count == 0
            ? category != there.Listing.Category
            : tree.Find(category)?.Attributes.Any(definition => own.Attributes.All(attribute => attribute.Key != definition.Name)) ?? false;
    }

    /// <summary>The attributes there are.</summary>
    public void Know(IReadOnlyDictionary<string, JsonElement> values) => there = there! with { Values = values };

    public void Check(CategoryTree tree)
    {
        var listing = there?.Listing;
        var keepsAttributes = listing is not null && (own is null || (own.Attributes.Count == 0 && (own.Category ?? listing.Category) == listing.Category));
        var (optionNames, variants, rowOfVariant) = Variants(listing);
        var request = new ListingRequest(
            own?.Title ?? listing?.Title ?? "",
            own?.Category ?? listing?.Category ?? "",
            own?.Price ?? (listing is { Variants.Count: 0 } ? listing.Price : default),
            own?.Description ?? listing?.Description ?? "",
            own?.Brand ?? listing?.Brand ?? "",
            own?.ImageUrl ?? there?.ImageUrl,
            null,
            own is { Sku.Length: > 0 } ? own.Sku : listing?.Sku,
            null,                                               // what a published one must say is checked below, with the attributes there are
            keepsAttributes ? null : Attributes(tree),
            optionNames,
            variants);
        if (own is not null && own.Price is null && variants.Count == 0 && listing is null)
        {
            Wrong(own, ImportColumns.Price, "A new listing needs a price, or variants that have one.");
            request = request with { Price = Money.Gbp(1) };
        }

        var (checkedText, wrong) = ListingText.Of(request, tree);
        foreach (var (field, message) in wrong)
            Tell(field, message, rowOfVariant);
        if (checkedText is not null)
        {
            Weigh(checkedText with
            {
                Status = own?.Status ?? listing?.Status,
                Attributes = keepsAttributes ? new CheckedAttributes(new Dictionary<string, JsonElement>(), listing!.Facets, there!.Missing, there.DocumentHash) : checkedText.Attributes,
            });
        }

        if (errors.Count > 0)
            BlameTheOthers();
    }

    /// <summary>Something that only the database knows, such as a SKU that is another listing's.</summary>
    public void Wrong(ImportedRow row, string? column, string message) => errors.Add(new RowError(row.Number, row.Line, column, message));

    /// <summary>No row fails without a reason beside it.</summary>
    public void BlameTheOthers()
    {
        var broken = errors[0].Row;
        foreach (var row in rows.Where(row => errors.All(error => error.Row != row.Number)))
            Wrong(row, null, $"Not stored, because row {broken} of the same listing is not right.");
    }

    /// <summary>How each row of a stored draft counts.</summary>
    public (int Created, int Updated, int Unchanged) Count()
    {
        var (created, updated, unchanged) = (0, 0, 0);
        foreach (var row in rows)
        {
            var isVariant = row.VariantOf.Length > 0;
            if (isVariant ? !ChangedVariants.Contains(row.Sku) : !ListingChanges)
                unchanged++;
            else if (isVariant ? there?.Listing.Variants.All(variant => variant.Sku != row.Sku) ?? true : IsNew)
                created++;
            else
                updated++;
        }

        return (created, updated, unchanged);
    }

    private void Weigh(ListingText wanted)
    {
        text = wanted;
        if (own is { Price: { } price } && wanted.Variants.Count > 0 && price != wanted.Price)
            Wrong(own, ImportColumns.Price, "The price of a listing with variants is the lowest of theirs: leave it empty.");
        if ((wanted.Status ?? ListingStatus.Published) == ListingStatus.Published)
        {
            foreach (var missing in wanted.Attributes.Missing)
                Wrong(own ?? rows[0], ImportColumns.AttributePrefix + missing, "A published listing of this category must say this; a draft may lack it.");
        }

        if (errors.Count > 0)
            return;
        var listing = there?.Listing;
        ListingChanges = listing is null
            || (listing.Title, listing.Description, listing.Brand, listing.Category, listing.Sku, listing.Status, there!.ImageUrl, there.DocumentHash)
                != (wanted.Title, wanted.Description, wanted.Brand, wanted.Category, wanted.Sku, wanted.Status ?? listing.Status, wanted.ImageUrl, wanted.Attributes.Hash)
            || (wanted.Variants.Count == 0 && listing.Price != wanted.Price);
        ChangedVariants = wanted.Variants
            .Where(variant => listing?.Variants.FirstOrDefault(known => known.VariantId == variant.VariantId) is not { } known
                || known.Sku != variant.Sku || known.Price.Minor != variant.PriceMinor || !known.Options.Select(option => option.Value).SequenceEqual(variant.Values, StringComparer.Ordinal))
            .Select(variant => variant.Sku).ToHashSet(StringComparer.Ordinal);
    }

    /// <summary>Those there are, each with what a row says of it, and behind them the new ones. A file takes none away.</summary>
    private (IReadOnlyList<string>? Names, List<VariantRequest?> Variants, List<ImportedRow?> Rows) Variants(Listing? listing)
    {
        var variants = listing?.Variants.Select(variant => (VariantRequest?)new VariantRequest(variant.Sku, [.. variant.Options], variant.Price, variant.VariantId)).ToList() ?? [];
        var told = variants.Select(_ => (ImportedRow?)null).ToList();
        foreach (var row in variantRows)
        {
            List<ListingAttribute?> options = [.. row.Options.Where(option => option.Value.Length > 0).Select(option => new ListingAttribute(option.Key, option.Value))];
            var at = variants.FindIndex(variant => variant!.Sku == row.Sku);
            if (at < 0)
            {
                variants.Add(new VariantRequest(row.Sku, options, row.Price));
                told.Add(row);
                continue;
            }

            variants[at] = variants[at]! with { Options = options.Count > 0 ? options : variants[at]!.Options, Price = row.Price ?? variants[at]!.Price };
            told[at] = row;
        }

        IReadOnlyList<string>? names = listing is { OptionNames.Count: > 0 }
            ? listing.OptionNames
            : variantRows.FirstOrDefault()?.Options.Where(option => option.Value.Length > 0).Select(option => option.Key).ToList();
        return (names, variants, told);
    }

    /// <summary>Those there are, as far as the category has them, with what the row says laid over.</summary>
    private Dictionary<string, JsonElement> Attributes(CategoryTree tree)
    {
        var definitions = tree.Find(own?.Category ?? there?.Listing.Category ?? "")?.Attributes ?? [];
        var given = new Dictionary<string, JsonElement>(StringComparer.Ordinal);
        foreach (var (name, value) in there?.Values ?? new Dictionary<string, JsonElement>())
        {
            if (definitions.Any(definition => definition.Name == name))
                given[name] = value;
        }

        foreach (var (name, typed) in own?.Attributes ?? [])
        {
            if (typed.Length == 0)
                given.Remove(name);
            else
                given[name] = Value(typed, definitions.FirstOrDefault(definition => definition.Name == name)?.Type);
        }

        return given;
    }

    // What cannot be read as the type it should have stays a text, and the rule says what is wanted instead.
    private static JsonElement Value(string typed, string? type) => type switch
    {
        "number" when decimal.TryParse(typed, NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number) => JsonSerializer.SerializeToElement(number),
        "boolean" when typed.ToLowerInvariant() is "true" or "yes" => JsonSerializer.SerializeToElement(true),
        "boolean" when typed.ToLowerInvariant() is "false" or "no" => JsonSerializer.SerializeToElement(false),
        _ => JsonSerializer.SerializeToElement(typed),
    };

    /// <summary>An error of the rule, which names fields as a request has them, at the row and column it comes from.</summary>
    private void Tell(string field, string message, List<ImportedRow?> rowOfVariant)
    {
        var row = own ?? rows[0];
        if (field.StartsWith("variants[", StringComparison.Ordinal))
        {
            var close = field.IndexOf(']', StringComparison.Ordinal);
            row = rowOfVariant[int.Parse(field["variants[".Length..close], CultureInfo.InvariantCulture)] ?? row;
            field = field[(close + 1)..].TrimStart('.');
        }

        Wrong(row, field switch
        {
            "price.minor" => ImportColumns.Price,
            "price.currency" => ImportColumns.Currency,
            "options" => row.Options.Select(option => ImportColumns.OptionPrefix + option.Key).FirstOrDefault(),
            "optionNames" or "variants" => ImportColumns.VariantOf,
            _ when field.StartsWith("attributes.", StringComparison.Ordinal) => ImportColumns.AttributePrefix + field["attributes.".Length..],
            _ => field.Length > 0 ? field : null,
        }, message);
    }
}
