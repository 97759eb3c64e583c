using System.Net;
using Marketplace.Gateway.FlashSales;
using Marketplace.Gateway.Routes;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Xunit;

namespace Marketplace.Gateway.Tests.FlashSales;

public sealed class WhenASaleStorms
{
    private static readonly Dictionary<string, string?> Narrow = new()
    {
        ["FlashSales:Claims:AtATime"] = "3",
        ["FlashSales:Claims:Waiting"] = "2",
        ["FlashSales:Joins:AtATime"] = "1",
        ["FlashSales:Joins:Waiting"] = "0",
    };

    [Fact]
    public async Task With_every_place_taken_by_calls_that_hang_the_rest_of_the_shop_does_not_notice()
    {
        await using var drop = await Drop.StartAsync(Narrow);
        var release = new TaskCompletionSource();
        drop.Forwarded = async http =>
        {
            if (http.Request.Path.Value!.Contains("/invoke/flashsales/", StringComparison.Ordinal))
                await release.Task;
            await http.Response.WriteAsJsonAsync(new { ok = true });
        };

        var claims = Enumerable.Range(0, 3).Select(_ => ClaimAsync(drop)).ToList();
        await Eventually.Async(() => drop.Passed.Count == 3, "three claims are under way");
        var waiting = Enumerable.Range(0, 2).Select(_ => ClaimAsync(drop)).ToList();

        var bulkheads = drop.Gateway.Services.GetRequiredService<Bulkheads>();
        await Eventually.Async(() => bulkheads.WaitingFor(Storm.Claims) == 2, "two wait for one of the three places");
        using var refused = await ClaimAsync(drop);
        await refused.ProblemAsync(HttpStatusCode.ServiceUnavailable, "busy");
        Assert.Equal("1", refused.Header("Retry-After"));
        Assert.Equal(3, drop.Passed.Count);

        // Joins have places of their own, and so has everything else.
        var join = drop.Gateway.As(TestTokens.Buyer(Guid.NewGuid())).SendAsync("POST", drop.Queue);
        await Eventually.Async(() => drop.Passed.Count == 4, "a join is under way");
        using var second = await drop.Gateway.As(TestTokens.Buyer(Guid.NewGuid())).SendAsync("POST", drop.Queue);
        await second.ProblemAsync(HttpStatusCode.ServiceUnavailable, "busy");

        var ada = drop.Gateway.As(TestTokens.Buyer(Guid.NewGuid()));
        using var product = await ada.FetchAsync($"/api/v1/products/{Guid.NewGuid()}");
        using var checkout = await ada.PostJsonAsync("/api/v1/checkout", new { expectedTotal = 1 });
        using var stock = await ada.FetchAsync($"/api/v1/stock/{Guid.NewGuid()}");
        Assert.All([product, checkout, stock], answer => Assert.Equal(HttpStatusCode.OK, answer.StatusCode));
        Assert.Equal("open", (await drop.PollAsync(null)).GetProperty("state").GetString());

        release.SetResult();
        foreach (var claim in await Task.WhenAll([.. claims, .. waiting, join]))
        {
            Assert.Equal(HttpStatusCode.OK, claim.StatusCode);
            claim.Dispose();
        }
    }

    [Fact]
    public async Task Who_waits_for_a_place_waits_a_moment_only()
    {
        await using var drop = await Drop.StartAsync(Narrow);
        var release = new TaskCompletionSource();
        drop.Forwarded = _ => release.Task;
        var claims = Enumerable.Range(0, 5).Select(_ => ClaimAsync(drop)).ToList();
        await Eventually.Async(() => drop.Passed.Count == 3, "three claims are under way");
        await Eventually.Async(
            () =>
            {
                drop.Clock.Advance(TimeSpan.FromSeconds(1));
                return claims.Count(claim => claim.IsCompleted) >= 2;
            },
            "two have waited long enough");
        foreach (var claim in claims.Where(claim => claim.IsCompleted))
            await (await claim).ProblemAsync(HttpStatusCode.ServiceUnavailable, "busy");
        release.SetResult();
        await Task.WhenAll(claims);
    }

