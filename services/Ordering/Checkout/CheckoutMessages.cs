using Marketplace.Contracts;
using Marketplace.Ordering.FlashOrders;

namespace Marketplace.Ordering.Checkout;

/// <summary>One try to sell an order: the input of the saga and the key of everything it does.</summary>
/// <param name="SaleId">Of a flash order: its units come out of the sale's allotment.</param>
public sealed record CheckoutAttempt(Guid OrderId, int Attempt, Guid BuyerId, Money Total, string? PaymentMethod, Guid? SaleId = null)
{
    public string SagaId => SagaIds.Checkout(OrderId, Attempt);
}

public static class SagaIds
{
    public static string Checkout(Guid orderId, int attempt) => $"{orderId:N}-{attempt}";

    public static string Cancellation(Guid orderId, int attempt) => $"{orderId:N}-{attempt}-cancel";
}

public sealed record StepReply(string? Refusal)
{
    public static readonly StepReply Done = new((string?)null);
}

/// <summary>Where the units lie and until when they are held.</summary>
public sealed record StockReply(string? Refusal, IReadOnlyList<Allocation> Allocations, DateTimeOffset? ExpiresAt);

public sealed record Charge(CheckoutAttempt Checkout, DateTimeOffset ReservedUntil);

/// <summary><see cref="Processing"/>: payments does not know yet; ask again.</summary>
public sealed record PaymentReply(string? Refusal, bool Processing);

public sealed record Confirmation(CheckoutAttempt Checkout, IReadOnlyList<Allocation> Allocations);

public sealed record Undo(CheckoutAttempt Checkout, string Reason);

public sealed record UndoReply(bool MoneyWentBack);

public sealed record RefusedCheckout(CheckoutAttempt Checkout, string Reason, bool Refunded);

public sealed record CheckoutOutcome(bool Succeeded, string? Refusal)
{
    public static readonly CheckoutOutcome Confirmed = new(true, null);

    public static CheckoutOutcome Refused(string reason) => new(false, reason);
}

/// <summary>Why a checkout came to nothing. Payments and inventory may add words of their own; these are the ones we act on.</summary>
public static class Refusals
{
    public const string OutOfStock = "out_of_stock";

    /// <summary>Inventory: this attempt was released before. It was being undone.</summary>
    public const string Released = "released";

    /// <summary>The buyer or an operator called it off; from payments: this attempt was undone.</summary>
    public const string Cancelled = "cancelled";

    /// <summary>A neighbour could not be reached for longer than we keep a buyer waiting.</summary>
    public const string Unavailable = "unavailable";

    public const string PaymentTimedOut = "payment_timed_out";
}

/// <summary>The command that starts a saga, as it waits in the outbox. A retry may also restart an attempt that is past its confirmation.</summary>
public sealed record StartSaga(Guid OrderId, int Attempt, bool Retry = false)
{
    public const string Lane = "checkout";

    /// <summary>Flash orders wait in a lane of their own, whose pace is bounded.</summary>
    public static string LaneOf(Guid? saleId) => saleId is null ? Lane : FlashOrderStore.Lane;
}
