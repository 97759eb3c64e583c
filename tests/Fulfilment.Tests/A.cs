using Marketplace.Contracts;

namespace Marketplace.Fulfilment.Tests;

/// <summary>Builders.</summary>
public static class A
{
    public static readonly Guid Lamp = Guid.CreateVersion7();
    public static readonly Guid Book = Guid.CreateVersion7();
    public static readonly Guid Chair = Guid.CreateVersion7();
    public static readonly Guid Ada = Guid.CreateVersion7();
    public static readonly Guid Bruno = Guid.CreateVersion7();      // sells lamps and chairs
    public static readonly Guid Clara = Guid.CreateVersion7();      // sells books

    /// <summary>Two sellers, two warehouses: three lamps of Bruno's from both, two books of Clara's from the north, one chair of Bruno's from the south.</summary>
    public static OrderConfirmed Order(Guid? orderId = null, Guid? buyerId = null) => new(
        orderId ?? Guid.CreateVersion7(), 1, buyerId ?? Ada, Guid.CreateVersion7(), Money.Gbp(3 * 1_000 + 2 * 500 + 7_000),
        [
            new OrderedLine(Lamp, Bruno, "Lamp", 3, Money.Gbp(1_000)),
            new OrderedLine(Book, Clara, "Book", 2, Money.Gbp(500)),
            new OrderedLine(Chair, Bruno, "Chair", 1, Money.Gbp(7_000)),
        ],
        [new Allocation(Lamp, "north", 1), new Allocation(Lamp, "south", 2), new Allocation(Book, "north", 2), new Allocation(Chair, "south", 1)],
        new PostalAddress("Ada", "1 Analytical Row", null, "London", "N1 1AA", "GB"),
        new OrderContact("ada@example.com", "Ada"));

    public static OrderCancelled Cancelled(OrderConfirmed order) => new(order.OrderId, 1, order.BuyerId, order.Total, "changed my mind", true, order.Contact);
}
