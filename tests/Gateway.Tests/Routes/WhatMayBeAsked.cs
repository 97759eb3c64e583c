using System.Net;
using Marketplace.Gateway.Routes;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Gateway.Tests.Routes;

public sealed class GatewayFixture : IAsyncLifetime
{
    public GatewayUnderTest Gateway { get; private set; } = null!;

    public async ValueTask InitializeAsync() => Gateway = await GatewayUnderTest.StartAsync(new Dictionary<string, string?>
    {
        ["Limits:Anonymous:Permits"] = "100000",
        ["Limits:SignedIn:Permits"] = "100000",
        ["Limits:Credentials:Permits"] = "100000",
        ["Cors:Origins:0"] = "https://shop.example",
    });

    public ValueTask DisposeAsync() => Gateway.DisposeAsync();
}

public sealed class WhatMayBeAsked(GatewayFixture fixture) : IClassFixture<GatewayFixture>
{
    private const string Id = "0198a000-0000-7000-8000-000000000001";
    private readonly GatewayUnderTest gateway = fixture.Gateway;

    public static TheoryData<string, string, string> Listed => [.. PublicRoutes.All.Select(route => (route.App, route.Method, route.Pattern))];

    [Theory, MemberData(nameof(Listed))]
    public async Task A_listed_route_reaches_its_service_under_its_own_path(string app, string method, string pattern)
    {
        var ignoresQuery = PublicRoutes.All.Single(route => (route.App, route.Method, route.Pattern) == (app, method, pattern)).IgnoresQuery;
        gateway.Sidecar.Forget();
        var path = string.Join('/', pattern.Split('/').Select(segment => Value(segment)));
        var shopper = Guid.NewGuid();
        var everything = TestTokens.Issue(shopper, ["buyer", "seller", "operator"], new() { ["seller_id"] = Guid.NewGuid().ToString() });
        var client = gateway.As(everything);
        client.DefaultRequestHeaders.Add("Queue-Ticket", GatewayUnderTest.Tickets.Sign(new(Guid.Parse(Id), shopper, Late: true, 0, DateTimeOffset.UtcNow.AddHours(1))));
        using var response = await client.SendAsync(method, $"{path}?a=b%2Fc&d=%20");
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);

