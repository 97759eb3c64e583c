using System.Net;
using Dapr;
using Grpc.Core;
using Xunit;

namespace Marketplace.Sidecar.Tests.Invocation;

[EverySidecar]
public sealed class WhenTokensAreSet
{
    [Fact]
    public async Task Only_health_is_open_without_the_api_token()
    {
        await using var sidecars = await SidecarsUnderTest.StartAsync("", new AppUnderTest("shop", ApiToken: "key"));
        using var http = sidecars.Http();

        using (var closed = await http.GetAsync("/v1.0/metadata"))
        {
            Assert.Equal(HttpStatusCode.Unauthorized, closed.StatusCode);
            Assert.Equal("invalid api token", await closed.Content.ReadAsStringAsync());
        }

        using (var health = await http.GetAsync("/v1.0/healthz"))
            Assert.Equal(HttpStatusCode.NoContent, health.StatusCode);

        http.DefaultRequestHeaders.Add("dapr-api-token", "key");
        using var open = await http.GetAsync("/v1.0/metadata");
        Assert.Equal(HttpStatusCode.OK, open.StatusCode);
        Assert.Contains("\"id\":\"shop\"", await open.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task Over_grpc_a_call_without_the_api_token_is_not_authenticated()
    {
        await using var sidecars = await SidecarsUnderTest.StartAsync("""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: store}
            spec: {type: state.in-memory}
            """, new AppUnderTest("shop", ApiToken: "key"));
        using var stranger = sidecars.Client();
        var refusal = await Assert.ThrowsAsync<DaprException>(() => stranger.GetStateAsync<int>("store", "key"));
        Assert.Equal(StatusCode.Unauthenticated, Assert.IsType<RpcException>(refusal.InnerException).StatusCode);

        using var known = sidecars.Client(apiToken: "key");
        await known.SaveStateAsync("store", "key", 1);
        Assert.Equal(1, await known.GetStateAsync<int>("store", "key"));
    }
}
