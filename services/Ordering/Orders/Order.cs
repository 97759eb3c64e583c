using Marketplace.Ordering.Checkout;

namespace Marketplace.Ordering.Orders;

public static class OrderStatus
{
    public const string Pending = "PENDING";
    public const string Confirmed = "CONFIRMED";
    public const string PaymentFailed = "PAYMENT_FAILED";
    public const string Failed = "FAILED";
    public const string Cancelled = "CANCELLED";
    public const string Shipped = "SHIPPED";
    public const string Delivered = "DELIVERED";

    public static readonly IReadOnlyList<string> All = [Pending, Confirmed, PaymentFailed, Failed, Cancelled, Shipped, Delivered];
}

public static class AttemptStatus
{
    public const string Pending = "pending";
    public const string Confirmed = "confirmed";
    public const string PaymentFailed = "payment_failed";
    public const string Failed = "failed";
    public const string Cancelled = "cancelled";

    /// <summary>For an attempt nobody ever heard of; not a value of the table.</summary>
    public const string Unknown = "unknown";

    /// <summary>While this holds, what inventory keeps for the attempt must stay. Once committed, inventory no longer asks.</summary>
    public static bool NeedsStock(string status) => status is Pending or Confirmed;
}

/// <summary>The moves between an order's states. No I/O: the stores ask here and write what they are told.</summary>
public static class OrderMoves
{
    /// <summary>
    /// What becomes of an order whose saga gave up, everything it held having been given back. A buyer who wanted out gets out,
    /// whatever the saga stumbled over; a shortage closes the order; all else can be paid again. Not an order of a flash sale: its unit goes
    /// to the next in line, so nobody may pay for it later.
    /// </summary>
    public static Refused AfterRefusal(string status, bool cancelRequested, string refusal, bool ofSale = false) => (status, cancelRequested, refusal) switch
    {
        (OrderStatus.Pending or OrderStatus.Confirmed, true, _) => Refused.Cancelled,
        (OrderStatus.Confirmed, false, _) => Refused.Cancelled,            // sold and then not there: refunded, so over
        (OrderStatus.Pending, false, Refusals.OutOfStock) => Refused.Failed,
        (OrderStatus.Pending, false, _) when ofSale => Refused.Failed,
        (OrderStatus.Pending, false, _) => Refused.PaymentFailed,
        (OrderStatus.Shipped or OrderStatus.Delivered, _, _) => Refused.OnItsWay,
        _ => Refused.AlreadyEnded,
    };

    /// <summary>The reason as the buyer reads it. Tombstones are our own words for an attempt that was being undone.</summary>
    public static string ReasonOf(string refusal) => refusal is Refusals.Cancelled or Refusals.Released ? Refusals.Unavailable : refusal;

    public static Cancellation Cancel(string status, bool cancelRequested, bool parked) => (status, cancelRequested, parked) switch
    {
        (OrderStatus.Cancelled, _, _) => Cancellation.AlreadyCancelled,
        (OrderStatus.PaymentFailed, _, _) => Cancellation.AtOnce,          // nothing is held
        (OrderStatus.Pending, _, true) => Cancellation.ByUndoing,          // its saga stands still and would never see the wish
        (OrderStatus.Pending or OrderStatus.Confirmed, true, _) => Cancellation.AlreadyAsked,
        (OrderStatus.Pending, false, false) => Cancellation.WhenItsSagaConfirms,
        (OrderStatus.Confirmed, false, _) => Cancellation.ByUndoing,
        (OrderStatus.Shipped or OrderStatus.Delivered, _, _) => Cancellation.AlreadyShipped,
        _ => Cancellation.AlreadyClosed,
    };

    /// <summary>The sale gives the order up, not its buyer: only what is not sold yet.</summary>
    public static Cancellation Abandon(string status, bool cancelRequested, bool parked) =>
        status is OrderStatus.Confirmed or OrderStatus.Shipped or OrderStatus.Delivered ? Cancellation.AlreadySold : Cancel(status, cancelRequested, parked);

    /// <summary>Where the parcels take the order. Nothing brings back an order that was called off.</summary>
    public static string AfterParcels(string status, int parcels, int underWay, int arrived) => status switch
    {
        OrderStatus.Confirmed or OrderStatus.Shipped when parcels > 0 && arrived >= parcels => OrderStatus.Delivered,
        OrderStatus.Confirmed when underWay > 0 => OrderStatus.Shipped,
        _ => status,
    };
}

public enum Refused { PaymentFailed, Failed, Cancelled, AlreadyEnded, OnItsWay }

public enum Cancellation { AtOnce, WhenItsSagaConfirms, ByUndoing, AlreadyAsked, AlreadyCancelled, AlreadyShipped, AlreadyClosed, AlreadySold, NotYours }

/// <summary>How far a parcel is. The numbers are stored; they only grow.</summary>
public enum ParcelStage : short { Created = 1, Shipped = 2, OutForDelivery = 3, Delivered = 4 }

public static class ParcelStages
{
    public static string Text(this ParcelStage stage) => stage switch
    {
        ParcelStage.Created => "created",
        ParcelStage.Shipped => "shipped",
        ParcelStage.OutForDelivery => "out_for_delivery",
        _ => "delivered",
    };
}
