using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Options;

namespace Marketplace.Gateway.Routes;

/// <summary>Turned away before anything is read or verified: too large, or not JSON.</summary>
public sealed class DoorChecks(RequestDelegate next, IOptions<ForwardingOptions> options)
{
    // A body somewhat over the limit is read and thrown away, so that the sender sees the answer and not a broken connection.
    private const long SwallowedAtMost = 64L * 1024 * 1024;

    private readonly long largestBody = options.Value.LargestBody;

    public Task InvokeAsync(HttpContext http)
    {
        var request = http.Request;
        if (request.ContentLength > largestBody)
        {
            if (request.ContentLength <= SwallowedAtMost && http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
                limit.MaxRequestBodySize = SwallowedAtMost;
            http.Response.StatusCode = StatusCodes.Status413PayloadTooLarge;
            return Task.CompletedTask;
        }

        if (http.Features.Get<IHttpRequestBodyDetectionFeature>()?.CanHaveBody == true
            && request.ContentLength is null or > 0
            && http.GetEndpoint()?.Metadata.GetMetadata<PublicRoute>() is { Access: not Access.Webhook }
            && !request.HasJsonContentType())
        {
            http.Response.StatusCode = StatusCodes.Status415UnsupportedMediaType;
            return Task.CompletedTask;
        }
        return next(http);
    }
}
