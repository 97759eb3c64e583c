using Marketplace.Contracts;
using Marketplace.Hosting;

namespace Marketplace.Ordering.FlashOrders;

/// <summary>A unit of a flash sale found its buyer: the order is made here, under the id the buyer was told.</summary>
public static partial class FlashOrderEvents
{
    public static void MapFlashOrderEvents(this IEndpointRouteBuilder routes) => routes.MapEvent(FlashSaleClaimed.Topic, OnClaimedAsync);

    private static async Task<IResult> OnClaimedAsync(FlashSaleClaimed claim, FlashOrderStore orders, ILogger<FlashOrderStore> log, CancellationToken ct)
    {
        if (WhatIsWrong(claim) is { } wrong)
        {
            LogUnreadable(log, claim.ClaimId, wrong);
            return Delivery.Drop();                            // no number of tries makes an order of it; flashsales gives the unit to the next in time
        }

        await orders.PlaceAsync(claim, ct);
        return TypedResults.Ok();
    }

    private static string? WhatIsWrong(FlashSaleClaimed claim) =>
        claim.OrderId == Guid.Empty || claim.SaleId == Guid.Empty || claim.BuyerId == Guid.Empty ? "an id is missing"
        : claim.Line is null || claim.ShipTo is null || claim.Contact is null ? "line, address or contact is missing"
        : claim.Line.Quantity is < 1 or > 99 ? "its quantity is not between 1 and 99"
        : claim.Line.UnitPrice is not { Minor: > 0, Currency.Length: 3 } ? "it has no price"
        : null;

    [LoggerMessage(LogLevel.Error, "Claim {ClaimId} cannot become an order: {Wrong}")]
    private static partial void LogUnreadable(ILogger log, Guid claimId, string wrong);
}
