using System.ComponentModel.DataAnnotations;
using System.Diagnostics;
using System.Security.Claims;
using Marketplace.Hosting;
using Marketplace.Inventory.Clients;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Inventory.Stock;

public static class StockEndpoints
{
    private const int LargestPage = 500;

    public static void MapStock(this IEndpointRouteBuilder routes)
    {
        routes.MapGet("/api/v1/stock/{productId:guid}", ReadAsync).AllowAnonymous();

        var seller = routes.MapGroup("/api/v1").RequireAuthorization(Policies.Seller);
        seller.MapPut("/stock", CountAsync);
        seller.MapGet("/seller/stock", ListAsync);
    }

    private static async Task<Results<Ok<ProductStock>, NotFound>> ReadAsync(Guid productId, HttpResponse response, StockStore stock, CancellationToken ct)
    {
        response.Headers.CacheControl = "no-store";   // a figure that is wrong a second later
        var levels = await stock.OfProductAsync(productId, ct);
        if (levels.Count == 0) return TypedResults.NotFound();   // nobody ever counted such a thing
        return TypedResults.Ok(new ProductStock(
            productId, levels.Sum(level => level.Available), [.. levels.Select(level => new StockInWarehouse(level.Warehouse, level.Available))]));
    }

    private static async Task<Results<Ok<CountReply>, NotFound, ProblemHttpResult>> CountAsync(
        CountRequest request, ClaimsPrincipal user, StockStore stock, ICatalogClient catalog, CancellationToken ct)
    {
        if (request.WhatIsWrong(await stock.WarehousesAsync(ct)) is { } wrong) return Problems.Validation(wrong);

        var seller = SellerId.Of(user);
        var sellers = await catalog.SellersOfAsync([.. request.Lines.Select(line => line.ProductId).Distinct()], ct);
        if (request.Lines.Any(line => !sellers.TryGetValue(line.ProductId, out var owner) || owner != seller.Value))
            return TypedResults.NotFound();   // do not reveal whose it is

        return await stock.CountAsync(seller, request.Lines, ct) switch
        {
            CountOutcome.Counted counted => TypedResults.Ok(new CountReply(counted.Levels)),
            CountOutcome.BelowReserved below => Problems.Of(
                StatusCodes.Status422UnprocessableEntity, "below-reserved", "Fewer units than are held for orders.",
                extensions: new Dictionary<string, object?>
                {
                    ["productId"] = below.Line.ProductId,
                    ["warehouse"] = below.Line.Warehouse,
                    ["reserved"] = below.Reserved,
                }),
            var other => throw new UnreachableException($"{other}"),
        };
    }

    private static async Task<Results<Ok<StockPage>, ProblemHttpResult>> ListAsync(
        ClaimsPrincipal user, StockStore stock, string? cursor, int? limit, CancellationToken ct)
    {
        var after = (Guid.Empty, "");
        if (cursor is not null)
        {
            if (!Cursor.TryDecode(cursor, out var parts) || parts is not [var product, var warehouse] || !Guid.TryParse(product, out var productId))
                return Problems.Validation(("cursor", "Not a cursor of this list."));
            after = (productId, warehouse);
        }

        if (PageSize.Wrong(limit, LargestPage) is { } wrong) return wrong;

        var size = limit ?? 100;
        var levels = await stock.OfSellerAsync(SellerId.Of(user), after, size + 1, ct);
        WarehouseStock[] page = [.. levels.Take(size)];
        return TypedResults.Ok(new StockPage(page, levels.Count > size ? Cursor.Encode(page[^1].ProductId, page[^1].Warehouse) : null));
    }
}

public sealed record ProductStock(Guid ProductId, int Available, IReadOnlyList<StockInWarehouse> Warehouses);

public sealed record StockInWarehouse(string Warehouse, int Available);

public sealed record CountRequest([property: Required, Length(1, CountRequest.MostLines)] IReadOnlyList<CountedLine> Lines)
{
    public const int MostLines = 500;

    public (string Field, string Message)? WhatIsWrong(IReadOnlySet<string> warehouses)
    {
        if (Lines is not { Count: > 0 and <= MostLines }) return ("lines", $"Between 1 and {MostLines} lines are counted at once.");
        var seen = new HashSet<(Guid, string)>();
        for (var at = 0; at < Lines.Count; at++)
        {
            if (Lines[at] is null) return ($"lines[{at}]", "Says nothing.");
            if (Lines[at].OnHand < 0) return ($"lines[{at}].onHand", "Stock is never below zero.");
            if (!warehouses.Contains(Lines[at].Warehouse)) return ($"lines[{at}].warehouse", $"One of {string.Join(", ", warehouses.Order(StringComparer.Ordinal))}.");
            if (!seen.Add((Lines[at].ProductId, Lines[at].Warehouse))) return ($"lines[{at}]", "This product and warehouse are counted twice.");
        }

        return null;
    }
}

public sealed record CountedLine(Guid ProductId, [property: Required] string Warehouse, [property: Range(0, int.MaxValue)] int OnHand);

public sealed record CountReply(IReadOnlyList<WarehouseStock> Levels);

public sealed record StockPage(IReadOnlyList<WarehouseStock> Items, string? Next);
