using System.Collections.Concurrent;
using System.Text;
using Marketplace.Gateway.Limits;
using Marketplace.Gateway.Routes;
using Marketplace.Hosting;
using Marketplace.WaitingRoom;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Options;

namespace Marketplace.Gateway.FlashSales;

/// <summary>
/// <c>GET …/queue/events</c>: the same standing as server-sent events (WHATWG HTML, 9.2), at the times at which a poll would have asked, until it is final.
/// A browser's EventSource cannot set headers, so the ticket may be in the query as well.
/// </summary>
public sealed class QueueStreams(
    AdmissionBoard board, QueuePolls polls, IOptions<FlashSaleOptions> options, TimeProvider time, IHostApplicationLifetime lifetime)
{
    // A browser comes back with the last id it saw; after this one there is nothing more, and 204 tells it to stay away.
    private const string Final = "final";
    private static readonly byte[] Opening = "retry: 3000\n\n"u8.ToArray();
    private static readonly byte[] Heartbeat = ": still here\n\n"u8.ToArray();

    private readonly StreamOptions options = options.Value.Streams;
    private readonly ConcurrentDictionary<ClientKey, int> perAddress = new();
    private int inAll;

    /// <summary>How many are open.</summary>
    public int Open => Volatile.Read(ref inAll);

    public async Task StreamAsync(HttpContext http)
    {
        var text = http.Request.Headers[TicketDesk.Header].ToString() is { Length: > 0 } shown ? shown : http.Request.Query["ticket"].ToString();
        var (reading, (standing, ticket, refusal)) = await polls.LookAsync(http, await board.ReadAsync(http.RequestAborted), text);
        if (refusal is not null)
        {
            await refusal.ExecuteAsync(http);
            return;
        }
        if (standing is null)
        {
            await QueuePolls.NotNow(http);
            return;
        }
        if (standing.IsFinal && http.Request.Headers["Last-Event-ID"] == Final)
        {
            http.Response.StatusCode = StatusCodes.Status204NoContent;
            return;
        }

        var address = ClientKey.Of(http.Connection.RemoteIpAddress);
        if (!Enter(address))
        {
            http.Response.Headers.RetryAfter = "5";
            await Problems.Of(StatusCodes.Status429TooManyRequests, "too-many-streams", "Too many event streams are open. Poll the queue instead.").ExecuteAsync(http);
            return;
        }
        try
        {
            using var ends = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, lifetime.ApplicationStopping);
            polls.Tell(http, reading);
            http.Response.ContentType = "text/event-stream";
            http.Response.Headers.CacheControl = SecurityHeaders.NotKept;
            http.Response.Headers["X-Accel-Buffering"] = "no";
            http.Features.Get<IHttpResponseBodyFeature>()?.DisableBuffering();
            await http.Response.BodyWriter.WriteAsync(Opening, ends.Token);
            await TellAsync(http, ticket, QueuePolls.SaleId(http), standing, ends.Token);
        }
        catch (OperationCanceledException) when (http.RequestAborted.IsCancellationRequested || lifetime.ApplicationStopping.IsCancellationRequested)
        {
            // The client went, or we do; another replica takes the stream up from where the clock is then.
        }
        finally
        {
            Leave(address);
        }
    }

    private async Task TellAsync(HttpContext http, Ticket? ticket, Guid saleId, Standing standing, CancellationToken ct)
    {
        for (var number = 1L; ; number++)
        {
            var id = standing.IsFinal ? Final : number.ToString(System.Globalization.CultureInfo.InvariantCulture);
            await http.Response.BodyWriter.WriteAsync(Event(id, standing), ct);
            if (standing.IsFinal)
                return;

            var wait = Until(standing);
            while (true)
            {
                var step = wait < options.Heartbeat ? wait : options.Heartbeat;
                await Task.Delay(step, time, ct);
                wait -= step;
                if (wait <= TimeSpan.Zero)
                {
                    var reading = board.ReadNow();
                    if (ticket is not null && reading.Now >= ticket.Expires || reading.Sales is { } known && !known.ContainsKey(saleId))
                        return;
                    if (reading.Sales is { } sales)
                    {
                        standing = sales[saleId].StandingOf(ticket, reading.Now);
                        break;
                    }
                    wait = TimeSpan.FromSeconds(Standing.Often);        // away: nothing to tell that would be true
                }
                await http.Response.BodyWriter.WriteAsync(Heartbeat, ct);
            }
        }
    }

    /// <summary>When a poll would ask again; but to tell of the start costs little here, so that it is told within a second and not within the time over which polls are spread.</summary>
    private static TimeSpan Until(Standing standing) =>
        standing.StartsInSeconds is { } left && left <= standing.PollAfterSeconds
            ? TimeSpan.FromSeconds(left + Random.Shared.NextDouble())
            : TimeSpan.FromSeconds(standing.PollAfterSeconds);

    private static byte[] Event(string id, Standing standing)
    {
        var data = StandingText.Of(standing);
        var head = Encoding.ASCII.GetBytes($"id: {id}\nevent: standing\ndata: ");
        var text = new byte[head.Length + data.Length + 2];
        head.CopyTo(text, 0);
        data.CopyTo(text, head.Length);
        text[^2] = text[^1] = (byte)'\n';
        return text;
    }

    private bool Enter(ClientKey address)
    {
        if (Interlocked.Increment(ref inAll) > options.InAll)
        {
            Interlocked.Decrement(ref inAll);
            return false;
        }
        if (perAddress.AddOrUpdate(address, 1, static (_, open) => open + 1) <= options.PerAddress)
            return true;
        Leave(address);
        return false;
    }

    private void Leave(ClientKey address)
    {
        Interlocked.Decrement(ref inAll);
        if (perAddress.AddOrUpdate(address, 0, static (_, open) => open - 1) <= 0)
            perAddress.TryRemove(new(address, 0));
    }
}
