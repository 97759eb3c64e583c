using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Security.Claims;
using Marketplace.Gateway.Routes;
using Microsoft.AspNetCore.Http.Features.Authentication;
using Microsoft.Extensions.Options;

namespace Marketplace.Gateway.Limits;

public sealed class RateOptions
{
    [Range(1, 100_000_000)]
    public int Permits { get; set; }

    public TimeSpan Window { get; set; } = TimeSpan.FromMinutes(1);
}

public sealed class LimitOptions
{
    [ValidateObjectMembers]
    public RateOptions Anonymous { get; set; } = new() { Permits = 600 };

    [ValidateObjectMembers]
    public RateOptions SignedIn { get; set; } = new() { Permits = 600 };

    [ValidateObjectMembers]
    public RateOptions Credentials { get; set; } = new() { Permits = 30 };

    [ValidateObjectMembers]
    public RateOptions Webhooks { get; set; } = new() { Permits = 6_000 };

    [ValidateObjectMembers]
    public RateOptions Pictures { get; set; } = new() { Permits = 6_000 };

    [ValidateObjectMembers]
    public RateOptions FlashSale { get; set; } = new() { Permits = 120 };

    [ValidateObjectMembers]
    public RateOptions Polls { get; set; } = new() { Permits = 12_000 };
}

[OptionsValidator]
internal sealed partial class LimitOptionsValidator : IValidateOptions<LimitOptions>;

/// <summary>Counts a request against its limit and says so on the answer (RateLimit fields as in draft-ietf-httpapi-ratelimit-headers-07).</summary>
public sealed class RateLimits(RequestDelegate next, IOptions<LimitOptions> options, TimeProvider time)
{
    private static readonly string[] Numbers = [.. Enumerable.Range(0, 1_000).Select(number => number.ToString(CultureInfo.InvariantCulture))];

    private readonly Limit anonymous = new(options.Value.Anonymous, time);
    private readonly Limit signedIn = new(options.Value.SignedIn, time);
    private readonly Limit credentials = new(options.Value.Credentials, time);
    private readonly Limit webhooks = new(options.Value.Webhooks, time);
    private readonly Limit pictures = new(options.Value.Pictures, time);
    private readonly Limit flashSale = new(options.Value.FlashSale, time);
    private readonly Limit polls = new(options.Value.Polls, time);

    public Task InvokeAsync(HttpContext http)
    {
        if (http.GetEndpoint()?.Metadata.GetMetadata<PublicRoute>() is not { } route)
            return next(http);

        // Whoever comes with many accounts from one address is counted by it first; one account with many addresses by the next.
        if (route.Rate == Rate.FlashSale && flashSale.Gate.Ask(ClientKey.Of(http.Connection.RemoteIpAddress)) is { Admitted: false } refused)
            return Refuse(http, flashSale, refused);

        var (limit, client) = route.Rate switch
        {
            Rate.Credentials => (credentials, ClientKey.Of(http.Connection.RemoteIpAddress)),
            Rate.Webhook => (webhooks, ClientKey.Of(http.Connection.RemoteIpAddress)),
            Rate.Pictures => (pictures, ClientKey.Of(http.Connection.RemoteIpAddress)),
            Rate.Polls => (polls, ClientKey.Of(http.Connection.RemoteIpAddress)),
            _ when http.Features.Get<IHttpAuthenticationFeature>()?.User is { } user && Guid.TryParse(user.FindFirstValue("sub"), out var subject) => (signedIn, ClientKey.Of(subject)),
            _ => (anonymous, ClientKey.Of(http.Connection.RemoteIpAddress)),
        };

        var verdict = limit.Gate.Ask(client);
        if (!verdict.Admitted)
            return Refuse(http, limit, verdict);
        Tell(http, limit, verdict);
        return next(http);
    }

    private static Task Refuse(HttpContext http, Limit limit, Verdict verdict)
    {
        Tell(http, limit, verdict);
        http.Response.Headers.RetryAfter = Seconds(verdict.RetryAfter);
        http.Response.StatusCode = StatusCodes.Status429TooManyRequests;
        return Task.CompletedTask;
    }

    private static void Tell(HttpContext http, Limit limit, Verdict verdict)
    {
        var headers = http.Response.Headers;
        headers["RateLimit-Policy"] = limit.Policy;
        headers["RateLimit-Limit"] = limit.Permits;
        headers["RateLimit-Remaining"] = Number(verdict.Remaining);
        headers["RateLimit-Reset"] = Seconds(verdict.Reset);
    }

    private static string Seconds(TimeSpan time) => Number((int)Math.Ceiling(time.TotalSeconds));

    private static string Number(int value) => (uint)value < (uint)Numbers.Length ? Numbers[value] : value.ToString(CultureInfo.InvariantCulture);

    private sealed class Limit(RateOptions options, TimeProvider time)
    {
        public RateGate Gate { get; } = new(options.Permits, options.Window, time);

        public string Permits { get; } = Number(options.Permits);

        public string Policy { get; } = string.Create(CultureInfo.InvariantCulture, $"{options.Permits};w={(long)options.Window.TotalSeconds}");
    }
}
