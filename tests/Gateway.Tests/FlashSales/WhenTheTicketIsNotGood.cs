using System.Net;
using Marketplace.TestKit;
using Marketplace.WaitingRoom;
using Xunit;

namespace Marketplace.Gateway.Tests.FlashSales;

public sealed class WhenTheTicketIsNotGood
{
    private static readonly TicketKeys Others = new([new byte[TicketKeys.SmallestKey]]);

    [Fact]
    public async Task What_was_never_a_ticket_of_ours_is_refused()
    {
        await using var drop = await Drop.StartAsync();
        var buyer = Guid.NewGuid();
        var good = Drop.Signed(drop.At(rank: 5, buyer));
        string[] bad =
        [
            "x", new('A', TicketKeys.TextLength), new('!', TicketKeys.TextLength), good + "A", good[..^1], $"{good},{good}",
            Others.Sign(drop.At(rank: 5, buyer)),
            .. Enumerable.Range(0, good.Length).Select(at => Changed(good, at)),
        ];
        foreach (var ticket in bad)
        {
            using var poll = await drop.AskAsync(ticket);
            await poll.ProblemAsync(HttpStatusCode.BadRequest, "ticket-invalid");
            using var claim = await drop.ClaimAsync(ticket, buyer);
            await claim.ProblemAsync(HttpStatusCode.BadRequest, "ticket-invalid");
            using var stream = await drop.Gateway.As(null).FetchAsync($"{drop.Queue}/events?ticket={Uri.EscapeDataString(ticket)}");
            await stream.ProblemAsync(HttpStatusCode.BadRequest, "ticket-invalid");
        }
        using var nothing = await drop.ClaimAsync(null, buyer);
        await nothing.ProblemAsync(HttpStatusCode.BadRequest, "ticket-invalid");
        Assert.Empty(drop.Passed);
    }

    [Fact]
    public async Task A_key_that_was_put_behind_a_new_one_still_counts()
    {
        var old = Convert.ToBase64String(new byte[TicketKeys.SmallestKey]);
        var young = Convert.ToBase64String(Enumerable.Repeat((byte)7, TicketKeys.SmallestKey).ToArray());
        await using var drop = await Drop.StartAsync(new Dictionary<string, string?> { ["QueueTickets:Keys"] = $"{young},{old}" });
        foreach (var key in new[] { old, young })
        {
            using var poll = await drop.AskAsync(TicketKeys.Parse(key).Sign(drop.At(rank: 5)));
            Assert.Equal(HttpStatusCode.OK, poll.StatusCode);
        }
    }

    [Fact]
    public async Task An_expired_one_is_refused_by_the_services_clock_and_not_by_ours()
    {
        await using var drop = await Drop.StartAsync();
        var buyer = Guid.NewGuid();
        drop.ServiceTime = drop.Now.AddHours(-3);
        var fresh = Drop.Signed(drop.At(rank: 5, buyer) with { Expires = drop.ServiceTime.Value.AddMinutes(1) });
        using var good = await drop.AskAsync(fresh);
        Assert.Equal(HttpStatusCode.OK, good.StatusCode);

        var expired = Drop.Signed(drop.At(rank: 5, buyer) with { Expires = drop.ServiceTime.Value.AddSeconds(-1) });
        using var poll = await drop.AskAsync(expired);
        await poll.ProblemAsync(HttpStatusCode.Conflict, "ticket-expired");
        using var claim = await drop.ClaimAsync(expired, buyer);
        await claim.ProblemAsync(HttpStatusCode.Conflict, "ticket-expired");
        Assert.Empty(drop.Passed);
    }

    [Fact]
    public async Task One_for_another_sale_is_refused()
    {
        await using var drop = await Drop.StartAsync();
        var buyer = Guid.NewGuid();
        var another = Drop.Signed(drop.At(rank: 5, buyer, sale: Guid.NewGuid()));
        using var poll = await drop.AskAsync(another);
        await poll.ProblemAsync(HttpStatusCode.Conflict, "ticket-other-sale");
        using var claim = await drop.ClaimAsync(another, buyer);
        await claim.ProblemAsync(HttpStatusCode.Conflict, "ticket-other-sale");
        Assert.Empty(drop.Passed);
    }

    [Fact]
    public async Task Somebody_elses_is_refused_to_whoever_says_who_they_are()
    {
        await using var drop = await Drop.StartAsync();
        var ada = Guid.NewGuid();
        var ofAda = Drop.Signed(drop.At(rank: 5, ada));
        using var byBruno = await drop.AskAsync(ofAda, TestTokens.Buyer(Guid.NewGuid()));
        await byBruno.ProblemAsync(HttpStatusCode.Forbidden, "ticket-not-yours");
        using var claim = await drop.ClaimAsync(ofAda, Guid.NewGuid());
        await claim.ProblemAsync(HttpStatusCode.Forbidden, "ticket-not-yours");
        Assert.Empty(drop.Passed);

        using var byAda = await drop.AskAsync(ofAda, TestTokens.Buyer(ada));
        Assert.Equal(HttpStatusCode.OK, byAda.StatusCode);
    }

    [Fact]
    public async Task A_claim_needs_a_token_whatever_the_ticket()
    {
        await using var drop = await Drop.StartAsync();
        using var client = drop.Gateway.As(null);
        client.DefaultRequestHeaders.Add("Queue-Ticket", Drop.Signed(drop.At(rank: 5)));
        using var claim = await client.PostJsonAsync(drop.Claims, new { quantity = 1 });
        await claim.ProblemAsync(HttpStatusCode.Unauthorized, "unauthorized");
        Assert.Empty(drop.Passed);
    }

    private static string Changed(string ticket, int at)
    {
        var letters = ticket.ToCharArray();
        letters[at] = letters[at] == 'B' ? 'C' : 'B';
        return new(letters);
    }
}
