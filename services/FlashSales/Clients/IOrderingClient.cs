using Refit;

namespace Marketplace.FlashSales.Clients;

public interface IOrderingClient
{
    /// <summary>Asks ordering to give a sale's order up. Its answer is the truth; an order it never heard of can never be made afterwards.</summary>
    [Post("/internal/flash-orders/{orderId}/abandonment")]
    Task<AbandonmentReply> AbandonAsync(Guid orderId, AbandonmentRequest request, CancellationToken ct);
}

public sealed record AbandonmentRequest(string Reason);

/// <param name="Status">abandoned, pending, confirmed, failed or cancelled.</param>
public sealed record AbandonmentReply(string Status);
