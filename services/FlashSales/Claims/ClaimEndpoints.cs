using System.ComponentModel.DataAnnotations;
using System.Security.Claims;
using Marketplace.FlashSales.Sales;
using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;

namespace Marketplace.FlashSales.Claims;

/// <summary>
/// Taking a unit. No Idempotency-Key: a customer has one claim in a sale, and is told the same about it however often and wherever they ask,
/// also when asking late, with a ticket that is used up, or after the sale.
/// </summary>
public static class ClaimEndpoints
{
    public const string TicketHeader = "Queue-Ticket";
    private const int LeaveTries = 4;

    public static void MapClaimRoutes(this IEndpointRouteBuilder routes)
    {
        var claims = routes.MapGroup("/api/v1/flash-sales/{saleId:guid}/claims").RequireAuthorization(Policies.Account).WithTags("flash-sales");
        claims.MapPost("/", ClaimAsync).WithSummary("Take a unit with a ticket that was let in: an order id, a place on the waiting list, or no.");
        claims.MapGet("/mine", MineAsync).WithSummary("What became of my claim.");
        claims.MapDelete("/mine", LeaveAsync).WithSummary("Leave the waiting list.");
    }

    private static async Task<Results<Accepted<ClaimReply>, ProblemHttpResult>> ClaimAsync(
        Guid saleId, [FromBody(EmptyBodyBehavior = Microsoft.AspNetCore.Mvc.ModelBinding.EmptyBodyBehavior.Allow)] ClaimRequest? request,
        [FromHeader(Name = TicketHeader)] string? ticket, ClaimsPrincipal user, ClaimGate gate, ClaimDesk desk, Farewells farewells, SaleMemory sales, CancellationToken ct)
    {
        var buyer = Buyer.Id(user);
        var quantity = request?.Quantity ?? 1;
        if (await sales.FindAsync(saleId, ct) is not { IsAnnounced: true } sale) return ClaimProblems.NoSuchSale();
        if (quantity < 1 || quantity > sale.LimitPerCustomer)
            return Problems.Validation(("quantity", sale.LimitPerCustomer == 1 ? "One for each customer." : $"Between 1 and {sale.LimitPerCustomer} for each customer."));

        var admittance = await gate.LookAsync(sale, buyer, ticket, ct);
        if (admittance.Rank is not { } rank)
            return admittance.TellOfClaim && await desk.LastClaimAsync(saleId, buyer, ct) is { } standing ? Again(standing, saleId) : admittance.Refusal!;

        Decided decided;
        try
        {
            decided = await desk.DecideAsync(sale, buyer, rank, quantity, ct);
        }
        catch (ShardAwayException)
        {
            return Problems.Of(StatusCodes.Status503ServiceUnavailable, "unavailable", "Your claim could not be decided right now; claim again, it counts once.");
        }

        if (decided.Outcome is Outcome.Held or Outcome.SoldOut or Outcome.UsedUp) farewells.Tell(saleId, rank);
        if (decided.Outcome == Outcome.UsedUp && await desk.LastClaimAsync(saleId, buyer, ct) is { } over) return Again(over, saleId);
        return decided.Outcome switch
        {
            Outcome.Held => Placed(saleId, decided),
            Outcome.NotStarted => ClaimProblems.NotStarted(sale),
            Outcome.Over => ClaimProblems.Over(await sales.FindAnewAsync(saleId, ct)),     // what was remembered is from before its end
            Outcome.NoCheckout => ClaimProblems.NoCheckout(),
            _ => ClaimProblems.SoldOut(),
        };
    }

    private static async Task<Results<Ok<MyClaim>, NotFound, ProblemHttpResult>> MineAsync(
        Guid saleId, ClaimsPrincipal user, ClaimDesk desk, SaleMemory sales, TimeProvider time, CancellationToken ct)
    {
        if (await sales.FindAsync(saleId, ct) is not { IsAnnounced: true } sale) return ClaimProblems.NoSuchSale();
        if (await desk.LastClaimAsync(saleId, Buyer.Id(user), ct) is not { } mine)
        {
            // After the sale everybody has an answer, also who never got as far as to claim.
            return sale.IsOver(time.GetUtcNow())
                ? TypedResults.Ok(new MyClaim("missed", null, null, null, sale.EndReason == SaleEnd.SoldOut ? MissedReason.SoldOut : MissedReason.Ended, 0, null))
                : Problems.Of(StatusCodes.Status404NotFound, "no-claim", "You have no claim in this sale yet.");
        }

        var (claim, position, reason, _) = mine;
        return TypedResults.Ok(new MyClaim(
            claim.State switch { ClaimState.Claimed => "placed", ClaimState.Waiting => "waiting_list", var said => said },
            claim.ClaimId, claim.OrderId, claim.State == ClaimState.Waiting ? position : null, reason, claim.Quantity,
            claim.State == ClaimState.Claimed ? claim.PayUntil : null));
    }

