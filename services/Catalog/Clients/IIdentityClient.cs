using System.Net;
using Refit;

namespace Marketplace.Catalog.Clients;

public interface IIdentityClient
{
    [Get("/api/v1/sellers/{sellerId}")]
    Task<SellerProfile> SellerAsync(Guid sellerId, CancellationToken ct);

    /// <summary>The name a seller trades under; null when identity knows no such seller.</summary>
    async Task<string?> SellerNameAsync(Guid sellerId, CancellationToken ct)
    {
        try
        {
            return (await SellerAsync(sellerId, ct)).DisplayName;
        }
        catch (HttpRequestException unknown) when (unknown.StatusCode == HttpStatusCode.NotFound)
        {
            return null;
        }
    }
}

public sealed record SellerProfile(string DisplayName);
