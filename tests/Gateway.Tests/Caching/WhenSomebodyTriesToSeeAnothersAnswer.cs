using System.Net;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Marketplace.Gateway.Tests.Caching;

/// <summary>
/// The service here is a careless one: it puts into its answer whoever it believes to be asked by, marks everything public, and obeys headers that
/// ours do not know. Whatever a request carries, nobody may get an answer that was made for another.
/// </summary>
public sealed class WhenSomebodyTriesToSeeAnothersAnswer : IAsyncLifetime
{
    private const string Id = "0198a000-0000-7000-8000-000000000001";
    private const string Lamp = "/api/v1/products/" + Id;
    private readonly string ada = TestTokens.Buyer(Guid.NewGuid());
    private GatewayUnderTest gateway = null!;

    /// <summary>Ways to say who one is, or that something else is meant than what is asked.</summary>
    public static TheoryData<string, string> Crafted => new()
    {
        { "Cookie", "session=ada" },
        { "X-User-Id", "ada" },
        { "X-Forwarded-For", "203.0.113.7" },
        { "X-Forwarded-Host", "evil.example" },
        { "X-Forwarded-Prefix", "/api/v1/cart" },
        { "X-Original-URL", "/api/v1/cart" },
        { "X-Rewrite-URL", "/api/v1/cart" },
        { "X-HTTP-Method-Override", "DELETE" },
        { "X-HTTP-Method", "DELETE" },
        { "X-Method-Override", "PUT" },
        { "dapr-app-id", "payments" },
        { "dapr-api-token", "guessed" },
        { "dapr-caller-app-id", "ordering" },
        { "metadata.user", "ada" },
        { "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" },
        { "baggage", "user=ada" },
        { "Correlation-Context", "user=ada" },
        { "Authorization", "Basic ZGFwci1hcHAtaWQ6cGF5bWVudHM=" },
        { "Proxy-Authorization", "Bearer ada" },
        { "Origin", "https://evil.example" },
        { "Accept", "text/html" },
        { "Accept-Encoding", "gzip" },
        { "Range", "bytes=0-3" },
        { "If-Range", "\"1\"" },
        { "If-Modified-Since", "Wed, 21 Oct 2065 07:28:00 GMT" },
        { "Cache-Control", "no-cache" },
        { "Cache-Control", "only-if-cached, max-stale" },
        { "Pragma", "no-cache" },
        { "User-Agent", "ada's own" },
        { "Referer", "https://evil.example" },
    };

    public async ValueTask InitializeAsync()
    {
        gateway = await GatewayUnderTest.StartAsync(new Dictionary<string, string?> { ["Limits:Anonymous:Permits"] = "100000", ["Limits:SignedIn:Permits"] = "100000" });
        gateway.Sidecar.Answer = http =>
        {
            // Everything but what the connection itself needs and what the key holds.
            string[] ordinary = ["Host", "Accept-Language", "Accept", "traceparent"];
            var told = http.Request.Headers.Where(header => !ordinary.Contains(header.Key, StringComparer.OrdinalIgnoreCase)).ToDictionary(header => header.Key, header => header.Value.ToString());
            return Answering.Json(new { told, http.Request.Method, path = http.Request.Path.Value, query = http.Request.QueryString.Value }, "public, max-age=60", "\"1\"")(http);
        };
    }

    public ValueTask DisposeAsync() => gateway.DisposeAsync();

    [Theory, MemberData(nameof(Crafted))]
    public async Task A_header_changes_neither_what_is_kept_nor_what_the_next_one_gets(string name, string value)
    {
        using var crafted = await gateway.As(name == "Authorization" ? null : ada).FetchAsync(Lamp, (name, value));
        using var next = await gateway.As(null).FetchAsync(Lamp);

        Assert.Equal(HttpStatusCode.OK, crafted.StatusCode);
        Assert.Equal($$$"""{"told":{},"method":"GET","path":"/v1.0/invoke/catalog/method{{{Lamp}}}","query":""}""", await crafted.TextAsync());
        Assert.Equal(await crafted.TextAsync(), await next.TextAsync());
        Assert.Equal("HIT", next.Header("X-Cache"));
        Assert.Equal("catalog", gateway.Sidecar.Arrived.Single().Target.Split('/')[3]);
        Assert.Null(next.Header("Access-Control-Allow-Origin"));
        Assert.Null(next.Header("Set-Cookie"));
    }