    private static async Task<Results<NoContent, ProblemHttpResult>> LeaveAsync(Guid saleId, ClaimsPrincipal user, ClaimDesk desk, CancellationToken ct)
    {
        if (await desk.LastClaimAsync(saleId, Buyer.Id(user), ct) is not { } mine) return TypedResults.NoContent();
        try
        {
            for (var tries = 1; mine.Claim.State == ClaimState.Waiting && !await desk.LeaveAsync(mine, saleId); tries++)
            {
                if (tries == LeaveTries) return NotNow();
                mine = await desk.LastClaimAsync(saleId, Buyer.Id(user), ct) ?? mine;         // got a unit at the same moment, left twice, or waits in another shard
            }
        }
        catch (ShardAwayException)
        {
            return NotNow();
        }

        return mine.Claim.State is ClaimState.Claimed or ClaimState.Paid
            ? Problems.Of(StatusCodes.Status409Conflict, "already-placed", "A unit is yours already: cancel the order instead.", null,
                new Dictionary<string, object?> { ["orderId"] = mine.Claim.OrderId })
            : TypedResults.NoContent();

        static ProblemHttpResult NotNow() => Problems.Of(StatusCodes.Status503ServiceUnavailable, "unavailable", "Not right now; try again.");
    }

    private static Results<Accepted<ClaimReply>, ProblemHttpResult> Again(LastClaim standing, Guid saleId) => standing.Claim.State switch
    {
        ClaimState.Missed when standing.Reason is MissedReason.SoldOut or MissedReason.Ended => ClaimProblems.SoldOut(),
        ClaimState.Released or ClaimState.Missed => ClaimProblems.Released(standing),
        _ => Placed(saleId, Decided.Of(new Answer(standing.Claim, standing.Position))),
    };

    private static Accepted<ClaimReply> Placed(Guid saleId, Decided decided) => decided.State == ClaimState.Waiting
        ? TypedResults.Accepted($"/api/v1/flash-sales/{saleId}/claims/mine", new ClaimReply("waiting_list", decided.ClaimId!.Value, null, decided.Quantity, null, decided.Position))
        : TypedResults.Accepted($"/api/v1/orders/{decided.OrderId}", new ClaimReply("placed", decided.ClaimId!.Value, decided.OrderId, decided.Quantity, decided.PayUntil, null));
}

public sealed record ClaimRequest(int? Quantity = null);

/// <param name="Status">placed (an order is on its way) or waiting_list.</param>
/// <param name="Position">On the waiting list, from 1.</param>
public sealed record ClaimReply(string Status, Guid ClaimId, Guid? OrderId, int Quantity, DateTimeOffset? PayUntil, int? Position);

/// <param name="Status">placed, paid, released, waiting_list or missed.</param>
/// <param name="Reason">Why it was released or missed.</param>
public sealed record MyClaim(string Status, Guid? ClaimId, Guid? OrderId, int? Position, string? Reason, int Quantity, DateTimeOffset? PayUntil);

internal static class ClaimProblems
{
    public static ProblemHttpResult NoSuchSale() => Problems.Of(StatusCodes.Status404NotFound, "not-found", "There is no such sale.");

    public static ProblemHttpResult SoldOut() => Problems.Of(StatusCodes.Status409Conflict, "sold-out", "Every unit is taken, and nobody else can wait for one.");

    /// <param name="sale">As it is, and not as it was remembered: why it ended makes the difference.</param>
    public static ProblemHttpResult Over(Sale? sale) =>
        sale?.EndReason == SaleEnd.SoldOut ? SoldOut() : Problems.Of(StatusCodes.Status409Conflict, "sale-over", "The sale is over.");

    public static ProblemHttpResult NotStarted(Sale sale) => Problems.Of(
        StatusCodes.Status409Conflict, "sale-not-started", "The sale has not started yet.", null, new Dictionary<string, object?> { ["startsAt"] = sale.StartsAt });

    public static ProblemHttpResult NotAdmitted(Marketplace.WaitingRoom.Standing? standing) => Problems.Of(
        StatusCodes.Status409Conflict, "not-admitted", "It is not your turn yet.", null,
        new Dictionary<string, object?> { ["position"] = standing?.Position, ["peopleAhead"] = standing?.PeopleAhead, ["waitSeconds"] = standing?.WaitSeconds });

    public static ProblemHttpResult NoCheckout() => Problems.Of(
        StatusCodes.Status409Conflict, "express-checkout-missing", "Save an address and a payment method first.", "PUT /api/v1/flash-sales/express-checkout, then claim again.");

    public static ProblemHttpResult Released(LastClaim standing) => Problems.Of(
        StatusCodes.Status409Conflict, "claim-released", "Your claim came to nothing; join the queue again to try once more.", null,
        new Dictionary<string, object?> { ["claimId"] = standing.Claim.ClaimId, ["orderId"] = standing.Claim.OrderId, ["reason"] = standing.Reason });
}
