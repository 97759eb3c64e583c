using System.Net;
using System.Text.Json;
using Marketplace.Gateway.FlashSales;
using Marketplace.TestKit;
using Marketplace.WaitingRoom;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Xunit;

namespace Marketplace.Gateway.Tests.FlashSales;

public sealed class WhenSomebodyPolls
{
    [Fact]
    public async Task Position_and_wait_are_told_from_memory_and_no_poll_crosses_the_sidecar()
    {
        await using var drop = await Drop.StartAsync();
        var ticket = drop.At(rank: 149);
        for (var i = 0; i < 20; i++)
        {
            var standing = await drop.PollAsync(ticket);
            Assert.Equal(drop.Sale.SaleId, standing.GetProperty("saleId").GetGuid());
            Assert.Equal("waiting", standing.GetProperty("state").GetString());
            Assert.Equal((50, 49, 5), (Number(standing, "position"), Number(standing, "peopleAhead"), Number(standing, "waitSeconds")));
            Assert.Equal(drop.Now, standing.GetProperty("serverTime").GetDateTimeOffset());
            Assert.False(standing.TryGetProperty("admittedUntil", out _));
        }
        Assert.Equal(1, drop.Asked);
        Assert.Empty(drop.Passed);
    }

    [Fact]
    public async Task Admission_goes_on_with_the_time_since_the_service_was_asked()
    {
        await using var drop = await Drop.StartAsync();
        var ticket = drop.At(rank: 104);
        Assert.Equal("waiting", State(await drop.PollAsync(ticket)));
        drop.Clock.Advance(TimeSpan.FromMilliseconds(400));
        Assert.Equal("waiting", State(await drop.PollAsync(ticket)));
        drop.Clock.Advance(TimeSpan.FromMilliseconds(99));
        Assert.Equal(1, Number(await drop.PollAsync(ticket), "position"));
        Assert.Equal("admitted", State(await drop.PollAsync(drop.At(rank: 103))));
        Assert.Equal("expired", State(await drop.PollAsync(drop.At(rank: 19))));
        Assert.Equal(1, drop.Asked);
    }

    [Fact]
    public async Task No_more_are_let_in_than_there_is_room_for()
    {
        await using var drop = await Drop.StartAsync();
        drop.Sale = drop.Sale with { Room = 3 };
        await drop.PollAsync(null);
        drop.IsAway(Failing);
        drop.Clock.Advance(TimeSpan.FromSeconds(20));
        Assert.Equal("admitted", State(await drop.PollAsync(drop.At(rank: 102))));
        Assert.Equal(1, Number(await drop.PollAsync(drop.At(rank: 103)), "position"));
    }

    [Fact]
    public async Task The_service_is_asked_again_while_somebody_polls_and_left_alone_when_nobody_does()
    {
        await using var drop = await Drop.StartAsync();
        drop.Sale = drop.Sale with { Room = 0 };                    // nobody is let in by the clock alone
        await drop.PollAsync(null);
        drop.Sale = drop.Sale with { Head = 200 };
        await Eventually.Async(
            async () =>
            {
                drop.Clock.Advance(TimeSpan.FromMilliseconds(100));
                return State(await drop.PollAsync(drop.At(rank: 190))) == "admitted";
            },
            "the gateway hears of the new head");

        var board = drop.Gateway.Services.GetRequiredService<AdmissionBoard>();
        await Eventually.Async(
            () =>
            {
                drop.Clock.Advance(TimeSpan.FromSeconds(1));
                return !board.IsRenewed;
            },
            "nobody polls, so nobody asks");
        var asked = drop.Asked;
        drop.Clock.Advance(TimeSpan.FromSeconds(10));

        drop.Sale = drop.Sale with { Head = 300, At = drop.Now };
        Assert.Equal("admitted", State(await drop.PollAsync(drop.At(rank: 290))));      // the first after a quiet time waits for the news
        Assert.Equal(asked + 1, drop.Asked);
    }

    [Fact]
    public async Task A_thousand_polls_at_once_ask_the_service_once()
    {
        await using var drop = await Drop.StartAsync();
        using var client = drop.Gateway.As(null);
        var statuses = await Task.WhenAll(Enumerable.Range(0, 1_000).Select(async rank =>
        {
            using var response = await client.FetchAsync(drop.Queue, ("Queue-Ticket", Drop.Signed(drop.At(rank))));
            return response.StatusCode;
        }));
        Assert.All(statuses, status => Assert.Equal(HttpStatusCode.OK, status));
        Assert.Equal(1, drop.Asked);
    }

