using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Local.Redis;
using Marketplace.Sidecar.Tests.State;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Xunit;

namespace Marketplace.Sidecar.Tests.JavaScript;

/// <summary>Every building block the system uses, through npm's <c>@dapr/dapr</c>: what a service in another language meets.</summary>
[EverySidecar]
public sealed class WhenANodeAppUsesTheSidecar(StoresUnderTest stores) : IClassFixture<PostgresFixture>, IClassFixture<StoresUnderTest>
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("memory", "http"), InlineData("memory", "grpc")]
    [InlineData("garnet", "http"), InlineData("garnet", "grpc")]
    [InlineData("redis", "http"), InlineData("redis", "grpc")]
    [InlineData("postgres2", "http"), InlineData("postgres2", "grpc")]
    public async Task State_is_kept(string store, string protocol)
    {
        stores.Need(store);
        await NodeScript.RunAsync("state.mjs", stores.Sidecars, 0, ("PROTOCOL", protocol), ("STORE", store));
    }

    [Theory, InlineData("http"), InlineData("grpc")]
    public async Task Events_are_published_and_come_in(string protocol)
    {
        var port = Ports.Free();
        await using var sidecars = await SidecarsUnderTest.StartAsync("""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: pubsub}
            spec: {type: pubsub.in-memory, version: v1, metadata: []}
            ---
            apiVersion: dapr.io/v1alpha1
            kind: Resiliency
            metadata: {name: messages}
            spec:
              policies:
                retries:
                  short: {policy: constant, duration: 50ms, maxRetries: 3}
              targets:
                components:
                  pubsub: {inbound: {retry: short}}
            """, new AppUnderTest("node", port));
        await NodeScript.RunAsync("pubsub.mjs", sidecars, 0, ("PROTOCOL", protocol), ("APP_PORT", port), ("RETRIES", 3));
    }

    [Theory, InlineData("http"), InlineData("grpc")]
    public async Task Apps_of_both_languages_call_each_other(string protocol)
    {
        await using var neighbour = await TestApp.StartAsync(app =>
        {
            app.MapMethods("/echo", ["GET", "POST", "PUT", "PATCH", "DELETE"], async (HttpRequest request) => new
            {
                method = request.Method,
                body = request.ContentLength > 0 && request.HasJsonContentType() ? await request.ReadFromJsonAsync<JsonElement>() : (object?)null,
                caller = request.Headers["dapr-caller-app-id"].ToString(),
            });
            app.MapGet("/shelves/{shelf:int}/lamps", (int shelf) => new { shelf });
            app.MapPost("/refusal", () => Results.Conflict(new { reason = "sold out" }));
        });
        var port = Ports.Free();
        await using var sidecars = await SidecarsUnderTest.StartAsync("", new AppUnderTest("node", port), new AppUnderTest("dotnet", neighbour.Port));
        await using var node = await NodeScript.StartAsync("invocation.mjs", sidecars, 0, ("PROTOCOL", protocol), ("APP_PORT", port), ("NEIGHBOUR", "dotnet"));
        await node.ReachedAsync("serving");
        await sidecars.ReadyAsync();   // it looks for the app's port every 100 ms, which the script may be done within

        using var http = sidecars.Http(1);
        using var greeted = await http.PostAsJsonAsync("/v1.0/invoke/node/method/greetings", new { name = "Ada" }, Ct);
        Assert.True(greeted.StatusCode == HttpStatusCode.OK, $"{greeted.StatusCode}: {await greeted.Content.ReadAsStringAsync(Ct)}");
        Assert.Equal("Ada", (await greeted.Content.ReadFromJsonAsync<JsonElement>(Ct)).GetProperty("hello").GetString());

        using var dapr = sidecars.Client(1).CreateInvokableHttpClient("node");
        var answer = await dapr.GetFromJsonAsync<JsonElement>("greetings?of=the%20day", Ct);
        Assert.Equal("/greetings?of=the%20day", answer.GetProperty("url").GetString());
        Assert.Equal("dotnet", answer.GetProperty("caller").GetString());

        using var unknown = await http.GetAsync("/v1.0/invoke/node/method/nothing", Ct);
        Assert.Equal(HttpStatusCode.NotFound, unknown.StatusCode);
        await node.EndAsync();
    }

    [Theory, InlineData("http"), InlineData("grpc")]
    public async Task Bindings_secrets_locks_and_metadata_are_there(string protocol)
    {
        var folder = Directory.CreateTempSubdirectory("sidecar-tests-redis-");
        var redis = Ports.Free();
        using var garnet = RedisCommand.Start(redis, folder.FullName, "secret");
        var secrets = Path.Combine(folder.FullName, "secrets.json");
        await File.WriteAllTextAsync(secrets, """{"key": "s3cret", "nested": {"inner": "deep"}}""", Ct);
        var port = Ports.Free();
        await using (var sidecars = await SidecarsUnderTest.StartAsync($$"""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: files}
            spec:
              type: bindings.localstorage
              version: v1
              metadata: [{name: rootPath, value: "{{folder.FullName}}/kept"}]
            ---
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: ticks}
            spec:
              type: bindings.cron
              version: v1
              metadata: [{name: schedule, value: "@every 1s"}, {name: direction, value: input}]
            ---
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: secrets}
            spec:
              type: secretstores.local.file
              version: v1
              metadata: [{name: secretsFile, value: "{{secrets}}"}, {name: nestedSeparator, value: ":"}]
            ---
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: locks}
            spec:
              type: lock.redis
              version: v1
              metadata: [{name: redisHost, value: "127.0.0.1:{{redis}}"}, {name: redisPassword, value: secret}]
            """, new AppUnderTest("node", port, ApiToken: "let-me-in")))
        {
            await NodeScript.RunAsync("blocks.mjs", sidecars, 0, ("PROTOCOL", protocol), ("APP_PORT", port), ("DAPR_API_TOKEN", "let-me-in"));
        }

        folder.Delete(recursive: true);
    }

    [Fact]
    public async Task Its_actors_are_hosted_and_called()
    {
        var port = Ports.Free();
        await using var sidecars = await SidecarsUnderTest.StartAsync("""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: actors}
            spec:
              type: state.in-memory
              version: v1
              metadata: [{name: actorStateStore, value: "true"}]
            """, new AppUnderTest("node", port), new AppUnderTest("dotnet"));
        await using var node = await NodeScript.StartAsync("actors.mjs", sidecars, 0, ("APP_PORT", port));
        await node.ReachedAsync("serving");

        // An actor in one language, called from another through another sidecar.
        using var http = sidecars.Http(1);
        using var first = await http.PostAsJsonAsync("/v1.0/actors/JsTill/shared/method/add", new[] { 5 }, Ct);
        Assert.Equal("5", await first.Content.ReadAsStringAsync(Ct));
        using var second = await http.PostAsJsonAsync("/v1.0/actors/JsTill/shared/method/add", new[] { 2 }, Ct);
        Assert.Equal("7", await second.Content.ReadAsStringAsync(Ct));
        using var failed = await http.PostAsJsonAsync("/v1.0/actors/JsTill/shared/method/refuse", Array.Empty<int>(), Ct);
        Assert.Equal(HttpStatusCode.InternalServerError, failed.StatusCode);
        await node.EndAsync();
    }
}
