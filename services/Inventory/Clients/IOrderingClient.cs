using Refit;

namespace Marketplace.Inventory.Clients;

public interface IOrderingClient
{
    [Get("/internal/orders/{orderId}/attempts/{attempt}")]
    Task<AttemptStanding> AttemptAsync(Guid orderId, int attempt, CancellationToken ct);

    /// <summary>Whether the attempt's units must be kept; null when ordering gave no answer.</summary>
    async Task<bool?> NeedsStockAsync(Guid orderId, int attempt, CancellationToken ct)
    {
        try
        {
            return (await AttemptAsync(orderId, attempt, ct)).NeedsStock;
        }
        catch (Exception noAnswer) when (noAnswer is HttpRequestException || (noAnswer is TaskCanceledException && !ct.IsCancellationRequested))
        {
            return null;
        }
    }
}

public sealed record AttemptStanding(bool? NeedsStock);
