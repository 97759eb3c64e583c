using System.Text.Json.Serialization;
using Marketplace.Contracts;

namespace Marketplace.Search.Engine.Elasticsearch;

/// <summary>
/// A product is one document, put together from what different services say in no particular order. Each part has a version of its own,
/// and what is not newer changes nothing: twice, late and after a deletion are all the same, whichever replica hears it.
/// </summary>
internal static class ProductParts
{
    /// <summary>
    /// Writes a part unless the document has a newer one. <c>most</c> is the highest version it may have. An id is never used again:
    /// nothing the listing says follows a deletion.
    /// </summary>
    public const string WriteNewer =
        "if (ctx._source[params.by] > params.most || (params.text && ctx._source.deleted)) { ctx.op = 'none' } else { ctx._source.putAll(params.parts); ctx._source.touched = ctx._now }";

    /// <summary>Orders the document does not know yet; those from before <c>kept</c> milliseconds are forgotten.</summary>
    public const string CountSales =
        "long oldest = ctx._now - params.kept; ctx._source.orders.values().removeIf(at -> at < oldest); boolean any = false; " +
        "for (def sale : params.sales) { if (ctx._source.orders.putIfAbsent(sale.order, ctx._now) == null) { ctx._source.sold += sale.weight; any = true } } " +
        "if (any) { ctx._source.touched = ctx._now } else { ctx.op = 'none' }";

    private const int LongestTitle = 500;
    private const int LongestDescription = 8_000;
    private const int MostAttributes = 64;
    private const char Between = '\u001f';

    /// <summary>A product of which nothing is known.</summary>
    public static Dictionary<string, object?> Blank(Guid productId) => new()
    {
        [ProductIndex.Id] = NameOf(productId),
        [ProductIndex.Listed] = false,
        [ProductIndex.Deleted] = false,
        [ProductIndex.Revision] = 0L,
        [ProductIndex.Touched] = 0L,
        [ProductIndex.StockVersion] = -1L,
        [ProductIndex.Available] = 0,
        [ProductIndex.InStock] = false,
        [ProductIndex.RatingVersion] = -1L,
        [ProductIndex.Rating] = 0.0,
        [ProductIndex.Ratings] = 0,
        [ProductIndex.RatingRank] = 0L,
        [ProductIndex.Sold] = 0.0,
        [ProductIndex.Orders] = new Dictionary<string, object>(),
    };

    public static Dictionary<string, object?> Listing(IndexedListing listing)
    {
        var (title, description) = (Cut(listing.Title, LongestTitle), Cut(listing.Description, LongestDescription));
        var attributes = (listing.Attributes ?? []).Take(MostAttributes).ToList();
        var path = listing.CategoryPath is { Count: > 0 } given ? given : [listing.Category];
        var categories = path.Append(listing.Category).DistinctBy(FacetTerm.Alike).ToList();
        var shelf = string.Join(' ', [.. path.Append(listing.Category).Distinct(), .. attributes.Select(attribute => $"{attribute.Name} {attribute.Value}")]);
        var named = attributes.Where(attribute => attribute.Name.Length > 0 && attribute.Value.Length > 0)
            .Select(attribute => (Value: AttributeOf(attribute.Name, attribute.Value), Facet: FacetTerm.Of(Facets.AttributePrefix + FacetTerm.Alike(attribute.Name), attribute.Value)))
            .DistinctBy(attribute => attribute.Value).ToList();
        var beginnings = ProductText.BeginningsOf($"{title} {listing.Brand}", int.MaxValue);
        return new Dictionary<string, object?>
        {
            [ProductIndex.Listed] = true,
            [ProductIndex.Deleted] = false,
            [ProductIndex.Revision] = listing.Revision,
            [ProductIndex.Title] = TermsOf(title),
            [ProductIndex.Brand] = TermsOf(listing.Brand),
            [ProductIndex.Shelf] = TermsOf(shelf),
            [ProductIndex.Description] = TermsOf(description),
            [ProductIndex.Spelling] = string.Join(' ', ProductText.WordsOf($"{title} {listing.Brand} {shelf}").Select(word => word.Written).Distinct()),
            [ProductIndex.Beginnings] = string.Join(' ', beginnings.Distinct()),
            [ProductIndex.FirstBeginning] = beginnings.Count > 0 ? beginnings[0] : "",
            [ProductIndex.CategoryValue] = categories.ConvertAll(FacetTerm.Alike),
            [ProductIndex.BrandValue] = listing.Brand.Length > 0 ? FacetTerm.Alike(listing.Brand) : null,
            [ProductIndex.SellerValue] = listing.SellerId.ToString(),
            [ProductIndex.AttributeValue] = named.ConvertAll(attribute => attribute.Value),
            [ProductIndex.CategoryFacet] = categories.ConvertAll(category => FacetTerm.Of(Facets.Category, category)),
            [ProductIndex.BrandFacet] = listing.Brand.Length > 0 ? FacetTerm.Of(Facets.Brand, listing.Brand) : null,
            [ProductIndex.SellerFacet] = FacetTerm.Of(Facets.Seller, listing.SellerId.ToString(), listing.SellerName),
            [ProductIndex.AttributeFacet] = named.ConvertAll(attribute => attribute.Facet),
            [ProductIndex.Price] = listing.Price.Minor,
            [ProductIndex.ListedAt] = listing.ListedAt.UtcTicks,
            [ProductIndex.Shown] = new Dictionary<string, object?>
            {
                ["title"] = title,
                ["brand"] = listing.Brand,
                ["category"] = listing.Category,
                ["currency"] = listing.Price.Currency,
                ["minor"] = listing.Price.Minor,
                ["imageUrl"] = listing.ImageUrl,
                ["sellerId"] = listing.SellerId.ToString(),
                ["sellerName"] = listing.SellerName,
            },
            [ProductIndex.ShownText] = description,
        };
    }

