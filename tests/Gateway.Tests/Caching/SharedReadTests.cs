using System.Net;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Marketplace.Gateway.Tests.Caching;

public sealed class SharedReadTests : IAsyncLifetime
{
    private const string Lamp = "/api/v1/products/0198a000-0000-7000-8000-000000000001";
    private readonly FakeTimeProvider clock = new(DateTimeOffset.UtcNow);
    private GatewayUnderTest gateway = null!;
    private HttpClient anybody = null!;

    public async ValueTask InitializeAsync()
    {
        gateway = await GatewayUnderTest.StartAsync(new Dictionary<string, string?>
        {
            ["Limits:Anonymous:Permits"] = "100000",
            ["Limits:SignedIn:Permits"] = "100000",
        }, clock);
        anybody = gateway.As(null);
    }

    public ValueTask DisposeAsync() => gateway.DisposeAsync();

    [Fact]
    public async Task An_answer_is_given_again_for_a_second_and_then_only_if_the_service_agrees()
    {
        gateway.Sidecar.Answer = Answering.Json(new { price = 100 }, "public, max-age=60", "\"1\"");
        using var first = await anybody.FetchAsync(Lamp);
        using var second = await anybody.FetchAsync(Lamp);
        Assert.Equal(("MISS", "HIT"), (first.Header("X-Cache"), second.Header("X-Cache")));
        Assert.Equal("{\"price\":100}", await second.TextAsync());
        Assert.Single(gateway.Sidecar.Arrived);

        clock.Advance(TimeSpan.FromSeconds(1));
        gateway.Sidecar.Answer = http =>
        {
            Assert.Equal("\"1\"", http.Request.Headers.IfNoneMatch.ToString());
            http.Response.StatusCode = 304;
            return Task.CompletedTask;
        };
        using var third = await anybody.FetchAsync(Lamp);
        Assert.Equal(("REVALIDATED", "{\"price\":100}"), (third.Header("X-Cache"), await third.TextAsync()));
        using var fourth = await anybody.FetchAsync(Lamp);
        Assert.Equal("HIT", fourth.Header("X-Cache"));
        Assert.Equal(2, gateway.Sidecar.Arrived.Count);
    }

    [Fact]
    public async Task An_old_price_is_gone_from_every_gateway_after_a_second()
    {
        gateway.Sidecar.Answer = Answering.Json(new { price = 100 }, "public", "\"1\"");
        using var before = await anybody.FetchAsync(Lamp);
        gateway.Sidecar.Answer = Answering.Json(new { price = 90 }, "public", "\"2\"");
        clock.Advance(TimeSpan.FromSeconds(1));
        using var after = await anybody.FetchAsync(Lamp);
        Assert.Equal("{\"price\":90}", await after.TextAsync());
        Assert.Equal("\"2\"", after.Header("ETag"));
    }

    [Fact]
    public async Task One_shopper_never_gets_what_another_was_given_at_the_same_address()
    {
        gateway.Sidecar.Answer = http => Answering.Json(new { you = http.Request.Headers.Authorization.ToString() }, "public", "\"1\"")(http);
        var (ada, bruno) = (TestTokens.Buyer(Guid.NewGuid()), TestTokens.Buyer(Guid.NewGuid()));
        foreach (var path in new[] { "/api/v1/orders/0198a000-0000-7000-8000-000000000001", "/api/v1/cart", "/api/v1/me" })
        {
            using var adas = await gateway.As(ada).FetchAsync(path);
            using var brunos = await gateway.As(bruno).FetchAsync(path);
            Assert.Contains(ada, await adas.TextAsync(), StringComparison.Ordinal);
            Assert.Contains(bruno, await brunos.TextAsync(), StringComparison.Ordinal);
            Assert.Null(brunos.Header("X-Cache"));
        }
    }

