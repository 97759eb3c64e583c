using Marketplace.Contracts;

namespace Marketplace.Search.Engine;

/// <summary>A change to the index. Changes of any number of events are written and committed together.</summary>
public abstract record IndexChange
{
    public sealed record Upsert(IndexedListing Listing, bool Reread = false) : IndexChange;

    public sealed record Remove(Guid ProductId, long Revision) : IndexChange;

    public sealed record Stock(IReadOnlyList<StockLevel> Levels) : IndexChange;

    /// <summary>A confirmed order: what it sold counts once, however often it is told.</summary>
    public sealed record Sale(Guid OrderId, DateTimeOffset At, IReadOnlyList<(Guid ProductId, int Quantity)> Lines) : IndexChange;

    /// <param name="Average">1 to 5.</param>
    public sealed record Rating(Guid ProductId, double Average, int Count, long Version) : IndexChange;
}

/// <summary>A property shoppers can narrow by: <c>colour</c>, <c>red</c>.</summary>
public sealed record IndexedAttribute(string Name, string Value);

/// <summary>What a listing is indexed from: an event, or a page of the catalogue.</summary>
/// <param name="CategoryPath">From the root to the listing's own category; without one the category stands alone.</param>
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
    IReadOnlyList<IndexedAttribute>? Attributes = null);
