using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Json;
using System.Text;
using Dapr;
using Dapr.Client;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Xunit;

#pragma warning disable CS0618 // what is recommended instead does not go through InvokeService

namespace Marketplace.Sidecar.Tests.Resiliency;

/// <summary>Where policies are applied: each part of the API, over HTTP and gRPC.</summary>
[EverySidecar]
public sealed class WhenPoliciesGuardCallsAndComponents
{
    private const string Resources = """
        apiVersion: dapr.io/v1alpha1
        kind: Resiliency
        metadata: {name: guards}
        spec:
          policies:
            timeouts:
              short: 300ms
            retries:
              hiccup: {duration: 10ms, maxRetries: 3, matching: {httpStatusCodes: "502-504"}}
            circuitBreakers:
              fuse: {timeout: 10m, trip: consecutiveFailures >= 2}
          targets:
            apps:
              shop: {retry: hiccup, circuitBreaker: fuse}
              slow: {timeout: short}
            components:
              carts: {outbound: {circuitBreaker: fuse}}
              vault: {outbound: {circuitBreaker: fuse, retry: hiccup}}
              mail: {outbound: {circuitBreaker: fuse}}
        ---
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: {name: carts}
        spec: {type: state.in-memory, version: v1}
        ---
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: {name: vault}
        spec: {type: secretstores.local.file, version: v1, metadata: [{name: secretsFile, value: "{folder}/resources/vault.json"}]}
        ---
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: {name: mail}
        spec: {type: bindings.localstorage, version: v1, metadata: [{name: rootPath, value: "{folder}/files"}]}
        """;

    private static readonly CancellationToken Ct = TestContext.Current.CancellationToken;

