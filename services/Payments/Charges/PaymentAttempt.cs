using Marketplace.Contracts;
using Marketplace.Payments.Provider;

namespace Marketplace.Payments.Charges;

public enum AttemptStatus
{
    Charging,
    Captured,
    Refused,
    Undoing,
    Cancelled,
    Refunded,
}

/// <summary>An attempt's row. A tombstone has no buyer and no amount.</summary>
public sealed record PaymentAttempt(
    Guid OrderId,
    int Attempt,
    Guid PaymentId,
    Guid? BuyerId,
    Money? Amount,
    string? PaymentMethod,
    string? ProviderCustomer,
    DateTimeOffset? ReservationExpiresAt,
    AttemptStatus Status,
    string? Refusal,
    string? IntentId,
    int Fence,
    bool LeaseIsLive,
    bool CloseIntent,
    bool WasCaptured)
{
    /// <summary>Something of it is at the provider that a later attempt must end first.</summary>
    public bool IsOpen => Status is AttemptStatus.Charging or AttemptStatus.Captured or AttemptStatus.Undoing || (Status == AttemptStatus.Refused && IntentId is not null);

    /// <summary>What the provider is asked to charge. The same row asks the same, whoever reads it.</summary>
    public ProviderCharge ToProvider() => new(OrderId, Attempt, Amount!.Value.Minor, Amount.Value.Currency, PaymentMethod!, ProviderCustomer);

    /// <summary>
    /// A key for the provider, named after the step. Who took an attempt over asks under a key of its own where the intent's state already keeps
    /// the step from happening twice: the first answer may be a kept 500 that would come back for ever.
    /// </summary>
    public string Key(string step, bool ofThisFence = false) => ofThisFence && Fence > 1 ? $"{OrderId:N}-{Attempt}-{step}-{Fence}" : $"{OrderId:N}-{Attempt}-{step}";
}
