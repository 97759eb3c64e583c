using Dapr;
using Marketplace.Hosting;
using Marketplace.Media.Storage;

namespace Marketplace.Media;

/// <summary>
/// Store or broker away: 503, to a shopper as to the sidecar that delivers an event. To the defaults an error of a component is a fault
/// of ours, since they cannot know that a repeat is harmless here.
/// </summary>
internal sealed partial class Outage(ILogger<Outage> log) : IEndpointFilter
{
    public async ValueTask<object?> InvokeAsync(EndpointFilterInvocationContext context, EndpointFilterDelegate next)
    {
        try
        {
            return await next(context);
        }
        catch (Exception e) when (e is MediaStoreException or DaprException)
        {
            LogAway(context.HttpContext.Request.Method, context.HttpContext.Request.Path, e.Message, e.InnerException?.Message);
            context.HttpContext.Response.Headers.RetryAfter = "1";
            return Problems.Of(StatusCodes.Status503ServiceUnavailable, "unavailable", "Not available right now; try again shortly.");
        }
    }

    [LoggerMessage(LogLevel.Warning, "{Method} {Path} cannot be answered now: {What} ({Why})")]
    private partial void LogAway(string method, PathString path, string what, string? why);
}
