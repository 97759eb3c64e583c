using System.Net;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Marketplace.Gateway.Tests.Caching;

public sealed class WhatIsKept : IAsyncLifetime
{
    private const string Lamp = "/api/v1/products/0198a000-0000-7000-8000-000000000001";
    private readonly FakeTimeProvider clock = new(DateTimeOffset.UtcNow);
    private GatewayUnderTest gateway = null!;
    private HttpClient anybody = null!;

    public async ValueTask InitializeAsync()
    {
        gateway = await GatewayUnderTest.StartAsync(new Dictionary<string, string?> { ["Limits:Anonymous:Permits"] = "100000", ["Cors:Origins:0"] = "https://shop.example" }, clock);
        anybody = gateway.As(null);
    }

    public ValueTask DisposeAsync() => gateway.DisposeAsync();

    [Fact]
    public async Task The_order_of_parameters_makes_no_other_answer_and_their_values_do()
    {
        gateway.Sidecar.Answer = http => Answering.Json(new { query = http.Request.QueryString.Value }, "public", "\"1\"")(http);
        using var one = await anybody.FetchAsync("/api/v1/search?q=lamp&category=lighting&&sort=price");
        using var other = await anybody.FetchAsync("/api/v1/search?sort=price&q=lamp&category=lighting");
        Assert.Equal(("MISS", "HIT"), (one.Header("X-Cache"), other.Header("X-Cache")));
        Assert.Equal("""{"query":"?category=lighting&q=lamp&sort=price"}""", await other.TextAsync());

        // Of one name the order counts, and what is escaped is not the same as what is not.
        foreach (var different in new[] { "?q=lamp&category=lighting&sort=-price", "?category=a&category=b", "?category=b&category=a", "?q=a%26b=c", "?q=a&b=c", "?q=LAMP" })
        {
            using var answer = await anybody.FetchAsync($"/api/v1/search{different}");
            Assert.Equal("MISS", answer.Header("X-Cache"));
        }
    }

    [Fact]
    public async Task What_campaigns_append_to_a_product_page_makes_no_other_page()
    {
        gateway.Sidecar.Answer = Answering.Json(new { price = 1 }, "public", "\"1\"");
        foreach (var query in new[] { "", "?", "?utm_source=mail", "?q=1&q=2" })
        {
            using var answer = await anybody.FetchAsync(Lamp + query);
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        }

        Assert.DoesNotContain('?', Assert.Single(gateway.Sidecar.Arrived).Target);
    }

    [Fact]
    public async Task A_head_request_gets_the_same_fields_and_no_body_also_when_it_is_the_first()
    {
        gateway.Sidecar.Answer = Answering.Json(new { price = 100 }, "public, max-age=1", "\"1\"");
        using var head = await anybody.SendAsync("HEAD", Lamp);
        Assert.Equal((HttpStatusCode.OK, "13", "\"1\"", "MISS"), (head.StatusCode, head.Header("Content-Length"), head.Header("ETag"), head.Header("X-Cache")));
        Assert.Equal("", await head.TextAsync());
        Assert.Equal("GET", Assert.Single(gateway.Sidecar.Arrived).Method);

        using var get = await anybody.FetchAsync(Lamp);
        Assert.Equal(("{\"price\":100}", "HIT"), (await get.TextAsync(), get.Header("X-Cache")));
        Assert.Equal(head.Header("Content-Type"), get.Header("Content-Type"));
    }

    [Fact]
    public async Task A_part_of_a_page_is_not_to_be_had_and_leaves_the_whole_as_it_is()
    {
        gateway.Sidecar.Answer = Answering.Json(new { price = 100 }, "public", "\"1\"");
        using var part = await anybody.FetchAsync(Lamp, ("Range", "bytes=0-3"));
        using var whole = await anybody.FetchAsync(Lamp);
        Assert.Equal((HttpStatusCode.OK, "{\"price\":100}"), (part.StatusCode, await part.TextAsync()));
        Assert.Equal("{\"price\":100}", await whole.TextAsync());
        Assert.Null(Assert.Single(gateway.Sidecar.Arrived).Header("Range"));

        clock.Advance(TimeSpan.FromSeconds(1));
        gateway.Sidecar.Answer = Answering.Json(new { price = 100 }, "public", "\"1\"", status: 206);
        using var partial = await anybody.FetchAsync(Lamp);
        Assert.Equal("BYPASS", partial.Header("X-Cache"));
    }

    [Theory]
    [InlineData("public, no-cache")]
    [InlineData("public, private=\"Set-Cookie\"")]
    [InlineData("no-store, public")]
    public async Task What_may_only_be_given_after_asking_is_not_kept(string cacheControl)
    {
        gateway.Sidecar.Answer = Answering.Json(new { price = 100 }, cacheControl, "\"1\"");
        for (var i = 0; i < 2; i++)
        {
            using var answer = await anybody.FetchAsync(Lamp);
            Assert.Equal("BYPASS", answer.Header("X-Cache"));
        }
    }