    [Theory]
    [InlineData("POST")]
    [InlineData("PUT")]
    [InlineData("DELETE")]
    [InlineData("PATCH")]
    [InlineData("TRACE")]
    [InlineData("GETX")]
    public async Task Another_method_gets_nothing_that_was_kept_and_leaves_nothing(string method)
    {
        using var kept = await gateway.As(null).FetchAsync(Lamp);
        gateway.Sidecar.Forget();
        var (status, text) = await gateway.RawAsync(Lamp, method, "Content-Length: 0");
        Assert.True(status is 400 or 401 or 403 or 404 or 405 or 415 or 501, $"{method}: {text}");
        Assert.DoesNotContain("X-Cache", text, StringComparison.OrdinalIgnoreCase);
        Assert.Empty(gateway.Sidecar.Arrived);

        using var after = await gateway.As(null).FetchAsync(Lamp);
        Assert.Equal((HttpStatusCode.OK, "HIT", await kept.TextAsync()), (after.StatusCode, after.Header("X-Cache"), await after.TextAsync()));
    }

    [Theory]
    [InlineData("/api/v1/cart/../products/" + Id)]
    [InlineData("/api/v1/products/" + Id + "?productId=0198a000-0000-7000-8000-000000000002")]
    [InlineData("/api/v1/products/" + Id + "?_method=DELETE&user=ada")]
    [InlineData("/api/v1/products/" + Id + "?%0d%0aSet-Cookie:a=b")]
    [InlineData("/api/v1/products/%30198a000-0000-7000-8000-000000000001")]
    public async Task However_an_address_is_written_it_is_the_page_it_leads_to(string target)
    {
        var (status, text) = await gateway.RawAsync(target, "GET", $"Authorization: Bearer {ada}", "Cookie: session=ada");
        Assert.Equal(200, status);
        using var next = await gateway.As(null).FetchAsync(Lamp);
        Assert.Equal("HIT", next.Header("X-Cache"));
        Assert.EndsWith(await next.TextAsync(), text, StringComparison.Ordinal);
        Assert.DoesNotContain("ada", await next.TextAsync(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/api/v1/products/" + Id + "%2f..%2f..%2fcart")]
    [InlineData("/api/v1/products/" + Id + "%00")]
    [InlineData("/api/v1/products/" + Id + ";/api/v1/cart")]
    [InlineData("/api/v1/products/" + Id + "/..;/cart")]
    [InlineData("/api/v1/products/" + Id + "%3fuser=ada")]
    [InlineData("/api/v1/cart%2f..%2fproducts/" + Id)]
    public async Task An_address_that_leads_nowhere_is_not_found_and_not_kept(string target)
    {
        var (status, _) = await gateway.RawAsync(target, "GET", $"Authorization: Bearer {ada}");
        Assert.True(status is 400 or 404, $"{status}");
        Assert.Empty(gateway.Sidecar.Arrived);
    }

    [Fact]
    public async Task What_is_private_stays_so_at_every_address_that_looks_like_a_shared_one()
    {
        foreach (var path in new[] { "/api/v1/cart", "/api/v1/me", "/api/v1/orders", $"/api/v1/orders/{Id}", $"/api/v1/stock/{Id}", "/api/v1/notifications", "/API/V1/CART" })
        {
            gateway.Sidecar.Forget();
            using var adas = await gateway.As(ada).FetchAsync(path);
            Assert.Contains(ada, await adas.TextAsync(), StringComparison.Ordinal);
            Assert.True(adas.Headers.CacheControl is { NoStore: true, Private: true }, path);

            var other = TestTokens.Buyer(Guid.NewGuid());
            using var others = await gateway.As(other).FetchAsync(path, ("If-None-Match", "\"1\""));
            Assert.DoesNotContain(ada, await others.TextAsync(), StringComparison.Ordinal);
            Assert.Contains(other, await others.TextAsync(), StringComparison.Ordinal);
            Assert.Equal(2, gateway.Sidecar.Arrived.Count);
            Assert.Null(others.Header("X-Cache"));
        }
    }

    [Fact]
    public async Task Two_who_ask_at_the_same_moment_do_not_get_each_others_private_answers()
    {
        await using var slow = await GatewayUnderTest.StartAsync(new Dictionary<string, string?> { ["Limits:SignedIn:Permits"] = "100000", ["Limits:Anonymous:Permits"] = "100000" }, new FakeTimeProvider(DateTimeOffset.UtcNow));
        var number = 0;
        var together = new TaskCompletionSource();
        slow.Sidecar.Answer = async http =>
        {
            // A service that is asked for a shared page and answers each one something of their own.
            var mine = Interlocked.Increment(ref number);
            await together.Task;
            http.Response.Headers.SetCookie = $"visitor={mine}";
            await Answering.Json(new { mine }, "public", "\"1\"")(http);
        };
        var asked = Enumerable.Range(0, 8).Select(_ => slow.As(ada).FetchAsync(Lamp)).ToList();
        await Eventually.Async(() => number == 1, "one is at the service");
        together.SetResult();
        var answers = await Task.WhenAll((await Task.WhenAll(asked)).Select(answer => answer.TextAsync()));
        Assert.Equal(8, answers.Distinct().Count());
    }
}
