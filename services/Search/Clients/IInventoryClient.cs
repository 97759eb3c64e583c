using Marketplace.Contracts;
using Refit;

namespace Marketplace.Search.Clients;

public interface IInventoryClient
{
    const int Most = 1_000;

    /// <summary>What is there of each, as its event would say it; without what was never counted. At most <see cref="Most"/> at once.</summary>
    [Post("/internal/stock/levels")]
    Task<StockLevels> LevelsAsync([Body] LevelsRequest request, CancellationToken ct);
}

public sealed record LevelsRequest(IReadOnlyList<Guid> ProductIds);

public sealed record StockLevels(IReadOnlyList<StockLevel> Levels);
