using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Dapr.Client;
using Marketplace.Local.Sidecar;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Xunit;

namespace Marketplace.Sidecar.Tests.Startup;

/// <summary>What a sidecar does before its app listens, what it asks the app then, and what it tells about both.</summary>
[EverySidecar]
public sealed class WhenAnAppStarts
{
    private const string Resources = """
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: {name: store}
        spec: {type: state.in-memory, version: v1, metadata: [{name: actorStateStore, value: "true"}]}
        ---
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: {name: pubsub}
        spec: {type: pubsub.in-memory, version: v1, metadata: []}
        ---
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: {name: clock}
        spec: {type: bindings.cron, version: v1, metadata: [{name: schedule, value: "@every 1h"}]}
        """;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_api_answers_before_the_app_listens_and_the_app_is_asked_in_order()
    {
        var asked = new ConcurrentQueue<string>();
        var port = Ports.Free();
        await using var sidecars = await SidecarsUnderTest.StartAsync(Resources, new AppUnderTest("shop", port));
        using var http = sidecars.Http();
        using var dapr = sidecars.Client();

        Assert.Equal((500, "ERR_HEALTH_NOT_READY"), await http.GetAsync("/v1.0/healthz", Ct).RefusalAsync());
        Assert.Equal(204, (await http.GetAsync("/v1.0/healthz/outbound", Ct).BodyAsync()).Status);
        await dapr.WaitForSidecarAsync(Ct);
        Assert.False(await dapr.CheckHealthAsync(Ct));
        Assert.True(await dapr.CheckOutboundHealthAsync(Ct));
        await dapr.SaveStateAsync("store", "early", 1, cancellationToken: Ct);
        Assert.Equal(1, await dapr.GetStateAsync<int>("store", "early", cancellationToken: Ct));

        await using var app = await TestApp.StartAsync(server => Record(server, asked), port);
        await Eventually.Async(() => asked.Contains("OPTIONS /clock"), "the app is asked for its bindings", TimeSpan.FromSeconds(30));
        Assert.Equal(["GET /dapr/config", "GET /dapr/subscribe", "OPTIONS /clock"], asked.Distinct().Take(3));
        await sidecars.ReadyAsync();
        Assert.True(await dapr.CheckHealthAsync(Ct));
        Assert.Equal((500, "ERR_HEALTH_APPID_NOT_MATCH"), await http.GetAsync("/v1.0/healthz?appid=other", Ct).RefusalAsync());
        Assert.Equal(204, (await http.GetAsync("/v1.0/healthz?appid=shop", Ct).BodyAsync()).Status);
    }

    [Fact]
    public async Task With_health_checks_nothing_else_is_asked_before_the_first_good_one()
    {
        var asked = new ConcurrentQueue<string>();
        var well = false;
        await using var app = await TestApp.StartAsync(server => Record(server, asked, () => well));
        await using var sidecars = await SidecarsUnderTest.StartAsync(Resources, new AppUnderTest("shop", app.Port, new AppHealthCheck("/livez", TimeSpan.FromSeconds(1), TimeSpan.FromMilliseconds(500), 3)));
        await Eventually.Async(() => asked.Count(line => line == "GET /livez") >= 2, "the app is probed", TimeSpan.FromSeconds(30));
        Assert.Equal(["GET /livez"], asked.Distinct());

        well = true;
        await Eventually.Async(() => asked.Contains("GET /dapr/subscribe"), "the app is asked for its subscriptions", TimeSpan.FromSeconds(30));
    }

