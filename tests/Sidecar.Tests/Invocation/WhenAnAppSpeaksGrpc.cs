using System.Text;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Xunit;

namespace Marketplace.Sidecar.Tests.Invocation;

/// <summary>gRPC from app to app through the sidecars: the caller names the app in its metadata, the sidecars do not know the service.</summary>
[EverySidecar]
public sealed class WhenAnAppSpeaksGrpc : IAsyncLifetime
{
    private static readonly Marshaller<string> Text = Marshallers.Create(Encoding.UTF8.GetBytes, Encoding.UTF8.GetString);
    private static readonly Method<string, string> Get = new(MethodType.Unary, "acme.Echo", "Get", Text, Text);
    private static readonly Method<string, string> Chat = new(MethodType.DuplexStreaming, "acme.Echo", "Chat", Text, Text);

    private TestApp app = null!;
    private SidecarsUnderTest sidecars = null!;
    private GrpcChannel channel = null!;
    private IReadOnlyDictionary<string, string> seen = new Dictionary<string, string>();

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        // A gRPC server by hand: whatever frames come in go back out.
        app = await TestApp.StartAsync(
            server =>
            {
                server.MapPost("/acme.Echo/{method}", async (string method, HttpContext http) =>
                {
                    seen = http.Request.Headers.ToDictionary(header => header.Key.ToLowerInvariant(), header => header.Value.ToString());
                    http.Response.ContentType = "application/grpc";
                    http.Response.Headers["x-answer"] = "42";
                    var buffer = new byte[4096];
                    for (int count; (count = await http.Request.Body.ReadAsync(buffer)) > 0;)
                    {
                        await http.Response.Body.WriteAsync(buffer.AsMemory(0, count));
                        await http.Response.Body.FlushAsync();
                    }

                    http.Features.Get<IHttpResponseTrailersFeature>()!.Trailers["grpc-status"] = "0";
                });
                server.MapPost("/acme.Refusal/Get", (HttpContext http) =>
                {
                    http.Response.ContentType = "application/grpc";
                    http.Response.Headers["grpc-status"] = "9";
                    http.Response.Headers["grpc-message"] = "not%20now";
                });
            },
            services: services => services.Configure<KestrelServerOptions>(kestrel => kestrel.ConfigureEndpointDefaults(endpoint => endpoint.Protocols = HttpProtocols.Http2)));
        sidecars = await SidecarsUnderTest.StartAsync("", new AppUnderTest("caller", AppToken: "app-token"), new AppUnderTest("echo", app.Port, Protocol: "grpc"));
        await sidecars.ReadyAsync();
        channel = GrpcChannel.ForAddress($"http://127.0.0.1:{sidecars.GrpcPort()}");
    }

    public async ValueTask DisposeAsync()
    {
        channel.Dispose();
        await sidecars.DisposeAsync();
        await app.DisposeAsync();
    }

    [Theory]
    [InlineData("dapr-app-id")]
    [InlineData("dapr-callee-app-id")]
    public async Task A_call_reaches_the_app_that_the_metadata_name(string key)
    {
        using var call = channel.CreateCallInvoker().AsyncUnaryCall(Get, null, For(key, "echo"), "hello");
        Assert.Equal("hello", await call);
        Assert.Equal("42", (await call.ResponseHeadersAsync).GetValue("x-answer"));
        Assert.Equal(("caller", "echo", "app-token", "1"), (seen["dapr-caller-app-id"], seen["dapr-callee-app-id"], seen["dapr-api-token"], seen["x-mine"]));
    }

    [Fact]
    public async Task A_stream_flows_both_ways()
    {
        using var call = channel.CreateCallInvoker().AsyncDuplexStreamingCall(Chat, null, For("dapr-app-id", "echo"));
        foreach (var line in (string[])["one", "two"])
        {
            await call.RequestStream.WriteAsync(line, Ct);
            Assert.True(await call.ResponseStream.MoveNext(Ct));
            Assert.Equal(line, call.ResponseStream.Current);
        }

        await call.RequestStream.CompleteAsync();
        Assert.False(await call.ResponseStream.MoveNext(Ct));
    }

    [Fact]
    public async Task A_refusal_of_the_app_is_the_callers()
    {
        using var call = channel.CreateCallInvoker().AsyncUnaryCall(new Method<string, string>(MethodType.Unary, "acme.Refusal", "Get", Text, Text), null, For("dapr-app-id", "echo"), "hello");
        var refusal = await Assert.ThrowsAsync<RpcException>(async () => await call);
        Assert.Equal((StatusCode.FailedPrecondition, "not now"), (refusal.StatusCode, refusal.Status.Detail));
    }

    [Fact]
    public async Task An_app_that_is_not_there_is_unknown()
    {
        using var call = channel.CreateCallInvoker().AsyncUnaryCall(Get, null, For("dapr-app-id", "nobody"), "hello");
        Assert.Equal(StatusCode.Unknown, (await Assert.ThrowsAsync<RpcException>(async () => await call)).StatusCode);
    }

    private static CallOptions For(string key, string app) => new(new Metadata { { key, app }, { "x-mine", "1" } }, DateTime.UtcNow.AddSeconds(20), Ct);
}
