using Refit;

namespace Marketplace.Ordering.Clients;

public interface ICartClient
{
    [Get("/internal/carts/{buyerId}")]
    Task<BuyersCart> OfAsync(Guid buyerId, CancellationToken ct);
}

public sealed record BuyersCart(Guid CartId, IReadOnlyList<CartLine> Lines);

public sealed record CartLine(Guid ProductId, int Quantity);