    [Fact]
    public async Task A_client_that_goes_away_gives_its_place_back()
    {
        await using var drop = await Drop.StartAsync(Narrow);
        drop.Forwarded = http => Task.Delay(Timeout.Infinite, http.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);
        using (var going = new CancellationTokenSource())
        {
            var client = drop.Gateway.As(TestTokens.Buyer(Guid.NewGuid()));
            var join = client.PostAsync(new Uri(drop.Queue, UriKind.Relative), null, going.Token);
            await Eventually.Async(() => drop.Passed.Count == 1, "the join is under way");
            await going.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => join);
        }
        drop.Forwarded = null;
        await Eventually.Async(
            async () =>
            {
                using var next = await drop.Gateway.As(TestTokens.Buyer(Guid.NewGuid())).SendAsync("POST", drop.Queue);
                return next.StatusCode == HttpStatusCode.OK;
            },
            "the place is free again");
    }

    [Fact]
    public async Task A_sender_that_takes_its_time_over_the_body_holds_no_place()
    {
        await using var drop = await Drop.StartAsync(Narrow);
        var ada = Guid.NewGuid();
        var slow = new System.Net.Sockets.TcpClient();
        await slow.ConnectAsync(drop.Gateway.Address.Host, drop.Gateway.Address.Port, TestContext.Current.CancellationToken);
        await slow.GetStream().WriteAsync(System.Text.Encoding.ASCII.GetBytes(
            $"POST {drop.Queue} HTTP/1.1\r\nHost: shop.example\r\nAuthorization: Bearer {TestTokens.Buyer(ada)}\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{{"),
            TestContext.Current.CancellationToken);
        await Eventually.Async(() => drop.Asked > 0, "the slow one has been looked at");
        using var next = await drop.Gateway.As(TestTokens.Buyer(Guid.NewGuid())).SendAsync("POST", drop.Queue);
        Assert.Equal(HttpStatusCode.OK, next.StatusCode);
        Assert.Single(drop.Passed);
        slow.Dispose();
    }

    [Fact]
    public async Task Many_accounts_behind_one_address_are_one_client_and_polls_are_counted_apart()
    {
        await using var drop = await Drop.StartAsync(new Dictionary<string, string?> { ["Limits:FlashSale:Permits"] = "2", ["Limits:Polls:Permits"] = "3" });
        for (var i = 0; i < 2; i++)
        {
            using var join = await drop.Gateway.As(TestTokens.Buyer(Guid.NewGuid())).SendAsync("POST", drop.Queue);
            Assert.Equal(HttpStatusCode.OK, join.StatusCode);
        }
        using var third = await drop.Gateway.As(TestTokens.Buyer(Guid.NewGuid())).SendAsync("POST", drop.Queue);
        await third.ProblemAsync(HttpStatusCode.TooManyRequests, "too-many-requests");
        Assert.Equal(("30", "2"), (third.Header("Retry-After"), third.Header("RateLimit-Limit")));
        var ada = Guid.NewGuid();
        using var claim = await drop.ClaimAsync(Drop.Signed(drop.At(rank: 5, ada)), ada);
        await claim.ProblemAsync(HttpStatusCode.TooManyRequests, "too-many-requests");

        for (var i = 0; i < 3; i++)
            await drop.PollAsync(null);
        using var poll = await drop.AskAsync(null);
        await poll.ProblemAsync(HttpStatusCode.TooManyRequests, "too-many-requests");
        using var cart = await drop.Gateway.As(TestTokens.Buyer(ada)).FetchAsync("/api/v1/cart");
        Assert.Equal(HttpStatusCode.OK, cart.StatusCode);
    }

    [Fact]
    public async Task One_account_is_counted_whatever_addresses_it_comes_from()
    {
        await using var drop = await Drop.StartAsync(new Dictionary<string, string?>
        {
            ["Limits:SignedIn:Permits"] = "2",
            ["Forwarding:TrustedProxies:0"] = "127.0.0.1",
        });
        using var ada = drop.Gateway.As(TestTokens.Buyer(Guid.NewGuid()));
        var statuses = new List<HttpStatusCode>();
        for (var i = 0; i < 3; i++)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(drop.Queue, UriKind.Relative));
            request.Headers.Add("X-Forwarded-For", $"203.0.113.{i}");
            using var join = await ada.SendAsync(request, TestContext.Current.CancellationToken);
            statuses.Add(join.StatusCode);
        }
        Assert.Equal([HttpStatusCode.OK, HttpStatusCode.OK, HttpStatusCode.TooManyRequests], statuses);
    }

    private static Task<HttpResponseMessage> ClaimAsync(Drop drop)
    {
        var buyer = Guid.NewGuid();
        return drop.ClaimAsync(Drop.Signed(drop.At(rank: 50, buyer)), buyer);
    }
}
