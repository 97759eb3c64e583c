using System.ComponentModel.DataAnnotations;
using Marketplace.Contracts;
using Marketplace.Hosting;

namespace Marketplace.Inventory.Stock;

public sealed record LevelsRequest([property: Required, MaxLength(LevelEndpoints.Most)] IReadOnlyList<Guid> ProductIds);

/// <param name="Levels">Without what was never counted.</param>
public sealed record LevelsReply(IReadOnlyList<StockLevel> Levels);

/// <summary>What <c>inventory.updated</c> would say of many products now, for a neighbour that begins anew.</summary>
public static class LevelEndpoints
{
    public const int Most = 1_000;

    public static void MapLevels(this IEndpointRouteBuilder routes) => routes.MapInternal("/internal/stock/levels").MapPost("/", ReadAsync);

    private static async Task<LevelsReply> ReadAsync(LevelsRequest request, StockStore stock, CancellationToken ct) => new(await stock.LevelsAsync(request.ProductIds, ct));
}
