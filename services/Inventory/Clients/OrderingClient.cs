using System.Text.Json;

namespace Marketplace.Inventory.Clients;

public sealed class OrderingClient(HttpClient http)
{
    /// <summary>Whether the attempt's units must be kept; null when ordering gave no answer.</summary>
    public async Task<bool?> NeedsStockAsync(Guid orderId, int attempt, CancellationToken ct)
    {
        try
        {
            using var response = await http.GetAsync(new Uri($"internal/orders/{orderId}/attempts/{attempt}", UriKind.Relative), ct);
            return response.IsSuccessStatusCode ? (await response.Content.ReadFromJsonAsync<AttemptStanding>(ct))?.NeedsStock : null;
        }
        catch (Exception noAnswer) when (noAnswer is HttpRequestException or JsonException || (noAnswer is TaskCanceledException && !ct.IsCancellationRequested))
        {
            return null;
        }
    }

    private sealed record AttemptStanding(bool? NeedsStock);
}
