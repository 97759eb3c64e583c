using System.Net;
using Marketplace.TestKit;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Marketplace.Gateway.Tests.Limits;

public sealed class WhenSomebodyAsksTooOften
{
    private static readonly Dictionary<string, string?> Tight = new()
    {
        ["Limits:Anonymous:Permits"] = "3",
        ["Limits:SignedIn:Permits"] = "2",
        ["Limits:Credentials:Permits"] = "1",
    };

    private readonly FakeTimeProvider clock = new(DateTimeOffset.UtcNow);

    [Fact]
    public async Task The_answer_is_429_and_says_when_to_come_back()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(Tight, clock);
        var ada = gateway.As(TestTokens.Buyer(Guid.NewGuid()));
        using var first = await ada.FetchAsync("/api/v1/cart");
        Assert.Equal(("2", "1", "2;w=60"), (first.Header("RateLimit-Limit"), first.Header("RateLimit-Remaining"), first.Header("RateLimit-Policy")));
        using var second = await ada.FetchAsync("/api/v1/cart");
        Assert.Equal("0", second.Header("RateLimit-Remaining"));

        using var third = await ada.FetchAsync("/api/v1/cart");
        await third.ProblemAsync(HttpStatusCode.TooManyRequests, "too-many-requests");
        Assert.Equal(("30", "0", "60"), (third.Header("Retry-After"), third.Header("RateLimit-Remaining"), third.Header("RateLimit-Reset")));
        Assert.Equal(2, gateway.Sidecar.Arrived.Count);

        clock.Advance(TimeSpan.FromSeconds(30));
        using var later = await ada.FetchAsync("/api/v1/cart");
        Assert.Equal(HttpStatusCode.OK, later.StatusCode);
    }

    [Fact]
    public async Task Each_subject_has_its_own_limit_and_so_has_each_address()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(Tight, clock);
        for (var shopper = 0; shopper < 3; shopper++)
        {
            var client = gateway.As(TestTokens.Buyer(Guid.NewGuid()));
            for (var i = 0; i < 2; i++)
            {
                using var response = await client.FetchAsync("/api/v1/cart");
                Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            }
        }

        var nobody = gateway.As(null);
        var statuses = new List<HttpStatusCode>();
        for (var i = 0; i < 4; i++)
        {
            using var response = await nobody.FetchAsync($"/api/v1/products?page={i}");
            statuses.Add(response.StatusCode);
        }
        Assert.Equal([HttpStatusCode.OK, HttpStatusCode.OK, HttpStatusCode.OK, HttpStatusCode.TooManyRequests], statuses);
    }

    [Fact]
    public async Task Doors_where_passwords_are_guessed_are_counted_together_and_strictly()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(Tight, clock);
        using var first = await gateway.As(null).PostJsonAsync("/api/v1/sessions", new { email = "a", password = "b" });
        Assert.Equal(HttpStatusCode.OK, first.StatusCode);
        using var second = await gateway.As(TestTokens.Buyer(Guid.NewGuid())).PostJsonAsync("/api/v1/accounts", new { });
        await second.ProblemAsync(HttpStatusCode.TooManyRequests, "too-many-requests");
        using var third = await gateway.As(null).SendAsync("POST", "/api/v1/guests");
        await third.ProblemAsync(HttpStatusCode.TooManyRequests, "too-many-requests");
    }

    [Fact]
    public async Task Claiming_another_address_does_not_help()
    {
        await using var gateway = await GatewayUnderTest.StartAsync(Tight, clock);
        var statuses = new List<int>();
        for (var i = 0; i < 4; i++)
            statuses.Add((await gateway.RawAsync("/api/v1/categories", "GET", $"X-Forwarded-For: 203.0.113.{i}")).Status);
        Assert.Equal([200, 200, 200, 429], statuses);
    }
}
