using Marketplace.Contracts;
using Refit;

namespace Marketplace.Search.Clients;

public interface ICatalogClient
{
    [Post("/internal/listings/pages")]
    Task<CatalogPage> PageAsync([Body] PageRequest request, CancellationToken ct);
}

/// <param name="After">The last listing of the page before; null for the first.</param>
public sealed record PageRequest(Guid? After);

/// <param name="Items">Listings as their events would say them now.</param>
/// <param name="Ratings">Of those that have reviews.</param>
public sealed record CatalogPage(IReadOnlyList<ProductUpserted> Items, Guid? Next, IReadOnlyList<CatalogRating>? Ratings = null);

public sealed record CatalogRating(Guid ProductId, double Average, int Count, long Version);
