using Marketplace.FlashSales.Sales;
using Marketplace.FlashSales.WaitingRoom;
using Marketplace.Hosting;
using Marketplace.WaitingRoom;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Extensions.Options;

namespace Marketplace.FlashSales.Claims;

/// <summary>Whether somebody may claim now: with their own ticket, from the place it names, and not before they were let in.</summary>
public sealed class ClaimGate
{
    private readonly TicketKeys keys;
    private readonly Places places;
    private readonly AdmissionBoard board;
    private readonly SaleMemory sales;
    private readonly TimeProvider time;
    private readonly Batcher<Ticket, TicketPlace> lookups;

    public ClaimGate(TicketKeys keys, Places places, AdmissionBoard board, SaleMemory sales, TimeProvider time, IOptions<ClaimOptions> options)
    {
        (this.keys, this.places, this.board, this.sales, this.time) = (keys, places, board, sales, time);
        lookups = new(options.Value.BatchSize, options.Value.GatherFor, LookUpAsync);
    }

    public async Task<Admittance> LookAsync(Sale sale, Guid buyer, string? text, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        var fault = keys.Read(text, now, out var ticket);
        if (ticket is null) return No(TicketRefusal.Invalid);
        if (ticket.BuyerId != buyer) return No(TicketRefusal.NotYours);
        if (ticket.SaleId != sale.SaleId) return No(TicketRefusal.OtherSale);
        if (!sale.HasStarted(now)) return new Admittance(null, ClaimProblems.NotStarted(sale), TellOfClaim: false);
        if (sale.IsOver(now)) return new Admittance(null, ClaimProblems.Over(sale), TellOfClaim: true);
        if (fault == TicketFault.Expired) return Late(TicketRefusal.Expired);

        // Let in or not is known without asking the database, and most who are too early are told so from memory.
        var entry = await board.MayClaimAsync(ticket, ct);
        switch (entry.State)
        {
            case EntryState.NotStarted:
                return new Admittance(null, ClaimProblems.NotStarted(sale), TellOfClaim: false);
            case EntryState.NotAdmitted:
                return new Admittance(null, ClaimProblems.NotAdmitted(entry.Standing), TellOfClaim: false);
            case EntryState.Lapsed:
                return Late(new(StatusCodes.Status409Conflict, "admission-lapsed", "You were let in and did not claim in time.", "Join the queue again."));
            case EntryState.Over:
                return new Admittance(null, ClaimProblems.Over(await sales.FindAnewAsync(sale.SaleId, ct)), TellOfClaim: true);
        }

        return await lookups.AskAsync(ticket, ct) switch
        {
            TicketPlace.Current => new Admittance(entry.Rank, null, TellOfClaim: false),
            TicketPlace.Replaced => Late(new(StatusCodes.Status409Conflict, "ticket-replaced", "You left the queue, or joined it anew, since this ticket.", "Join the queue again; whoever has a place gets its ticket.")),
            _ => No(TicketRefusal.Invalid with { Title = "This ticket's place does not exist.", Detail = "Join the queue for another." }),
        };
    }

    private async Task<IReadOnlyList<TicketPlace>> LookUpAsync(IReadOnlyList<Ticket> tickets)
    {
        var found = new TicketPlace[tickets.Count];
        foreach (var sale in tickets.Index().GroupBy(each => each.Item.SaleId))
        {
            var ofSale = sale.ToList();
            var answers = await places.CheckAsync(sale.Key, [.. ofSale.Select(each => (each.Item.BuyerId, each.Item))], default);
            for (var i = 0; i < ofSale.Count; i++) found[ofSale[i].Index] = answers[i];
        }
        return found;
    }

    private static Admittance No(TicketRefusal why) => new(null, Problems.Of(why.Status, why.Slug, why.Title, why.Detail), TellOfClaim: false);

    private static Admittance Late(TicketRefusal why) => No(why) with { TellOfClaim = true };
}

/// <param name="Rank">Of the place; null: may not claim.</param>
/// <param name="TellOfClaim">Whoever has a claim already is told of that instead: the place may be used up by that very claim.</param>
public sealed record Admittance(long? Rank, ProblemHttpResult? Refusal, bool TellOfClaim);
