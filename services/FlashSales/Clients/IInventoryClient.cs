using Refit;

namespace Marketplace.FlashSales.Clients;

/// <summary>Every answer but a success is a fault; "not enough" is an answer.</summary>
public interface IInventoryClient
{
    /// <summary>Makes the allotment what is asked for. May be repeated; a question of a lower version than inventory knows changes nothing.</summary>
    [Put("/internal/allotments/{saleId}")]
    Task<AllotmentReply> AllotAsync(Guid saleId, [Body] AllotmentRequest request, CancellationToken ct);

    [Get("/internal/allotments/{saleId}")]
    Task<AllotmentFigures> AllottedAsync(Guid saleId, CancellationToken ct);
}

/// <param name="Units">All the sale is to have, those that were sold already among them.</param>
public sealed record AllotmentRequest(Guid ProductId, Guid SellerId, int Units, long Version);

/// <param name="Refusal">Null, or out_of_stock, unknown_product, other_product, below_taken: why it is not as asked for.</param>
/// <param name="Units">What the sale has now, sold ones included.</param>
/// <param name="Taken">What of it orders hold or took.</param>
/// <param name="Available">What anybody may still buy of the product.</param>
/// <param name="Version">Of the question that made it so.</param>
public sealed record AllotmentReply(string? Refusal, int Units, int Taken, int Available, long Version);

/// <param name="Committed">What of the taken left the house.</param>
public sealed record AllotmentFigures(int Units, int Taken, int Committed, long Version);