    [Fact]
    public async Task On_a_shared_route_the_service_does_not_even_hear_who_asks()
    {
        gateway.Sidecar.Answer = Answering.Json(new { price = 100 }, "public", "\"1\"");
        using var response = await gateway.As(TestTokens.Buyer(Guid.NewGuid())).FetchAsync(Lamp, ("Cookie", "a=b"), ("dapr-app-id", "payments"));
        var arrived = Assert.Single(gateway.Sidecar.Arrived);
        Assert.Null(arrived.Header("Authorization"));
        Assert.Null(arrived.Header("Cookie"));
        Assert.Null(arrived.Header("dapr-app-id"));
        Assert.Null(arrived.Header("X-Forwarded-For"));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("private")]
    [InlineData("no-store")]
    [InlineData("public, no-store")]
    [InlineData("max-age=60")]
    public async Task What_is_not_marked_public_is_neither_kept_nor_shared(string? cacheControl)
    {
        var served = 0;
        var both = new TaskCompletionSource();
        gateway.Sidecar.Answer = async http =>
        {
            var number = Interlocked.Increment(ref served);
            if (number == 1) await both.Task;
            await Answering.Json(new { number }, cacheControl)(http);
        };

        // The second comes while the first is under way.
        var first = anybody.FetchAsync(Lamp);
        await Eventually.Async(() => served == 1, "the first request is at the service");
        var second = anybody.FetchAsync(Lamp);
        both.SetResult();
        using var one = await first;
        using var two = await second;
        using var three = await anybody.FetchAsync(Lamp);
        string[] answers = [await one.TextAsync(), await two.TextAsync(), await three.TextAsync()];
        Assert.Equal(3, answers.Distinct().Count());
        Assert.Equal("BYPASS", three.Header("X-Cache"));
        Assert.True(three.Headers.CacheControl is { NoStore: true, Private: true });
    }

    [Fact]
    public async Task An_answer_with_a_cookie_or_one_that_varies_otherwise_is_not_kept()
    {
        gateway.Sidecar.Answer = http =>
        {
            http.Response.Headers.SetCookie = "session=ada";
            return Answering.Json(new { price = 1 }, "public")(http);
        };
        using var cookie = await anybody.FetchAsync(Lamp);
        Assert.Null(cookie.Header("Set-Cookie"));
        Assert.Equal("BYPASS", cookie.Header("X-Cache"));

        gateway.Sidecar.Answer = http =>
        {
            http.Response.Headers.Vary = "X-Country";
            return Answering.Json(new { price = 1 }, "public")(http);
        };
        using var varies = await anybody.FetchAsync(Lamp);
        Assert.Equal("BYPASS", varies.Header("X-Cache"));
    }

    [Fact]
    public async Task Query_and_language_are_part_of_the_address()
    {
        gateway.Sidecar.Answer = http => Answering.Json(
            new { query = http.Request.QueryString.Value, language = http.Request.Headers.AcceptLanguage.ToString() }, "public", "\"1\"")(http);
        using var english = await anybody.FetchAsync("/api/v1/search?q=lamp", ("Accept-Language", "en-GB,en;q=0.9"));
        using var french = await anybody.FetchAsync("/api/v1/search?q=lamp", ("Accept-Language", "fr"));
        using var other = await anybody.FetchAsync("/api/v1/search?q=desk", ("Accept-Language", "fr"));
        using var american = await anybody.FetchAsync("/api/v1/search?q=lamp", ("Accept-Language", "en-US"));
        Assert.Contains("\"en\"", await english.TextAsync(), StringComparison.Ordinal);
        Assert.Contains("\"fr\"", await french.TextAsync(), StringComparison.Ordinal);
        Assert.Contains("desk", await other.TextAsync(), StringComparison.Ordinal);
        Assert.Equal("HIT", american.Header("X-Cache"));
        Assert.Equal(3, gateway.Sidecar.Arrived.Count);
    }

    [Fact]
    public async Task Fifty_who_ask_at_once_cost_the_service_one_request()
    {
        var release = new TaskCompletionSource();
        gateway.Sidecar.Answer = async http =>
        {
            await release.Task;
            await Answering.Json(new { price = 100 }, "public", "\"1\"")(http);
        };
        var asked = Enumerable.Range(0, 50).Select(_ => gateway.As(null).FetchAsync(Lamp)).ToList();
        await Eventually.Async(() => gateway.Sidecar.Arrived.Count == 1, "one is at the service");
        release.SetResult();
        var answers = await Task.WhenAll(asked);
        Assert.All(answers, answer => Assert.Equal(HttpStatusCode.OK, answer.StatusCode));
        Assert.Single(gateway.Sidecar.Arrived);
    }

