using Marketplace.Contracts;
using Refit;

namespace Marketplace.Ordering.Clients;

public interface ICatalogClient
{
    [Post("/internal/prices")]
    Task<PricesReply> PriceAsync([Body] PricesRequest request, CancellationToken ct);

    /// <summary>What the products cost now, in one call. Unknown and deleted ones are absent.</summary>
    async Task<IReadOnlyDictionary<Guid, ListedProduct>> PricesAsync(IReadOnlyCollection<Guid> productIds, CancellationToken ct) =>
        (await PriceAsync(new PricesRequest(productIds), ct)).Products.ToDictionary(product => product.ProductId);
}

public sealed record PricesRequest(IReadOnlyCollection<Guid> ProductIds);

public sealed record PricesReply(IReadOnlyList<ListedProduct> Products);

public sealed record ListedProduct(Guid ProductId, Guid SellerId, string Title, Money Price);
