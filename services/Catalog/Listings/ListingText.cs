using Marketplace.Catalog.Attributes;
using Marketplace.Catalog.Categories;
using Marketplace.Catalog.Pictures;
using Marketplace.Catalog.Variants;
using Marketplace.Contracts;

namespace Marketplace.Catalog.Listings;

/// <summary>What a seller says about a product, checked and tidied.</summary>
/// <param name="Price">With variants the lowest of theirs.</param>
public sealed record ListingText(string Title, string Description, string Brand, string Category, Money Price, string? ImageUrl)
{
    public const long HighestPrice = 100_000_000;
    public const string Currency = "GBP";
    public const int LongestTitle = 200;
    public const int LongestDescription = 8000;
    public const int LongestBrand = 100;
    public const int LongestSku = 64;
    public const int LongestAddress = 2000;
    public const string NeededToPublish = "A published listing of this category needs it.";

    public string? Sku { get; init; }

    /// <summary>Null: as it was, and published when it is new.</summary>
    public string? Status { get; init; }

    public CheckedAttributes Attributes { get; init; } = CheckedAttributes.None;

    public IReadOnlyList<string> OptionNames { get; init; } = [];

    public IReadOnlyList<WantedVariant> Variants { get; init; } = [];

    /// <summary>Every field, its length and its meaning; attributes as the category defines them. Errors name the field as it is sent.</summary>
    /// <param name="isNew">It will be published unless it says otherwise; whether a changed one is, its row says.</param>
    public static (ListingText? Text, IReadOnlyList<(string Field, string Message)> Errors) Of(ListingRequest request, CategoryTree tree, string prefix = "", bool isNew = false)
    {
        var errors = new List<(string Field, string Message)>();
        if (string.IsNullOrWhiteSpace(request.Title))
            errors.Add(($"{prefix}title", "A product needs a title."));
        OneLine("title", request.Title, LongestTitle);
        OneLine("brand", request.Brand, LongestBrand);
        OneLine("sku", request.Sku, LongestSku);
        if (request.Description.Length > LongestDescription)
            errors.Add(($"{prefix}description", $"At most {LongestDescription} characters."));
        if (!PlainText.IsPlain(request.Description))
            errors.Add(($"{prefix}description", PlainText.NoControls));

        var attributes = CheckedAttributes.None;
        if (tree.Find(request.Category) is { } category)
            attributes = AttributeRules.Check(category, request.Attributes, prefix, errors);
        else
            errors.Add(($"{prefix}category", "There is no such category."));

        if (request.ProductId == Guid.Empty)
            errors.Add(($"{prefix}productId", "This is no id."));
        if (request.Status == ListingStatus.Published || (request.Status is null && isNew))
            errors.AddRange(attributes.Missing.Select(name => ($"{prefix}attributes.{name}", NeededToPublish)));
        if (request.Status is not (null or ListingStatus.Draft or ListingStatus.Published))
            errors.Add(($"{prefix}status", "Either draft or published."));
        if (request.ImageUrl is { Length: > 0 } address && (address.Length > LongestAddress || !IsPicture(address)))
            errors.Add(($"{prefix}imageUrl", "A picture is an http(s) address, or a path on this site that starts with '/'."));

        var price = request.Price;
        var (optionNames, variants) = VariantRules.Check(request, prefix, errors);
        if (variants.Count > 0)
            price = new Money(variants.Min(variant => variant.PriceMinor), Currency);
        else if (request.Variants is not { Count: > 0 })
            CheckPrice(price, prefix, errors);

        return errors.Count > 0
            ? (null, errors)
            : (new ListingText(request.Title.Trim(), request.Description.Trim(), request.Brand.Trim(), request.Category, price, OwnPicture(request.ImageUrl))
            {
                Sku = string.IsNullOrWhiteSpace(request.Sku) ? null : request.Sku.Trim(),
                Status = request.Status,
                Attributes = attributes,
                OptionNames = optionNames,
                Variants = variants,
            }, errors);

        void OneLine(string field, string? text, int longest)
        {
            if (text is null)
                return;
            if (text.Length > longest)
                errors.Add(($"{prefix}{field}", $"At most {longest} characters."));
            if (!PlainText.IsOneLine(text))
                errors.Add(($"{prefix}{field}", PlainText.OneLineOnly));
        }
    }

    internal static void CheckPrice(Money price, string prefix, List<(string Field, string Message)> errors)
    {
        if (price.Minor is < 1 or > HighestPrice)
            errors.Add(($"{prefix}price.minor", $"A price is between 1 and {HighestPrice} pence."));
        if (price.Currency != Currency)
            errors.Add(($"{prefix}price.currency", $"Prices are in {Currency}."));
    }

    // The cover of the listing's own pictures comes back when a seller sends what they read; it is no address they gave.
    private static string? OwnPicture(string? address) =>
        string.IsNullOrEmpty(address) || address.StartsWith(ListingImage.OwnAddresses, StringComparison.Ordinal) ? null : address;

    // Never javascript: or data:, and no "//elsewhere" disguised as a path.
    private static bool IsPicture(string address) =>
        PlainText.IsOneLine(address)
        && ((address.StartsWith('/') && !address.StartsWith("//", StringComparison.Ordinal) && Uri.TryCreate(address, UriKind.Relative, out _))
            || (Uri.TryCreate(address, UriKind.Absolute, out var uri) && (uri.Scheme == Uri.UriSchemeHttps || uri.Scheme == Uri.UriSchemeHttp)));
}
