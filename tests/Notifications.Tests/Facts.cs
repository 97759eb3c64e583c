using Marketplace.Contracts;

namespace Marketplace.Notifications.Tests;

/// <summary>Events about Ada's orders.</summary>
public static class Facts
{
    public static readonly Guid Ada = Guid.CreateVersion7();
    public static readonly OrderContact AdasMail = new("ada@example.com", "Ada");
    private static readonly Guid Bruno = Guid.CreateVersion7();

    public static OrderConfirmed Confirmed(Guid order, int attempt = 1, string title = "Lamp", string email = "ada@example.com") => new(
        order, attempt, Ada, Guid.CreateVersion7(), Money.Gbp(3_500),
        [new OrderedLine(Guid.CreateVersion7(), Bruno, title, 2, Money.Gbp(1_250)), new OrderedLine(Guid.CreateVersion7(), Bruno, "Book", 1, Money.Gbp(1_000))],
        [], new PostalAddress("Ada", "1 Analytical Row", null, "London", "N1 1AA", "GB"), new OrderContact(email, "Ada"));

    public static OrderPaymentFailed PaymentFailed(Guid order, int attempt = 1) => new(order, attempt, Ada, Money.Gbp(3_500), "card_declined", AdasMail);

    public static OrderFailed Failed(Guid order) => new(order, 1, Ada, Money.Gbp(3_500), "out_of_stock", AdasMail);

    public static OrderCancelled Cancelled(Guid order) => new(order, 1, Ada, Money.Gbp(3_500), "changed my mind", true, AdasMail);

    public static OrderDelivered Delivered(Guid order) => new(order, Ada, [], AdasMail);

    public static ShipmentShipped Shipped(Guid order, Guid shipment) => new(shipment, order, Ada, Bruno, "Parcel Post", "MP123", 2, AdasMail);

    public static ShipmentOutForDelivery OutForDelivery(Guid order, Guid shipment) => new(shipment, order, Ada, Bruno, 2, AdasMail);

    public static ShipmentDelivered ParcelDelivered(Guid order, Guid shipment) => new(shipment, order, Ada, Bruno, 2, AdasMail);

    public static FlashSaleClaimed Claimed(Guid order, bool fromWaitingList = false, string title = "Sneaker") => new(
        Guid.CreateVersion7(), Guid.CreateVersion7(), order, Ada, new OrderedLine(Guid.CreateVersion7(), Bruno, title, 2, Money.Gbp(4_500)),
        new PostalAddress("Ada", "1 Analytical Row", null, "London", "N1 1AA", "GB"), AdasMail, null, fromWaitingList, DateTimeOffset.UtcNow.AddMinutes(10));

    public static FlashSaleReleased Released(Guid order, string reason = "card_declined") =>
        new(Guid.CreateVersion7(), Guid.CreateVersion7(), order, Ada, "Sneaker", 2, reason, AdasMail);

    public static FlashSaleMissed Missed() => new(Guid.CreateVersion7(), Guid.CreateVersion7(), Ada, "Sneaker", AdasMail);

    public static UserRegistered Registered() => new(Ada, "ada@example.com", "Ada");

    /// <summary>One of every kind we listen to.</summary>
    public static TheoryData<string> Kinds => [.. All(Guid.Empty, Guid.Empty).Keys];

    public static Dictionary<string, DomainEvent> All(Guid order, Guid shipment) => new()
    {
        ["welcome"] = Registered(),
        ["order_confirmed"] = Confirmed(order),
        ["order_payment_failed"] = PaymentFailed(order),
        ["order_failed"] = Failed(order),
        ["order_cancelled"] = Cancelled(order),
        ["order_delivered"] = Delivered(order),
        ["shipment_shipped"] = Shipped(order, shipment),
        ["shipment_out_for_delivery"] = OutForDelivery(order, shipment),
        ["shipment_delivered"] = ParcelDelivered(order, shipment),
        ["flash_sale_claimed"] = Claimed(order),
        ["flash_sale_your_turn"] = Claimed(order, fromWaitingList: true),
        ["flash_sale_released"] = Released(order),
        ["flash_sale_missed"] = Missed(),
    };
}
