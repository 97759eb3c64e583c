namespace Marketplace.Payments;

/// <summary>Why a charge is refused, in the words that travel to ordering and on to the buyer.</summary>
public static class Refusals
{
    public const string CardDeclined = "card_declined";
    public const string ProviderUnavailable = "provider_unavailable";
    public const string PaymentMethodMissing = "payment_method_missing";
    public const string ReservationExpiring = "reservation_expiring";
    public const string Cancelled = "cancelled";
}
