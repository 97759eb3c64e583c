using System.ComponentModel.DataAnnotations;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Marketplace.Inventory.Allotments;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Inventory.Reservations;

/// <summary>What the checkout saga asks of the warehouse. Every call may be repeated; each answers what it answered before.</summary>
public static class ReservationEndpoints
{
    public static void MapReservations(this IEndpointRouteBuilder routes)
    {
        var reservations = routes.MapInternal("/internal/reservations");
        reservations.MapPost("/", ReserveAsync);
        reservations.MapPost("/{orderId:guid}/{attempt:int}/release", ReleaseAsync);
        reservations.MapPost("/{orderId:guid}/{attempt:int}/commit", CommitAsync);
    }

    private static async Task<Results<Ok<ReservationOutcome>, ProblemHttpResult>> ReserveAsync(
        ReserveRequest request, ReservationStore reservations, AllotmentStore allotments, CancellationToken ct)
    {
        if (request.WhatIsWrong() is { } wrong) return Problems.Validation(wrong);
        var key = new AttemptKey(request.OrderId, request.Attempt);
        return TypedResults.Ok(request.SaleId is { } sale
            ? await allotments.ReserveAsync(key, sale, new WantedUnits(request.Lines[0].ProductId, request.Lines.Sum(line => line.Quantity)), ct)
            : await reservations.ReserveAsync(key, [.. request.Lines.Select(line => new WantedUnits(line.ProductId, line.Quantity))], ct));
    }

    private static async Task<Results<Ok<ReleaseReply>, ProblemHttpResult>> ReleaseAsync(
        Guid orderId, int attempt, ReleaseRequest request, ReservationStore reservations, CancellationToken ct)
    {
        if (attempt is < 1 or > short.MaxValue) return Problems.Validation(("attempt", "An attempt has a positive number."));
        await reservations.ReleaseAsync(new AttemptKey(orderId, attempt), request.Reason, ct);
        return TypedResults.Ok(new ReleaseReply());
    }

    private static async Task<Results<Ok<CommitReply>, ProblemHttpResult>> CommitAsync(
        Guid orderId, int attempt, ReservationStore reservations, CancellationToken ct)
    {
        if (attempt is < 1 or > short.MaxValue) return Problems.Validation(("attempt", "An attempt has a positive number."));
        var outcome = await reservations.CommitAsync(new AttemptKey(orderId, attempt), ct);
        return outcome.Known
            ? TypedResults.Ok(new CommitReply(outcome.Refusal, outcome.Allocations))
            : Problems.Of(StatusCodes.Status404NotFound, "reservation-unknown", "Nothing was ever reserved for this attempt.");
    }
}

/// <param name="SaleId">Out of this sale's allotment, and nothing else.</param>
public sealed record ReserveRequest(
    Guid OrderId, [property: Range(1, short.MaxValue)] int Attempt, [property: Required, Length(1, 500)] IReadOnlyList<ReserveLine> Lines, Guid? SaleId = null)
{
    public const int MostPerLine = 99;

    /// <summary>The rule by itself: a wrong quantity must never reach a counter, whatever the edge let through.</summary>
    public (string Field, string Message)? WhatIsWrong()
    {
        if (OrderId == Guid.Empty) return ("orderId", "An order has an id.");
        if (Attempt is < 1 or > short.MaxValue) return ("attempt", "An attempt has a positive number.");
        if (Lines is not { Count: > 0 and <= 500 }) return ("lines", "Between 1 and 500 lines are reserved at once.");
        if (SaleId is not null && Lines.Any(line => line.ProductId != Lines[0].ProductId)) return ("lines", "A sale sells one product.");
        for (var at = 0; at < Lines.Count; at++)
            if (Lines[at].Quantity is < 1 or > MostPerLine) return ($"lines[{at}].quantity", $"Between 1 and {MostPerLine} units.");
        return null;
    }
}

public sealed record ReserveLine(Guid ProductId, [property: Range(1, ReserveRequest.MostPerLine)] int Quantity);

public sealed record ReleaseRequest([property: Required, StringLength(200)] string Reason);

public sealed record ReleaseReply;

public sealed record CommitReply(string? Refusal, IReadOnlyList<Allocation> Allocations);
