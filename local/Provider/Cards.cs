namespace Marketplace.Local.Provider;

/// <summary>What happens when a card is charged.</summary>
internal sealed record Decline(string Code, string? DeclineCode, string Message);

/// <summary>A documented test card. <see cref="Attachable"/>: a card that is declined cannot be saved either, but for the one made for that.</summary>
internal sealed record Card(string Name, string Brand, string Last4, string Funding, string Country, Decline? Decline = null, bool Attachable = true, bool RequiresAction = false);

/// <summary>The test cards of https://docs.stripe.com/testing, by the part of their name after <c>pm_card_</c> or <c>tok_</c>.</summary>
internal static class Cards
{
    private static readonly Decline Generic = new("card_declined", "generic_decline", "Your card was declined.");
    private static readonly Decline NoFunds = new("card_declined", "insufficient_funds", "Your card has insufficient funds.");
    private static readonly Decline Lost = new("card_declined", "lost_card", "Your card was declined.");
    private static readonly Decline Stolen = new("card_declined", "stolen_card", "Your card was declined.");
    private static readonly Decline Velocity = new("card_declined", "card_velocity_exceeded", "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.");
    private static readonly Decline Fraud = new("card_declined", "fraudulent", "Your card was declined.");
    private static readonly Decline Expired = new("expired_card", null, "Your card has expired.");
    private static readonly Decline Cvc = new("incorrect_cvc", null, "Your card's security code is incorrect.");
    private static readonly Decline Processing = new("processing_error", null, "An error occurred while processing your card. Try again in a little bit.");

    private static readonly Dictionary<string, Card> ByName = ((Card[])
    [
        new("visa", "visa", "4242", "credit", "US"),
        new("visa_debit", "visa", "5556", "debit", "US"),
        new("mastercard", "mastercard", "4444", "credit", "US"),
        new("mastercard_debit", "mastercard", "8210", "debit", "US"),
        new("mastercard_prepaid", "mastercard", "5100", "prepaid", "US"),
        new("amex", "amex", "8431", "credit", "US"),
        new("discover", "discover", "1117", "credit", "US"),
        new("diners", "diners", "0004", "credit", "US"),
        new("jcb", "jcb", "0505", "credit", "JP"),
        new("unionpay", "unionpay", "0005", "credit", "CN"),
        new("us", "visa", "4242", "credit", "US"),
        new("gb", "visa", "0000", "credit", "GB"),
        new("gb_debit", "visa", "0008", "debit", "GB"),
        new("de", "visa", "0002", "credit", "DE"),
        new("fr", "visa", "0003", "credit", "FR"),
        new("threeDSecure2Required", "visa", "3220", "credit", "US", RequiresAction: true),
        new("authenticationRequired", "visa", "3184", "credit", "US", RequiresAction: true),
        new("chargeCustomerFail", "visa", "0341", "credit", "US", Generic),
        .. Declined("visa_chargeDeclined", "0002", Generic),
        .. Declined("visa_chargeDeclinedInsufficientFunds", "9995", NoFunds),
        .. Declined("visa_chargeDeclinedLostCard", "9987", Lost),
        .. Declined("visa_chargeDeclinedStolenCard", "9979", Stolen),
        .. Declined("visa_chargeDeclinedVelocityLimitExceeded", "6975", Velocity),
        .. Declined("visa_chargeDeclinedFraudulent", "0019", Fraud),
        .. Declined("visa_chargeDeclinedExpiredCard", "0069", Expired),
        .. Declined("visa_chargeDeclinedIncorrectCvc", "0127", Cvc),
        .. Declined("visa_chargeDeclinedProcessingError", "0119", Processing),
    ]).ToDictionary(card => card.Name, StringComparer.Ordinal);

    /// <summary>The card behind a test payment method or token: <c>pm_card_visa</c>, <c>tok_visa</c>; null when there is none.</summary>
    public static Card? Find(string reference)
    {
        var name = reference.StartsWith("pm_card_", StringComparison.Ordinal) ? reference["pm_card_".Length..]
            : reference.StartsWith("tok_", StringComparison.Ordinal) ? reference["tok_".Length..]
            : null;
        return name is null ? null : ByName.GetValueOrDefault(name);
    }

    public static Card Named(string name) => ByName[name];

    // Declines are known under two names, with and without the brand: the documentation changed over the years.
    private static IEnumerable<Card> Declined(string name, string last4, Decline decline)
    {
        yield return new(name, "visa", last4, "credit", "US", decline, Attachable: false);
        yield return new(name["visa_".Length..], "visa", last4, "credit", "US", decline, Attachable: false);
    }
}
