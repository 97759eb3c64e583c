using System.Net;
using System.Text.Json;
using Marketplace.Gateway.FlashSales;
using Marketplace.TestKit;
using Marketplace.WaitingRoom;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Xunit;

namespace Marketplace.Gateway.Tests.FlashSales;

public sealed class WhenSomebodyStreams
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_standing_comes_by_itself_until_it_is_final()
    {
        await using var drop = await Drop.StartAsync();
        await using var stream = await EventStream.OpenAsync(drop, $"{drop.Queue}/events?ticket={Drop.Signed(drop.At(rank: 149))}");
        Assert.Equal("text/event-stream", stream.Response.Content.Headers.ContentType?.MediaType);
        var (id, first) = await stream.NextAsync();
        Assert.Equal(("1", "waiting", 50), (id, State(first), first.GetProperty("position").GetInt32()));

        drop.Sale = drop.Sale with { Head = 200 };
        await EventuallyAsync(drop, stream, "admitted");

        drop.Sale = drop.Sale with { Phase = SalePhase.SoldOut };
        Assert.Equal("final", await EventuallyAsync(drop, stream, "sold_out"));
        Assert.True(await stream.IsOverAsync(), "nothing comes after the final event");
        Assert.Empty(drop.Passed);
    }

    [Fact]
    public async Task The_start_is_told_within_a_second_of_it()
    {
        await using var drop = await Drop.StartAsync(new Dictionary<string, string?> { ["FlashSales:Refresh"] = "00:00:00.001" });
        var starts = drop.Now.AddSeconds(4);
        var (seed, early) = (drop.Sale.Seed, drop.Sale.Early);
        drop.Sale = drop.Sale with { Phase = SalePhase.Scheduled, Seed = null, Early = null, StartsAt = starts };
        await using var stream = await EventStream.OpenAsync(drop, $"{drop.Queue}/events?ticket={Drop.Signed(drop.At(rank: 500))}");
        Assert.Equal("before_start", State((await stream.NextAsync()).Standing));

        drop.Sale = drop.Sale with { Phase = SalePhase.Open, Seed = seed, Early = early };       // the draw, of which the gateway hears with its next look
        var board = drop.Gateway.Services.GetRequiredService<AdmissionBoard>();
        await Eventually.Async(
            () =>
            {
                drop.Clock.Advance(TimeSpan.FromMilliseconds(1));           // in steps so small that the start stays far off
                return board.ReadNow().Sales![drop.Sale.SaleId].Admission.IsDrawn;
            },
            "the gateway hears of the draw");
        drop.Clock.Advance(starts.AddSeconds(1) - drop.Now);
        Assert.Equal("waiting", State((await stream.NextAsync()).Standing));       // the clock stands still: it was due
    }

    [Fact]
    public async Task A_browser_that_comes_back_after_the_final_event_is_told_to_stay_away()
    {
        await using var drop = await Drop.StartAsync();
        var events = $"{drop.Queue}/events";
        using var client = drop.Gateway.As(null);
        await using (var stream = await EventStream.OpenAsync(drop, events, ("Last-Event-ID", "final"), ("Queue-Ticket", Drop.Signed(drop.At(rank: 149)))))
            Assert.Equal("waiting", State((await stream.NextAsync()).Standing));          // whatever it claims to have seen
        await using (var stream = await EventStream.OpenAsync(drop, events, ("Last-Event-ID", "\"7 OR 1=1"), ("Queue-Ticket", Drop.Signed(drop.At(rank: 149)))))
            Assert.Equal("1", (await stream.NextAsync()).Id);

        using var expired = await client.FetchAsync(events, ("Last-Event-ID", "final"), ("Queue-Ticket", Drop.Signed(drop.At(rank: 5))));
        Assert.Equal(HttpStatusCode.NoContent, expired.StatusCode);
    }

    [Fact]
    public async Task Only_so_many_are_open_at_a_time_and_a_closed_one_makes_room()
    {
        await using var drop = await Drop.StartAsync(new Dictionary<string, string?> { ["FlashSales:Streams:PerAddress"] = "2" });
        var events = $"{drop.Queue}/events";
        await using var first = await EventStream.OpenAsync(drop, events);
        await using (var second = await EventStream.OpenAsync(drop, events))
        {
            await second.NextAsync();
            using var third = await drop.Gateway.As(null).FetchAsync(events);
            await third.ProblemAsync(HttpStatusCode.TooManyRequests, "too-many-streams");
            Assert.Equal("5", third.Header("Retry-After"));
        }

        var streams = drop.Gateway.Services.GetRequiredService<QueueStreams>();
        await Eventually.Async(
            () =>
            {
                drop.Clock.Advance(TimeSpan.FromSeconds(1));
                return streams.Open == 1;
            },
            "the one that went is counted no more");
        await using var another = await EventStream.OpenAsync(drop, events);
        Assert.Equal("open", State((await another.NextAsync()).Standing));
    }

    [Fact]
    public async Task Only_so_many_are_open_in_all()
    {
        await using var drop = await Drop.StartAsync(new Dictionary<string, string?> { ["FlashSales:Streams:InAll"] = "1" });
        await using var first = await EventStream.OpenAsync(drop, $"{drop.Queue}/events");
        using var second = await drop.Gateway.As(null).FetchAsync($"{drop.Queue}/events");
        await second.ProblemAsync(HttpStatusCode.TooManyRequests, "too-many-streams");
        Assert.Equal(1, drop.Gateway.Services.GetRequiredService<QueueStreams>().Open);
    }

    [Fact]
    public async Task Somebody_elses_ticket_opens_none()
    {
        await using var drop = await Drop.StartAsync();
        using var stream = await drop.Gateway.As(TestTokens.Buyer(Guid.NewGuid())).FetchAsync($"{drop.Queue}/events?ticket={Drop.Signed(drop.At(rank: 5))}");
        await stream.ProblemAsync(HttpStatusCode.Forbidden, "ticket-not-yours");
    }

    [Fact]
    public async Task A_gateway_that_stops_ends_its_streams()
    {
        await using var drop = await Drop.StartAsync();
        await using var stream = await EventStream.OpenAsync(drop, $"{drop.Queue}/events");
        await stream.NextAsync();
        drop.Gateway.Services.GetRequiredService<IHostApplicationLifetime>().StopApplication();
        Assert.True(await stream.IsOverAsync(), "the stream ends in good order");
    }

    [Fact]
    public async Task While_the_service_is_away_a_stream_stays_open_and_tells_nothing_that_may_be_wrong()
    {
        await using var drop = await Drop.StartAsync();
        await using var stream = await EventStream.OpenAsync(drop, $"{drop.Queue}/events");
        await stream.NextAsync();
        drop.IsAway(Answering.Text(500, "text/plain", "no"));
        drop.Clock.Advance(TimeSpan.FromSeconds(40));
        var next = stream.NextAsync();
        await Eventually.Async(
            () =>
            {
                drop.Clock.Advance(TimeSpan.FromSeconds(1));
                return !stream.Comments.IsEmpty;
            },
            "signs of life are sent");
        drop.IsBack();
        Assert.Equal("open", State((await AfterAsync(drop, next)).Standing));
    }

    private static async Task<string> EventuallyAsync(Drop drop, EventStream stream, string state)
    {
        while (true)
        {
            var (id, standing) = await NextAsync(drop, stream);
            if (State(standing) == state)
                return id;
        }
    }

    private static Task<(string Id, JsonElement Standing)> NextAsync(Drop drop, EventStream stream) => AfterAsync(drop, stream.NextAsync());

    private static async Task<(string Id, JsonElement Standing)> AfterAsync(Drop drop, Task<(string Id, JsonElement Standing)> next)
    {
        await Eventually.Async(
            () =>
            {
                if (!next.IsCompleted)
                    drop.Clock.Advance(TimeSpan.FromMilliseconds(250));
                return next.IsCompleted;
            },
            "the next event comes");
        return await next;
    }

    private static string? State(JsonElement standing) => standing.GetProperty("state").GetString();

    private sealed class EventStream : IAsyncDisposable
    {
        private readonly HttpClient client;
        private readonly StreamReader reader;

        private EventStream(HttpClient client, HttpResponseMessage response, Stream body) => (this.client, Response, reader) = (client, response, new(body));

        public HttpResponseMessage Response { get; }

        public System.Collections.Concurrent.ConcurrentQueue<string> Comments { get; } = new();

        public static async Task<EventStream> OpenAsync(Drop drop, string path, params (string Name, string Value)[] headers)
        {
            var client = drop.Gateway.As(null);
            using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(path, UriKind.Relative));
            foreach (var (name, value) in headers)
                request.Headers.TryAddWithoutValidation(name, value);
            var response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Ct);
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            return new(client, response, await response.Content.ReadAsStreamAsync(Ct));
        }

        public async Task<(string Id, JsonElement Standing)> NextAsync()
        {
            var (id, type) = ("", "");
            while (await reader.ReadLineAsync(Ct) is { } line)
            {
                if (line.StartsWith(':'))
                    Comments.Enqueue(line);
                else if (line.StartsWith("id: ", StringComparison.Ordinal))
                    id = line[4..];
                else if (line.StartsWith("event: ", StringComparison.Ordinal))
                    type = line[7..];
                else if (line.StartsWith("data: ", StringComparison.Ordinal))
                {
                    Assert.Equal("standing", type);
                    return (id, JsonDocument.Parse(line[6..]).RootElement);
                }
            }
            throw new EndOfStreamException("The stream ended.");
        }

        public async Task<bool> IsOverAsync()
        {
            while (await reader.ReadLineAsync(Ct) is { } line)
            {
                if (line.Length > 0)
                    return false;
            }
            return true;
        }

        public ValueTask DisposeAsync()
        {
            reader.Dispose();
            Response.Dispose();
            client.Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
