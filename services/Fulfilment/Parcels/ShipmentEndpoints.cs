using System.Diagnostics;
using System.Security.Claims;
using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Fulfilment.Parcels;

public static class ShipmentEndpoints
{
    private const int LargestPage = 100;

    private static readonly string[] Stages = ["created", "shipped", "out_for_delivery", "delivered", "cancelled"];

    public static void MapShipments(this IEndpointRouteBuilder routes)
    {
        routes.MapGet("/api/v1/shipments", ListAsBuyerAsync).RequireAuthorization(Policies.Buyer);

        var seller = routes.MapGroup("/api/v1/seller/shipments").RequireAuthorization(Policies.Seller);
        seller.MapGet("/", ListAsSellerAsync);
        seller.MapPost("/{shipmentId:guid}/advance", AdvanceAsSellerAsync);

        routes.MapPost("/api/v1/operations/shipments/{shipmentId:guid}/advance", AdvanceAsOperatorAsync).RequireAuthorization(Policies.Operator);
    }

    /// <summary>Empty for an order that is not the shopper's, as for one whose parcels are not planned yet: neither tells that the order exists.</summary>
    private static async Task<Results<Ok<ShipmentPage>, ProblemHttpResult>> ListAsBuyerAsync(
        Guid? orderId, string? cursor, int? limit, ClaimsPrincipal user, ShipmentStore shipments, CancellationToken ct) =>
        Wrong(cursor, limit, null, out var before) is { } problem
            ? problem
            : TypedResults.Ok(await shipments.OfBuyerAsync(Buyer.Id(user), orderId, before, limit ?? 20, ct));

    private static async Task<Results<Ok<ShipmentPage>, ProblemHttpResult>> ListAsSellerAsync(
        string? status, string? cursor, int? limit, ClaimsPrincipal user, ShipmentStore shipments, CancellationToken ct) =>
        Wrong(cursor, limit, status, out var before) is { } problem
            ? problem
            : TypedResults.Ok(await shipments.OfSellerAsync(SellerId.Of(user), status, before, limit ?? 20, ct));

    private static async Task<Results<Ok<ShipmentView>, NotFound, ProblemHttpResult>> AdvanceAsSellerAsync(
        Guid shipmentId, AdvanceRequest? request, ClaimsPrincipal user, ShipmentStore shipments, CancellationToken ct) =>
        Answer(await shipments.AdvanceAsync(shipmentId, SellerId.Of(user), request?.From, ct));

    private static async Task<Results<Ok<ShipmentView>, NotFound, ProblemHttpResult>> AdvanceAsOperatorAsync(
        Guid shipmentId, AdvanceRequest? request, ShipmentStore shipments, CancellationToken ct) =>
        Answer(await shipments.AdvanceAsOperatorAsync(shipmentId, request?.From, ct));

    private static Results<Ok<ShipmentView>, NotFound, ProblemHttpResult> Answer((Advance Outcome, ShipmentView? Shipment) advanced) => advanced.Outcome switch
    {
        Advance.Advanced => TypedResults.Ok(advanced.Shipment),
        Advance.NotFound => TypedResults.NotFound(),
        Advance.AtItsEnd => Problems.Of(StatusCodes.Status409Conflict, "shipment-at-its-end", "The parcel is delivered or cancelled and goes nowhere any more."),
        Advance.NotWhereExpected => Problems.Of(StatusCodes.Status409Conflict, "shipment-moved-on", "The parcel is not in the stage you named."),
        var other => throw new UnreachableException($"{other}"),
    };

    private static ProblemHttpResult? Wrong(string? cursor, int? limit, string? status, out Guid? before)
    {
        before = null;
        if (cursor is not null)
        {
            if (!Cursor.TryDecode(cursor, out var parts) || parts is not [var text] || !Guid.TryParse(text, out var id))
                return Problems.Validation(("cursor", "This is not a cursor of this list."));
            before = id;
        }

        if (PageSize.Wrong(limit, LargestPage) is { } wrong)
            return wrong;
        return status is null || Stages.Contains(status) ? null : Problems.Validation(("status", $"One of {string.Join(", ", Stages)}."));
    }
}

/// <summary>With <see cref="From"/> a repeat does not advance twice: the parcel must still be in that stage.</summary>
public sealed record AdvanceRequest(string? From = null);
