using Marketplace.Hosting;
using Microsoft.Net.Http.Headers;

namespace Marketplace.Gateway.Routes;

/// <summary>
/// What crosses the door is listed, both ways. So a client's <c>dapr-app-id</c> (which outranks the URL at the sidecar),
/// <c>dapr-api-token</c>, <c>X-Forwarded-*</c>, cookies and whatever is invented next stay outside, and what sidecars and servers add stays inside.
/// </summary>
internal static class PassedHeaders
{
    public static readonly string[] In =
    [
        HeaderNames.Accept, HeaderNames.AcceptLanguage, HeaderNames.IfMatch, HeaderNames.IfNoneMatch, HeaderNames.UserAgent,
        "Idempotency-Key", "Last-Event-ID", "Prefer", "Queue-Ticket", "Upload-Offset", "Upload-Complete",
    ];

    public static readonly string[] WebhookIn = [HeaderNames.UserAgent, "Stripe-Signature"];

    // Part of a file, or none of it when it is known; what it may be kept for comes back with it.
    public static readonly string[] FileIn = [HeaderNames.Accept, HeaderNames.IfMatch, HeaderNames.IfNoneMatch, HeaderNames.IfRange, HeaderNames.Range, HeaderNames.UserAgent];

    public static readonly string[] FileOut = [HeaderNames.ETag, HeaderNames.CacheControl, HeaderNames.AcceptRanges, HeaderNames.RetryAfter];

    public static readonly string[] FileContentOut = [HeaderNames.ContentType, HeaderNames.ContentLength, HeaderNames.ContentRange, HeaderNames.LastModified, HeaderNames.Allow];

    public static readonly string[] Out =
    [
        HeaderNames.ETag, HeaderNames.Location, HeaderNames.RetryAfter, HeaderNames.WWWAuthenticate, HeaderNames.Link, HeaderNames.Vary,
        Degradation.Header, "Idempotent-Replayed", "Deprecation", "Sunset", "Preference-Applied", "Upload-Offset", "Upload-Complete",
    ];

    public static readonly string[] ContentOut =
    [
        HeaderNames.ContentType, HeaderNames.ContentLength, HeaderNames.ContentLanguage, HeaderNames.ContentDisposition, HeaderNames.ContentEncoding,
        HeaderNames.LastModified, HeaderNames.Allow, HeaderNames.Expires,
    ];
}
