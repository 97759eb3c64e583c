namespace Marketplace.Contracts;

public sealed record ShippedLine(Guid ProductId, string Title, int Quantity);

/// <summary>
/// One parcel: what one seller sends from one warehouse for one order. <see cref="ShipmentsOfOrder"/> says how many there are in
/// all, so that a listener knows when the last one arrived.
/// </summary>
public sealed record ShipmentCreated(
    Guid ShipmentId, Guid OrderId, Guid BuyerId, Guid SellerId, string Warehouse, int ShipmentsOfOrder, IReadOnlyList<ShippedLine> Lines, OrderContact Contact) : DomainEvent
{
    public const string Topic = "shipment.created";
}

public sealed record ShipmentShipped(
    Guid ShipmentId, Guid OrderId, Guid BuyerId, Guid SellerId, string Carrier, string TrackingNumber, int ShipmentsOfOrder, OrderContact Contact) : DomainEvent
{
    public const string Topic = "shipment.shipped";
}

public sealed record ShipmentOutForDelivery(Guid ShipmentId, Guid OrderId, Guid BuyerId, Guid SellerId, int ShipmentsOfOrder, OrderContact Contact) : DomainEvent
{
    public const string Topic = "shipment.out_for_delivery";
}

public sealed record ShipmentDelivered(Guid ShipmentId, Guid OrderId, Guid BuyerId, Guid SellerId, int ShipmentsOfOrder, OrderContact Contact) : DomainEvent
{
    public const string Topic = "shipment.delivered";
}
