using System.Net;

namespace Marketplace.Catalog.Clients;

public sealed class IdentityClient(HttpClient http)
{
    /// <summary>The name a seller trades under; null when identity knows no such seller.</summary>
    public async Task<string?> SellerNameAsync(Guid sellerId, CancellationToken ct)
    {
        using var reply = await http.GetAsync(new Uri($"api/v1/sellers/{sellerId}", UriKind.Relative), ct);
        if (reply.StatusCode == HttpStatusCode.NotFound)
            return null;

        reply.EnsureSuccessStatusCode();
        return (await reply.Content.ReadFromJsonAsync<Profile>(ct))?.DisplayName;
    }

    private sealed record Profile(string DisplayName);
}
