using Marketplace.Contracts;
using Refit;

namespace Marketplace.Ordering.Clients;

/// <summary>Every answer but a success is a fault, which the saga retries; "not enough" is an answer.</summary>
public interface IInventoryClient
{
    [Post("/internal/reservations")]
    Task<Reservation> ReserveAsync([Body] ReserveRequest request);

    [Post("/internal/reservations/{orderId}/{attempt}/release")]
    Task ReleaseAsync(Guid orderId, int attempt, [Body] ReleaseRequest request);

    [Post("/internal/reservations/{orderId}/{attempt}/commit")]
    Task<Commitment> CommitAsync(Guid orderId, int attempt);
}

/// <param name="SaleId">Out of this sale's allotment.</param>
public sealed record ReserveRequest(Guid OrderId, int Attempt, IReadOnlyList<WantedLine> Lines, Guid? SaleId);

public sealed record WantedLine(Guid ProductId, int Quantity);

/// <param name="Refusal">Null when every line is held.</param>
public sealed record Reservation(string? Refusal, IReadOnlyList<Allocation>? Allocations, DateTimeOffset? ExpiresAt);

public sealed record ReleaseRequest(string Reason);

/// <param name="Refusal">Null when the units left the house.</param>
public sealed record Commitment(string? Refusal);
