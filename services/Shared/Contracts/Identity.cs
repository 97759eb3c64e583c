namespace Marketplace.Contracts;

/// <summary>Somebody opened an account. Guests are not announced.</summary>
public sealed record UserRegistered(Guid AccountId, string Email, string Name) : DomainEvent
{
    public const string Topic = "user.registered";
}
