using Marketplace.Contracts;
using Marketplace.Ordering.Checkout;

namespace Marketplace.Ordering.Clients;

/// <summary>Every answer but a 200 is a fault, which the saga retries; "not enough" is an answer.</summary>
public sealed class InventoryClient(HttpClient http)
{
    public async Task<StockReply> ReserveAsync(Guid orderId, int attempt, IReadOnlyList<WantedLine> lines)
    {
        using var response = await http.PostAsJsonAsync(new Uri("internal/reservations", UriKind.Relative), new { orderId, attempt, lines });
        var reply = await ReadAsync<ReserveReply>(response);
        return new StockReply(reply.Refusal, reply.Allocations ?? [], reply.ExpiresAt);
    }

    public async Task ReleaseAsync(Guid orderId, int attempt, string reason)
    {
        using var response = await http.PostAsJsonAsync(new Uri($"internal/reservations/{orderId}/{attempt}/release", UriKind.Relative), new { reason });
        response.EnsureSuccessStatusCode();
    }

    /// <summary>Null when the units left the house, else why not.</summary>
    public async Task<string?> CommitAsync(Guid orderId, int attempt)
    {
        using var response = await http.PostAsync(new Uri($"internal/reservations/{orderId}/{attempt}/commit", UriKind.Relative), null);
        return (await ReadAsync<CommitReply>(response)).Refusal;
    }

    private static async Task<T> ReadAsync<T>(HttpResponseMessage response)
    {
        response.EnsureSuccessStatusCode();
        return await response.Content.ReadFromJsonAsync<T>() ?? throw new HttpRequestException("Inventory answered nothing.");
    }

    private sealed record ReserveReply(string? Refusal, IReadOnlyList<Allocation>? Allocations, DateTimeOffset? ExpiresAt);

    private sealed record CommitReply(string? Refusal);
}

public sealed record WantedLine(Guid ProductId, int Quantity);
