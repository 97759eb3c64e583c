using System.Net;
using System.Text;
using Marketplace.TestKit;
using Marketplace.WaitingRoom;
using Microsoft.AspNetCore.Http;
using Xunit;

namespace Marketplace.Gateway.Tests.FlashSales;

public sealed class WhenSomebodyClaims
{
    [Fact]
    public async Task Who_was_let_in_is_passed_on_with_ticket_and_token()
    {
        await using var drop = await Drop.StartAsync();
        var ada = Guid.NewGuid();
        var ticket = Drop.Signed(drop.At(rank: 99, ada));
        using var claim = await drop.ClaimAsync(ticket, ada, quantity: 1);
        Assert.Equal(HttpStatusCode.OK, claim.StatusCode);
        var passed = Assert.Single(drop.Passed);
        Assert.Equal($"/v1.0/invoke/flashsales/method{drop.Claims}", passed.Target);
        Assert.Equal(ticket, passed.Header("Queue-Ticket"));
        Assert.StartsWith("Bearer ", passed.Header("Authorization"), StringComparison.Ordinal);
        Assert.Equal("""{"quantity":1}""", Encoding.UTF8.GetString(passed.Body));
    }

    [Fact]
    public async Task Before_the_start_it_is_told_when_that_is()
    {
        await using var drop = await Drop.StartAsync();
        drop.Sale = drop.Sale with { Phase = SalePhase.Scheduled, Seed = null, Early = null, StartsAt = drop.Now.AddSeconds(30) };
        var ada = Guid.NewGuid();
        var ticket = Drop.Signed(new Ticket(drop.Sale.SaleId, ada, Late: false, 3, drop.Now.AddHours(1)));
        using var claim = await drop.ClaimAsync(ticket, ada);
        var problem = await claim.ProblemAsync(HttpStatusCode.Conflict, "sale-not-started");
        Assert.Equal(30, problem.GetProperty("startsInSeconds").GetInt32());
        Assert.Equal("30", claim.Header("Retry-After"));
        Assert.Empty(drop.Passed);

        // At the start itself the service says, whose clock it is.
        drop.Clock.Advance(TimeSpan.FromSeconds(29.5));
        using var atTheStart = await drop.ClaimAsync(ticket, ada);
        Assert.Equal(HttpStatusCode.OK, atTheStart.StatusCode);
    }

    [Fact]
    public async Task Whose_turn_is_far_off_stays_outside_and_is_told_the_position()
    {
        await using var drop = await Drop.StartAsync();
        var ada = Guid.NewGuid();
        using var claim = await drop.ClaimAsync(Drop.Signed(drop.At(rank: 599, ada)), ada);
        var problem = await claim.ProblemAsync(HttpStatusCode.Conflict, "not-admitted");
        Assert.Equal((500, 499), (problem.GetProperty("position").GetInt32(), problem.GetProperty("peopleAhead").GetInt32()));
        Assert.InRange(int.Parse(claim.Header("Retry-After")!, System.Globalization.CultureInfo.InvariantCulture), 6, 10);
        Assert.Empty(drop.Passed);

        // Another replica of the gateway may have heard a moment later that the head is there: the service decides.
        using var near = await drop.ClaimAsync(Drop.Signed(drop.At(rank: 109, ada)), ada);
        Assert.Equal(HttpStatusCode.OK, near.StatusCode);
    }

    [Theory]
    [InlineData(SalePhase.SoldOut, "sold-out")]
    [InlineData(SalePhase.Ended, "sale-over")]
    public async Task After_the_end_those_who_were_never_let_in_stay_outside_and_winners_may_ask_again(string phase, string slug)
    {
        await using var drop = await Drop.StartAsync();
        drop.Sale = drop.Sale with { Phase = phase };
        var ada = Guid.NewGuid();
        using var never = await drop.ClaimAsync(Drop.Signed(drop.At(rank: 5_000, ada)), ada);
        await never.ProblemAsync(HttpStatusCode.Conflict, slug);
        Assert.Empty(drop.Passed);

        foreach (var rank in new[] { 5L, 50L })                     // the first of them has an admission that lapsed
        {
            using var winner = await drop.ClaimAsync(Drop.Signed(drop.At(rank, ada)), ada);
            Assert.Equal(HttpStatusCode.OK, winner.StatusCode);
        }
    }