        var arrived = Assert.Single(gateway.Sidecar.Arrived, arrived => !arrived.Target.EndsWith("/internal/flash-sales/admissions", StringComparison.Ordinal));
        Assert.Equal($"/v1.0/invoke/{app}/method{path}{(ignoresQuery ? "" : "?a=b%2Fc&d=%20")}", arrived.Target);
        Assert.Equal(method, arrived.Method);
    }

    private static string Value(string segment) => segment switch
    {
        _ when !segment.StartsWith('{') => segment,
        _ when segment.EndsWith(":long}", StringComparison.Ordinal) => "42",
        _ when segment.StartsWith("{imageId", StringComparison.Ordinal) => new string('a', 64),
        _ when segment.StartsWith("{file", StringComparison.Ordinal) => "800.webp",
        _ => Id,
    };

    [Theory]
    [InlineData("/internal/prices")]
    [InlineData("/internal/carts/" + Id)]
    [InlineData("/events/order-confirmed")]
    [InlineData("/dapr/subscribe")]
    [InlineData("/dapr/config")]
    [InlineData("/v1.0/invoke/payments/method/internal/charges")]
    [InlineData("/v1.0/state/carts/x")]
    [InlineData("/v1.0/shutdown")]
    [InlineData("/healthz")]
    [InlineData("/openapi/v2.json")]
    [InlineData("/api/v1/operations/cart/dead-letters")]
    [InlineData("/api/v1/operations/identity/dead-letters/all")]
    [InlineData("/api/v1/operations/ordering/outbox/all/retry")]
    [InlineData("/api/v1/operations/cart/outbox")]
    [InlineData("/api/v1/operations")]
    [InlineData("/operations/orders")]
    [InlineData("/api/v1/../../internal/prices")]
    [InlineData("/api/v1/products/../../../internal/prices")]
    [InlineData("/api/v1/products/%2e%2e/%2e%2e/%2e%2e/internal/prices")]
    [InlineData("/api/v1/products/..%2f..%2f..%2finternal%2fprices")]
    [InlineData("/api/v1/products/%2e%2e%2f%2e%2e%2finternal")]
    [InlineData("/api/v1/products/..%252f..%252finternal")]
    [InlineData("/api/v1/products/..%5c..%5cinternal")]
    [InlineData("/api/v1/products/..\\..\\internal\\prices")]
    [InlineData("/api/v1/products/" + Id + "/../../../../internal/prices")]
    [InlineData("/api/v1/products/" + Id + "%2f..%2f..%2f..%2f..%2finternal%2fprices")]
    [InlineData("/api/v1/products/" + Id + "%00")]
    [InlineData("/api/v1/products/" + Id + ";x=1")]
    [InlineData("//internal/prices")]
    [InlineData("//api/v1/products")]
    [InlineData("/api//v1/products")]
    [InlineData("/api/v1//products")]
    [InlineData("/api/v1/products//" + Id)]
    [InlineData("/api/v1/orders/" + Id + "/payment/../../../../internal/orders/" + Id + "/attempts/1")]
    [InlineData("http://payments/internal/charges")]
    [InlineData("http://127.0.0.1:3500/v1.0/invoke/payments/method/internal/charges")]
    [InlineData("*")]
    public async Task Anything_else_is_not_found_however_it_is_written(string target)
    {
        gateway.Sidecar.Forget();
        var token = TestTokens.Issue(Guid.NewGuid(), ["buyer", "seller", "operator"], new() { ["seller_id"] = Guid.NewGuid().ToString() });
        foreach (var method in new[] { "GET", "POST" })
        {
            var (status, text) = await gateway.RawAsync(target, method, $"Authorization: Bearer {token}", "Content-Length: 0");
            Assert.True(status is 400 or 404 or 405, $"{method} {target}: {text}");
        }
        Assert.Empty(gateway.Sidecar.Arrived);
    }

    [Fact]
    public async Task What_is_not_found_has_a_problem_document()
    {
        using var unlisted = await gateway.As(null).FetchAsync("/internal/prices");
        await unlisted.ProblemAsync(HttpStatusCode.NotFound, "not-found");
        using var method = await gateway.As(null).SendAsync("PATCH", "/api/v1/products");
        await method.ProblemAsync(HttpStatusCode.MethodNotAllowed, "method-not-allowed");
    }

    [Fact]
    public async Task A_path_that_dots_lead_to_a_listed_route_is_that_route_and_nothing_more()
    {
        gateway.Sidecar.Forget();
        var (status, _) = await gateway.RawAsync("/internal/../api/v1/stock/" + Id);
        Assert.Equal(200, status);
        Assert.Equal("/v1.0/invoke/inventory/method/api/v1/stock/" + Id, Assert.Single(gateway.Sidecar.Arrived).Target);
    }

    [Theory]
    [InlineData("GET", "/api/v1/cart")]
    [InlineData("POST", "/api/v1/checkout")]
    [InlineData("GET", "/api/v1/orders/" + Id)]
    [InlineData("POST", "/api/v1/products")]
    [InlineData("GET", "/api/v1/operations/orders")]
    public async Task A_route_that_needs_a_token_is_closed_without_a_good_one(string method, string path)
    {
        gateway.Sidecar.Forget();
        using var another = System.Security.Cryptography.ECDsa.Create(System.Security.Cryptography.ECCurve.NamedCurves.nistP256);
        string?[] tokens =
        [
            null,
            "no token",
            TestTokens.Issue(Guid.NewGuid(), ["buyer", "operator"], expiresIn: TimeSpan.FromMinutes(-1)),
            TestTokens.Issue(Guid.NewGuid(), ["buyer", "operator"], key: another),
            TestTokens.Issue(Guid.NewGuid(), ["buyer", "operator"], algorithm: "none"),
            TestTokens.Issue(Guid.NewGuid(), ["buyer", "operator"], new() { ["iss"] = "somebody else" }),
        ];
        foreach (var token in tokens)
        {
            using var response = await gateway.As(token).SendAsync(method, path);
            await response.ProblemAsync(HttpStatusCode.Unauthorized, "unauthorized");
            Assert.StartsWith("Bearer", response.Header("WWW-Authenticate"), StringComparison.Ordinal);
        }
        Assert.Empty(gateway.Sidecar.Arrived);
    }

    [Theory]
    [InlineData("POST", "/api/v1/products")]
    [InlineData("PUT", "/api/v1/stock")]
    [InlineData("GET", "/api/v1/operations/orders")]
    [InlineData("POST", "/api/v1/operations/search/rebuild")]
    [InlineData("GET", "/api/v1/operations/payments/dead-letters")]
    public async Task A_shopper_is_neither_a_seller_nor_an_operator(string method, string path)
    {
        gateway.Sidecar.Forget();
        using var response = await gateway.As(TestTokens.Buyer(Guid.NewGuid())).SendAsync(method, path);
        await response.ProblemAsync(HttpStatusCode.Forbidden, "forbidden");
        Assert.Empty(gateway.Sidecar.Arrived);
    }

    [Fact]
    public async Task Every_answer_carries_the_security_headers()
    {
        foreach (var path in new[] { "/api/v1/stock/" + Id, "/internal/prices", "/api/v1/cart", "/livez" })
        {
            using var response = await gateway.As(null).FetchAsync(path);
            Assert.Equal("nosniff", response.Header("X-Content-Type-Options"));
            Assert.Equal("DENY", response.Header("X-Frame-Options"));
            Assert.Equal("no-referrer", response.Header("Referrer-Policy"));
            Assert.Contains("default-src 'none'", response.Header("Content-Security-Policy"), StringComparison.Ordinal);
            Assert.Null(response.Header("Server"));
        }
    }

    [Fact]
    public async Task A_browser_of_another_origin_is_let_in_only_where_configuration_says_so()
    {
        using var ours = await gateway.As(null).FetchAsync("/api/v1/stock/" + Id, ("Origin", "https://shop.example"));
        Assert.Equal("https://shop.example", ours.Header("Access-Control-Allow-Origin"));
        using var others = await gateway.As(null).FetchAsync("/api/v1/stock/" + Id, ("Origin", "https://evil.example"));
        Assert.Null(others.Header("Access-Control-Allow-Origin"));

        using var preflight = new HttpRequestMessage(HttpMethod.Options, new Uri("/api/v1/checkout", UriKind.Relative));
        preflight.Headers.Add("Origin", "https://shop.example");
        preflight.Headers.Add("Access-Control-Request-Method", "POST");
        preflight.Headers.Add("Access-Control-Request-Headers", "authorization,idempotency-key");
        using var allowed = await gateway.As(null).SendAsync(preflight, TestContext.Current.CancellationToken);
        Assert.Contains("POST", allowed.Header("Access-Control-Allow-Methods"), StringComparison.Ordinal);
    }
}
