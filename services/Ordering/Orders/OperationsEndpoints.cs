using Marketplace.Contracts;
using Marketplace.Hosting;
using Marketplace.Ordering.Checkout;
using System.Security.Claims;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Ordering.Orders;

/// <summary>The operator's desk: what stands still and why, and the two ways out.</summary>
public static class OperationsEndpoints
{
    private const int LargestPage = 200;

    public static void MapOrderOperations(this IEndpointRouteBuilder routes)
    {
        var operations = routes.MapGroup("/api/v1/operations/orders").RequireAuthorization(Policies.Operator);
        operations.MapGet("/", ListAsync);
        operations.MapPost("/{orderId:guid}/retry", RetryAsync);
        operations.MapPost("/{orderId:guid}/abort", AbortAsync);
    }

    private static async Task<Results<Ok<OperatorPage>, ProblemHttpResult>> ListAsync(
        string? state, string? cursor, int? limit, OrderStore orders, CancellationToken ct)
    {
        var parked = state is "parked";
        var status = parked ? null : state?.ToUpperInvariant();
        if (status is not null && !OrderStatus.All.Contains(status))
            return Problems.Validation(("state", $"parked, {string.Join(", ", OrderStatus.All.Select(known => known.ToLowerInvariant()))}, or nothing for all."));
        if (!OrderPage.TryStart(cursor, out var before)) return Problems.Validation(("cursor", "Not a cursor of this list."));
        if (PageSize.Wrong(limit, LargestPage) is { } wrong) return wrong;

        var size = limit ?? 50;
        var found = await orders.InStateAsync(status, parked, before, size + 1, ct);
        return TypedResults.Ok(new OperatorPage([.. found.Take(size).Select(OperatorOrder.Of)], OrderPage.NextAfter(found, size)));
    }

    /// <summary>Runs the saga again from the top: every step answers what it answered before, so it goes on where it stood.</summary>
    private static async Task<Results<Accepted, NotFound, ProblemHttpResult>> RetryAsync(
        Guid orderId, ClaimsPrincipal user, OrderStore orders, SagaStore sagas, CancellationToken ct)
    {
        if (await orders.VersionAsync(orderId, Viewer.Of(user), ct) is null) return TypedResults.NotFound();
        return await sagas.RetryAsync(orderId, ct)
            ? TypedResults.Accepted($"/api/v1/orders/{orderId}")
            : Problems.Of(StatusCodes.Status409Conflict, "order-not-parked", "Only a parked order is retried; this one is not.");
    }

    private static async Task<Results<NoContent, Accepted, NotFound, ProblemHttpResult>> AbortAsync(
        Guid orderId, CancelRequest request, ClaimsPrincipal user, OrderStore orders, CancellationToken ct) =>
        OrderEndpoints.Answer(orderId, await orders.CancelAsync(orderId, Viewer.Of(user), request.Reason, ct));
}

public sealed record OperatorOrder(
    Guid OrderId, Guid BuyerId, string Status, string? Reason, Money Total, int Attempt, bool CancelRequested,
    string? ParkedReason, DateTimeOffset? ParkedAt, DateTimeOffset CreatedAt, DateTimeOffset UpdatedAt, Guid? SaleId)
{
    public static OperatorOrder Of(OrderSummary order) => new(
        order.OrderId, order.BuyerId, order.Status, order.Reason, order.Total, order.Attempt, order.CancelRequested,
        order.ParkedReason, order.ParkedAt, order.CreatedAt, order.UpdatedAt, order.SaleId);
}

public sealed record OperatorPage(IReadOnlyList<OperatorOrder> Items, string? Next);
