using Grpc.Core;
using Yarp.ReverseProxy.Forwarder;

namespace Marketplace.Local.Sidecar.Invocation;

/// <summary>
/// A gRPC call of a service that the sidecar does not know goes to the app that its metadata name, streams included, if that app speaks gRPC.
/// </summary>
internal sealed class GrpcProxy(IHttpForwarder forwarder, Func<string, AppGroup?> find)
{
    private static readonly ForwarderRequestConfig Http2 = new() { ActivityTimeout = TimeSpan.FromHours(1), Version = new Version(2, 0), VersionPolicy = HttpVersionPolicy.RequestVersionExact };

    public async Task ForwardAsync(HttpContext http, SidecarInstance caller)
    {
        var named = http.Request.Headers["dapr-callee-app-id"].FirstOrDefault() ?? http.Request.Headers["dapr-app-id"].FirstOrDefault();
        if (string.IsNullOrEmpty(named))
        {
            Refuse(http, StatusCode.Unknown, "failed to proxy request: required metadata dapr-callee-app-id or dapr-app-id not found");
            return;
        }

        if (find(named) is not { } callee)
        {
            Refuse(http, StatusCode.Unknown, $"couldn't find service: {named}");
            return;
        }

        var instance = callee.AppId == caller.AppId ? caller : callee.Pick();
        if (instance?.Channel.BaseAddress is not { } address || !instance.Channel.IsHealthy)
        {
            Refuse(http, StatusCode.Unavailable, "app is not in a healthy state");
            return;
        }

        if (instance.App.AppProtocol is not ("grpc" or "grpcs" or "h2c"))
        {
            Refuse(http, StatusCode.Unknown, $"app {callee.AppId} is not called by gRPC: its protocol is {instance.App.AppProtocol}");
            return;
        }

        using (await instance.Channel.EnterAsync(http.RequestAborted))
        {
            var error = await forwarder.SendAsync(http, address, instance.Channel.Client, Http2, new Call(caller, callee.AppId, instance.Channel.AppToken), http.RequestAborted);
            if (error == ForwarderError.None || http.Response.HasStarted || http.RequestAborted.IsCancellationRequested) return;
        }

        instance.Channel.Suspect();
        var why = http.Features.Get<IForwarderErrorFeature>()?.Exception?.Message ?? "no answer";
        http.Response.Clear();
        Refuse(http, StatusCode.Unavailable, why);
    }

    private static void Refuse(HttpContext http, StatusCode code, string message)
    {
        http.Response.StatusCode = StatusCodes.Status200OK;
        http.Response.ContentType = "application/grpc";
        http.Response.Headers["grpc-status"] = ((int)code).ToString(System.Globalization.CultureInfo.InvariantCulture);
        http.Response.Headers["grpc-message"] = Uri.EscapeDataString(message);
    }

    private sealed class Call(SidecarInstance caller, string callee, string? appToken) : HttpTransformer
    {
        public override async ValueTask TransformRequestAsync(HttpContext httpContext, HttpRequestMessage proxyRequest, string destinationPrefix, CancellationToken cancellationToken)
        {
            await base.TransformRequestAsync(httpContext, proxyRequest, destinationPrefix, cancellationToken);
            var headers = proxyRequest.Headers;
            headers.Host = null;
            headers.Remove("dapr-api-token");
            if (appToken is not null) headers.TryAddWithoutValidation("dapr-api-token", appToken);
            headers.Remove("dapr-caller-app-id");
            if (caller.AppId == callee) return;
            headers.TryAddWithoutValidation("dapr-caller-app-id", caller.AppId);
            headers.Remove("dapr-callee-app-id");
            headers.TryAddWithoutValidation("dapr-callee-app-id", callee);
        }
    }
}
