using System.Text;
using Dapr.Client.Autogen.Grpc.v1;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Marketplace.Local.Sidecar.Resiliency;
using Microsoft.AspNetCore.Http.Features;
using Yarp.ReverseProxy.Forwarder;

namespace Marketplace.Local.Sidecar.Invocation;

/// <summary>
/// Service invocation. The request goes from the caller's connection straight to the callee's app: status, headers and body pass
/// through in both directions as they come, nothing is held in memory.
/// </summary>
internal sealed class InvocationBlock(SidecarHost host) : BuildingBlock(host)
{
    private const string Prefix = "/v1.0/invoke/";
    private const string Method = "/method/";

    // Without a policy a call may take as long as caller and callee like.
    private static readonly ForwarderRequestConfig Plain = new() { ActivityTimeout = TimeSpan.FromHours(1), Version = new Version(1, 1), VersionPolicy = HttpVersionPolicy.RequestVersionExact };
    private static readonly ForwarderRequestConfig ClearHttp2 = Plain with { Version = new Version(2, 0) };

    private IHttpForwarder forwarder = null!;
    private GrpcProxy proxy = null!;

    public override void ConfigureServices(IServiceCollection services) => services.AddHttpForwarder();

    public override void Map(IEndpointRouteBuilder routes)
    {
        forwarder = routes.ServiceProvider.GetRequiredService<IHttpForwarder>();
        proxy = new GrpcProxy(forwarder, Find);
    }

    public override void MapGrpc(DaprMethods methods) => methods.Unary<InvokeServiceRequest, InvokeResponse>("InvokeService", InvokeServiceAsync);

    /// <summary>The call that an address of the form <c>/v1.0/invoke/{app}/method/…</c> asks for, before any routing; null for other addresses.</summary>
    public Task? TryInvoke(HttpContext http, SidecarInstance caller)
    {
        var target = http.Features.Get<IHttpRequestFeature>()!.RawTarget;
        if (!target.StartsWith(Prefix, StringComparison.Ordinal)) return null;

        var method = target.IndexOf(Method, Prefix.Length, StringComparison.Ordinal);
        return method > Prefix.Length && target.AsSpan(Prefix.Length, method - Prefix.Length).IndexOf('/') < 0
            ? InvokeAsync(http, caller, ByHeader(http) ?? target[Prefix.Length..method], target[(method + Method.Length - 1)..])
            : null;
    }

    /// <summary>What no route claims is a call if it names its target otherwise: in a header, or as the user of basic authentication.</summary>
    public Task InvokeUnroutedAsync(HttpContext http) =>
        http.Features.Get<SidecarInstance>() is { } proxied && http.Request.Protocol == "HTTP/2" ? proxy.ForwardAsync(http, proxied)
        : http.Features.Get<SidecarInstance>() is { } caller && (ByHeader(http) ?? ByBasicAuth(http)) is { } named
        ? InvokeAsync(http, caller, named, http.Features.Get<IHttpRequestFeature>()!.RawTarget)
        : DaprApiException.WriteAsync(http, StatusCodes.Status404NotFound, "ERR_DIRECT_INVOKE", "failed getting app id either from the URL path or the header dapr-app-id");

    private static string? ByHeader(HttpContext http) => http.Request.Headers.TryGetValue("dapr-app-id", out var values) && values is [{ Length: > 0 } named] ? named : null;

    private async Task InvokeAsync(HttpContext http, SidecarInstance caller, string named, string target)
    {
        if (Find(named) is not { } callee)
        {
            await DirectInvokeErrorAsync(http, named, $"couldn't find service: {named}");
            return;
        }

        var appId = callee.AppId;

        if (http.Request.ContentLength > caller.App.MaxBodyBytes)
        {
            await DirectInvokeErrorAsync(http, appId, "stream too large");
            return;
        }

        if (!MethodPath.TryClean(target, out var path, out var problem))
        {
            await DirectInvokeErrorAsync(http, appId, $"rpc error: code = InvalidArgument desc = invalid method: {problem}");
            return;
        }

        var call = new InvokedCall(caller, appId, path);
        if (Host.Faults.Invoke(appId, call.PathOnly) is { } fault)
        {
            if (fault.Mode == "delay") await Task.Delay(fault.DelayMs, http.RequestAborted);
            if (fault.Mode == "before")
            {
                await DaprApiException.WriteAsync(http, StatusCodes.Status500InternalServerError, "ERR_DIRECT_INVOKE", $"failed to invoke, id: {appId}, err: fault {fault.Id}");
                return;
            }

            call.ReplaceReply = fault.Mode == "after";
        }

        try
        {
            var policies = caller.Components.Resiliency;
            var streamed = http.Request.Headers.TransferEncoding.Count > 0;
            call.Unreachable = streamed || appId == caller.AppId ? null : policies.Unreachable(appId);
            var policy = policies.App(appId, call.PathOnly);
            if (policy is null)
                await ForwardAsync(http, caller, callee, call, http.RequestAborted);
            else
                await new PolicedCall(Host, policy, call, http, ct => ForwardAsync(http, caller, callee, call, ct)).RunAsync();
        }
        catch (Exception e) when (e is OperationCanceledException or BadHttpRequestException && http.RequestAborted.IsCancellationRequested)
        {
            // The caller left; nobody reads an answer.
            http.Abort();
        }
    }

