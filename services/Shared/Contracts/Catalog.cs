namespace Marketplace.Contracts;

/// <summary>A property of a listing that shoppers may narrow by, in the words they read: colour, red.</summary>
public sealed record ListingAttribute(string Name, string Value);

/// <summary>
/// One sellable form of a listing: a size, a colour. <see cref="VariantId"/> is a product id: carts, stock, prices and orders use it
/// like that of a listing without variants.
/// </summary>
/// <param name="Options">What sets it apart from the others: size, M.</param>
public sealed record ListingVariant(Guid VariantId, string Sku, IReadOnlyList<ListingAttribute> Options, Money Price);

/// <summary>
/// A listing as shoppers see it, after a create or a change. <see cref="Revision"/> only grows: an older one than seen is ignored.
/// <see cref="CategoryPath"/> goes from the root to <see cref="Category"/>; without one the category stands alone; <see cref="CategoryNames"/>
/// says what shoppers call each of it. With <see cref="Variants"/> those are what is sold, <see cref="Price"/> is the lowest of theirs, and
/// the listing itself has no stock. <see cref="Sku"/> is the seller's own name for the listing, where it has one.
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
    IReadOnlyList<ListingAttribute>? Attributes = null,
    IReadOnlyList<ListingVariant>? Variants = null,
    IReadOnlyList<string>? CategoryNames = null,
    string? Sku = null) : DomainEvent
{
    public const string Topic = "product.upserted";
}

/// <summary>A listing is out of the shop until its seller publishes it again, with a higher revision.</summary>
public sealed record ProductUnpublished(Guid ProductId, long Revision, Guid SellerId) : DomainEvent
{
    public const string Topic = "product.unpublished";
}

/// <summary>A listing is gone; its id is never used again.</summary>
public sealed record ProductDeleted(Guid ProductId, long Revision, Guid SellerId) : DomainEvent
{
    public const string Topic = "product.deleted";
}
