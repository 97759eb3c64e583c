using Marketplace.Gateway.FlashSales;

namespace Marketplace.Gateway.Routes;

/// <summary>On every answer, also those that say no. What a handler has set itself stays.</summary>
public sealed class SecurityHeaders(RequestDelegate next)
{
    public const string NotKept = "private, no-store";

    private const string ForData = "default-src 'none'; frame-ancestors 'none'";

    // The page of the API description brings its own scripts and starts them inline; nothing comes from elsewhere.
    private const string ForThePage =
        "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; frame-ancestors 'none'";

    public Task InvokeAsync(HttpContext http)
    {
        http.Response.OnStarting(static state =>
        {
            var http = (HttpContext)state;
            var headers = http.Response.Headers;
            headers.XContentTypeOptions = "nosniff";
            headers.XFrameOptions = "DENY";
            headers["Referrer-Policy"] = "no-referrer";
            headers.ContentSecurityPolicy = PolicyOf(http.Request.Path);
            if (headers.CacheControl.Count == 0 || http.Response.StatusCode >= 400)
                headers.CacheControl = NotKept;
            if (http.Request.IsHttps)
                headers.StrictTransportSecurity = "max-age=31536000; includeSubDomains";
            return Task.CompletedTask;
        }, http);
        return next(http);
    }

    private static string PolicyOf(PathString path) =>
        path.StartsWithSegments("/scalar") ? ForThePage
        : path.StartsWithSegments(OperatorsPage.Path) ? OperatorsPage.Policy
        : ForData;
}
