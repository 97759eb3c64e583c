using System.Net;

namespace Marketplace.Search.Clients;

public sealed class InventoryClient(HttpClient http)
{
    public async Task<int> AvailableAsync(Guid productId, CancellationToken ct)
    {
        using var reply = await http.GetAsync(new Uri($"api/v1/stock/{productId}", UriKind.Relative), ct);
        if (reply.StatusCode == HttpStatusCode.NotFound)
            return 0;

        reply.EnsureSuccessStatusCode();
        return (await reply.Content.ReadFromJsonAsync<StockOfProduct>(ct))?.Available ?? 0;
    }

    private sealed record StockOfProduct(int Available);
}
