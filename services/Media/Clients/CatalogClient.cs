using System.Net;
using System.Net.Http.Json;

namespace Marketplace.Media.Clients;

public sealed class CatalogClient(HttpClient http)
{
    /// <summary>Whose listing it is, published or not; null when there is none.</summary>
    public async Task<Guid?> OwnerAsync(Guid productId, CancellationToken ct)
    {
        using var response = await http.GetAsync(new Uri($"internal/listings/{productId}/owner", UriKind.Relative), ct);
        if (response.StatusCode == HttpStatusCode.NotFound)
            return null;
        response.EnsureSuccessStatusCode();
        return (await response.Content.ReadFromJsonAsync<Owner>(ct))!.SellerId;
    }

    private sealed record Owner(Guid SellerId);
}
