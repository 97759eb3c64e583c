namespace Marketplace.Contracts.Tests;

/// <summary>One event of every kind, every field with a value of its own, so that two mixed-up fields show.</summary>
internal static class Samples
{
    private static readonly OrderedLine Lamp = new(Id(11), Id(21), "Brass lamp", 2, Money.Gbp(1299));
    private static readonly OrderedLine Chair = new(Id(12), Id(22), "Café chair \"Sitwell\"", 1, Money.Gbp(4900));
    private static readonly OrderContact Ada = new("ada@example.com", "Ada");

    private const string Picture = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    public static IReadOnlyList<DomainEvent> All { get; } =
    [
        Told(1, new CartItemAdded(Id(31), Id(41), Id(11), 2)),
        Told(2, new ProductUpserted(Id(11), 7, Id(21), "Bruno's Lamps", "Brass lamp", "It shines.", "Lumo", "lighting", Money.Gbp(1299), "https://example.com/lamp.jpg", At(5),
            ["homeware", "lighting"], [new ListingAttribute("colour", "brass"), new ListingAttribute("height", "40 cm")],
            [new ListingVariant(Id(13), "LAMP-S", [new ListingAttribute("size", "small")], Money.Gbp(1299))], ["Homeware", "Lamps & lights"], "LAMP")),
        Told(3, new ProductDeleted(Id(11), 8, Id(21))),
        Told(4, new ShipmentCreated(Id(51), Id(61), Id(31), Id(21), "north", 2, [new ShippedLine(Id(11), "Brass lamp", 2)], Ada)),
        Told(5, new ShipmentShipped(Id(51), Id(61), Id(31), Id(21), "Parcel Force", "PF123", 2, Ada)),
        Told(6, new ShipmentOutForDelivery(Id(51), Id(61), Id(31), Id(21), 2, Ada)),
        Told(7, new ShipmentDelivered(Id(51), Id(61), Id(31), Id(21), 2, Ada)),
        Told(8, new UserRegistered(Id(31), "ada@example.com", "Ada")),
        Told(9, new InventoryUpdated([new StockLevel(Id(11), 5, 12), new StockLevel(Id(12), 0, 3)])),
        Told(10, new InventoryReserved(Id(61), 1, [new Allocation(Id(11), "north", 2)])),
        Told(11, new InventoryReleased(Id(61), 1, "expired")),
        Told(12, new OrderCreated(Id(61), Id(31), Money.Gbp(7498), [Lamp, Chair])),
        Told(13, new OrderConfirmed(
            Id(61), 1, Id(31), Id(41), Money.Gbp(7498), [Lamp, Chair], [new Allocation(Id(11), "north", 2), new Allocation(Id(12), "south", 1)],
            new PostalAddress("Ada", "1 High Street", "Flat 2", "London", "N1 1AA", "GB"), Ada)),
        Told(14, new OrderPaymentFailed(Id(61), 1, Id(31), Money.Gbp(7498), "card_declined", Ada)),
        Told(15, new OrderFailed(Id(61), 1, Id(31), Money.Gbp(7498), "out_of_stock", Ada, Id(71))),
        Told(16, new OrderCancelled(Id(61), 1, Id(31), Money.Gbp(7498), "changed my mind", true, Ada)),
        Told(17, new OrderDelivered(Id(61), Id(31), [Lamp, Chair], Ada)),
        Told(18, new PaymentCaptured(Id(61), 1, Id(31), Money.Gbp(7498))),
        Told(19, new PaymentFailed(Id(61), 1, Id(31), Money.Gbp(7498), "card_declined")),
        Told(20, new PaymentRefunded(Id(61), 1, Id(31), Money.Gbp(7498), "cancelled")),
        Told(21, new ProductUnpublished(Id(11), 9, Id(21))),
        Told(22, new ImageUploaded(Id(11), Id(21), Picture, "image/png", 34567)),
        Told(23, new ImageProcessed(Id(11), Picture, 1600, 1200, [new ImageRendition(800, "webp", 799, 600, 23456, "/media/pictures/lamp/800.webp")])),
        Told(24, new ImageRejected(Id(11), Picture, "The picture ends early.")),
        Told(25, new ReviewPublished(Id(11), 4.25, 8, 10)),
        Told(26, new SellerUpdated(Id(21), 3, "Bruno's Better Lamps", "Lamps since 1950.\nAll of them shine.", "https://example.com/logo.png")),
        Told(27, new FlashSaleClaimed(
            Id(71), Id(81), Id(61), Id(31), Lamp, new PostalAddress("Ada", "1 High Street", "Flat 2", "London", "N1 1AA", "GB"), Ada, "pm_card_visa", true, At(9))),
        Told(28, new FlashSaleReleased(Id(71), Id(81), Id(61), Id(31), "Brass lamp", 2, "card_declined", Ada)),
        Told(29, new FlashSaleSoldOut(Id(71), Id(11), Id(21), "Brass lamp", 100)),
        Told(30, new FlashSaleMissed(Id(71), Id(82), Id(31), "Brass lamp", Ada)),
    ];

    private static DomainEvent Told(int number, DomainEvent @event) => @event with { EventId = Id(number), OccurredAt = At(number) };

    private static Guid Id(int number) => Guid.Parse($"0198a000-0000-7000-8000-{number:000000000000}");

    private static DateTimeOffset At(int seconds) => new(2026, 1, 2, 3, 4, seconds, TimeSpan.Zero);
}
