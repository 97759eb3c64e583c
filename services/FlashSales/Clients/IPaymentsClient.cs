using Refit;

namespace Marketplace.FlashSales.Clients;

public interface IPaymentsClient
{
    /// <summary>A saved payment method of each shopper, by its id or the default; at most 500 at once. Who has none is absent.</summary>
    [Post("/internal/payment-methods")]
    Task<PaymentMethodsReply> MethodsAsync([Body] PaymentMethodsRequest request, CancellationToken ct);
}

public sealed record PaymentMethodsRequest(IReadOnlyList<WantedMethod> Wanted);

public sealed record WantedMethod(Guid BuyerId, Guid? MethodId = null);

public sealed record PaymentMethodsReply(IReadOnlyList<BuyerMethod> Methods);

public sealed record BuyerMethod(Guid BuyerId, Guid MethodId);
