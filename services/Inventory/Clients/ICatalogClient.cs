using Refit;

namespace Marketplace.Inventory.Clients;

public interface ICatalogClient
{
    [Post("/internal/prices")]
    Task<PricesReply> PriceAsync([Body] PricesRequest request, CancellationToken ct);

    /// <summary>
    /// The seller of each product that can be stocked, variants and what is not published yet among them; unknown and deleted ones, and
    /// listings of which only variants are sold, are absent.
    /// </summary>
    async Task<IReadOnlyDictionary<Guid, Guid>> SellersOfAsync(IReadOnlyCollection<Guid> productIds, CancellationToken ct) =>
        (await PriceAsync(new PricesRequest(productIds, ForSeller: true), ct)).Products.ToDictionary(product => product.ProductId, product => product.SellerId);
}

public sealed record PricesRequest(IReadOnlyCollection<Guid> ProductIds, bool ForSeller);

public sealed record PricesReply(IReadOnlyList<ListedProduct> Products);

public sealed record ListedProduct(Guid ProductId, Guid SellerId);
