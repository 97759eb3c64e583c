using System.Globalization;
using System.Text.RegularExpressions;
using Marketplace.Catalog.Listings;
using Marketplace.Contracts;

namespace Marketplace.Catalog.Imports;

/// <summary>What is wrong with a row, for its seller. <see cref="Column"/> as the header names it; null when it is the whole row.</summary>
public sealed record RowError(long Row, long Line, string? Column, string Message);

/// <summary>
/// What a row says. A text is null when the file has no such column: then what the listing has stays. An empty one makes it empty.
/// </summary>
/// <param name="Attributes">By name, as typed; an empty text takes the attribute away.</param>
/// <param name="VariantOf">SKU of the listing that this row is a variant of, or the id of one that has none.</param>
public sealed record ImportedRow(
    long Number,
    long Line,
    string Sku,
    Guid? ProductId,
    string? Title,
    string? Description,
    string? Brand,
    string? Category,
    Money? Price,
    string? Status,
    string? ImageUrl,
    IReadOnlyList<KeyValuePair<string, string>> Attributes,
    string VariantOf,
    IReadOnlyList<KeyValuePair<string, string>> Options);

/// <summary>The columns of a file, from its first line.</summary>
public sealed partial class ImportColumns
{
    public const string Sku = "sku";
    public const string ProductId = "productId";
    public const string Title = "title";
    public const string Description = "description";
    public const string Brand = "brand";
    public const string Category = "category";
    public const string Price = "price";
    public const string Currency = "currency";
    public const string Status = "status";
    public const string ImageUrl = "imageUrl";
    public const string VariantOf = "variantOf";
    public const string AttributePrefix = "attr.";
    public const string OptionPrefix = "option.";

    /// <summary>In the order in which an export writes them.</summary>
    public static readonly IReadOnlyList<string> Plain =
        [Sku, ProductId, VariantOf, Title, Description, Brand, Category, Price, Currency, Status, ImageUrl];

    private const int MostColumns = 300;

    private readonly string[] names;
    private readonly Dictionary<string, int> places;
    private readonly (string Name, int Place)[] attributes;
    private readonly (string Name, int Place)[] options;

    private ImportColumns(string[] names)
    {
        this.names = names;
        places = names.Select((name, place) => (name, place)).ToDictionary(column => column.name, column => column.place, StringComparer.Ordinal);
        attributes = Prefixed(AttributePrefix);
        options = Prefixed(OptionPrefix);

        (string, int)[] Prefixed(string prefix) =>
            [.. places.Where(column => column.Key.StartsWith(prefix, StringComparison.Ordinal)).Select(column => (column.Key[prefix.Length..], column.Value))];
    }

    public IReadOnlyList<string> Names => names;

    public bool HasVariants => places.ContainsKey(VariantOf);

    /// <summary>Belongs to the listing of the rows before it.</summary>
    public bool IsVariant(CsvRow row) =>
        row.Problem is null && places.TryGetValue(VariantOf, out var place) && place < row.Fields.Count && !string.IsNullOrWhiteSpace(row.Fields[place]);

    /// <summary>Comma, semicolon or tab, whichever the first line holds most of: spreadsheets choose by the country they are used in.</summary>
    public static byte DelimiterOf(ReadOnlySpan<byte> start)
    {
        var line = start.IndexOfAny((byte)'\n', (byte)'\r') is >= 0 and var end ? start[..end] : start;
        var (best, most) = ((byte)',', line.Count((byte)','));
        foreach (var other in ";\t"u8)
        {
            if (line.Count(other) is var count && count > most)
                (best, most) = (other, count);
        }

        return best;
    }

    public static (ImportColumns? Columns, IReadOnlyList<(string Field, string Message)> Errors) Of(CsvRow? header)
    {
        if (header is null)
            return (null, [("header", "The file is empty. Its first line names the columns.")]);
        if (header.Problem is not null)
            return (null, [("header", header.Problem)]);
        if (header.Fields.Count > MostColumns)
            return (null, [("header", $"A file has at most {MostColumns} columns.")]);

        var names = header.Fields.Select(Canonical).ToArray();
        if (!names.Any(name => Plain.Contains(name, StringComparer.Ordinal)))
            return (null, [("header", $"The first line names the columns: {string.Join(", ", Plain)}, {AttributePrefix}…, {OptionPrefix}….")]);

        var errors = new List<(string, string)>();
        if (!names.Contains(Sku, StringComparer.Ordinal))
            errors.Add((Sku, "The column 'sku' is missing. It says which listing a row is about."));
        for (var i = 0; i < names.Length; i++)
        {
            if (names[i].Length == 0)
                errors.Add(("header", $"Column {i + 1} has no name."));
            else if (!IsKnown(names[i]))
                errors.Add((names[i], $"There is no such column. There are {string.Join(", ", Plain)}, {AttributePrefix}… and {OptionPrefix}…."));
            else if (Array.IndexOf(names, names[i]) < i)
                errors.Add((names[i], "This column comes twice."));
        }

        if (names.Any(name => name.StartsWith(OptionPrefix, StringComparison.Ordinal)) && !names.Contains(VariantOf, StringComparer.Ordinal))
            errors.Add((VariantOf, "Options belong to variants: the column 'variantOf' is missing."));
        return errors.Count > 0 ? (null, errors) : (new ImportColumns(names), []);
    }

