using System.Net;
using System.Net.Http.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Xunit;

namespace Marketplace.Sidecar.Tests.Invocation;

[EverySidecar]
public sealed class WhenAPolicyGuardsAnApp
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
              hiccup: {policy: constant, duration: 10ms, maxRetries: 3, matching: {httpStatusCodes: "502-504"}}
            circuitBreakers:
              fuse: {maxRequests: 1, timeout: 1s, trip: consecutiveFailures >= 3}
          targets:
            apps:
              flaky: {retry: hiccup}
              slow: {timeout: short}
              broken: {circuitBreaker: fuse}
        """;

    [Fact]
    public async Task Only_the_named_statuses_are_retried_with_the_same_body()
    {
        var bodies = new List<string>();
        await using var flaky = await TestApp.StartAsync(app =>
        {
            app.MapPost("/once", async (HttpRequest request) =>
            {
                using var reader = new StreamReader(request.Body);
                bodies.Add(await reader.ReadToEndAsync());
                return bodies.Count < 3 ? Results.StatusCode(503) : Results.Ok("done");
            });
            app.MapGet("/never", () =>
            {
                bodies.Add("never");
                return Results.Text("still down", statusCode: 503);
            });
            app.MapGet("/refusal", () =>
            {
                bodies.Add("refusal");
                return Results.Text("no", statusCode: 409);
            });
        });
        await using var sidecars = await SidecarsUnderTest.StartAsync(Resources, new AppUnderTest("caller"), new AppUnderTest("flaky", flaky.Port));
        await sidecars.ReadyAsync();
        using var http = sidecars.Http();

        using var text = new StringContent("the same");
        await text.LoadIntoBufferAsync();
        using var once = await http.PostAsync("/v1.0/invoke/flaky/method/once", text);
        Assert.Equal(HttpStatusCode.OK, once.StatusCode);
        Assert.Equal(["the same", "the same", "the same"], bodies);

        bodies.Clear();
        using var never = await http.GetAsync("/v1.0/invoke/flaky/method/never");
        Assert.Equal((HttpStatusCode.ServiceUnavailable, "still down"), (never.StatusCode, await never.Content.ReadAsStringAsync()));
        Assert.Equal(4, bodies.Count);

        bodies.Clear();
        using var refusal = await http.GetAsync("/v1.0/invoke/flaky/method/refusal");
        Assert.Equal((HttpStatusCode.Conflict, "no"), (refusal.StatusCode, await refusal.Content.ReadAsStringAsync()));
        Assert.Single(bodies);
    }

    [Fact]
    public async Task A_call_that_takes_too_long_is_given_up()
    {
        await using var slow = await TestApp.StartAsync(app => app.MapGet("/forever", (HttpContext http) => Task.Delay(Timeout.Infinite, http.RequestAborted)));
        await using var sidecars = await SidecarsUnderTest.StartAsync(Resources, new AppUnderTest("caller"), new AppUnderTest("slow", slow.Port));
        await sidecars.ReadyAsync();
        using var http = sidecars.Http();
        using var answer = await http.GetAsync("/v1.0/invoke/slow/method/forever").WaitAsync(TimeSpan.FromSeconds(10));
        Assert.Equal(HttpStatusCode.InternalServerError, answer.StatusCode);
        Assert.Contains("ERR_DIRECT_INVOKE", await answer.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task An_open_breaker_lets_nothing_through_until_its_time_is_over()
    {
        var calls = 0;
        var down = true;
        await using var broken = await TestApp.StartAsync(app => app.MapGet("/", () =>
        {
            calls++;
            return down ? Results.StatusCode(500) : Results.Ok();
        }));
        await using var sidecars = await SidecarsUnderTest.StartAsync(Resources, new AppUnderTest("caller"), new AppUnderTest("broken", broken.Port));
        await sidecars.ReadyAsync();
        using var http = sidecars.Http();

        for (var i = 0; i < 6; i++)
        {
            using var answer = await http.GetAsync("/v1.0/invoke/broken/method/");
            Assert.Equal(HttpStatusCode.InternalServerError, answer.StatusCode);
        }

        Assert.Equal(3, calls);
        down = false;
        await TestKit.Eventually.Async(async () => (await http.GetAsync("/v1.0/invoke/broken/method/")).IsSuccessStatusCode, "the breaker tries again");
    }
}
