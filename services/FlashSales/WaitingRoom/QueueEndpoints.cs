using System.Globalization;
using System.Security.Claims;
using Marketplace.FlashSales.ExpressCheckout;
using Marketplace.FlashSales.Sales;
using Marketplace.Hosting;
using Marketplace.WaitingRoom;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.FlashSales.WaitingRoom;

public static class QueueEndpoints
{
    public static void MapWaitingRoom(this IEndpointRouteBuilder routes)
    {
        var queue = routes.MapGroup("/api/v1/flash-sales/{saleId:guid}/queue").RequireAuthorization(Policies.Account).WithTags("flash-sales");
        queue.MapPost("/", JoinAsync).WithSummary("Join the queue of a sale, or get the ticket of the place you have.");
        queue.MapDelete("/", LeaveAsync).WithSummary("Leave the queue. Once the sale has started, coming back is at the back.");
        routes.MapInternal("/internal/flash-sales/admissions", "gateway").MapGet("/", AdmissionsAsync);
        routes.MapExpressCheckout();
    }

    private static async Task<Results<Ok<QueueReply>, ProblemHttpResult>> JoinAsync(
        Guid saleId, ClaimsPrincipal user, HttpResponse response, JoinDesk desk, Checkouts checkouts, AdmissionBoard board, SaleMemory sales, TicketKeys keys,
        TimeProvider time, CancellationToken ct)
    {
        if (await sales.FindAsync(saleId, ct) is not { IsAnnounced: true } sale)
            return NoSuchSale();
        if (sale.IsOver(time.GetUtcNow()))
            return Over();

        var buyer = Buyer.Id(user);
        var join = await desk.JoinAsync(sale, buyer, ct);
        if (join.State == JoinState.NoCheckout)
        {
            if (await checkouts.FirstAsync(buyer, user, ct) is { Count: > 0 } missing)
                return ExpressCheckoutEndpoints.Missing(missing);
            join = await desk.JoinAsync(sale, buyer, ct);
        }

        switch (join.State)
        {
            case JoinState.NoSuchSale: return NoSuchSale();
            case JoinState.Over: return Over();
            case JoinState.NoCheckout: return ExpressCheckoutEndpoints.Missing(["address", "paymentMethod"]);     // taken away again meanwhile
        }

        // As long as a ticket may be of use: an admission of the last second is used within its time, though no claim is taken after the end.
        sale = await sales.FindAsync(saleId, ct) ?? sale;
        var place = join.Place!.Value;
        var ticket = new Ticket(saleId, buyer, place.Late, place.Number, sale.EndsAt + TimeSpan.FromSeconds(sale.AdmissionSeconds));
        var standing = Standing.Of(await AdmissionAsync(board, sale, ct), ticket, time.GetUtcNow());
        response.Headers.RetryAfter = standing.PollAfterSeconds.ToString(CultureInfo.InvariantCulture);
        return TypedResults.Ok(new QueueReply(keys.Sign(ticket), standing));
    }

    private static async Task<Results<NoContent, ProblemHttpResult>> LeaveAsync(
        Guid saleId, ClaimsPrincipal user, Places places, AdmissionBoard board, SaleMemory sales, CancellationToken ct)
    {
        if (await sales.FindAsync(saleId, ct) is not { IsAnnounced: true } sale)
            return NoSuchSale();
        await places.LeaveAsync(await AdmissionAsync(board, sale, ct), Buyer.Id(user), ct);
        return TypedResults.NoContent();
    }

    private static async Task<Ok<AdmissionsReply>> AdmissionsAsync(AdmissionBoard board, CancellationToken ct) => TypedResults.Ok(await board.ReadAsync(ct));

    /// <summary>The board is a moment old; where the sale is known better, it is read anew.</summary>
    private static async Task<Admission> AdmissionAsync(AdmissionBoard board, Sale sale, CancellationToken ct)
    {
        if (await board.FindAsync(sale.SaleId, ct) is { } known && known.IsDrawn == sale.IsDrawn)
            return known;
        board.Forget();
        return await board.FindAsync(sale.SaleId, ct)
            ?? new Admission(sale.SaleId, SalePhase.Ended, sale.StartsAt, sale.EndsAt, sale.Seed, sale.Early, sale.StartsAt, 0, sale.AdmissionRate, 0, 0, sale.AdmissionSeconds, 0);
    }

    private static ProblemHttpResult NoSuchSale() => Problems.Of(StatusCodes.Status404NotFound, "not-found", "There is no such sale.");

    private static ProblemHttpResult Over() => Problems.Of(StatusCodes.Status409Conflict, "sale-over", "The sale is over.");
}

/// <param name="Ticket">To be shown in the header Queue-Ticket, from any device: opaque, signed.</param>
public sealed record QueueReply(string Ticket, Standing Standing);
