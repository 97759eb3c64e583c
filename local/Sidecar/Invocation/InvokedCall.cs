using System.Net.Http.Headers;
using Yarp.ReverseProxy.Forwarder;

namespace Marketplace.Local.Sidecar.Invocation;

/// <summary>One invocation on its way: what daprd changes in the headers, and whether the reply is to be kept back.</summary>
internal sealed class InvokedCall(SidecarInstance caller, string appId, string target) : HttpTransformer
{
    private static readonly UriCreationOptions AsItIs = new() { DangerousDisablePathAndQueryCanonicalization = true };

    public string AppId => appId;
    public AppChannel Channel { get; set; } = caller.Channel;
    public string Address { get; set; } = "";

    /// <summary>A fault: the app does its work, the caller gets a 500.</summary>
    public bool ReplaceReply { get; set; }

    /// <summary>Statuses for which the reply is kept back, for the sake of a retry; null lets all through.</summary>
    public Func<int, bool>? Withhold { get; set; }

    /// <summary>A call that did not come through is told in <see cref="Failure"/> instead of answered.</summary>
    public bool HoldsFailures { get; set; }

    public string? Failure { get; set; }

    /// <summary>Tries to connect again while the app cannot be reached; null for none.</summary>
    public Resiliency.RetryPolicy? Unreachable { get; set; }

    /// <summary>Nothing was tried: the breaker of the policy is open.</summary>
    public bool BreakerIsOpen { get; set; }

    /// <summary>The status that was kept back.</summary>
    public int? Withheld { get; private set; }

    public int? Status { get; private set; }

    public string PathOnly => target.IndexOf('?', StringComparison.Ordinal) is >= 0 and var query ? target[..query] : target;

    public void Reset()
    {
        Withheld = null;
        Failure = null;
        Status = null;
    }

    public override async ValueTask TransformRequestAsync(HttpContext httpContext, HttpRequestMessage proxyRequest, string destinationPrefix, CancellationToken cancellationToken)
    {
        await base.TransformRequestAsync(httpContext, proxyRequest, destinationPrefix, cancellationToken);
        proxyRequest.RequestUri = new Uri(Address + target, AsItIs);
        var headers = proxyRequest.Headers;
        headers.Host = null;
        foreach (var nominated in httpContext.Request.Headers.GetCommaSeparatedValues("Connection"))
        {
            if (!nominated.StartsWith("Content-", StringComparison.OrdinalIgnoreCase)) headers.Remove(nominated);
        }

        headers.Remove("dapr-app-id");
        headers.Remove("dapr-api-token");
        if (Channel.AppToken is { } token) headers.TryAddWithoutValidation("dapr-api-token", token);
        if (!headers.Contains("traceparent")) headers.TryAddWithoutValidation("traceparent", Trace.NewParent());
        if (caller.AppId != appId) CallerHeaders.Add(headers, caller, appId);
    }

    public override ValueTask<bool> TransformResponseAsync(HttpContext httpContext, HttpResponseMessage? proxyResponse, CancellationToken cancellationToken)
    {
        if (proxyResponse is null) return base.TransformResponseAsync(httpContext, proxyResponse, cancellationToken);

        Status = (int)proxyResponse.StatusCode;
        if (ReplaceReply)
        {
            httpContext.Response.StatusCode = StatusCodes.Status500InternalServerError;
            return new ValueTask<bool>(false);
        }

        if (Withhold?.Invoke((int)proxyResponse.StatusCode) == true)
        {
            Withheld = (int)proxyResponse.StatusCode;
            return new ValueTask<bool>(false);
        }

        return base.TransformResponseAsync(httpContext, proxyResponse, cancellationToken);
    }
}

/// <summary>Who called whom, as daprd tells the callee.</summary>
internal static class CallerHeaders
{
    public static void Add(HttpRequestHeaders headers, SidecarInstance caller, string callee)
    {
        // Whatever the caller claimed itself is replaced: inner routes of the callee decide by these.
        headers.Remove("dapr-caller-app-id");
        headers.Remove("dapr-caller-namespace");
        headers.Remove("dapr-callee-app-id");
        headers.TryAddWithoutValidation("dapr-caller-app-id", caller.AppId);
        headers.TryAddWithoutValidation("dapr-caller-namespace", caller.Host.Namespace);
        headers.TryAddWithoutValidation("dapr-callee-app-id", callee);
        headers.TryAddWithoutValidation("X-Forwarded-For", "127.0.0.1");
        headers.TryAddWithoutValidation("X-Forwarded-Host", "127.0.0.1");
        headers.TryAddWithoutValidation("Forwarded", "for=127.0.0.1;by=127.0.0.1;host=127.0.0.1");
    }
}

/// <summary>A trace for a call that came without one.</summary>
internal static class Trace
{
    public static string NewParent() => string.Create(55, 0, static (text, _) =>
    {
        Span<byte> random = stackalloc byte[24];
        Random.Shared.NextBytes(random);
        "00-".CopyTo(text);
        Convert.TryToHexStringLower(random[..16], text[3..], out var _);
        text[35] = '-';
        Convert.TryToHexStringLower(random[16..], text[36..], out var _);
        "-00".CopyTo(text[52..]);
    });
}