    [Fact]
    public async Task One_broken_endpoint_does_not_close_the_others()
    {
        var calls = new ConcurrentDictionary<string, int>();
        await using var shop = await ShopAsync(calls, path => path == "/broken" ? 500 : 200);
        await using var sidecars = await StartAsync(new AppUnderTest("shop", shop.Port));
        using var http = sidecars.Http();

        foreach (var expected in (HttpStatusCode[])[HttpStatusCode.InternalServerError, HttpStatusCode.InternalServerError])
            Assert.Equal(expected, (await http.GetAsync("/v1.0/invoke/shop/method/broken?try=1", Ct)).StatusCode);
        using var open = await http.GetAsync("/v1.0/invoke/shop/method/broken?try=3", Ct);
        Assert.Equal((HttpStatusCode.InternalServerError, true), (open.StatusCode, (await open.Content.ReadAsStringAsync(Ct)).Contains("circuit breaker is open", StringComparison.Ordinal)));
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync("/v1.0/invoke/shop/method/sound", Ct)).StatusCode);
        Assert.Equal((2, 1), (calls["/broken"], calls["/sound"]));
    }

    [Fact]
    public async Task A_breaker_that_opens_during_the_retries_ends_them()
    {
        var calls = new ConcurrentDictionary<string, int>();
        await using var shop = await ShopAsync(calls, _ => 503);
        await using var sidecars = await StartAsync(new AppUnderTest("shop", shop.Port));
        using var http = sidecars.Http();
        using var answer = await http.GetAsync("/v1.0/invoke/shop/method/x", Ct);
        Assert.Equal(HttpStatusCode.InternalServerError, answer.StatusCode);
        Assert.Contains("circuit breaker is open", await answer.Content.ReadAsStringAsync(Ct), StringComparison.Ordinal);
        Assert.Equal(2, calls["/x"]);
    }

    [Fact]
    public async Task A_body_of_unknown_length_is_sent_once()
    {
        var calls = new ConcurrentDictionary<string, int>();
        await using var shop = await ShopAsync(calls, _ => 503);
        await using var sidecars = await StartAsync(new AppUnderTest("shop", shop.Port));
        using var http = sidecars.Http();
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1.0/invoke/shop/method/x") { Content = new ByteArrayContent("once"u8.ToArray()) };
        request.Headers.TransferEncodingChunked = true;
        using var answer = await http.SendAsync(request, Ct);
        Assert.Equal((HttpStatusCode.ServiceUnavailable, "status 503"), (answer.StatusCode, await answer.Content.ReadAsStringAsync(Ct)));
        Assert.Equal(1, calls["/x"]);
    }

    [Fact]
    public async Task Over_grpc_every_failure_is_retried()
    {
        var calls = new ConcurrentDictionary<string, int>();
        await using var shop = await ShopAsync(calls, _ => calls["/x"] == 2 ? 200 : 404);
        await using var sidecars = await StartAsync(new AppUnderTest("shop", shop.Port));
        using var client = sidecars.Client();
        await client.InvokeMethodGrpcAsync("shop", "x", Ct);
        Assert.Equal(2, calls["/x"]);
    }

    [Fact]
    public async Task Over_grpc_a_call_over_its_time_and_an_open_breaker_have_their_codes()
    {
        await using var slow = await TestApp.StartAsync(app => app.MapPost("/x", (HttpContext http) => Task.Delay(Timeout.Infinite, http.RequestAborted)));
        await using var shop = await ShopAsync(new(), _ => 500);
        await using var sidecars = await StartAsync(new AppUnderTest("slow", slow.Port), new AppUnderTest("shop", shop.Port));
        using var client = sidecars.Client();
        Assert.Equal(StatusCode.Unknown, await CodeAsync("shop"));

        // The client makes a cancelled task of DeadlineExceeded.
        await Assert.ThrowsAsync<TaskCanceledException>(() => client.InvokeMethodGrpcAsync("slow", "x", Ct));
        var refused = await Assert.ThrowsAsync<InvocationException>(() => client.InvokeMethodGrpcAsync("shop", "x", Ct));
        Assert.Equal("circuit breaker is open", ((RpcException)refused.InnerException!).Status.Detail);

        async Task<StatusCode> CodeAsync(string app) =>
            ((RpcException)(await Assert.ThrowsAsync<InvocationException>(() => client.InvokeMethodGrpcAsync(app, "x", Ct))).InnerException!).StatusCode;
    }

    [Fact]
    public async Task A_stale_etag_counts_as_a_failure_of_the_state_store()
    {
        await using var sidecars = await StartAsync();
        using var http = sidecars.Http();
        Assert.Equal(HttpStatusCode.NoContent, await SaveAsync("""[{"key":"a","value":1}]"""));
        Assert.Equal(HttpStatusCode.Conflict, await SaveAsync("""[{"key":"a","value":2,"etag":"stale"}]"""));
        Assert.Equal(HttpStatusCode.Conflict, await SaveAsync("""[{"key":"a","value":2,"etag":"stale"}]"""));
        Assert.Equal(HttpStatusCode.InternalServerError, await SaveAsync("""[{"key":"a","value":3}]"""));
        Assert.Contains("circuit breaker is open", await (await http.GetAsync("/v1.0/state/carts/a", Ct)).Content.ReadAsStringAsync(Ct), StringComparison.Ordinal);

        async Task<HttpStatusCode> SaveAsync(string body)
        {
            using var content = new StringContent(body, Encoding.UTF8, "application/json");
            using var answer = await http.PostAsync("/v1.0/state/carts", content, Ct);
            return answer.StatusCode;
        }
    }

    [Fact]
    public async Task Secrets_are_guarded_too()
    {
        await using var sidecars = await StartAsync();
        using var client = sidecars.Client();

        // Without an open breaker the file answers; the retries of the first question open it.
        Assert.Equal("yes", (await client.GetSecretAsync("vault", "there", cancellationToken: Ct))["there"]);
        var missing = await Assert.ThrowsAsync<DaprException>(() => client.GetSecretAsync("vault", "missing", cancellationToken: Ct));
        Assert.Contains("circuit breaker is open", missing.InnerException!.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Bindings_are_guarded_too()
    {
        await using var sidecars = await StartAsync();
        using var http = sidecars.Http();
        for (var i = 0; i < 2; i++)
            Assert.DoesNotContain("circuit breaker", await GetFileAsync(), StringComparison.Ordinal);
        Assert.Contains("circuit breaker is open", await GetFileAsync(), StringComparison.Ordinal);

        async Task<string> GetFileAsync()
        {
            using var answer = await http.PostAsJsonAsync("/v1.0/bindings/mail", new { operation = "get", metadata = new { fileName = "none" } }, Ct);
            Assert.Equal(HttpStatusCode.InternalServerError, answer.StatusCode);
            return await answer.Content.ReadAsStringAsync(Ct);
        }
    }

    private static Task<TestApp> ShopAsync(ConcurrentDictionary<string, int> calls, Func<string, int> status) => TestApp.StartAsync(app => app.Map("/{*path}", (HttpContext http) =>
    {
        var path = http.Request.Path.Value!;
        if (path.StartsWith("/dapr/", StringComparison.Ordinal)) return Results.NotFound();
        calls.AddOrUpdate(path, 1, (_, count) => count + 1);
        return Results.Text($"status {status(path)}", statusCode: status(path));
    }));

    private static async Task<SidecarsUnderTest> StartAsync(params IReadOnlyList<AppUnderTest> apps)
    {
        var vault = Directory.CreateTempSubdirectory("vault-").FullName;
        await File.WriteAllTextAsync(Path.Combine(vault, "vault.json"), """{"there":"yes"}""", Ct);
        var sidecars = await SidecarsUnderTest.StartAsync(Resources.Replace("{folder}/resources/vault.json", Path.Combine(vault, "vault.json"), StringComparison.Ordinal), [new AppUnderTest("caller"), .. apps]);
        await sidecars.ReadyAsync();
        return sidecars;
    }
}
