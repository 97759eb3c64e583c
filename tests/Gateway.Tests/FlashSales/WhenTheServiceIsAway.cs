using System.Net;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Http;
using Xunit;

namespace Marketplace.Gateway.Tests.FlashSales;

public sealed class WhenTheServiceIsAway
{
    public static TheoryData<string> Ways => ["refuses", "fails", "talks nonsense", "says nothing of sales", "is silent"];

    [Theory, MemberData(nameof(Ways))]
    public async Task What_it_said_last_is_told_for_half_a_minute_and_marked_and_then_nothing_is(string way)
    {
        await using var drop = await Drop.StartAsync();
        var ticket = Drop.Signed(drop.At(rank: 5_000));
        using var fresh = await drop.AskAsync(ticket);
        Assert.Equal((HttpStatusCode.OK, null), (fresh.StatusCode, fresh.Header("X-Degraded")));

        drop.IsAway(How(way));
        var told = drop.Now;
        await Eventually.Async(
            async () =>
            {
                drop.Clock.Advance(TimeSpan.FromMilliseconds(250));
                using var marked = await drop.AskAsync(ticket);
                Assert.Equal(HttpStatusCode.OK, marked.StatusCode);
                return marked.Header("X-Degraded") == "flashsales";
            },
            "the answer says that flash sales are away");
        Assert.InRange(drop.Now - told, TimeSpan.Zero, TimeSpan.FromSeconds(30));

        while (drop.Now - told <= TimeSpan.FromSeconds(30))
        {
            drop.Clock.Advance(TimeSpan.FromSeconds(1));
            using var still = await drop.AskAsync(ticket);
            Assert.Equal(drop.Now - told <= TimeSpan.FromSeconds(30) ? HttpStatusCode.OK : HttpStatusCode.ServiceUnavailable, still.StatusCode);
        }

        using var gone = await drop.AskAsync(ticket);
        await gone.ProblemAsync(HttpStatusCode.ServiceUnavailable, "unavailable");
        Assert.Equal("2", gone.Header("Retry-After"));

        drop.IsBack();
        await Eventually.Async(
            async () =>
            {
                drop.Clock.Advance(TimeSpan.FromMilliseconds(250));
                using var back = await drop.AskAsync(ticket);
                return back.StatusCode == HttpStatusCode.OK && back.Header("X-Degraded") is null;
            },
            "flash sales answer again");
    }

    [Fact]
    public async Task Where_it_never_answered_nobody_is_told_anything()
    {
        await using var drop = await Drop.StartAsync();
        drop.IsAway(How("fails"));
        using var poll = await drop.AskAsync(Drop.Signed(drop.At(rank: 5)));
        await poll.ProblemAsync(HttpStatusCode.ServiceUnavailable, "unavailable");
        using var stream = await drop.Gateway.As(null).FetchAsync($"{drop.Queue}/events");
        await stream.ProblemAsync(HttpStatusCode.ServiceUnavailable, "unavailable");
    }

    [Fact]
    public async Task Without_keys_no_ticket_can_be_looked_at_and_the_rest_of_the_shop_is_open()
    {
        await using var drop = await Drop.StartAsync(new Dictionary<string, string?> { ["QueueTickets:Keys"] = "", ["DAPR_GRPC_ENDPOINT"] = "http://127.0.0.1:1" });
        using var poll = await drop.AskAsync(Drop.Signed(drop.At(rank: 5)));
        await poll.ProblemAsync(HttpStatusCode.ServiceUnavailable, "unavailable");
        Assert.Equal("open", (await drop.PollAsync(null)).GetProperty("state").GetString());
        using var cart = await drop.Gateway.As(TestTokens.Buyer(Guid.NewGuid())).FetchAsync("/api/v1/cart");
        Assert.Equal(HttpStatusCode.OK, cart.StatusCode);

        var ada = Guid.NewGuid();
        using var claim = await drop.ClaimAsync("not a ticket", ada);
        Assert.Equal(HttpStatusCode.OK, claim.StatusCode);               // the service has the keys
    }

    private static Func<HttpContext, Task> How(string way) => way switch
    {
        "refuses" => Answering.Text(403, "text/plain", "access denied by policy"),
        "fails" => Answering.Text(500, "application/json", """{"errorCode":"ERR_DIRECT_INVOKE"}"""),
        "talks nonsense" => Answering.Text(200, "text/html", "<html>"),
        "says nothing of sales" => Answering.Text(200, "application/json", """{"servedAt":"2026-01-01T00:00:00Z"}"""),
        _ => http => Task.Delay(Timeout.Infinite, http.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default),
    };
}
