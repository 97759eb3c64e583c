using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using Dapr.Client.Autogen.Grpc.v1;
using Google.Protobuf;
using Grpc.Core;
using Marketplace.Local.Sidecar.Resiliency;

namespace Marketplace.Local.Sidecar.Bindings;

/// <summary>Output bindings over HTTP and gRPC; input bindings, for every app that answers the probe for them.</summary>
internal sealed partial class BindingsBlock(SidecarHost host) : BuildingBlock(host)
{
    private static readonly TimeSpan ProbeTimeout = TimeSpan.FromSeconds(3);

    private readonly ConcurrentDictionary<SidecarInstance, Readers> readers = new();
    private readonly ILogger log = host.Loggers.CreateLogger<BindingsBlock>();

    public override void Map(IEndpointRouteBuilder routes) =>
        routes.MapMethods("/v1.0/bindings/{name}", ["POST", "PUT"], (RequestDelegate)InvokeAsync);

    public override void MapGrpc(DaprMethods methods) =>
        methods.Unary<InvokeBindingRequest, InvokeBindingResponse>("InvokeBinding", async (sidecar, request, call) =>
        {
            BindingReply reply;
            try
            {
                reply = await InvokeAsync(sidecar, request.Name, new BindingCall(request.Operation, request.Data.Memory, request.Metadata), call.CancellationToken);
            }
            catch (BindingException e)
            {
                await call.WriteResponseHeadersAsync([.. e.Metadata.Select(pair => new Metadata.Entry($"metadata.{pair.Key.ToLowerInvariant()}", pair.Value))]);
                throw Failed(request.Name, e.Message);
            }

            var answer = new InvokeBindingResponse { Data = reply.Data is { } data ? UnsafeByteOperations.UnsafeWrap(data) : ByteString.Empty };
            foreach (var (key, value) in reply.Metadata ?? new Dictionary<string, string>())
                answer.Metadata.Add(key, value);
            return answer;
        });

    public override async Task AppReadyAsync(SidecarInstance instance, CancellationToken ct)
    {
        var running = new Readers();
        foreach (var binding in instance.Components.Bindings.Values)
        {
            if (binding.Input is not { } input || instance.App.AppProtocol is "grpc" or "grpcs" || !await IsWantedAsync(instance, binding, ct)) continue;
            running.Tasks.Add(ReadAsync(instance, binding, input, running.Stop.Token));
        }

        readers[instance] = running;
    }

    public override async Task AppLostAsync(SidecarInstance instance, CancellationToken ct)
    {
        if (readers.TryRemove(instance, out var running)) await running.EndAsync();
    }

    public override async ValueTask DisposeAsync()
    {
        foreach (var running in readers.Values)
            await running.EndAsync();
        readers.Clear();
        await base.DisposeAsync();
    }

