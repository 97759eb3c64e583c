using System.ComponentModel.DataAnnotations;
using System.Net;
using System.Text;
using Marketplace.Hosting;
using Microsoft.Extensions.Options;
using Microsoft.Net.Http.Headers;
using Yarp.ReverseProxy.Forwarder;

namespace Marketplace.Gateway.Routes;

public sealed class ForwardingOptions
{
    /// <summary>A service that is silent for this long is given up; each piece of a stream starts the time anew.</summary>
    public TimeSpan Silence { get; set; } = TimeSpan.FromSeconds(30);

    [Range(1, 1024L * 1024 * 1024)]
    public long LargestBody { get; set; } = 1024 * 1024;

    /// <summary>Addresses or networks (10.0.0.0/8) of our own load balancers, whose X-Forwarded-For is believed. From others it is replaced.</summary>
    public IReadOnlyList<string> TrustedProxies { get; set; } = [];
}

/// <summary>Passes a request to its service and the answer back, both as streams.</summary>
public sealed partial class Forwarding(Sidecar sidecar, IHttpForwarder forwarder, IOptions<ForwardingOptions> options, ILogger<Forwarding> log)
{
    private readonly ForwarderRequestConfig config = new() { ActivityTimeout = options.Value.Silence, Version = HttpVersion.Version11 };

    public RequestDelegate To(PublicRoute route)
    {
        var prefix = sidecar.PrefixOf(route.App);
        var transformer = new Crossing(sidecar, route);
        var connections = route.Storm is null ? sidecar.Http : sidecar.ForStorms;
        return http => PassAsync(http, route, prefix, connections, transformer);
    }

    private async Task PassAsync(HttpContext http, PublicRoute route, string prefix, HttpMessageInvoker connections, Crossing crossing)
    {
        if (crossing.Unwritable(http.Request.Headers) is { } header)
        {
            await Problems.Of(StatusCodes.Status400BadRequest, "bad-request", "The request cannot be understood.", $"{header} may hold ASCII characters only.").ExecuteAsync(http);
            return;
        }

        var error = await forwarder.SendAsync(http, prefix, connections, config, crossing, http.RequestAborted);
        if (error == ForwarderError.None || http.Response.HasStarted)
            return;

        // Chunked bodies reach the limit only while they are being passed on.
        if (http.GetForwarderErrorFeature()?.Exception is { } failure && BadRequestIn(failure) is { } bad)
        {
            http.Response.Clear();
            http.Response.StatusCode = bad.StatusCode;
            if (bad.StatusCode == StatusCodes.Status413PayloadTooLarge)
                await DoorChecks.TooLarge(route.LargestBody ?? options.Value.LargestBody).ExecuteAsync(http);
            return;
        }
        if (http.RequestAborted.IsCancellationRequested)
            return;

        LogUnreachable(route.App, error);
        http.Response.Clear();
        if (error is ForwarderError.RequestTimedOut)
        {
            http.Response.StatusCode = StatusCodes.Status504GatewayTimeout;
            return;
        }
        http.Response.Headers.RetryAfter = "1";
        http.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
    }

    private static BadHttpRequestException? BadRequestIn(Exception failure)
    {
        for (Exception? e = failure; e is not null; e = e is AggregateException { InnerExceptions: [var first, ..] } ? first : e.InnerException)
        {
            if (e is BadHttpRequestException bad)
                return bad;
        }
        return null;
    }

    [LoggerMessage(LogLevel.Warning, "{App} could not be reached: {Error}")]
    private partial void LogUnreachable(string app, ForwarderError error);

    /// <summary>What changes on the way: the list of headers, who the client is, and answers that are not meant for clients.</summary>
    private sealed class Crossing(Sidecar sidecar, PublicRoute route) : HttpTransformer
    {
        private readonly string[] passed = route switch
        {
            { Access: Access.Webhook } => PassedHeaders.WebhookIn,
            { IsFile: true } => PassedHeaders.FileIn,
            _ => PassedHeaders.In,
        };

