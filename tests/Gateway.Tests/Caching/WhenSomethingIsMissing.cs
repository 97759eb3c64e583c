using System.Diagnostics.Metrics;
using System.Net;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Marketplace.Gateway.Tests.Caching;

public sealed class WhenSomethingIsMissing : IAsyncLifetime
{
    private const string Lamp = "/api/v1/products/0198a000-0000-7000-8000-000000000001";
    private readonly FakeTimeProvider clock = new(DateTimeOffset.UtcNow);
    private readonly MeterListener meters = new();
    private readonly List<string> counted = [];
    private GatewayUnderTest gateway = null!;
    private HttpClient anybody = null!;

    public async ValueTask InitializeAsync()
    {
        gateway = await GatewayUnderTest.StartAsync(new Dictionary<string, string?> { ["Limits:Anonymous:Permits"] = "100000" }, clock);
        anybody = gateway.As(null);
        var ours = gateway.Services.GetRequiredService<IMeterFactory>();
        meters.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Name == "marketplace.degraded" && instrument.Meter.Scope == ours)
                listener.EnableMeasurementEvents(instrument);
        };
        meters.SetMeasurementEventCallback<long>((_, _, tags, _) =>
        {
            lock (counted) counted.Add((string)tags[0].Value!);
        });
        meters.Start();
    }

    public ValueTask DisposeAsync()
    {
        meters.Dispose();
        return gateway.DisposeAsync();
    }

    [Theory]
    [InlineData("/api/v1/search?q=lamp", "</api/v1/products>; rel=\"alternate\"")]
    [InlineData("/api/v1/search?q=lamp&category=lighting", "</api/v1/products?category=lighting>; rel=\"alternate\"")]
    [InlineData("/api/v1/search?category=%3E%0d%0aSet-Cookie%3a+a%3Db", "</api/v1/products?category=%3E%0D%0ASet-Cookie%3A%20a%3Db>; rel=\"alternate\"")]
    public async Task A_search_that_cannot_be_made_says_where_the_shelves_are(string path, string link)
    {
        gateway.Sidecar.Answer = Answering.Text(500, "application/json", """{"errorCode":"ERR_DIRECT_INVOKE"}""");
        using var response = await anybody.FetchAsync(path);
        await response.ProblemAsync(HttpStatusCode.ServiceUnavailable, "unavailable");
        Assert.Equal((link, "search"), (response.Header("Link"), response.Header("X-Degraded")));
        Assert.Equal(["search"], counted);
    }

    [Fact]
    public async Task A_page_that_stands_in_says_for_whom_and_how_old_it_is()
    {
        gateway.Sidecar.Answer = Answering.Json(new { price = 100 }, "public", "\"1\"");
        using var before = await anybody.FetchAsync(Lamp);
        Assert.Null(before.Header("X-Degraded"));

        gateway.Sidecar.Answer = Answering.Text(500, "application/json", """{"errorCode":"ERR_DIRECT_INVOKE"}""");
        clock.Advance(TimeSpan.FromSeconds(90));
        for (var i = 0; i < 2; i++)
        {
            using var stale = await anybody.FetchAsync(Lamp);
            Assert.Equal((HttpStatusCode.OK, "STALE", "catalog", "90"), (stale.StatusCode, stale.Header("X-Cache"), stale.Header("X-Degraded"), stale.Header("Age")));
        }

        Assert.Equal(["catalog", "catalog"], counted);
        gateway.Sidecar.Answer = Answering.Json(new { price = 110 }, "public", "\"2\"");
        clock.Advance(TimeSpan.FromSeconds(1));
        await Eventually.Async(
            async () =>
            {
                using var after = await anybody.FetchAsync(Lamp);
                return (after.Header("X-Degraded"), await after.TextAsync()) == (null, "{\"price\":110}");
            },
            "it is asked again and is back");
    }

    [Fact]
    public async Task Once_a_service_is_known_to_be_silent_nobody_waits_for_it()
    {
        gateway.Sidecar.Answer = Answering.Json(new { price = 100 }, "public", "\"1\"");
        using var before = await anybody.FetchAsync(Lamp);
        gateway.Sidecar.Answer = Answering.Text(500, "application/json", "{}");
        clock.Advance(TimeSpan.FromSeconds(1));
        using var failed = await anybody.FetchAsync(Lamp);

        var silence = new TaskCompletionSource();
        gateway.Sidecar.Answer = _ => silence.Task;
        clock.Advance(TimeSpan.FromSeconds(2));
        for (var i = 0; i < 5; i++)
        {
            using var stale = await anybody.FetchAsync(Lamp);
            Assert.Equal("STALE", stale.Header("X-Cache"));
        }

        await Eventually.Async(() => gateway.Sidecar.Arrived.Count == 3, "one asks all the same");
        silence.SetResult();
    }

    [Fact]
    public async Task What_the_service_itself_does_without_is_passed_on_and_forgotten_when_it_is_back()
    {
        gateway.Sidecar.Answer = Without("cache", Answering.Json(new { price = 100 }, "public", "\"1\""));
        using var first = await anybody.FetchAsync(Lamp);
        using var kept = await anybody.FetchAsync(Lamp);
        Assert.Equal(("cache", "cache", "HIT"), (first.Header("X-Degraded"), kept.Header("X-Degraded"), kept.Header("X-Cache")));

        // A page that it still can show, though the database is away: not modified, and by other means.
        clock.Advance(TimeSpan.FromSeconds(1));
        gateway.Sidecar.Answer = Without("database", NotModified);
        using var second = await anybody.FetchAsync(Lamp);
        Assert.Equal(("database", "{\"price\":100}"), (second.Header("X-Degraded"), await second.TextAsync()));

        clock.Advance(TimeSpan.FromSeconds(1));
        gateway.Sidecar.Answer = NotModified;
        using var third = await anybody.FetchAsync(Lamp);
        Assert.Null(third.Header("X-Degraded"));

        // One that it cannot show for the same reason is served stale, and the reason is its own.
        clock.Advance(TimeSpan.FromSeconds(1));
        gateway.Sidecar.Answer = Without("database", Answering.Text(503, "application/problem+json", """{"type":"/problems/unavailable","status":503}"""));
        using var stale = await anybody.FetchAsync(Lamp);
        Assert.Equal(("database", "STALE"), (stale.Header("X-Degraded"), stale.Header("X-Cache")));
    }

    [Theory]
    [InlineData("/api/v1/cart")]
    [InlineData("/api/v1/orders/0198a000-0000-7000-8000-000000000001")]
    [InlineData("/api/v1/stock/0198a000-0000-7000-8000-000000000001")]
    public async Task Nothing_that_is_somebodys_own_and_no_stock_ever_stands_in(string path)
    {
        var ada = gateway.As(TestTokens.Buyer(Guid.NewGuid()));
        gateway.Sidecar.Answer = Answering.Json(new { mine = 1 }, "public, max-age=60", "\"1\"");
        using var before = await ada.FetchAsync(path);
        Assert.Equal(HttpStatusCode.OK, before.StatusCode);
        gateway.Sidecar.Answer = Answering.Text(500, "application/json", "{}");
        using var after = await ada.FetchAsync(path);
        await after.ProblemAsync(HttpStatusCode.ServiceUnavailable, "unavailable");
    }

    private static Func<HttpContext, Task> Without(string missing, Func<HttpContext, Task> answer) => http =>
    {
        http.Response.Headers["X-Degraded"] = missing;
        return answer(http);
    };

    private static Task NotModified(HttpContext http)
    {
        http.Response.StatusCode = StatusCodes.Status304NotModified;
        return Task.CompletedTask;
    }
}