    [Fact]
    public async Task The_others_get_their_answer_when_the_first_one_leaves()
    {
        var release = new TaskCompletionSource();
        gateway.Sidecar.Answer = async http =>
        {
            await release.Task;
            await Answering.Json(new { price = 100 }, "public", "\"1\"")(http);
        };
        using var leaving = new CancellationTokenSource();
        var first = gateway.As(null).GetAsync(new Uri(Lamp, UriKind.Relative), leaving.Token);
        await Eventually.Async(() => gateway.Sidecar.Arrived.Count == 1, "the first is at the service");
        var second = gateway.As(null).FetchAsync(Lamp);
        await leaving.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first);
        release.SetResult();
        using var answer = await second;
        Assert.Equal("{\"price\":100}", await answer.TextAsync());
        Assert.Single(gateway.Sidecar.Arrived);
    }

    [Fact]
    public async Task When_the_service_is_down_the_last_answer_stands_in_for_a_while()
    {
        gateway.Sidecar.Answer = Answering.Json(new { price = 100 }, "public", "\"1\"");
        using var before = await anybody.FetchAsync(Lamp);

        gateway.Sidecar.Answer = Answering.Text(500, "application/json", "{\"errorCode\":\"ERR_DIRECT_INVOKE\"}");
        clock.Advance(TimeSpan.FromMinutes(5));
        using var stale = await anybody.FetchAsync(Lamp);
        Assert.Equal((HttpStatusCode.OK, "STALE", "{\"price\":100}", "300"), (stale.StatusCode, stale.Header("X-Cache"), await stale.TextAsync(), stale.Header("Age")));

        // A service in trouble is not asked for every shopper.
        using var again = await anybody.FetchAsync(Lamp);
        Assert.Equal("STALE", again.Header("X-Cache"));
        Assert.Equal(2, gateway.Sidecar.Arrived.Count);

        clock.Advance(TimeSpan.FromMinutes(6));
        using var tooOld = await anybody.FetchAsync(Lamp);
        await tooOld.ProblemAsync(HttpStatusCode.ServiceUnavailable, "unavailable");

        gateway.Sidecar.Answer = Answering.Json(new { price = 110 }, "public", "\"2\"");
        clock.Advance(TimeSpan.FromSeconds(1));
        using var back = await anybody.FetchAsync(Lamp);
        Assert.Equal("{\"price\":110}", await back.TextAsync());
    }

    [Fact]
    public async Task A_product_that_was_taken_down_is_gone_and_not_served_stale()
    {
        gateway.Sidecar.Answer = Answering.Json(new { price = 100 }, "public", "\"1\"");
        using var before = await anybody.FetchAsync(Lamp);
        gateway.Sidecar.Answer = Answering.Text(404, "application/problem+json", "{\"type\":\"/problems/not-found\",\"status\":404}");
        clock.Advance(TimeSpan.FromSeconds(1));
        using var gone = await anybody.FetchAsync(Lamp);
        Assert.Equal(HttpStatusCode.NotFound, gone.StatusCode);

        gateway.Sidecar.Answer = Answering.Text(500, "application/json", "{}");
        using var down = await anybody.FetchAsync(Lamp);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, down.StatusCode);
    }

    [Theory]
    [InlineData("\"1\"", HttpStatusCode.NotModified)]
    [InlineData("W/\"1\"", HttpStatusCode.NotModified)]
    [InlineData("\"0\", \"1\"", HttpStatusCode.NotModified)]
    [InlineData("*", HttpStatusCode.NotModified)]
    [InlineData("\"2\"", HttpStatusCode.OK)]
    public async Task A_client_that_has_it_already_is_told_so_from_memory(string ifNoneMatch, HttpStatusCode status)
    {
        gateway.Sidecar.Answer = Answering.Json(new { price = 100 }, "public", "\"1\"");
        using var before = await anybody.FetchAsync(Lamp);
        using var after = await anybody.FetchAsync(Lamp, ("If-None-Match", ifNoneMatch));
        Assert.Equal(status, after.StatusCode);
        Assert.Equal("\"1\"", after.Header("ETag"));
        Assert.Equal(status == HttpStatusCode.NotModified ? "" : "{\"price\":100}", await after.TextAsync());
        Assert.Single(gateway.Sidecar.Arrived);
    }

    [Fact]
    public async Task A_very_long_address_passes_and_is_not_kept()
    {
        gateway.Sidecar.Answer = Answering.Json(new { price = 100 }, "public", "\"1\"");
        var path = $"/api/v1/search?q={new string('x', 3_000)}";
        for (var i = 0; i < 2; i++)
        {
            using var response = await anybody.FetchAsync(path);
            Assert.Equal((HttpStatusCode.OK, "BYPASS"), (response.StatusCode, response.Header("X-Cache")));
        }
        Assert.Equal(2, gateway.Sidecar.Arrived.Count);
    }
}
