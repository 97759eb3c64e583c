using System.Net;
using Refit;

namespace Marketplace.Media.Clients;

public interface ICatalogClient
{
    [Get("/internal/listings/{productId}/owner")]
    Task<ListingOwner> AskOwnerAsync(Guid productId, CancellationToken ct);

    /// <summary>Whose listing it is, published or not; null when there is none.</summary>
    async Task<ListingOwner?> OwnerAsync(Guid productId, CancellationToken ct)
    {
        try
        {
            return await AskOwnerAsync(productId, ct);
        }
        catch (HttpRequestException e) when (e.StatusCode == HttpStatusCode.NotFound)
        {
            return null;
        }
    }
}

/// <param name="Images">Pictures it has.</param>
/// <param name="MostImages">Pictures it may have.</param>
public sealed record ListingOwner(Guid SellerId, int Images = 0, int MostImages = int.MaxValue);