    [Theory]
    [InlineData("public, max-age=0")]
    [InlineData("public, max-age=60, s-maxage=0")]
    public async Task Nothing_is_fresh_for_longer_than_its_service_says(string cacheControl)
    {
        gateway.Sidecar.Answer = Answering.Json(new { price = 100 }, cacheControl, "\"1\"");
        using var first = await anybody.FetchAsync(Lamp);
        using var second = await anybody.FetchAsync(Lamp);
        Assert.Equal(("MISS", "REVALIDATED"), (first.Header("X-Cache"), second.Header("X-Cache")));
    }

    [Fact]
    public async Task An_answer_is_as_old_as_its_question()
    {
        var release = new TaskCompletionSource();
        gateway.Sidecar.Answer = async http =>
        {
            await release.Task;
            await Answering.Json(new { price = 100 }, "public", "\"1\"")(http);
        };
        var asked = anybody.FetchAsync(Lamp);
        await Eventually.Async(() => gateway.Sidecar.Arrived.Count == 1, "the service is asked");
        clock.Advance(TimeSpan.FromSeconds(2));
        release.SetResult();
        using var slow = await asked;
        Assert.Equal("2", slow.Header("Age"));
        using var next = await anybody.FetchAsync(Lamp);
        Assert.Equal("REVALIDATED", next.Header("X-Cache"));
    }

    [Fact]
    public async Task One_that_has_grown_too_large_is_given_and_does_not_leave_its_smaller_past_behind()
    {
        gateway.Sidecar.Answer = Answering.Json(new { text = "small" }, "public", "\"1\"");
        using var small = await anybody.FetchAsync(Lamp);
        clock.Advance(TimeSpan.FromSeconds(1));
        gateway.Sidecar.Answer = Answering.Json(new { text = new string('x', 300_000) }, "public", "\"2\"");
        using var large = await anybody.FetchAsync(Lamp);
        Assert.Equal(HttpStatusCode.OK, large.StatusCode);
        gateway.Sidecar.Answer = Answering.Text(500, "application/json", "{}");
        using var down = await anybody.FetchAsync(Lamp);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, down.StatusCode);
    }

    [Fact]
    public async Task What_must_be_asked_for_again_is_not_served_stale()
    {
        gateway.Sidecar.Answer = Answering.Json(new { price = 100 }, "public, must-revalidate", "\"1\"");
        using var first = await anybody.FetchAsync(Lamp);
        gateway.Sidecar.Answer = Answering.Text(500, "application/json", "{}");
        clock.Advance(TimeSpan.FromSeconds(1));
        using var down = await anybody.FetchAsync(Lamp);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, down.StatusCode);
    }

    [Fact]
    public async Task A_compressed_answer_is_not_taken_for_one_that_everybody_can_read()
    {
        gateway.Sidecar.Answer = http =>
        {
            http.Response.Headers.ContentEncoding = "gzip";
            return Answering.Json(new { price = 100 }, "public", "\"1\"")(http);
        };
        using var answer = await anybody.FetchAsync(Lamp);
        Assert.Equal("BYPASS", answer.Header("X-Cache"));
    }

    [Fact]
    public async Task Caches_behind_the_door_hear_what_an_answer_depends_on()
    {
        gateway.Sidecar.Answer = http =>
        {
            http.Response.Headers.Vary = "Accept-Language";
            return Answering.Json(new { language = http.Request.Headers.AcceptLanguage.ToString() }, "public", "\"1\"")(http);
        };
        for (var i = 0; i < 2; i++)
        {
            using var answer = await anybody.FetchAsync(Lamp, ("Accept-Language", "fr"), ("Origin", "https://shop.example"));
            Assert.Equal("{\"language\":\"fr\"}", await answer.TextAsync());
            Assert.Contains("Accept-Language", answer.Header("Vary"), StringComparison.Ordinal);
            Assert.Contains("X-Degraded", answer.Header("Access-Control-Expose-Headers"), StringComparison.Ordinal);
        }

        // What was kept for one origin says nothing of it to another.
        using var elsewhere = await anybody.FetchAsync(Lamp, ("Accept-Language", "fr"), ("Origin", "https://evil.example"));
        Assert.Equal("HIT", elsewhere.Header("X-Cache"));
        Assert.Null(elsewhere.Header("Access-Control-Allow-Origin"));
    }

    [Fact]
    public async Task A_not_modified_says_what_the_whole_answer_would()
    {
        gateway.Sidecar.Answer = http =>
        {
            http.Response.Headers.Vary = "Accept-Language";
            http.Response.Headers.Link = "</next>; rel=\"next\"";
            return Answering.Json(new { price = 1 }, "public, max-age=7", "\"1\"")(http);
        };
        using var first = await anybody.FetchAsync(Lamp);
        using var again = await anybody.FetchAsync(Lamp, ("If-None-Match", "\"1\""));
        Assert.Equal(HttpStatusCode.NotModified, again.StatusCode);
        foreach (var field in new[] { "ETag", "Cache-Control", "Vary", "Link" })
            Assert.Equal(first.Header(field), again.Header(field));
        Assert.Equal("", await again.TextAsync());
    }
}
