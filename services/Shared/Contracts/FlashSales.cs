namespace Marketplace.Contracts;

/// <summary>
/// A unit of a flash sale is the buyer's: make an order of it, under the id given, and have it paid by <see cref="PayUntil"/>. Title and price
/// are the sale's. Without <see cref="PaymentMethod"/> the buyer's default is charged.
/// </summary>
public sealed record FlashSaleClaimed(
    Guid SaleId,
    Guid ClaimId,
    Guid OrderId,
    Guid BuyerId,
    OrderedLine Line,
    PostalAddress ShipTo,
    OrderContact Contact,
    string? PaymentMethod,
    bool FromWaitingList,
    DateTimeOffset PayUntil) : DomainEvent
{
    public const string Topic = "flashsale.claimed";
}

/// <summary>A claim came to nothing (declined, cancelled, not paid in time): its units go to the next.</summary>
public sealed record FlashSaleReleased(
    Guid SaleId, Guid ClaimId, Guid OrderId, Guid BuyerId, string Title, int Quantity, string Reason, OrderContact Contact) : DomainEvent
{
    public const string Topic = "flashsale.released";
}

/// <summary>Every unit is paid for.</summary>
public sealed record FlashSaleSoldOut(Guid SaleId, Guid ProductId, Guid SellerId, string Title, int Units) : DomainEvent
{
    public const string Topic = "flashsale.sold_out";
}

/// <summary>Who stood on the waiting list and got nothing, because nothing came back.</summary>
public sealed record FlashSaleMissed(Guid SaleId, Guid ClaimId, Guid BuyerId, string Title, OrderContact Contact) : DomainEvent
{
    public const string Topic = "flashsale.missed";
}
