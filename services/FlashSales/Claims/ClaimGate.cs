using Marketplace.FlashSales.Sales;
using Marketplace.Hosting;
using Marketplace.WaitingRoom;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.FlashSales.Claims;

/// <summary>Whether somebody may claim now: with their own ticket, their place in the queue, and not before they were let in.</summary>
public sealed class ClaimGate(TicketKeys keys, TimeProvider time)
{
    /// <summary>Null: they may.</summary>
    public async Task<Refusal?> WhyNotAsync(Sale sale, Guid buyer, string? text, CancellationToken ct)
    {
        await Task.CompletedTask;
        var now = time.GetUtcNow();
        var fault = keys.Read(text, now, out var ticket);
        if (ticket is null) return new(false, Problems.Of(StatusCodes.Status400BadRequest, "ticket-invalid", "This is not a ticket of ours."));
        if (ticket.BuyerId != buyer) return new(false, Problems.Of(StatusCodes.Status403Forbidden, "ticket-not-yours", "This ticket is somebody else's."));
        if (ticket.SaleId != sale.SaleId) return new(false, Problems.Of(StatusCodes.Status409Conflict, "ticket-other-sale", "This ticket is for another sale."));
        if (!sale.HasStarted(now)) return new(false, ClaimProblems.NotStarted(sale));
        if (sale.IsOver(now)) return new(true, ClaimProblems.Over());
        if (fault == TicketFault.Expired) return new(true, Problems.Of(StatusCodes.Status409Conflict, "ticket-expired", "This ticket has expired."));
        return null;
    }
}

/// <param name="Final">Whoever has a claim already is told of that instead.</param>
public sealed record Refusal(bool Final, ProblemHttpResult Problem);
