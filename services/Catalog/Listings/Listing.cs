using Marketplace.Contracts;

namespace Marketplace.Catalog.Listings;

public sealed record Listing(
    Guid ProductId,
    long Revision,
    Guid SellerId,
    string SellerName,
    string Title,
    string Description,
    string Brand,
    string Category,
    Money Price,
    string? ImageUrl,
    DateTimeOffset ListedAt)
{
    public string ETag => $"\"{Revision}\"";

    public ProductUpserted ToEvent() =>
        new(ProductId, Revision, SellerId, SellerName, Title, Description, Brand, Category, Price, ImageUrl, ListedAt);
}

/// <summary>What a seller says about a product, checked and tidied.</summary>
public sealed record ListingText(string Title, string Description, string Brand, string Category, Money Price, string? ImageUrl)
{
    public const long HighestPrice = 100_000_000;
    public const string Currency = "GBP";

    /// <summary>The meaning of the fields; their lengths are attributes of the request.</summary>
    public static (ListingText? Text, IReadOnlyList<(string Field, string Message)> Errors) Of(
        string title, string description, string brand, string category, bool categoryExists, Money price, string? imageUrl, string prefix = "")
    {
        var errors = new List<(string, string)>();
        if (string.IsNullOrWhiteSpace(title))
            errors.Add(($"{prefix}title", "A product needs a title."));
        if (!categoryExists)
            errors.Add(($"{prefix}category", "There is no such category."));
        if (price.Minor is < 1 or > HighestPrice)
            errors.Add(($"{prefix}price.minor", $"A price is between 1 and {HighestPrice} pence."));
        if (price.Currency != Currency)
            errors.Add(($"{prefix}price.currency", $"Prices are in {Currency}."));
        if (imageUrl is { Length: > 0 } && !IsPicture(imageUrl))
            errors.Add(($"{prefix}imageUrl", "A picture is an http(s) address, or a path on this site that starts with '/'."));

        return errors.Count > 0
            ? (null, errors)
            : (new ListingText(title.Trim(), description.Trim(), brand.Trim(), category, price, string.IsNullOrEmpty(imageUrl) ? null : imageUrl), errors);
    }

    // Never javascript: or data:, and no "//elsewhere" disguised as a path.
    private static bool IsPicture(string address) =>
        (address.StartsWith('/') && !address.StartsWith("//", StringComparison.Ordinal) && Uri.TryCreate(address, UriKind.Relative, out _))
        || (Uri.TryCreate(address, UriKind.Absolute, out var uri) && (uri.Scheme == Uri.UriSchemeHttps || uri.Scheme == Uri.UriSchemeHttp));
}