        private readonly string[] passedBack = route.IsFile ? PassedHeaders.FileOut : PassedHeaders.Out;
        private readonly string[] ofContent = route.IsFile ? PassedHeaders.FileContentOut : PassedHeaders.ContentOut;
        private readonly bool passesToken = route is { Access: not (Access.Webhook or Access.Shared), IsFile: false };

        /// <summary>A header that the server takes as UTF-8 and the client refuses to write, which would look as if the service were away. Dropping it could drop an If-Match.</summary>
        public string? Unwritable(IHeaderDictionary from) => Array.Find(passed, name => from.TryGetValue(name, out var values) && !Ascii.IsValid(values.ToString()));

        public override ValueTask TransformRequestAsync(HttpContext http, HttpRequestMessage request, string prefix, CancellationToken ct)
        {
            var from = http.Request.Headers;
            foreach (var name in passed)
            {
                if (from.TryGetValue(name, out var value))
                    request.Headers.TryAddWithoutValidation(name, (IEnumerable<string?>)value);
            }

            // Only a bearer's: a user name "dapr-app-id:…" in Basic credentials would choose another service.
            if (passesToken && from.Authorization.ToString() is { Length: > 7 } token && token.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase))
                request.Headers.TryAddWithoutValidation(HeaderNames.Authorization, token);

            if (request.Content is { } content)
            {
                if (http.Request.ContentType is { } type)
                    content.Headers.TryAddWithoutValidation(HeaderNames.ContentType, type);
                content.Headers.ContentLength = http.Request.ContentLength;
            }

            request.Headers.TryAddWithoutValidation("X-Forwarded-For", http.Connection.RemoteIpAddress?.ToString() ?? "unknown");
            request.Headers.TryAddWithoutValidation("X-Forwarded-Proto", http.Request.Scheme);
            request.Headers.TryAddWithoutValidation("X-Forwarded-Host", http.Request.Host.Value);
            if (sidecar.ApiToken is { } apiToken)
                request.Headers.TryAddWithoutValidation("dapr-api-token", apiToken);
            return default;
        }

        public override ValueTask<bool> TransformResponseAsync(HttpContext http, HttpResponseMessage? answer, CancellationToken ct)
        {
            if (answer is null)
                return new(false);
            if (Answers.Replaced(answer) is { } status)
            {
                http.Response.StatusCode = status;
                if (status == StatusCodes.Status503ServiceUnavailable)
                    http.Response.Headers.RetryAfter = "1";
                return new(false);
            }

            http.Response.StatusCode = (int)answer.StatusCode;
            var to = http.Response.Headers;
            foreach (var name in passedBack)
            {
                if (answer.Headers.NonValidated.TryGetValues(name, out var value))
                    to[name] = Text(value);
            }
            foreach (var name in ofContent)
            {
                if (answer.Content.Headers.NonValidated.TryGetValues(name, out var value))
                    to[name] = Text(value);
            }
            return new(true);
        }

        private static string Text(System.Net.Http.Headers.HeaderStringValues values) => values.ToString();
    }
}

internal static class Answers
{
    /// <summary>
    /// Services explain every refusal in a problem document; an error without one was written by a sidecar or a server and tells a
    /// client about our insides. Null when the answer may pass, else the status to give instead.
    /// </summary>
    public static int? Replaced(HttpResponseMessage answer)
    {
        var status = (int)answer.StatusCode;
        if (status < 400)
            return null;

        var ofService = answer.Content.Headers.NonValidated.TryGetValues(HeaderNames.ContentType, out var type)
            && type.ToString().StartsWith(Problems.ContentType, StringComparison.OrdinalIgnoreCase);
        return (status, ofService) switch
        {
            (500 or 501 or 502, true) => StatusCodes.Status502BadGateway,   // the service is there and failed: not worth an automatic retry
            (_, true) => null,
            (401 or 403 or >= 500, false) => StatusCodes.Status503ServiceUnavailable,   // the sidecar: no such app, no connection, not allowed
            _ => status,
        };
    }
}
