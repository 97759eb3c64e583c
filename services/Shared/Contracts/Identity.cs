namespace Marketplace.Contracts;

/// <summary>Somebody opened an account. Guests are not announced.</summary>
public sealed record UserRegistered(Guid AccountId, string Email, string Name) : DomainEvent
{
    public const string Topic = "user.registered";
}

/// <summary>
/// A seller changed what everybody sees of the shop. <see cref="Version"/> only grows: an older one than seen is ignored. The first
/// version, at the opening, is not announced: who needs it asks.
/// </summary>
/// <param name="About">Plain text, line breaks included; may be empty.</param>
public sealed record SellerUpdated(Guid SellerId, long Version, string DisplayName, string About, string? LogoUrl) : DomainEvent
{
    public const string Topic = "seller.updated";
}