    [Fact]
    public async Task Without_a_ticket_there_is_the_countdown_by_the_services_clock()
    {
        await using var drop = await Drop.StartAsync();
        drop.ServiceTime = drop.Now.AddMinutes(-7);
        drop.Sale = drop.Sale with { Phase = SalePhase.Scheduled, Seed = null, Early = null, StartsAt = drop.ServiceTime.Value.AddSeconds(90.5), Head = 0, Room = 0, ExpiredBelow = 0 };
        var countdown = await drop.PollAsync(null);
        Assert.Equal(("before_start", 91), (State(countdown), Number(countdown, "startsInSeconds")));
        Assert.Equal(drop.ServiceTime, countdown.GetProperty("serverTime").GetDateTimeOffset());
        Assert.InRange(Number(countdown, "pollAfterSeconds"), 1, 10);

        var early = await drop.PollAsync(new Ticket(drop.Sale.SaleId, Guid.NewGuid(), Late: false, 5, drop.Now.AddHours(1)));
        Assert.Equal(("before_start", 91), (State(early), Number(early, "startsInSeconds")));
        Assert.False(early.TryGetProperty("position", out _));
    }

    [Fact]
    public async Task Early_tickets_stand_where_the_draw_put_them_and_late_ones_behind()
    {
        await using var drop = await Drop.StartAsync();
        var seed = StartDraw.NewSeed();
        drop.Sale = drop.Sale with { Seed = seed, Early = 1_000, Head = 0, Room = 0, ExpiredBelow = 0 };
        foreach (var number in new long[] { 0, 7, 999 })
        {
            var early = await drop.PollAsync(new Ticket(drop.Sale.SaleId, Guid.NewGuid(), Late: false, number, drop.Now.AddHours(1)));
            Assert.Equal(StartDraw.RankOf(seed, 1_000, number), Number(early, "peopleAhead"));
        }
        Assert.Equal(1_005, Number(await drop.PollAsync(drop.At(rank: 5)), "peopleAhead"));
    }

    [Theory]
    [InlineData(SalePhase.SoldOut, "sold_out")]
    [InlineData(SalePhase.Ended, "ended")]
    [InlineData(SalePhase.Allocated, "allocated")]
    public async Task How_it_ended_is_told_to_those_who_wait(string phase, string state)
    {
        await using var drop = await Drop.StartAsync();
        drop.Sale = drop.Sale with { Phase = phase };
        Assert.Equal(state, State(await drop.PollAsync(drop.At(rank: 5_000))));
        Assert.Equal(state, State(await drop.PollAsync(null)));
    }

    [Fact]
    public async Task Nothing_about_anybodys_standing_is_kept_on_the_way()
    {
        await using var drop = await Drop.StartAsync();
        using var response = await drop.AskAsync(Drop.Signed(drop.At(rank: 5)));
        Assert.Equal("application/json", response.Content.Headers.ContentType?.ToString());
        Assert.True(response.Headers.CacheControl is { NoStore: true, Private: true });
        Assert.Null(response.Header("X-Degraded"));
    }

    [Fact]
    public async Task A_ticket_for_a_sale_that_was_scheduled_a_moment_ago_waits_for_the_news_of_it()
    {
        await using var drop = await Drop.StartAsync();
        await drop.PollAsync(null);
        drop.Sale = drop.Sale with { SaleId = Guid.CreateVersion7() };
        var poll = drop.PollAsync(drop.At(rank: 149));
        await AdvancingAsync(drop, poll);
        Assert.Equal("waiting", State(await poll));

        // Never heard of: it is not waited for without end.
        var strange = drop.Gateway.As(null).FetchAsync($"/api/v1/flash-sales/{Guid.Empty}/queue", ("Queue-Ticket", Drop.Signed(drop.At(rank: 5, sale: Guid.Empty))));
        await AdvancingAsync(drop, strange);
        await (await strange).ProblemAsync(HttpStatusCode.NotFound, "not-found");
    }

    private static Task AdvancingAsync(Drop drop, Task poll) => Eventually.Async(
        () =>
        {
            drop.Clock.Advance(TimeSpan.FromMilliseconds(100));
            return poll.IsCompleted;
        },
        "it is answered");

    [Fact]
    public async Task A_sale_that_is_not_there_is_not_found()
    {
        await using var drop = await Drop.StartAsync();
        using var unknown = await drop.Gateway.As(null).FetchAsync($"/api/v1/flash-sales/{Guid.NewGuid()}/queue");
        await unknown.ProblemAsync(HttpStatusCode.NotFound, "not-found");
    }

    private static Task Failing(HttpContext http)
    {
        http.Response.StatusCode = 500;
        return Task.CompletedTask;
    }

    private static string? State(JsonElement standing) => standing.GetProperty("state").GetString();

    private static long Number(JsonElement standing, string name) => standing.GetProperty(name).GetInt64();
}