    [Fact]
    public async Task Metadata_tells_what_is_there_and_keeps_what_it_is_given()
    {
        await using var app = await TestApp.StartAsync(server => Record(server, []));
        await using var sidecars = await SidecarsUnderTest.StartAsync(Resources, new AppUnderTest("shop", app.Port, new AppHealthCheck("/livez", TimeSpan.FromSeconds(2), TimeSpan.FromMilliseconds(500), 4), MaxConcurrency: 9));
        await sidecars.ReadyAsync();
        using var http = sidecars.Http();
        using var dapr = sidecars.Client();

        using var put = await http.PutAsync("/v1.0/metadata/color", new StringContent("green \"1\""), Ct);
        Assert.Equal(HttpStatusCode.NoContent, put.StatusCode);
        await dapr.SetMetadataAsync("size", "small", Ct);
        await Eventually.Async(async () => (await http.GetStringAsync("/v1.0/metadata", Ct)).Contains("order.created", StringComparison.Ordinal), "the subscription is known");

        var metadata = await http.GetFromJsonAsync<JsonElement>("/v1.0/metadata", Ct);
        Assert.Equal("shop", metadata.GetProperty("id").GetString());
        Assert.NotEmpty(metadata.GetProperty("runtimeVersion").GetString()!);
        var extended = metadata.GetProperty("extended");
        Assert.Equal(("green \"1\"", "small"), (extended.GetProperty("color").GetString(), extended.GetProperty("size").GetString()));
        Assert.Equal(metadata.GetProperty("runtimeVersion").GetString(), extended.GetProperty("daprRuntimeVersion").GetString());

        var components = metadata.GetProperty("components").EnumerateArray().ToDictionary(component => component.GetProperty("name").GetString()!);
        Assert.Equal(("state.in-memory", "v1"), (components["store"].GetProperty("type").GetString(), components["store"].GetProperty("version").GetString()));
        Assert.Superset(new HashSet<string> { "ETAG", "TRANSACTIONAL", "TTL", "ACTOR" }, components["store"].GetProperty("capabilities").EnumerateArray().Select(one => one.GetString()!).ToHashSet());
        Assert.Equal(["INPUT_BINDING"], components["clock"].GetProperty("capabilities").EnumerateArray().Select(one => one.GetString()));

        var connection = metadata.GetProperty("appConnectionProperties");
        Assert.Equal((app.Port, "http", "127.0.0.1", 9), (connection.GetProperty("port").GetInt32(), connection.GetProperty("protocol").GetString(), connection.GetProperty("channelAddress").GetString(), connection.GetProperty("maxConcurrency").GetInt32()));
        var health = connection.GetProperty("health");
        Assert.Equal(("/livez", "2s", "500ms", 4), (health.GetProperty("healthCheckPath").GetString(), health.GetProperty("healthProbeInterval").GetString(), health.GetProperty("healthProbeTimeout").GetString(), health.GetProperty("healthThreshold").GetInt32()));

        var subscription = metadata.GetProperty("subscriptions")[0];
        Assert.Equal(("pubsub", "order.created", "PROGRAMMATIC", "/events/order-created"),
            (subscription.GetProperty("pubsubname").GetString(), subscription.GetProperty("topic").GetString(), subscription.GetProperty("type").GetString(), subscription.GetProperty("rules")[0].GetProperty("path").GetString()));
        Assert.Equal("RUNNING", metadata.GetProperty("actorRuntime").GetProperty("runtimeStatus").GetString());

        var overGrpc = await dapr.GetMetadataAsync(Ct);
        Assert.Equal(("shop", "small"), (overGrpc.Id, overGrpc.Extended["size"]));
        Assert.Contains(overGrpc.Components, component => component.Name == "pubsub");
    }

    [Fact]
    public async Task A_sidecar_ends_when_it_is_asked_to()
    {
        await using var sidecars = await SidecarsUnderTest.StartAsync("", new AppUnderTest("shop"), new AppUnderTest("office"));
        using var http = sidecars.Http();
        using var office = sidecars.Http(1);
        Assert.Equal(204, (await http.PostAsync("/v1.0/shutdown", null, Ct).BodyAsync()).Status);
        await Eventually.Async(async () =>
        {
            try
            {
                using var answer = await http.GetAsync("/v1.0/healthz/outbound", Ct);
                return false;
            }
            catch (HttpRequestException)
            {
                return true;
            }
        }, "its port is closed", TimeSpan.FromSeconds(30));
        Assert.Equal(204, (await office.GetAsync("/v1.0/healthz", Ct).BodyAsync()).Status);
    }

    private static void Record(WebApplication server, ConcurrentQueue<string> asked, Func<bool>? well = null)
    {
        server.Use(async (http, next) =>
        {
            asked.Enqueue($"{http.Request.Method} {http.Request.Path}");
            await next(http);
        });
        server.MapGet("/livez", () => well?.Invoke() == false ? Results.StatusCode(503) : Results.Ok());
        server.MapGet("/dapr/config", () => new { entities = Array.Empty<string>() });
        server.MapGet("/dapr/subscribe", () => new[] { new { pubsubname = "pubsub", topic = "order.created", route = "/events/order-created" } });
        server.MapPost("/events/order-created", () => Results.Ok());
        server.MapPost("/clock", () => Results.Ok());
    }
}