    /// <summary>One call, repeated only while no connection to the app can be made: then nothing of the request was sent yet.</summary>
    internal async Task<ForwardOutcome> ForwardAsync(HttpContext http, SidecarInstance caller, AppGroup callee, InvokedCall call, CancellationToken ct)
    {
        var started = call.Unreachable is null ? 0 : Host.Time.GetTimestamp();
        for (var retry = 1; ; retry++)
        {
            var instance = callee.AppId == caller.AppId ? caller : callee.Pick();
            if (instance?.Channel.BaseAddress is not { } address)
            {
                if (retry > 1 && call.Unreachable?.Pause(retry, Host.Time.GetElapsedTime(started)) is { } wait)
                {
                    await Task.Delay(wait, Host.Time, ct);
                    continue;
                }

                return await NotForwardedAsync(http, call, callee.Instances[0].App.AppPort is null
                    ? "app channel is not initialized"
                    : "app is not in a healthy state");
            }

            call.Channel = instance.Channel;
            call.Address = address;
            ForwarderError error;
            using (await instance.Channel.EnterAsync(ct))
                error = await forwarder.SendAsync(http, address, instance.Channel.Client, instance.App.AppProtocol == "h2c" ? ClearHttp2 : Plain, call, ct);

            if (error == ForwarderError.None) return call.Withheld is null ? ForwardOutcome.Answered : ForwardOutcome.Withheld;
            if (http.Response.HasStarted || http.RequestAborted.IsCancellationRequested) return ForwardOutcome.Answered;

            var exception = http.Features.Get<IForwarderErrorFeature>()?.Exception;
            http.Features.Set<IForwarderErrorFeature>(null);
            if (error == ForwarderError.Request && exception is HttpRequestException { HttpRequestError: HttpRequestError.ConnectionError })
            {
                instance.Channel.Suspect();
                if (call.Unreachable?.Pause(retry, Host.Time.GetElapsedTime(started)) is { } pause)
                {
                    http.Response.Clear();

                    // Another instance may answer at once; a single one gets the time to come back.
                    if (callee.Instances.Count == 1 || retry > 1) await Task.Delay(pause, Host.Time, ct);
                    continue;
                }
            }

            return await NotForwardedAsync(http, call, exception?.Message ?? error.ToString());
        }
    }

    private static async Task<ForwardOutcome> NotForwardedAsync(HttpContext http, InvokedCall call, string why)
    {
        if (call.HoldsFailures)
        {
            call.Failure = why;
            return ForwardOutcome.Failed;
        }

        await DirectInvokeErrorAsync(http, call.AppId, why);
        return ForwardOutcome.Answered;
    }

    internal static Task DirectInvokeErrorAsync(HttpContext http, string appId, string why)
    {
        http.Response.Clear();
        return DaprApiException.WriteAsync(http, StatusCodes.Status500InternalServerError, "ERR_DIRECT_INVOKE", $"failed to invoke, id: {appId}, err: {why}");
    }

    /// <summary>The app of a name as it stands in the address: perhaps encoded, perhaps with a namespace behind it.</summary>
    private AppGroup? Find(string name)
    {
        if (Host.Group(name) is { } group) return group;
        var text = Uri.UnescapeDataString(name);
        var dot = text.LastIndexOf('.');
        return Host.Group(text) ?? (dot > 0 && text[(dot + 1)..] == Host.Namespace ? Host.Group(text[..dot]) : null);
    }

    private static string? ByBasicAuth(HttpContext http)
    {
        var authorization = http.Request.Headers.Authorization;
        if (authorization.Count != 1 || authorization[0] is not { } text || !text.StartsWith("Basic ", StringComparison.OrdinalIgnoreCase)) return null;
        var bytes = new byte[text.Length];
        if (!Convert.TryFromBase64String(text[6..].Trim(), bytes, out var count)) return null;
        var user = Encoding.UTF8.GetString(bytes, 0, count);
        return user.StartsWith("dapr-app-id:", StringComparison.Ordinal) ? user["dapr-app-id:".Length..] : null;
    }

