namespace Marketplace.Contracts;

/// <summary>A listing as shoppers see it, after a create or a change. <see cref="Revision"/> only grows: an older one than seen is ignored.</summary>
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
    DateTimeOffset ListedAt) : DomainEvent
{
    public const string Topic = "product.upserted";
}

/// <summary>A listing is gone; its id is never used again.</summary>
public sealed record ProductDeleted(Guid ProductId, long Revision, Guid SellerId) : DomainEvent
{
    public const string Topic = "product.deleted";
}
