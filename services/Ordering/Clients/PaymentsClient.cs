using Marketplace.Ordering.Checkout;

namespace Marketplace.Ordering.Clients;

/// <summary>The key of both calls is (order, attempt): however often they are repeated, money moves once.</summary>
public sealed class PaymentsClient(HttpClient http)
{
    public async Task<PaymentReply> ChargeAsync(CheckoutAttempt checkout, DateTimeOffset reservationExpiresAt)
    {
        using var response = await http.PostAsJsonAsync(
            new Uri("internal/charges", UriKind.Relative),
            new { checkout.OrderId, checkout.Attempt, checkout.BuyerId, Amount = checkout.Total, checkout.PaymentMethod, reservationExpiresAt });
        response.EnsureSuccessStatusCode();
        var reply = await response.Content.ReadFromJsonAsync<ChargeReply>() ?? throw new HttpRequestException("Payments answered nothing.");
        return reply.Status switch
        {
            "captured" => new PaymentReply(null, Processing: false),
            "processing" => new PaymentReply(null, Processing: true),
            "refused" => new PaymentReply(reply.Refusal ?? "card_declined", Processing: false),
            var other => throw new HttpRequestException($"Payments answered '{other}', which means nothing here."),   // a newer word: doubt, not success
        };
    }

    /// <summary>True when there was money to give back.</summary>
    public async Task<bool> RefundAsync(Guid orderId, int attempt, string reason)
    {
        using var response = await http.PostAsJsonAsync(new Uri("internal/refunds", UriKind.Relative), new { orderId, attempt, reason });
        response.EnsureSuccessStatusCode();
        var reply = await response.Content.ReadFromJsonAsync<RefundReply>() ?? throw new HttpRequestException("Payments answered nothing.");
        return reply.Status switch
        {
            "refunded" => true,
            "nothing_to_refund" => false,
            var other => throw new HttpRequestException($"Payments answered '{other}', which means nothing here."),
        };
    }

    private sealed record ChargeReply(string Status, string? Refusal);

    private sealed record RefundReply(string Status);
}
