using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Options;
using Microsoft.Net.Http.Headers;

namespace Marketplace.Gateway.Routes;

/// <summary>Turned away before anything is read or verified: too large, or of a type that the route does not take.</summary>
public sealed class DoorChecks(RequestDelegate next, IOptions<ForwardingOptions> options)
{
    // A body somewhat over the limit is read and thrown away, so that the sender sees the answer and not a broken connection.
    private const long SwallowedAtMost = 64L * 1024 * 1024;

    private static readonly string[] Json = ["application/json"];

    private readonly long largestBody = options.Value.LargestBody;

    public Task InvokeAsync(HttpContext http)
    {
        var request = http.Request;
        if (http.Features.Get<IHttpRequestBodyDetectionFeature>()?.CanHaveBody != true || request.ContentLength == 0)
            return next(http);

        var route = http.GetEndpoint()?.Metadata.GetMetadata<PublicRoute>();
        var largest = route?.LargestBody ?? largestBody;
        var size = http.Features.Get<IHttpMaxRequestBodySizeFeature>();
        if (request.ContentLength > largest)
        {
            if (request.ContentLength <= SwallowedAtMost && size is { IsReadOnly: false })
                size.MaxRequestBodySize = SwallowedAtMost;
            http.Response.StatusCode = StatusCodes.Status413PayloadTooLarge;
            return Task.CompletedTask;
        }

        // For a body of unknown length the server counts while it is passed on.
        if (size is { IsReadOnly: false })
            size.MaxRequestBodySize = largest;
        if (route is { Access: not Access.Webhook, Types: var types } && !(types is null ? request.HasJsonContentType() : IsOneOf(types, request.ContentType)))
            return Problems.Of(StatusCodes.Status415UnsupportedMediaType, "unsupported-media-type", $"The body must be {string.Join(" or ", types ?? Json)}.").ExecuteAsync(http);
        return next(http);
    }

    private static bool IsOneOf(IReadOnlyList<string> types, string? sent) =>
        MediaTypeHeaderValue.TryParse(sent, out var type) && types.Any(taken => new MediaTypeHeaderValue(taken).MatchesMediaType(type.MediaType));
}
