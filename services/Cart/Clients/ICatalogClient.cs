using Marketplace.Contracts;
using Refit;

namespace Marketplace.Cart.Clients;

public interface ICatalogClient
{
    [Post("/internal/prices")]
    Task<PricesReply> PriceAsync([Body] PricesRequest request, CancellationToken ct);

    /// <summary>What the products cost now, in one call. A product that is not listed is absent.</summary>
    async Task<IReadOnlyDictionary<Guid, ProductPrice>> PricesAsync(IReadOnlyCollection<Guid> productIds, CancellationToken ct) =>
        productIds.Count == 0
            ? new Dictionary<Guid, ProductPrice>()
            : (await PriceAsync(new PricesRequest(productIds), ct)).Products.ToDictionary(product => product.ProductId);
}

public sealed record PricesRequest(IReadOnlyCollection<Guid> ProductIds);

public sealed record PricesReply(IReadOnlyList<ProductPrice> Products);

public sealed record ProductPrice(Guid ProductId, Guid SellerId, string Title, Money Price);
