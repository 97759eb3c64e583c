namespace Marketplace.Contracts;

public sealed record PaymentCaptured(Guid OrderId, int Attempt, Guid BuyerId, Money Amount) : DomainEvent
{
    public const string Topic = "payment.captured";
}

public sealed record PaymentFailed(Guid OrderId, int Attempt, Guid BuyerId, Money Amount, string Reason) : DomainEvent
{
    public const string Topic = "payment.failed";
}

public sealed record PaymentRefunded(Guid OrderId, int Attempt, Guid BuyerId, Money Amount, string Reason) : DomainEvent
{
    public const string Topic = "payment.refunded";
}
