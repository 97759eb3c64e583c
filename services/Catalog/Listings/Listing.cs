using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Marketplace.Catalog.Pictures;
using Marketplace.Contracts;

namespace Marketplace.Catalog.Listings;

public static class ListingStatus
{
    /// <summary>Only its seller sees it.</summary>
    public const string Draft = "draft";

    public const string Published = "published";
}

/// <param name="Average">1 to 5.</param>
/// <param name="Version">Of what reviews told; the listing's revision does not move with it.</param>
public sealed record ListingRating(double Average, int Count, long Version);

/// <param name="Price">With variants the lowest of theirs.</param>
/// <param name="Attributes">By name, as the seller gave them; in no list, and absent when the document store does not answer.</param>
/// <param name="Facets">Those of the attributes that shoppers narrow by, in words.</param>
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
    DateTimeOffset ListedAt,
    string Status,
    string? Sku,
    IReadOnlyList<string> CategoryPath,
    IReadOnlyList<string> CategoryNames,
    IReadOnlyList<ListingAttribute> Facets,
    IReadOnlyList<string> OptionNames,
    IReadOnlyList<ListingVariant> Variants,
    IReadOnlyList<ListingImage> Images,
    ListingRating? Rating,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyDictionary<string, JsonElement>? Attributes = null)
{
    /// <summary>Where the attributes of this revision are; null when there are none.</summary>
    [JsonIgnore]
    public Guid? DocumentId { get; init; }

    /// <summary>The same for the same attributes.</summary>
    [JsonIgnore]
    public string? DocumentHash { get; init; }

    /// <summary>The revision, and behind a dot the rating's version: a rating changes what is shown, and nothing a seller's change is based on.</summary>
    public string ETag => Rating is { Version: > 0 } rating
        ? string.Create(CultureInfo.InvariantCulture, $"\"{Revision}.{rating.Version}\"")
        : string.Create(CultureInfo.InvariantCulture, $"\"{Revision}\"");

    [JsonIgnore]
    public bool IsPublished => Status == ListingStatus.Published;

    public ProductUpserted ToEvent() => new(
        ProductId, Revision, SellerId, SellerName, Title, Description, Brand, Category, Price, ImageUrl, ListedAt,
        CategoryPath, Facets.Count > 0 ? Facets : null, Variants.Count > 0 ? Variants : null, CategoryNames, Sku);
}
