using Marketplace.Contracts;

namespace Marketplace.Search.Clients;

public sealed class InventoryClient(HttpClient http)
{
    public const int Most = 1_000;

    /// <summary>What is there of each, as its event would say it; without what was never counted.</summary>
    public async Task<IReadOnlyList<StockLevel>> LevelsAsync(IReadOnlyList<Guid> productIds, CancellationToken ct)
    {
        using var reply = await http.PostAsJsonAsync(new Uri("internal/stock/levels", UriKind.Relative), new { productIds }, ct);
        reply.EnsureSuccessStatusCode();
        return (await reply.Content.ReadFromJsonAsync<Levelled>(ct))?.Levels ?? throw new InvalidOperationException("Inventory answered nothing where levels were expected.");
    }

    private sealed record Levelled(IReadOnlyList<StockLevel> Levels);
}
