using System.Collections.Concurrent;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Xunit;

namespace Marketplace.Sidecar.Tests.Resiliency;

/// <summary>Retry and breaker stand before the turn of an actor, the timeout in it.</summary>
public sealed class WhenPoliciesGuardActors : IAsyncLifetime
{
    private const string Resources = """
        apiVersion: dapr.io/v1alpha1
        kind: Resiliency
        metadata: {name: guards}
        spec:
          policies:
            timeouts:
              short: 200ms
            retries:
              twice: {duration: 10ms, maxRetries: 1}
            circuitBreakers:
              fuse: {timeout: 10m, trip: consecutiveFailures >= 2}
          targets:
            actors:
              Sale: {circuitBreaker: fuse, circuitBreakerScope: id}
              Till: {circuitBreaker: fuse, circuitBreakerScope: type}
              Clerk: {retry: twice}
              Guard: {timeout: short}
        ---
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: {name: actors}
        spec: {type: state.in-memory, version: v1, metadata: [{name: actorStateStore, value: "true"}]}
        """;

    private static readonly CancellationToken Ct = TestContext.Current.CancellationToken;
    private readonly ConcurrentDictionary<string, int> calls = new();
    private readonly TaskCompletionSource slowOnesLeave = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private TestApp app = null!;
    private SidecarsUnderTest sidecars = null!;

    public async ValueTask InitializeAsync()
    {
        app = await TestApp.StartAsync(web =>
        {
            web.MapGet("/dapr/config", () => Results.Json(new { entities = (string[])["Sale", "Till", "Clerk", "Guard"] }));
            web.MapPut("/actors/{type}/{id}/method/{method}", async (string type, string id, string method, HttpContext http) =>
            {
                var call = calls.AddOrUpdate($"{type}/{id}/{method}", 1, (_, count) => count + 1);
                switch (method)
                {
                    case "slow":
                        await slowOnesLeave.Task;
                        break;
                    case "missing":
                        return Results.NotFound();
                    case "throw":
                        http.Response.Headers["X-DaprErrorResponseHeader"] = "yes";
                        break;
                    case "fail":
                    case "second" when call == 1:
                        return Results.StatusCode(500);
                }

                return Results.Text("done");
            });
        });
        sidecars = await SidecarsUnderTest.StartAsync(Resources, new AppUnderTest("shop", app.Port));
        await sidecars.ReadyAsync();
        await TestKit.Eventually.Async(async () => await CallAsync("Sale", "0", "sound") == HttpStatusCode.OK, "the actors are placed");
    }

    public async ValueTask DisposeAsync()
    {
        slowOnesLeave.TrySetResult();
        await sidecars.DisposeAsync();
        await app.DisposeAsync();
    }

    [Fact]
    public async Task A_breaker_by_id_closes_one_actor_and_a_breaker_by_type_all_of_them()
    {
        foreach (var type in (string[])["Sale", "Till"])
        {
            for (var i = 0; i < 3; i++)
                Assert.Equal(HttpStatusCode.InternalServerError, await CallAsync(type, "1", "fail"));
            Assert.Equal(2, calls[$"{type}/1/fail"]);
        }

        Assert.Equal(HttpStatusCode.OK, await CallAsync("Sale", "2", "sound"));
        Assert.Equal(HttpStatusCode.InternalServerError, await CallAsync("Till", "2", "sound"));
    }

    [Fact]
    public async Task A_failed_call_is_repeated_and_a_missing_method_is_not()
    {
        Assert.Equal(HttpStatusCode.OK, await CallAsync("Clerk", "1", "second"));
        Assert.Equal(2, calls["Clerk/1/second"]);
        Assert.Equal(HttpStatusCode.InternalServerError, await CallAsync("Clerk", "1", "missing"));
        Assert.Equal(1, calls["Clerk/1/missing"]);
    }

    [Fact]
    public async Task An_exception_told_in_a_header_is_a_failure_and_reaches_the_caller_as_it_came()
    {
        Assert.Equal(HttpStatusCode.OK, await CallAsync("Clerk", "1", "throw"));
        Assert.Equal(2, calls["Clerk/1/throw"]);
    }

    [Fact]
    public async Task The_timeout_starts_when_the_turn_does()
    {
        Assert.Equal(HttpStatusCode.InternalServerError, await CallAsync("Guard", "1", "slow"));
        slowOnesLeave.SetResult();

        // Its turn is over, though the app was still at it: the next one is served.
        Assert.Equal(HttpStatusCode.OK, await CallAsync("Guard", "1", "sound"));
    }

    private async Task<HttpStatusCode> CallAsync(string type, string id, string method)
    {
        using var http = sidecars.Http();
        using var answer = await http.PostAsync($"/v1.0/actors/{type}/{id}/method/{method}", null, Ct);
        return answer.StatusCode;
    }
}
