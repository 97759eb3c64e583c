using Marketplace.Hosting;
using Marketplace.WaitingRoom;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Gateway.FlashSales;

/// <summary>
/// Keeps outside what cannot succeed. The service decides about all that passes, so nothing here has to be exact, only never too strict: whoever has
/// been let in is passed on, because a winner who asks again is told the same again, and where the service could not be asked
/// nobody is refused for what it might know by now.
/// </summary>
public sealed class EarlyRefusals(AdmissionBoard board, TicketDesk desk)
{
    // Another gateway's news may be this much fresher than ours, and its answer is what a shopper comes with.
    private static readonly TimeSpan Tolerance = TimeSpan.FromSeconds(1);

    public RequestDelegate BeforeClaim(RequestDelegate forward) => async http =>
    {
        var reading = await board.ReadAsync(http.RequestAborted);
        if (RefuseClaim(http, reading) is { } refusal)
            await refusal.ExecuteAsync(http);
        else
            await forward(http);
    };

    public RequestDelegate BeforeJoin(RequestDelegate forward) => async http =>
    {
        var reading = await board.ReadAsync(http.RequestAborted);
        if (Fresh(http, reading) is { Admission.Phase: SalePhase.SoldOut or SalePhase.Ended })
            await Over().ExecuteAsync(http);
        else
            await forward(http);
    };

    private ProblemHttpResult? RefuseClaim(HttpContext http, BoardReading reading)
    {
        var text = http.Request.Headers[TicketDesk.Header].ToString();
        if (text.Length == 0)
            return Problems.Of(StatusCodes.Status400BadRequest, "ticket-invalid", "A claim needs the ticket from the queue, in the header Queue-Ticket.");
        if (!desk.IsOpen)
            return null;
        if (desk.Refuse(http, text, QueuePolls.SaleId(http), reading.Now, out var ticket) is { } refusal)
            return refusal;
        if (Fresh(http, reading) is not { } queued)
            return null;

        var sale = queued.Admission;
        if (!sale.IsDrawn)
        {
            if (sale.Phase is SalePhase.SoldOut or SalePhase.Ended)
                return Over();
            return reading.Now + Tolerance < sale.StartsAt ? NotStarted(http, sale, reading.Now) : null;
        }
        if (queued.RankOf(ticket!) is not { } rank || rank < HighestHead(sale, reading.Now))
            return null;
        return sale.Phase switch
        {
            SalePhase.SoldOut => Problems.Of(StatusCodes.Status409Conflict, "sold-out", "Every unit of this sale is sold."),
            SalePhase.Ended => Over(),
            _ => NotAdmitted(http, Standing.Of(sale, ticket, rank, reading.Now)),
        };
    }

    private static QueuedSale? Fresh(HttpContext http, BoardReading reading) =>
        reading is { IsStale: false, Sales: { } sales } && sales.TryGetValue(QueuePolls.SaleId(http), out var sale) ? sale : null;

    /// <summary>
    /// As far as admission can have come, whatever room the service has found meanwhile. Numbers that nobody took can carry it further for a moment;
    /// whoever is refused in it is let in at the next try.
    /// </summary>
    private static long HighestHead(Admission sale, DateTimeOffset now) =>
        sale.Head + (long)(Math.Max(0, (now + Tolerance - sale.At).TotalSeconds) * sale.Rate);

    private static ProblemHttpResult Over() => Problems.Of(StatusCodes.Status409Conflict, "sale-over", "This sale is over.");

    private static ProblemHttpResult NotStarted(HttpContext http, Admission sale, DateTimeOffset now)
    {
        var left = (int)Math.Min(int.MaxValue, Math.Ceiling((sale.StartsAt - now).TotalSeconds));
        http.Response.Headers.RetryAfter = QueuePolls.Text(left);
        return Problems.Of(StatusCodes.Status409Conflict, "sale-not-started", "This sale has not started yet.", extensions: new Dictionary<string, object?>
        {
            ["startsAt"] = sale.StartsAt,
            ["startsInSeconds"] = left,
        });
    }

    private static ProblemHttpResult NotAdmitted(HttpContext http, Standing standing)
    {
        http.Response.Headers.RetryAfter = QueuePolls.Text(standing.PollAfterSeconds);
        return Problems.Of(StatusCodes.Status409Conflict, "not-admitted", "It is not your turn yet.", extensions: new Dictionary<string, object?>
        {
            ["position"] = standing.Position,
            ["peopleAhead"] = standing.PeopleAhead,
            ["waitSeconds"] = standing.WaitSeconds,
        });
    }
}
