using Marketplace.Contracts;

namespace Marketplace.Search.Engine;

/// <summary>A change to the index. Changes of any number of events are written and committed together.</summary>
public abstract record IndexChange
{
    public sealed record Upsert(IndexedListing Listing, bool Reread = false) : IndexChange;

    /// <summary>Gone for good: nothing brings it back.</summary>
    public sealed record Remove(Guid ProductId, long Revision) : IndexChange;

    /// <summary>Out of the shop until a higher revision brings it back.</summary>
    public sealed record Withdraw(Guid ProductId, long Revision) : IndexChange;

    public sealed record Stock(IReadOnlyList<StockLevel> Levels) : IndexChange;

    /// <summary>A confirmed order: what it sold counts once, however often it is told.</summary>
    public sealed record Sale(Guid OrderId, DateTimeOffset At, IReadOnlyList<(Guid ProductId, int Quantity)> Lines) : IndexChange;

    /// <param name="Average">1 to 5.</param>
    public sealed record Rating(Guid ProductId, double Average, int Count, long Version) : IndexChange;
}

/// <summary>A property shoppers can narrow by: <c>colour</c>, <c>red</c>.</summary>
public sealed record IndexedAttribute(string Name, string Value);

/// <summary>One form of a listing that is sold under a product id of its own: its stock and its sales are the listing's.</summary>
public sealed record IndexedVariant(Guid VariantId, string Sku, IReadOnlyList<IndexedAttribute> Options);

/// <summary>What a listing is indexed from: an event, or a page of the catalogue.</summary>
/// <param name="Price">With variants the lowest of theirs.</param>
/// <param name="CategoryPath">From the root to the listing's own category; without one the category stands alone.</param>
/// <param name="Attributes">Of the listing as a whole; see <see cref="AllAttributes"/>.</param>
/// <param name="Variants">With any, those are what is sold: the listing is in stock when one of them is, and stock told of itself counts no more.</param>
/// <param name="CategoryNames">Of the path, in the words shoppers read; without them the codes are shown.</param>
/// <param name="Sku">The seller's own name for it.</param>
public sealed record IndexedListing(
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
    IReadOnlyList<string>? CategoryPath = null,
    IReadOnlyList<IndexedAttribute>? Attributes = null,
    IReadOnlyList<IndexedVariant>? Variants = null,
    IReadOnlyList<string>? CategoryNames = null,
    string? Sku = null)
{
    private const int MostAttributes = 200;

    /// <summary>Codes from the root to the listing's own category, each with what it is called.</summary>
    public IReadOnlyList<(string Code, string Name)> Shelves()
    {
        IReadOnlyList<string> path = CategoryPath is { Count: > 0 } ? CategoryPath : [Category];
        var shelves = path.Select((code, level) => (code, CategoryNames?.Count == path.Count ? CategoryNames[level] : code)).ToList();
        return path.Contains(Category, StringComparer.OrdinalIgnoreCase) ? shelves : [.. shelves, (Category, Category)];
    }

    /// <summary>Its own and every option of its variants, each once: what it is narrowed and found by.</summary>
    public IReadOnlyList<IndexedAttribute> AllAttributes() =>
        [.. (Attributes ?? []).Concat((Variants ?? []).SelectMany(variant => variant.Options))
            .Where(attribute => attribute.Name.Length > 0 && attribute.Value.Length > 0)
            .DistinctBy(attribute => (attribute.Name.ToLowerInvariant(), attribute.Value.ToLowerInvariant()))
            .Take(MostAttributes)];

    /// <summary>Its own and those of its variants.</summary>
    public IEnumerable<string> Skus() => (Variants ?? []).Select(variant => variant.Sku).Prepend(Sku).OfType<string>().Where(sku => sku.Length > 0);

    /// <summary>The ids stock is told of.</summary>
    public IReadOnlyList<Guid> SoldAs() => Variants is { Count: > 0 } ? [.. Variants.Select(variant => variant.VariantId)] : [ProductId];
}
