using System.Collections.Frozen;
using System.Globalization;
using Marketplace.Hosting;
using Marketplace.WaitingRoom;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Gateway.FlashSales;

/// <summary>
/// <c>GET …/queue</c>: where the holder of a ticket stands, and without a ticket the countdown. Answered from memory; only the first poll after a quiet
/// time waits for the service.
/// </summary>
public sealed class QueuePolls(AdmissionBoard board, TicketDesk desk, Degradation degradation)
{
    private static readonly string[] Seconds = [.. Enumerable.Range(0, 60).Select(second => second.ToString(CultureInfo.InvariantCulture))];

    public Task AnswerAsync(HttpContext http)
    {
        var text = http.Request.Headers[TicketDesk.Header].ToString();
        var reading = board.ReadAsync(http.RequestAborted);
        if (!reading.IsCompletedSuccessfully)
            return LaterAsync(http, reading, text);
        var known = reading.Result;
        var look = Look(http, known, text);
        return look is { Ticket: not null, Refusal: not null } ? LaterAsync(http, new(known), text) : Answer(http, known, look);
    }

    /// <summary>A ticket for a sale that we have not heard of: it was scheduled a moment ago, and the next answer of the service will hold it.</summary>
    internal async Task<(BoardReading, Look)> LookAsync(HttpContext http, BoardReading reading, string text)
    {
        var look = Look(http, reading, text);
        for (var tries = 0; tries < 2 && look is { Ticket: not null, Refusal: not null }; tries++)
        {
            reading = await board.ReadNextAsync(http.RequestAborted);
            look = Look(http, reading, text);
        }
        return (reading, look);
    }

    private Look Look(HttpContext http, BoardReading reading, string text)
    {
        var saleId = SaleId(http);
        Ticket? ticket = null;
        if (text.Length > 0)
        {
            if (!desk.IsOpen)
                return default;
            if (desk.Refuse(http, text, saleId, reading.Now, out ticket) is { } refusal)
                return new(null, null, refusal);
        }
        if (reading.Sales is not { } sales)
            return default;
        return sales.TryGetValue(saleId, out var sale)
            ? new(sale.StandingOf(ticket, reading.Now), ticket, null)
            : new(null, ticket, Problems.Of(StatusCodes.Status404NotFound, "not-found", "There is no queue for such a sale."));
    }

    internal static Guid SaleId(HttpContext http) => Guid.Parse((string)http.Request.RouteValues["saleId"]!);

    internal static string Text(int seconds) => (uint)seconds < (uint)Seconds.Length ? Seconds[seconds] : seconds.ToString(CultureInfo.InvariantCulture);

    internal void Tell(HttpContext http, BoardReading reading)
    {
        if (!reading.IsStale)
            return;
        http.Response.Headers[Degradation.Header] = AdmissionBoard.App;
        degradation.Count(AdmissionBoard.App);
    }

    internal static Task NotNow(HttpContext http)
    {
        http.Response.Headers.RetryAfter = "2";
        http.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
        return Task.CompletedTask;
    }

    private async Task LaterAsync(HttpContext http, ValueTask<BoardReading> reading, string text)
    {
        var (known, look) = await LookAsync(http, await reading, text);
        await Answer(http, known, look);
    }

    private Task Answer(HttpContext http, BoardReading reading, Look look)
    {
        var (standing, _, refusal) = look;
        if (refusal is not null)
            return refusal.ExecuteAsync(http);
        if (standing is null)
            return NotNow(http);

        Tell(http, reading);
        var body = StandingText.Of(standing);
        var headers = http.Response.Headers;
        headers.ContentType = "application/json";
        headers.ContentLength = body.Length;
        headers.RetryAfter = Text(standing.PollAfterSeconds);
        var writing = http.Response.BodyWriter.WriteAsync(body, http.RequestAborted);
        return writing.IsCompletedSuccessfully ? Task.CompletedTask : writing.AsTask();
    }
}

/// <summary>The standing by a ticket that somebody shows, or why there is none; neither, when it is not known at the moment.</summary>
/// <param name="Ticket">Good for the sale; with a refusal: of a sale that is not known.</param>
internal readonly record struct Look(Standing? Standing, Ticket? Ticket, ProblemHttpResult? Refusal);
