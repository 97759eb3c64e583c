namespace Marketplace.Contracts;

/// <summary>A property of a listing that shoppers may narrow by, in the words they read: colour, red.</summary>
public sealed record ListingAttribute(string Name, string Value);

/// <summary>
/// A listing as shoppers see it, after a create or a change. <see cref="Revision"/> only grows: an older one than seen is ignored.
/// <see cref="CategoryPath"/> goes from the root to <see cref="Category"/>; without one the category stands alone.
/// </summary>
public sealed record ProductUpserted(
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
    IReadOnlyList<ListingAttribute>? Attributes = null) : DomainEvent
{
    public const string Topic = "product.upserted";
}

/// <summary>A listing is gone; its id is never used again.</summary>
public sealed record ProductDeleted(Guid ProductId, long Revision, Guid SellerId) : DomainEvent
{
    public const string Topic = "product.deleted";
}
