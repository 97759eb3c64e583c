using System.Globalization;
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

        var size = http.Features.Get<IHttpMaxRequestBodySizeFeature>();
        if (http.GetEndpoint()?.Metadata.GetMetadata<PublicRoute>() is not { } route)
        {
            // Nothing here reads it, and what there is to say is that this is no address, however large the body.
            if (size is { IsReadOnly: false })
                size.MaxRequestBodySize = SwallowedAtMost;
            return next(http);
        }

        var largest = route.LargestBody ?? largestBody;
        if (request.ContentLength > largest)
        {
            if (request.ContentLength <= SwallowedAtMost && size is { IsReadOnly: false })
                size.MaxRequestBodySize = SwallowedAtMost;
            return TooLarge(largest).ExecuteAsync(http);
        }

        // For a body of unknown length the server counts while it is passed on.
        if (size is { IsReadOnly: false })
            size.MaxRequestBodySize = largest;
        if (route is { Access: not Access.Webhook, Types: var types } && !(types is null ? request.HasJsonContentType() : IsOneOf(types, request.ContentType)))
            return Problems.Of(StatusCodes.Status415UnsupportedMediaType, "unsupported-media-type", $"The body must be {string.Join(" or ", types ?? Json)}.").ExecuteAsync(http);
        return next(http);
    }

    /// <summary>Who is told how much there may be need not guess.</summary>
    internal static IResult TooLarge(long largest) => Problems.Of(
        StatusCodes.Status413PayloadTooLarge, "body-too-large", "The request body is too large.", string.Create(CultureInfo.InvariantCulture, $"This address takes {largest:N0} bytes at most."));

    private static bool IsOneOf(IReadOnlyList<string> types, string? sent) =>
        MediaTypeHeaderValue.TryParse(sent, out var type) && types.Any(taken => new MediaTypeHeaderValue(taken).MatchesMediaType(type.MediaType));
}
