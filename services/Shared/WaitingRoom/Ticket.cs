namespace Marketplace.WaitingRoom;

/// <summary>
/// A place in a sale's queue. <see cref="Late"/>: taken after the draw, so <see cref="Number"/> counts from the end of those who were
/// early; else the number is what the draw shuffles. The buyer may show it from any device; it says nothing that is secret.
/// </summary>
public sealed record Ticket(Guid SaleId, Guid BuyerId, bool Late, long Number, DateTimeOffset Expires);

public enum TicketFault
{
    None,

    /// <summary>Not something that was ever a ticket.</summary>
    Malformed,

    /// <summary>Not signed by any of our keys.</summary>
    Forged,

    Expired,
}