    private async Task InvokeAsync(HttpContext http)
    {
        JsonDocument document;
        try
        {
            document = await JsonDocument.ParseAsync(http.Request.Body, cancellationToken: http.RequestAborted);
        }
        catch (JsonException e)
        {
            throw new DaprApiException(400, StatusCode.InvalidArgument, "ERR_MALFORMED_REQUEST", $"failed deserializing HTTP body: {e.Message}");
        }

        using (document)
        {
            var root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object) throw new DaprApiException(400, StatusCode.InvalidArgument, "ERR_MALFORMED_REQUEST", "failed deserializing HTTP body: must be an object");
            var metadata = new Dictionary<string, string>();
            if (root.TryGetProperty("metadata", out var own) && own.ValueKind == JsonValueKind.Object)
            {
                foreach (var pair in own.EnumerateObject())
                    metadata[pair.Name] = pair.Value.ValueKind == JsonValueKind.String ? pair.Value.GetString()! : pair.Value.GetRawText();
            }

            var data = root.TryGetProperty("data", out var value) && value.ValueKind != JsonValueKind.Null ? GoJson.Rewrite(value) : "null"u8.ToArray();
            var operation = root.TryGetProperty("operation", out var name) ? name.GetString() ?? "" : "";
            BindingReply reply;
            try
            {
                reply = await InvokeAsync(SidecarInstance.Of(http), http.RouteText("name"), new BindingCall(operation, data, metadata), http.RequestAborted);
            }
            catch (BindingException e)
            {
                foreach (var (key, text) in e.Metadata) http.Response.Headers["metadata." + key] = text;
                throw Failed(http.RouteText("name"), e.Message);
            }

            foreach (var (key, text) in reply.Metadata ?? new Dictionary<string, string>())
                http.Response.Headers["metadata." + key] = text;
            if (reply.Data is not { } bytes)
            {
                http.Response.StatusCode = StatusCodes.Status204NoContent;
                return;
            }

            http.Response.ContentType = "application/json";
            http.Response.ContentLength = bytes.Length;
            await http.Response.Body.WriteAsync(bytes, http.RequestAborted);
        }
    }

    private async Task<BindingReply> InvokeAsync(SidecarInstance sidecar, string name, BindingCall call, CancellationToken ct)
    {
        if (!sidecar.Components.Bindings.TryGetValue(name, out var binding) || binding.Operations.Count == 0) throw Failed(name, $"couldn't find output binding {name}");
        if (call.Operation.Length == 0) throw Failed(name, "operation field is missing from request");
        if (!binding.Operations.Contains(call.Operation)) throw Failed(name, $"binding {name} does not support operation {call.Operation}. supported operations:{string.Join(' ', binding.Operations)}");
        try
        {
            return await sidecar.Components.Resiliency.ComponentOutbound(name, "Binding").RunAsync(Host.Time, token => binding.InvokeAsync(call, token), static _ => false, null, ct);
        }
        catch (Exception e) when (e is not BindingException && !ct.IsCancellationRequested)
        {
            throw Failed(name, e.Message);
        }
    }

    private static DaprApiException Failed(string name, string why) =>
        new(500, StatusCode.Internal, "ERR_INVOKE_OUTPUT_BINDING", $"error invoking output binding {name}: {why}") { IsCodedOverGrpc = true };

    /// <summary>The metadata direction decides, or else the app's answer to OPTIONS.</summary>
    private static async Task<bool> IsWantedAsync(SidecarInstance instance, BindingComponent binding, CancellationToken ct)
    {
        if (binding.Component.Get("direction") is { } direction) return direction.Split(',').Any(part => part.Trim() == "input");

        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(ProbeTimeout);
        try
        {
            using var request = instance.Channel.Request(HttpMethod.Options, Route(binding));
            using var response = await instance.Channel.SendAsync(request, limit.Token);
            return response.IsSuccessStatusCode || response.StatusCode == HttpStatusCode.MethodNotAllowed;
        }
        catch (Exception e) when (e is HttpRequestException || (e is OperationCanceledException && !ct.IsCancellationRequested))
        {
            return false;
        }
    }

    private static string Route(BindingComponent binding) => "/" + (binding.Component.Get("route") ?? binding.Name).TrimStart('/');

    private async Task ReadAsync(SidecarInstance instance, BindingComponent binding, Func<BindingHandler, CancellationToken, Task> input, CancellationToken ct)
    {
        await Task.Yield();
        try
        {
            await input((data, metadata, token) => DeliverAsync(instance, binding, data, metadata, token), ct);
        }
        catch (OperationCanceledException) when (ct.IsCancellationRequested)
        {
            // The app is gone or the host ends.
            return;
        }
        catch (Exception e)
        {
            LogReaderFailed(e, instance.Id, binding.Name);
        }
    }

    private async Task<bool> DeliverAsync(SidecarInstance instance, BindingComponent binding, ReadOnlyMemory<byte> data, IReadOnlyDictionary<string, string> metadata, CancellationToken ct)
    {
        try
        {
            var inbound = instance.Components.Resiliency.ComponentInbound(binding.Name, "Binding");
            var status = await inbound.RunAsync(Host.Time, async token =>
            {
                using var request = instance.Channel.Request(HttpMethod.Post, Route(binding), new ReadOnlyMemoryContent(data));
                request.Content!.Headers.ContentType = new MediaTypeHeaderValue("application/json");
                foreach (var (key, value) in metadata)
                    request.Headers.TryAddWithoutValidation(key, value);
                using var response = await instance.Channel.SendAsync(request, token);
                return (int)response.StatusCode;
            }, static status => status != 200, status => inbound!.Retry?.RetriesHttp(status) == true, ct);
            return status is >= 200 and <= 299;
        }
        catch (Exception e) when (!ct.IsCancellationRequested)
        {
            LogNotDelivered(e, instance.Id, binding.Name);
            return false;
        }
    }

    private sealed class Readers
    {
        public CancellationTokenSource Stop { get; } = new();
        public List<Task> Tasks { get; } = [];

        public async Task EndAsync()
        {
            await Stop.CancelAsync();
            await Task.WhenAll(Tasks);
            Stop.Dispose();
        }
    }

    [LoggerMessage(LogLevel.Error, "{Instance}: input binding {Binding} stopped")]
    private partial void LogReaderFailed(Exception exception, string instance, string binding);

    [LoggerMessage(LogLevel.Warning, "{Instance}: an event of binding {Binding} was not taken by the app")]
    private partial void LogNotDelivered(Exception exception, string instance, string binding);
}