    /// <summary>As stored with the import when the header was read.</summary>
    public static ImportColumns Stored(string[] names) => new(names);

    public (ImportedRow? Row, IReadOnlyList<RowError> Errors) Read(CsvRow row)
    {
        if (row.Problem is { } problem)
            return (null, [new RowError(row.Number, row.Line, row.BrokenField is { } field && field < names.Length ? names[field] : null, problem)]);
        if (row.Fields.Count != names.Length)
            return (null, [new RowError(row.Number, row.Line, null, $"This row has {row.Fields.Count} fields, the header has {names.Length}.")]);

        var errors = new List<RowError>();
        var sku = Short(Sku, 64) ?? "";
        Guid? productId = null;
        if (Text(ProductId) is { Length: > 0 } typed)
        {
            if (Guid.TryParse(typed, out var id))
                productId = id;
            else
                Wrong(ProductId, "This is not a product id.");
        }

        if (sku.Length == 0 && productId is null && Text(Sku) is not { Length: > 0 } && Text(ProductId) is not { Length: > 0 })
            Wrong(Sku, "A row needs a SKU (or the product id of a listing without one).");

        var read = new ImportedRow(
            row.Number, row.Line, sku, productId, Short(Title, 200), Short(Description, 8000), Short(Brand, 100), Short(Category, 50), PriceOf(), StatusOf(),
            Short(ImageUrl, 2000), Values(attributes, AttributePrefix, 2000), Short(VariantOf, 64) ?? "", Values(options, OptionPrefix, 100));
        return errors.Count > 0 ? (null, errors) : (read, errors);

        string? Text(string column) => places.TryGetValue(column, out var place) ? CsvText.Value(row.Fields[place].Trim()) : null;

        string? Short(string column, int longest)
        {
            var text = Text(column);
            if (text is null || text.Length <= longest)
                return text;
            Wrong(column, $"This text has {text.Length} characters, more than the {longest} allowed.");
            return "";
        }

        Money? PriceOf()
        {
            var currency = Text(Currency) is { Length: > 0 } named ? named.ToUpperInvariant() : ListingText.Currency;
            if (Text(Price) is not { Length: > 0 } price)
                return null;
            if (TryReadPrice(price, out var minor))
                return new Money(minor, currency);
            Wrong(Price, $"A price is written as 12.99: from 0.01 to {ListingText.HighestPrice / 100}.00, with a dot and without a currency sign.");
            return null;
        }

        string? StatusOf()
        {
            switch (Text(Status)?.ToLowerInvariant())
            {
                case null or "":
                    return null;
                case "draft":
                    return "draft";
                case "published":
                    return "published";
                default:
                    Wrong(Status, "A status is draft or published.");
                    return null;
            }
        }

        KeyValuePair<string, string>[] Values((string Name, int Place)[] columns, string prefix, int longest) =>
            [.. columns.Select(column => new KeyValuePair<string, string>(column.Name, Short(prefix + column.Name, longest)!))];

        void Wrong(string column, string message) => errors.Add(new RowError(row.Number, row.Line, column, message));
    }

    /// <summary>Digits, and one or two more behind a dot. Read digit by digit: no binary fraction comes near a price.</summary>
    internal static bool TryReadPrice(string text, out long minor)
    {
        minor = 0;
        if (!PriceText().IsMatch(text))
            return false;
        var dot = text.IndexOf('.', StringComparison.Ordinal);
        var pounds = long.Parse(dot < 0 ? text : text[..dot], CultureInfo.InvariantCulture);
        var pence = dot < 0 ? 0 : long.Parse(text[(dot + 1)..].PadRight(2, '0'), CultureInfo.InvariantCulture);
        minor = pounds * 100 + pence;
        return minor is >= 1 and <= ListingText.HighestPrice;
    }

    public static string PriceOf(long minor) => string.Create(CultureInfo.InvariantCulture, $"{minor / 100}.{minor % 100:00}");

    private static bool IsKnown(string name) =>
        Plain.Contains(name, StringComparer.Ordinal)
        || (name.StartsWith(AttributePrefix, StringComparison.Ordinal) && name.Length > AttributePrefix.Length)
        || (name.StartsWith(OptionPrefix, StringComparison.Ordinal) && name.Length > OptionPrefix.Length);

    private static string Canonical(string typed)
    {
        var name = CsvText.Value(typed.Trim());
        if (Plain.FirstOrDefault(plain => plain.Equals(name, StringComparison.OrdinalIgnoreCase)) is { } known)
            return known;
        return Prefixes.FirstOrDefault(prefix => name.StartsWith(prefix, StringComparison.OrdinalIgnoreCase)) is { } prefix ? prefix + name[prefix.Length..] : name;
    }

    private static readonly string[] Prefixes = [AttributePrefix, OptionPrefix];

    [GeneratedRegex(@"\A[0-9]{1,9}(\.[0-9]{1,2})?\z")]
    private static partial Regex PriceText();
}