    /// <summary>What stays of a deleted listing: that it is, so that a late event does not bring it back.</summary>
    public static Dictionary<string, object?> Tombstone(long revision)
    {
        var parts = ProductIndex.OfText.ToDictionary(field => field, _ => (object?)null);
        (parts[ProductIndex.Listed], parts[ProductIndex.Deleted], parts[ProductIndex.Revision]) = (false, true, revision);
        return parts;
    }

    public static Dictionary<string, object?> Stock(StockLevel level) => new()
    {
        [ProductIndex.StockVersion] = level.Version,
        [ProductIndex.Available] = level.Available,
        [ProductIndex.InStock] = level.Available > 0,
    };

    public static Dictionary<string, object?> Rating(IndexChange.Rating rating)
    {
        var (average, count) = (Math.Clamp(rating.Average, 0, 5), Math.Max(0, rating.Count));
        return new Dictionary<string, object?>
        {
            [ProductIndex.RatingVersion] = rating.Version,
            [ProductIndex.Rating] = average,
            [ProductIndex.Ratings] = count,
            [ProductIndex.RatingRank] = ((long)Math.Round(average * 100) << 32) + count,
        };
    }

    public static string AttributeOf(string name, string value) => $"{FacetTerm.Alike(name)}{Between}{FacetTerm.Alike(value)}";

    public static string NameOf(Guid id) => id.ToString("N");

    private static string TermsOf(string text) => string.Join(' ', ProductText.WordsOf(text).Select(word => word.Term));

    private static string Cut(string text, int longest) =>
        text.Length <= longest ? text : text[..(char.IsHighSurrogate(text[longest - 1]) ? longest - 1 : longest)];
}

/// <summary>A document as a search reads it.</summary>
internal sealed record FoundDocument
{
    [JsonPropertyName(ProductIndex.Id)]
    public string Id { get; init; } = "";

    [JsonPropertyName(ProductIndex.Shown)]
    public ShownListing? Shown { get; init; }

    [JsonPropertyName(ProductIndex.ShownText)]
    public string? Description { get; init; }

    [JsonPropertyName(ProductIndex.InStock)]
    public bool InStock { get; init; }

    [JsonPropertyName(ProductIndex.Rating)]
    public double Rating { get; init; }

    [JsonPropertyName(ProductIndex.Ratings)]
    public int Ratings { get; init; }

    public sealed record ShownListing(
        [property: JsonPropertyName("title")] string Title, [property: JsonPropertyName("brand")] string Brand, [property: JsonPropertyName("category")] string Category,
        [property: JsonPropertyName("currency")] string Currency, [property: JsonPropertyName("minor")] long Minor, [property: JsonPropertyName("imageUrl")] string? ImageUrl,
        [property: JsonPropertyName("sellerId")] Guid SellerId, [property: JsonPropertyName("sellerName")] string SellerName);

    public FoundProduct ToProduct() => new(
        Guid.ParseExact(Id, "N"), Shown!.Title, Shown.Brand, Shown.Category, new Money(Shown.Minor, Shown.Currency), Shown.ImageUrl, Shown.SellerId, Shown.SellerName, InStock)
    {
        Rating = Ratings > 0 ? Math.Round(Rating, 2) : null,
        Ratings = Ratings,
    };
}
