using System.Net;
using Refit;

namespace Marketplace.Media.Clients;

public interface ICatalogClient
{
    [Get("/internal/listings/{productId}/owner")]
    Task<ListingOwner> AskOwnerAsync(Guid productId, CancellationToken ct);

    /// <summary>Whose listing it is, published or not; null when there is none.</summary>
    async Task<Guid?> OwnerAsync(Guid productId, CancellationToken ct)
    {
        try
        {
            return (await AskOwnerAsync(productId, ct)).SellerId;
        }
        catch (HttpRequestException e) when (e.StatusCode == HttpStatusCode.NotFound)
        {
            return null;
        }
    }
}

public sealed record ListingOwner(Guid SellerId);
