using System.Text.Json.Serialization;
using Marketplace.Contracts;

namespace Marketplace.Search.Engine.Elasticsearch;

/// <summary>
/// A product is one document, put together from what different services say in no particular order. Each part has a version of its own,
/// and what is not newer changes nothing: twice, late and after a deletion are all the same, whichever replica hears it.
/// </summary>
internal static class ProductParts
{
    /// <summary>What follows from the parts: a listing with variants is in stock when one of them is, and sells what they sell.</summary>
    private const string Derive =
        "boolean any = false; double sold = ctx._source.own_sold; " +
        "for (def id : ctx._source.variants) { def one = ctx._source.of_variants[id]; if (one != null) { any = any || one.available > 0; sold += one.sold } } " +
        "ctx._source.in_stock = ctx._source.variants.isEmpty() ? ctx._source.available > 0 : any; ctx._source.sold = sold; ctx._source.touched = ctx._now";

    /// <summary>
    /// Writes a part unless the document has a newer one. <c>most</c> is the highest version it may have. An id is never used again:
    /// nothing the listing says follows a deletion.
    /// </summary>
    public const string WriteNewer =
        "if (ctx._source[params.by] > params.most || (params.text && ctx._source.deleted)) { ctx.op = 'none' } else { ctx._source.putAll(params.parts); " + Derive + " }";

    /// <summary>Writes parts as they are: from one index into the next.</summary>
    public const string Carry = "ctx._source.putAll(params.parts); " + Derive;

    /// <summary>Orders the document does not know yet; those from before <c>kept</c> milliseconds are forgotten.</summary>
    public const string CountSales =
        "long oldest = ctx._now - params.kept; ctx._source.orders.values().removeIf(at -> at < oldest); boolean fresh = false; " +
        "for (def sale : params.sales) { if (ctx._source.orders.putIfAbsent(sale.order, ctx._now) == null) { ctx._source.own_sold += sale.weight; fresh = true } } " +
        "if (fresh) { " + Derive + " } else { ctx.op = 'none' }";

    /// <summary>Tells a variant whose it is.</summary>
    public const string BelongTo = "if (ctx._source.listing == params.listing) { ctx.op = 'none' } else { ctx._source.listing = params.listing; ctx._source.touched = ctx._now }";

    /// <summary>What is known of a variant, for its listing. Versions and sales only grow, so the order in which it is told does not matter.</summary>
    public const string CountVariant =
        "def known = ctx._source.of_variants[params.id]; if (known != null && known.version >= params.version && known.sold >= params.sold) { ctx.op = 'none' } else { " +
        "def newer = known == null || params.version > known.version; " +
        "ctx._source.of_variants[params.id] = ['version': newer ? params.version : known.version, 'available': newer ? params.available : known.available, 'sold': known == null ? params.sold : Math.max(known.sold, params.sold)]; " +
        Derive + " }";

    private const int LongestTitle = 500;
    private const int LongestDescription = 8_000;
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
        [ProductIndex.RatingVersion] = -1L,
        [ProductIndex.Rating] = 0.0,
        [ProductIndex.Ratings] = 0,
        [ProductIndex.RatingRank] = 0L,
        [ProductIndex.Variants] = Array.Empty<string>(),
        [ProductIndex.OwnSold] = 0.0,
        [ProductIndex.Orders] = new Dictionary<string, object>(),
        [ProductIndex.OfVariants] = new Dictionary<string, object>(),
        [ProductIndex.InStock] = false,
        [ProductIndex.Sold] = 0.0,
    };

    public static Dictionary<string, object?> Listing(IndexedListing listing)
    {
        var (title, description) = (Cut(listing.Title, LongestTitle), Cut(listing.Description, LongestDescription));
        var (shelves, attributes) = (listing.Shelves().DistinctBy(shelf => FacetTerm.Alike(shelf.Code)).ToList(), listing.AllAttributes());
        var shelf = string.Join(' ', listing.Shelves().SelectMany(one => (string[])[one.Code, one.Name]).Distinct(StringComparer.OrdinalIgnoreCase).Concat(attributes.Select(attribute => $"{attribute.Name} {attribute.Value}")));
        var named = attributes
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
            [ProductIndex.Shelf] = TermsOf(string.Join(' ', listing.Skus().Prepend(shelf))),
            [ProductIndex.Description] = TermsOf(description),
            [ProductIndex.Spelling] = string.Join(' ', ProductText.WordsOf($"{title} {listing.Brand} {shelf}").Select(word => word.Written).Distinct()),
            [ProductIndex.Beginnings] = string.Join(' ', beginnings.Distinct()),
            [ProductIndex.FirstBeginning] = beginnings.Count > 0 ? beginnings[0] : "",
            [ProductIndex.CategoryValue] = shelves.ConvertAll(one => FacetTerm.Alike(one.Code)),
            [ProductIndex.BrandValue] = listing.Brand.Length > 0 ? FacetTerm.Alike(listing.Brand) : null,
            [ProductIndex.SellerValue] = listing.SellerId.ToString(),
            [ProductIndex.AttributeValue] = named.ConvertAll(attribute => attribute.Value),
            [ProductIndex.CategoryFacet] = shelves.ConvertAll(one => FacetTerm.Of(Facets.Category, one.Code, one.Name)),
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
            [ProductIndex.Variants] = (listing.Variants ?? []).Select(variant => NameOf(variant.VariantId)).ToList(),
        };
    }

    /// <summary>What stays of a listing that is not in the shop: that it was, so that a late event does not bring it back.</summary>
    public static Dictionary<string, object?> Away(long revision, bool deleted)
    {
        var parts = ProductIndex.OfText.ToDictionary(field => field, _ => (object?)null);
        (parts[ProductIndex.Listed], parts[ProductIndex.Deleted], parts[ProductIndex.Revision], parts[ProductIndex.Variants]) = (false, deleted, revision, Array.Empty<string>());
        return parts;
    }

    public static Dictionary<string, object?> Stock(StockLevel level) => new() { [ProductIndex.StockVersion] = level.Version, [ProductIndex.Available] = level.Available };

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
