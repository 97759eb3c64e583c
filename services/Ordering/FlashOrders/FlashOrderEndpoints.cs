using System.ComponentModel.DataAnnotations;
using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Ordering.FlashOrders;

public static class FlashOrderEndpoints
{
    public static void MapFlashOrders(this IEndpointRouteBuilder routes) =>
        routes.MapInternal("/internal/flash-orders", "flashsales").MapPost("/{orderId:guid}/abandonment", AbandonAsync);

    /// <summary>The sale gives a claim up that was not paid in time. May be repeated; the status says what became of the order so far.</summary>
    private static async Task<Results<Ok<AbandonmentReply>, ProblemHttpResult>> AbandonAsync(
        Guid orderId, AbandonmentRequest request, FlashOrderStore orders, CancellationToken ct) =>
        orderId == Guid.Empty
            ? Problems.Validation(("orderId", "An order has an id."))
            : await orders.AbandonAsync(orderId, request.Reason, ct) is { } abandonment
                ? TypedResults.Ok(new AbandonmentReply(abandonment.ToString().ToLowerInvariant()))
                : Problems.Of(StatusCodes.Status404NotFound, "not-a-flash-order", "This order is of no sale.");
}

public sealed record AbandonmentRequest([property: Required, StringLength(200, MinimumLength = 1)] string Reason);

/// <param name="Status">abandoned (there is no order and there will be none), pending (it is being called off), confirmed, failed or cancelled.</param>
public sealed record AbandonmentReply(string Status);
