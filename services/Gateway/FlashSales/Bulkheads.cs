using System.Threading.RateLimiting;
using Marketplace.Gateway.Routes;
using Marketplace.Hosting;
using Microsoft.Extensions.Options;

namespace Marketplace.Gateway.FlashSales;

/// <summary>
/// So many calls of a storm at a time, so many more that wait a moment, and the rest come back in a second. However long the service takes, it takes no
/// thread, connection or memory that the rest of the shop needs. Ordinary routes have no such number: one for all of them would let one slow
/// service close the others, and where a client sends its body slowly a place would be held by whoever wants to hold it.
/// </summary>
public sealed class Bulkheads(IOptions<FlashSaleOptions> options, TimeProvider time) : IDisposable
{
    private readonly Bulkhead joins = new(options.Value.Joins);
    private readonly Bulkhead claims = new(options.Value.Claims);

    public RequestDelegate Within(Storm storm, RequestDelegate forward)
    {
        var bulkhead = Of(storm);
        return async http =>
        {
            if (!await TakeBodyAsync(http))
                return;
            using var place = await EnterAsync(bulkhead, http.RequestAborted);
            if (place is { IsAcquired: true })
                await forward(http);
            else
                await BusyAsync(http);
        };
    }

    /// <summary>How many wait for a place.</summary>
    public long WaitingFor(Storm storm) => Of(storm).Places.GetStatistics()?.CurrentQueuedCount ?? 0;

    private Bulkhead Of(Storm storm) => storm == Storm.Claims ? claims : joins;

    private static Task BusyAsync(HttpContext http)
    {
        http.Response.Headers.RetryAfter = "1";
        return Problems.Of(StatusCodes.Status503ServiceUnavailable, "busy", "Too many are asking at this moment. Try again in a second.").ExecuteAsync(http);
    }

    public void Dispose()
    {
        joins.Places.Dispose();
        claims.Places.Dispose();
    }

    /// <summary>The whole body, before the call counts: a slow sender waits at its own cost. False when it is larger than it said it would be.</summary>
    private static async Task<bool> TakeBodyAsync(HttpContext http)
    {
        if (http.Request.ContentLength is 0 or null && !http.Request.Headers.ContainsKey("Transfer-Encoding"))
            return true;
        var body = new MemoryStream();
        try
        {
            await http.Request.Body.CopyToAsync(body, http.RequestAborted);
        }
        catch (BadHttpRequestException bad)
        {
            http.Response.StatusCode = bad.StatusCode;
            return false;
        }
        body.Position = 0;
        http.Request.Body = body;
        return true;
    }

    private async ValueTask<RateLimitLease?> EnterAsync(Bulkhead bulkhead, CancellationToken ct)
    {
        var place = bulkhead.Places.AttemptAcquire();
        if (place.IsAcquired)
            return place;
        place.Dispose();

        using var patience = CancellationTokenSource.CreateLinkedTokenSource(ct);
        using var timer = time.CreateTimer(static source => ((CancellationTokenSource)source!).Cancel(), patience, bulkhead.Patience, Timeout.InfiniteTimeSpan);
        try
        {
            return await bulkhead.Places.AcquireAsync(1, patience.Token);
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            return null;
        }
    }

    private sealed class Bulkhead(BulkheadOptions options)
    {
        public ConcurrencyLimiter Places { get; } = new(new()
        {
            PermitLimit = options.AtATime,
            QueueLimit = options.Waiting,
            QueueProcessingOrder = QueueProcessingOrder.OldestFirst,
        });

        public TimeSpan Patience { get; } = options.Patience;
    }
}
