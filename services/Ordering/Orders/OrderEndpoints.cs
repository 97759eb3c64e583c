using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Security.Claims;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Ordering.Orders;

public static class OrderEndpoints
{
    private const int LargestPage = 100;

    public static void MapOrders(this IEndpointRouteBuilder routes)
    {
        var orders = routes.MapGroup("/api/v1/orders").RequireAuthorization();
        orders.MapGet("/", ListAsync);
        orders.MapGet("/{orderId:guid}", ReadAsync);
        orders.MapGet("/{orderId:guid}/history", HistoryAsync);
        orders.MapPost("/{orderId:guid}/cancellation", CancelAsync);

        routes.MapInternal("/internal/orders").MapGet("/{orderId:guid}/attempts/{attempt:int}", AttemptAsync);
    }

    private static async Task<Results<Ok<OrderPage>, ProblemHttpResult>> ListAsync(
        ClaimsPrincipal user, OrderStore orders, string? cursor, int? limit, CancellationToken ct)
    {
        if (!OrderPage.TryStart(cursor, out var before)) return Problems.Validation(("cursor", "Not a cursor of this list."));
        if (PageSize.Wrong(limit, LargestPage) is { } wrong) return wrong;

        var size = limit ?? 20;
        var found = await orders.OfBuyerAsync(Buyer.Id(user), before, size + 1, ct);
        return TypedResults.Ok(OrderPage.Of(found, size, order => OrderListItem.Of(order)));
    }

    private static async Task<Results<Ok<OrderReply>, StatusCodeHttpResult, NotFound>> ReadAsync(
        Guid orderId, HttpContext http, OrderStore orders, CancellationToken ct)
    {
        var viewer = Viewer.Of(http.User);
        http.Response.Headers.CacheControl = "private, no-store";
        if (http.Request.Headers.IfNoneMatch is [{ } known])
        {
            // The poll: most of the time nothing changed, and one row says so.
            if (await orders.VersionAsync(orderId, viewer, ct) is not { } version) return TypedResults.NotFound();
            http.Response.Headers.ETag = Tag(version);
            if (known == Tag(version)) return TypedResults.StatusCode(StatusCodes.Status304NotModified);
        }

        if (await orders.FindAsync(orderId, viewer, ct) is not { } view) return TypedResults.NotFound();
        http.Response.Headers.ETag = Tag(view.Order.Version);
        return TypedResults.Ok(OrderReply.Of(view, viewer));
    }

    private static async Task<Results<Ok<HistoryReply>, NotFound>> HistoryAsync(Guid orderId, ClaimsPrincipal user, OrderStore orders, CancellationToken ct) =>
        await orders.HistoryAsync(orderId, Viewer.Of(user), ct) is { } steps ? TypedResults.Ok(new HistoryReply(steps)) : TypedResults.NotFound();

    private static async Task<Results<NoContent, Accepted, NotFound, ProblemHttpResult>> CancelAsync(
        Guid orderId, CancelRequest request, ClaimsPrincipal user, OrderStore orders, CancellationToken ct) =>
        Answer(orderId, await orders.CancelAsync(orderId, Viewer.Of(user), request.Reason, ct));

    internal static Results<NoContent, Accepted, NotFound, ProblemHttpResult> Answer(Guid orderId, Cancellation move) => move switch
    {
        Cancellation.AtOnce or Cancellation.AlreadyCancelled => TypedResults.NoContent(),
        Cancellation.WhenItsSagaConfirms or Cancellation.ByUndoing or Cancellation.AlreadyAsked => TypedResults.Accepted($"/api/v1/orders/{orderId}"),
        Cancellation.AlreadyShipped => Problems.Of(StatusCodes.Status409Conflict, "already-shipped", "The order is on its way; send it back when it arrives."),
        Cancellation.AlreadyClosed => Problems.Of(StatusCodes.Status409Conflict, "order-closed", "The order is closed; nothing was charged."),
        _ => TypedResults.NotFound(),                          // do not reveal that it exists
    };

    private static async Task<Ok<AttemptReply>> AttemptAsync(Guid orderId, int attempt, OrderStore orders, CancellationToken ct)
    {
        var status = attempt is >= 1 and <= short.MaxValue ? await orders.AttemptStatusAsync(orderId, attempt, ct) : AttemptStatus.Unknown;
        return TypedResults.Ok(new AttemptReply(status, AttemptStatus.NeedsStock(status)));
    }

    private static string Tag(int version) => string.Create(CultureInfo.InvariantCulture, $"\"{version}\"");
}

public sealed record CancelRequest([property: Required, StringLength(200, MinimumLength = 1)] string Reason);

public sealed record OrderReply(
    Guid OrderId, string Status, string? Reason, Money Total, IReadOnlyList<OrderedLine> Lines, int Attempt,
    DateTimeOffset CreatedAt, DateTimeOffset UpdatedAt, bool CancelRequested, IReadOnlyList<ShipmentView> Shipments, string? ParkedReason, Guid? SaleId)
{
    /// <summary>A parked order says so to its buyer too; what exactly went wrong is for the operator.</summary>
    public static OrderReply Of(OrderView view, Viewer viewer) => new(
        view.Order.OrderId, view.Order.Status, view.Order.Reason ?? (view.Order.ParkedReason is null ? null : "under_review"), view.Order.Total, view.Lines,
        view.Order.Attempt, view.Order.CreatedAt, view.Order.UpdatedAt, view.Order.CancelRequested, view.Shipments, viewer.IsOperator ? view.Order.ParkedReason : null,
        view.Order.SaleId);
}

public sealed record OrderListItem(Guid OrderId, string Status, string? Reason, Money Total, int Attempt, DateTimeOffset CreatedAt, DateTimeOffset UpdatedAt, Guid? SaleId)
{
    public static OrderListItem Of(OrderSummary order) =>
        new(order.OrderId, order.Status, order.Reason ?? (order.ParkedReason is null ? null : "under_review"), order.Total, order.Attempt, order.CreatedAt, order.UpdatedAt,
            order.SaleId);
}

public sealed record OrderPage(IReadOnlyList<OrderListItem> Items, string? Next)
{
    private static readonly Guid Newest = new("ffffffff-ffff-ffff-ffff-ffffffffffff");

    public static OrderPage Of(IReadOnlyList<OrderSummary> found, int size, Func<OrderSummary, OrderListItem> item) =>
        new([.. found.Take(size).Select(item)], NextAfter(found, size));

    public static string? NextAfter(IReadOnlyList<OrderSummary> found, int size) => found.Count > size ? Cursor.Encode(found[size - 1].OrderId) : null;

    public static bool TryStart(string? cursor, out Guid before)
    {
        before = Newest;
        return cursor is null || (Cursor.TryDecode(cursor, out var parts) && parts is [var last] && Guid.TryParse(last, out before));
    }
}

public sealed record HistoryReply(IReadOnlyList<SagaStep> Steps);

public sealed record AttemptReply(string Status, bool NeedsStock);
