namespace Marketplace.Contracts;

/// <summary>A shopper put units of a product in a cart. It takes no stock.</summary>
public sealed record CartItemAdded(Guid BuyerId, Guid CartId, Guid ProductId, int Quantity) : DomainEvent
{
    public const string Topic = "cart.item_added";
}
