namespace Marketplace.Local.Sidecar;

/// <summary>What surrounds every call of the API: the token, the size limit, and errors in daprd's shape.</summary>
internal static partial class ApiEdge
{
    public static Task HandleAsync(HttpContext http, RequestDelegate next, string? token)
    {
        if (http.Features.Get<SidecarInstance>() is not { } sidecar) return next(http);
        if (sidecar.IsShutDown)
        {
            http.Abort();
            return Task.CompletedTask;
        }

        if (token is not null && http.Request.Headers["dapr-api-token"] != token && !IsOpen(http.Request)) return RefuseAsync(http);
        if (http.Request.Protocol == "HTTP/2") return next(http);

        if (http.Features.Get<Microsoft.AspNetCore.Http.Features.IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
            limit.MaxRequestBodySize = sidecar.App.MaxBodyBytes;
        if (http.Request.ContentLength > sidecar.App.MaxBodyBytes) return TooLargeAsync(http, sidecar);
        if (sidecar.Host.Invocation.TryInvoke(http, sidecar) is { } call) return call;
        CleanPath(http.Request);
        return WithErrorsAsync(http, next, sidecar);
    }

    /// <summary>The body is read to its end first: a caller who is still sending would see the connection break instead of the answer.</summary>
    private static async Task TooLargeAsync(HttpContext http, SidecarInstance sidecar)
    {
        if (http.Features.Get<Microsoft.AspNetCore.Http.Features.IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit) limit.MaxRequestBodySize = null;
        await http.Request.Body.CopyToAsync(Stream.Null, http.RequestAborted);
        await (sidecar.Host.Invocation.TryInvoke(http, sidecar) ?? DaprApiException.WriteAsync(http, StatusCodes.Status400BadRequest, "ERR_MALFORMED_REQUEST", "stream too large"));
    }

    /// <summary>Doubled slashes, dots and a slash at the end make no difference for the API.</summary>
    private static void CleanPath(HttpRequest request)
    {
        var path = request.Path.Value ?? "/";
        if (path.Length < 2 || (path[^1] != '/' && !path.Contains("//", StringComparison.Ordinal) && !path.Contains("/.", StringComparison.Ordinal))) return;

        var parts = new List<string>();
        foreach (var part in path.Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            if (part == "..") parts.RemoveRange(Math.Max(0, parts.Count - 1), Math.Min(1, parts.Count));
            else if (part != ".") parts.Add(part);
        }

        request.Path = "/" + string.Join('/', parts);
    }

    private static async Task WithErrorsAsync(HttpContext http, RequestDelegate next, SidecarInstance sidecar)
    {
        try
        {
            await next(http);
        }
        catch (DaprApiException e) when (!http.Response.HasStarted)
        {
            await e.WriteAsync(http);
        }
        catch (BadHttpRequestException e) when (!http.Response.HasStarted)
        {
            // daprd notices a body over its limit while it reads: for most calls that is a body it cannot make out.
            var isTooLarge = e.StatusCode == StatusCodes.Status413PayloadTooLarge;
            await DaprApiException.WriteAsync(http, isTooLarge ? StatusCodes.Status400BadRequest : e.StatusCode, "ERR_MALFORMED_REQUEST", isTooLarge ? "stream too large" : e.Message);
        }
        catch (OperationCanceledException) when (http.RequestAborted.IsCancellationRequested)
        {
            // The caller left; nobody reads an answer.
            http.Abort();
        }
        catch (Exception e) when (!http.Response.HasStarted)
        {
            LogFailed(sidecar.Host.Loggers.CreateLogger("Marketplace.Local.Sidecar.Api"), e, http.Request.Method, http.Request.Path, sidecar.Id);
            await DaprApiException.WriteAsync(http, StatusCodes.Status500InternalServerError, "ERR_INTERNAL", e.Message);
        }
    }

    private static bool IsOpen(HttpRequest request) =>
        HttpMethods.IsGet(request.Method) && (request.Path == "/v1.0/healthz" || request.Path == "/v1.0/healthz/outbound");

    private static Task RefuseAsync(HttpContext http)
    {
        if (http.Request.Protocol == "HTTP/2")
        {
            http.Response.ContentType = "application/grpc";
            http.Response.Headers["grpc-status"] = "16";
            http.Response.Headers["grpc-message"] = "authentication error: api token mismatch";
            return Task.CompletedTask;
        }

        http.Response.StatusCode = StatusCodes.Status401Unauthorized;
        http.Response.ContentType = "text/plain; charset=utf-8";
        return http.Response.WriteAsync("invalid api token");
    }

    [LoggerMessage(LogLevel.Error, "{Method} {Path} of {Instance} failed")]
    private static partial void LogFailed(ILogger log, Exception exception, string method, string path, string instance);
}
