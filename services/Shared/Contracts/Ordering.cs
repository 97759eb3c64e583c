namespace Marketplace.Contracts;

/// <summary>A line as it was sold: title and price are those the buyer agreed to.</summary>
public sealed record OrderedLine(Guid ProductId, Guid SellerId, string Title, int Quantity, Money UnitPrice);

public sealed record PostalAddress(string Name, string Line1, string? Line2, string City, string PostalCode, string Country);

/// <summary>Where messages about an order go; a guest has no account to look it up in.</summary>
public sealed record OrderContact(string Email, string Name);

/// <summary>Checkout accepted: the order exists, nothing is held or charged yet.</summary>
public sealed record OrderCreated(Guid OrderId, Guid BuyerId, Money Total, IReadOnlyList<OrderedLine> Lines) : DomainEvent
{
    public const string Topic = "order.created";
}

/// <summary>
/// Stock is reserved and the money captured: fulfil it. <see cref="CartId"/> is the cart it was ordered from; a cart that was
/// replaced since has another id and keeps its lines.
/// </summary>
public sealed record OrderConfirmed(
    Guid OrderId,
    int Attempt,
    Guid BuyerId,
    Guid CartId,
    Money Total,
    IReadOnlyList<OrderedLine> Lines,
    IReadOnlyList<Allocation> Allocations,
    PostalAddress ShipTo,
    OrderContact Contact) : DomainEvent
{
    public const string Topic = "order.confirmed";
}

/// <summary>The charge was refused or the provider could not be reached. The order waits for the buyer to complete the payment.</summary>
public sealed record OrderPaymentFailed(Guid OrderId, int Attempt, Guid BuyerId, Money Total, string Reason, OrderContact Contact) : DomainEvent
{
    public const string Topic = "order.payment_failed";
}

/// <summary>
/// The order cannot be fulfilled (out of stock) and is closed; nothing is held, nothing was charged. An order of a flash sale
/// (<see cref="SaleId"/>) is closed by a refused charge too: its units go to the next, who is told by the sale.
/// </summary>
public sealed record OrderFailed(
    Guid OrderId, int Attempt, Guid BuyerId, Money Total, string Reason, OrderContact Contact, Guid? SaleId = null) : DomainEvent
{
    public const string Topic = "order.failed";
}

/// <summary>Cancelled by the buyer or an operator; money and stock went back where they had been taken.</summary>
public sealed record OrderCancelled(Guid OrderId, int Attempt, Guid BuyerId, Money Total, string Reason, bool Refunded, OrderContact Contact) : DomainEvent
{
    public const string Topic = "order.cancelled";
}

/// <summary>Every shipment of the order arrived.</summary>
public sealed record OrderDelivered(Guid OrderId, Guid BuyerId, IReadOnlyList<OrderedLine> Lines, OrderContact Contact) : DomainEvent
{
    public const string Topic = "order.delivered";
}
