using Marketplace.Contracts;
using Refit;

namespace Marketplace.Ordering.Clients;

/// <summary>The key of both calls is (order, attempt): however often they are repeated, money moves once.</summary>
public interface IPaymentsClient
{
    [Post("/internal/charges")]
    Task<ChargeReply> ChargeAsync([Body] ChargeRequest request);

    [Post("/internal/refunds")]
    Task<RefundReply> RefundAsync([Body] RefundRequest request);
}

public sealed record ChargeRequest(Guid OrderId, int Attempt, Guid BuyerId, Money Amount, string? PaymentMethod, DateTimeOffset ReservationExpiresAt);

/// <param name="Status">captured, processing or refused.</param>
public sealed record ChargeReply(string Status, string? Refusal);

public sealed record RefundRequest(Guid OrderId, int Attempt, string Reason);

/// <param name="Status">refunded or nothing_to_refund.</param>
public sealed record RefundReply(string Status);