    private async Task<InvokeResponse> InvokeServiceAsync(SidecarInstance caller, InvokeServiceRequest request, ServerCallContext context)
    {
        var callee = Find(request.Id) ?? throw new RpcException(new Status(StatusCode.Internal, $"failed to invoke, id: {request.Id}, err: couldn't find service: {request.Id}"));
        var message = request.Message;
        var verb = message.HttpExtension?.Verb ?? HTTPExtension.Types.Verb.None;
        var method = verb == HTTPExtension.Types.Verb.None ? HttpMethod.Post : new HttpMethod(verb.ToString().ToUpperInvariant());
        var query = message.HttpExtension?.Querystring is { Length: > 0 } text ? "?" + text : "";
        if (!MethodPath.TryCleanName(message.Method, out var name, out var problem))
            throw new RpcException(new Status(StatusCode.Internal, $"failed to invoke, id: {callee.AppId}, err: rpc error: code = InvalidArgument desc = invalid method: {problem}"));

        var path = name + query;
        var fault = Host.Faults.Invoke(callee.AppId, name);
        if (fault?.Mode == "delay") await Task.Delay(fault.DelayMs, context.CancellationToken);
        if (fault?.Mode == "before") throw new RpcException(new Status(StatusCode.Unknown, "Internal Server Error"));

        var headers = context.RequestHeaders;
        Metadata? answer = null;
        var policy = caller.Components.Resiliency.App(callee.AppId, path.Split('?')[0]);
        try
        {
            return await policy.RunAsync(Host.Time, ct => CallAsync(caller, callee, message, method, path, headers, fault?.Mode == "after", found => answer = found, ct), static _ => false, null, context.CancellationToken);
        }
        catch (TimeoutException e)
        {
            throw new RpcException(new Status(StatusCode.DeadlineExceeded, e.Message));
        }
        catch (BreakerOpenException e)
        {
            throw new RpcException(new Status(StatusCode.Unknown, e.Message));
        }
        finally
        {
            // Of several attempts the last one is told.
            if (answer is not null) await context.WriteResponseHeadersAsync(answer);
        }
    }

    private static async Task<InvokeResponse> CallAsync(SidecarInstance caller, AppGroup callee, InvokeRequest message, HttpMethod method, string path, Metadata headers, bool failAfter, Action<Metadata> answered, CancellationToken ct)
    {
        var instance = callee.AppId == caller.AppId ? caller : callee.Pick();
        if (instance?.Channel.BaseAddress is null) throw new RpcException(new Status(StatusCode.Internal, $"failed to invoke, id: {callee.AppId}, err: app is not in a healthy state"));

        using var forwarded = instance.Channel.Request(method, path);
        if (message.Data is { Value.Length: > 0 } data || method == HttpMethod.Post || method == HttpMethod.Put || method == HttpMethod.Patch)
        {
            forwarded.Content = new ReadOnlyMemoryContent(message.Data?.Value.Memory ?? ReadOnlyMemory<byte>.Empty);
            forwarded.Content.Headers.TryAddWithoutValidation("Content-Type", message.ContentType.Length > 0 ? message.ContentType : "application/json");
        }

        foreach (var entry in headers)
        {
            if (!entry.IsBinary && entry.Key is not ("dapr-api-token" or "user-agent" or "te" or "content-type" or "host") && !entry.Key.StartsWith("grpc-", StringComparison.Ordinal) && entry.Key[0] != ':')
                forwarded.Headers.TryAddWithoutValidation(entry.Key, entry.Value);
        }

        if (caller.AppId != callee.AppId) CallerHeaders.Add(forwarded.Headers, caller, callee.AppId);
        try
        {
            using var response = await instance.Channel.SendAsync(forwarded, ct);
            var body = await response.Content.ReadAsByteArrayAsync(ct);
            if (failAfter) throw new RpcException(new Status(StatusCode.Unknown, "Internal Server Error"));
            answered(HttpToGrpc.Headers(response));
            if (!response.IsSuccessStatusCode) throw HttpToGrpc.Error((int)response.StatusCode, body);
            return new InvokeResponse
            {
                Data = new Any { Value = UnsafeByteOperations.UnsafeWrap(body) },
                ContentType = response.Content.Headers.ContentType?.ToString() ?? "",
            };
        }
        catch (HttpRequestException e)
        {
            throw new RpcException(new Status(StatusCode.Internal, $"failed to invoke, id: {callee.AppId}, err: {e.Message}"));
        }
    }
}

internal enum ForwardOutcome
{
    /// <summary>The caller has its answer.</summary>
    Answered,

    /// <summary>The app answered with a status that the policy may want to retry; nothing went to the caller yet.</summary>
    Withheld,

    /// <summary>No answer came; nothing went to the caller yet.</summary>
    Failed,
}