    [Fact]
    public async Task Where_every_unit_is_claimed_whoever_is_let_in_still_comes_to_the_waiting_list()
    {
        await using var drop = await Drop.StartAsync();
        drop.Sale = drop.Sale with { Phase = SalePhase.Allocated, Remaining = 0 };
        var ada = Guid.NewGuid();
        using var claim = await drop.ClaimAsync(Drop.Signed(drop.At(rank: 50, ada)), ada);
        Assert.Equal(HttpStatusCode.OK, claim.StatusCode);
    }

    [Fact]
    public async Task What_the_service_cannot_say_is_not_held_against_anybody()
    {
        await using var drop = await Drop.StartAsync();
        drop.IsAway(http =>
        {
            http.Response.StatusCode = 500;
            return Task.CompletedTask;
        });
        var ada = Guid.NewGuid();
        using var claim = await drop.ClaimAsync(Drop.Signed(drop.At(rank: 5_000, ada)), ada);
        Assert.Equal(HttpStatusCode.OK, claim.StatusCode);
        Assert.Single(drop.Passed);
    }

    [Fact]
    public async Task A_sale_that_is_over_takes_no_more_places()
    {
        await using var drop = await Drop.StartAsync();
        var client = drop.Gateway.As(TestTokens.Buyer(Guid.NewGuid()));
        using var open = await client.SendAsync("POST", drop.Queue);
        Assert.Equal(HttpStatusCode.OK, open.StatusCode);

        drop.Sale = drop.Sale with { Phase = SalePhase.SoldOut };
        await Eventually.Async(
            async () =>
            {
                drop.Clock.Advance(TimeSpan.FromMilliseconds(100));
                return (await drop.PollAsync(null)).GetProperty("state").GetString() == "sold_out";
            },
            "the gateway hears that it is sold out");
        using var late = await client.SendAsync("POST", drop.Queue);
        await late.ProblemAsync(HttpStatusCode.Conflict, "sale-over");
        Assert.Single(drop.Passed);
    }

    [Fact]
    public async Task The_services_own_refusals_come_through_as_they_are()
    {
        await using var drop = await Drop.StartAsync();
        drop.Forwarded = Answering.Text(409, "application/problem+json", """{"type":"/problems/admission-lapsed","title":"t","status":409}""");
        var ada = Guid.NewGuid();
        using var claim = await drop.ClaimAsync(Drop.Signed(drop.At(rank: 5, ada)), ada);
        await claim.ProblemAsync(HttpStatusCode.Conflict, "admission-lapsed");
    }

    [Fact]
    public async Task A_body_that_no_claim_has_is_refused_before_it_takes_a_place()
    {
        await using var drop = await Drop.StartAsync();
        var ada = Guid.NewGuid();
        using var client = drop.Gateway.As(TestTokens.Buyer(ada));
        client.DefaultRequestHeaders.Add("Queue-Ticket", Drop.Signed(drop.At(rank: 5, ada)));
        using var large = await client.SendAsync("POST", drop.Claims, new StringContent(new string(' ', 5_000), Encoding.UTF8, "application/json"));
        await large.ProblemAsync(HttpStatusCode.RequestEntityTooLarge, "body-too-large");
        using var chunked = await client.SendAsync("POST", drop.Claims, new ChunkedContent(5_000));
        await chunked.ProblemAsync(HttpStatusCode.RequestEntityTooLarge, "body-too-large");
        using var text = await client.SendAsync("POST", drop.Claims, new StringContent("one please"));
        await text.ProblemAsync(HttpStatusCode.UnsupportedMediaType, "unsupported-media-type");
        Assert.Empty(drop.Passed);
    }

    private sealed class ChunkedContent : HttpContent
    {
        private readonly int size;

        public ChunkedContent(int size)
        {
            this.size = size;
            Headers.ContentType = new("application/json");
        }

        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => stream.WriteAsync(new byte[size]).AsTask();

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }
}
