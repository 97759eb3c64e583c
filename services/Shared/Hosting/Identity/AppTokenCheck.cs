using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;

namespace Marketplace.Hosting;

/// <summary>
/// Inner routes, events and dead letters carry no shopper: the sidecar proves itself with <c>APP_API_TOKEN</c>. Without that
/// variable they are closed, not open.
/// </summary>
internal sealed class AppTokenCheck(RequestDelegate next, IConfiguration configuration)
{
    private const string TokenHeader = "dapr-api-token";
    private const string CallerHeader = "dapr-caller-app-id";

    // Digests have one length, so that the comparison's time says nothing about the token's.
    private readonly byte[]? expected = configuration["APP_API_TOKEN"] is { Length: > 0 } token ? SHA256.HashData(Encoding.UTF8.GetBytes(token)) : null;

    public Task InvokeAsync(HttpContext http)
    {
        if (http.GetEndpoint()?.Metadata.GetMetadata<AppTokenRequired>() is not { } required)
            return next(http);

        if (expected is null || !CryptographicOperations.FixedTimeEquals(expected, SHA256.HashData(Encoding.UTF8.GetBytes(http.Request.Headers[TokenHeader].ToString()))))
        {
            http.Response.StatusCode = StatusCodes.Status401Unauthorized;
            return Task.CompletedTask;
        }

        if (required.Callers.Length > 0 && !required.Callers.Contains(http.Request.Headers[CallerHeader].ToString(), StringComparer.Ordinal))
        {
            http.Response.StatusCode = StatusCodes.Status403Forbidden;
            return Task.CompletedTask;
        }

        return next(http);
    }
}
