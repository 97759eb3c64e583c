using Marketplace.Contracts;
using Refit;

namespace Marketplace.FlashSales.Clients;

public interface ICatalogClient
{
    [Post("/internal/prices")]
    Task<PricesReply> PriceAsync([Body] PricesRequest request, CancellationToken ct);

    /// <summary>A product or variant that can be sold, published or not yet; null for what is unknown, deleted, or a listing of which only variants are sold.</summary>
    async Task<ListedProduct?> FindAsync(Guid productId, CancellationToken ct) =>
        (await PriceAsync(new PricesRequest([productId], ForSeller: true), ct)).Products.FirstOrDefault(product => product.ProductId == productId);
}

public sealed record PricesRequest(IReadOnlyCollection<Guid> ProductIds, bool ForSeller);

public sealed record PricesReply(IReadOnlyList<ListedProduct> Products);

public sealed record ListedProduct(Guid ProductId, Guid SellerId, string Title, Money Price);
