namespace Marketplace.WaitingRoom;

/// <summary>Why a ticket opens nothing, in the words that whoever looks at it says: the gateway first, then the service.</summary>
/// <param name="Status">Of HTTP.</param>
/// <param name="Slug">Last part of the problem's type.</param>
/// <param name="Detail">What to do about it.</param>
public sealed record TicketRefusal(int Status, string Slug, string Title, string Detail)
{
    /// <summary>Malformed, or not signed by us.</summary>
    public static readonly TicketRefusal Invalid = new(400, "ticket-invalid", "This is not a ticket of ours.", "Join the queue: the ticket is in the answer, to be sent back as it came.");

    public static readonly TicketRefusal NotYours = new(403, "ticket-not-yours", "This ticket is somebody else's.", "Join the queue with the account you are signed in with.");

    public static readonly TicketRefusal OtherSale = new(409, "ticket-other-sale", "This ticket is for another sale.", "Each sale has its own queue; join this one's for a ticket.");

    public static readonly TicketRefusal Expired = new(
        409, "ticket-expired", "This ticket has expired.", "Join the queue again: whoever has a place gets a new ticket for it, as long as the sale lasts.");
}
