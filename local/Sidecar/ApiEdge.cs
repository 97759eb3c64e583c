namespace Marketplace.Local.Sidecar;

/// <summary>What surrounds every call of the API: the token, the size limit, and errors in daprd's shape.</summary>
internal static partial class ApiEdge
{
    public static Task HandleAsync(HttpContext http, RequestDelegate next, string? token)
    {
        if (http.Features.Get<SidecarInstance>() is not { } sidecar) return next(http);
        if (token is not null && http.Request.Headers["dapr-api-token"] != token && !IsOpen(http.Request)) return RefuseAsync(http);
        if (http.Request.Protocol == "HTTP/2") return next(http);

        if (http.Features.Get<Microsoft.AspNetCore.Http.Features.IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
            limit.MaxRequestBodySize = sidecar.App.MaxBodyBytes;
        return sidecar.Host.Invocation.TryInvoke(http, sidecar) ?? WithErrorsAsync(http, next, sidecar);
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
            await DaprApiException.WriteAsync(http, e.StatusCode, "ERR_MALFORMED_REQUEST", e.Message);
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
