using System.ComponentModel.DataAnnotations;
using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Inventory.Allotments;

/// <summary>What a flash sale asks of the warehouse: units set aside for it alone.</summary>
public static class AllotmentEndpoints
{
    public static void MapAllotments(this IEndpointRouteBuilder routes)
    {
        var allotments = routes.MapInternal("/internal/allotments", "flashsales");
        allotments.MapPut("/{saleId:guid}", SetAsync);
        allotments.MapGet("/{saleId:guid}", ReadAsync);
    }

    /// <summary>Makes the allotment what is asked for; more than is free, and nothing moves. May be repeated, and what is older than what is known changes nothing.</summary>
    private static async Task<Results<Ok<AllotmentReply>, ProblemHttpResult>> SetAsync(
        Guid saleId, AllotmentRequest request, AllotmentStore allotments, CancellationToken ct) =>
        request.WhatIsWrong(saleId) is { } wrong
            ? Problems.Validation(wrong)
            : TypedResults.Ok(await allotments.SetAsync(saleId, request, ct));

    private static async Task<Ok<AllotmentFigures>> ReadAsync(Guid saleId, AllotmentStore allotments, CancellationToken ct) =>
        TypedResults.Ok(await allotments.FiguresAsync(saleId, ct));
}

/// <param name="Units">All the sale is to have, those that were sold already among them.</param>
/// <param name="Version">Grows with every change of mind of the sale.</param>
public sealed record AllotmentRequest(
    Guid ProductId, Guid SellerId, [property: Range(0, AllotmentRequest.Most)] int Units, [property: Range(1L, long.MaxValue)] long Version)
{
    public const int Most = 100_000;

    public (string Field, string Message)? WhatIsWrong(Guid saleId) =>
        saleId == Guid.Empty ? ("saleId", "A sale has an id.")
        : ProductId == Guid.Empty ? ("productId", "A product has an id.")
        : SellerId == Guid.Empty ? ("sellerId", "A seller has an id.")
        : Units is < 0 or > Most ? ("units", $"Between 0 and {Most} units.")
        : Version < 1 ? ("version", "Versions count from 1.")
        : null;
}

/// <param name="Refusal">Null, or why it is not as asked for: see <see cref="AllotmentRefusals"/>.</param>
/// <param name="Units">What the sale has now, sold ones included.</param>
/// <param name="Taken">What of it orders hold or took.</param>
/// <param name="Available">What anybody may still buy of the product, and so what the sale could have besides.</param>
/// <param name="Version">Of the question that made it so.</param>
public sealed record AllotmentReply(string? Refusal, int Units, int Taken, int Available, long Version);

/// <param name="Committed">What of the taken left the house.</param>
public sealed record AllotmentFigures(int Units, int Taken, int Committed, long Version);

public static class AllotmentRefusals
{
    public const string OutOfStock = "out_of_stock";

    /// <summary>More is taken than asked for. Everything else went back to ordinary stock; ask again when orders have been released.</summary>
    public const string BelowTaken = "below_taken";

    /// <summary>Nobody ever counted such a thing of this seller.</summary>
    public const string UnknownProduct = "unknown_product";

    /// <summary>The sale has units of another product.</summary>
    public const string OtherProduct = "other_product";
}
