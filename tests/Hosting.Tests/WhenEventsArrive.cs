using System.Net;
using System.Text.Json;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Hosting.Tests;

public sealed class WhenEventsArrive : IAsyncLifetime
{
    private readonly Guid lamp = Guid.CreateVersion7();
    private SampleApp app = null!;

    public async ValueTask InitializeAsync() => app = await SampleApp.StartAsync();

    public ValueTask DisposeAsync() => app.DisposeAsync();

    [Fact]
    public async Task The_sidecar_is_told_the_route_and_where_dead_letters_go()
    {
        var subscriptions = JsonDocument.Parse(await app.As(null).GetStringAsync("/dapr/subscribe")).RootElement.EnumerateArray().ToList();

        var lit = subscriptions.Single(subscription => subscription.GetProperty("topic").GetString() == "lamp.lit");
        Assert.Equal("sample.dead", lit.GetProperty("deadLetterTopic").GetString());
        Assert.EndsWith("events/lamp-lit", lit.GetProperty("route").GetString(), StringComparison.Ordinal);
        Assert.Contains(subscriptions, subscription => subscription.GetProperty("topic").GetString() == "sample.dead");
    }

    [Fact]
    public async Task Twice_or_at_once_the_effect_happens_once()
    {
        var lit = new LampLit(lamp, 5);

        var replies = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => DeliverAsync(lit)));
        replies = [.. replies, await DeliverAsync(lit)];

        Assert.All(replies, reply => Assert.Equal(HttpStatusCode.OK, reply.StatusCode));
        Assert.Equal(5, await app.ScalarAsync<int>("SELECT lit FROM lamps WHERE lamp_id = $1", lamp));
    }

    [Fact]
    public async Task One_that_nobody_can_read_is_dropped_to_the_dead_letters_without_more_tries()
    {
        using var sidecar = app.AsSidecar();

        var reply = await sidecar.PostAsync("/events/lamp-lit", SampleApp.Envelope(new { lampId = "not a guid" }, LampLit.Topic, Guid.CreateVersion7()));

        Assert.Equal("""{"status":"DROP"}""", await reply.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task A_fault_is_answered_so_that_it_is_tried_again() =>
        Assert.Equal(HttpStatusCode.InternalServerError, (await DeliverAsync(new LampLit(lamp, 13))).StatusCode);

    [Fact]
    public async Task A_dead_letter_is_kept_shown_replayed_and_gone()
    {
        var lit = new LampLit(lamp, 5);
        await BuryAsync(lit);
        await BuryAsync(lit);                                   // the dead-letter topic, too, delivers twice
        using var operations = app.As(TestTokens.Operator());

        var letter = (await LettersAsync(operations)).Single();
        Assert.Equal(("lamp.lit", lit.EventId.ToString(), 2), (letter.GetProperty("topic").GetString(), letter.GetProperty("eventId").GetString(), letter.GetProperty("times").GetInt32()));
        Assert.Equal(5, letter.GetProperty("envelope").GetProperty("data").GetProperty("lit").GetInt32());

        var replay = await operations.PostAsync($"/api/v1/operations/sample/dead-letters/{letter.GetProperty("deadLetterId").GetString()}/replay", null);

        Assert.Equal(HttpStatusCode.NoContent, replay.StatusCode);
        Assert.Equal(5, await app.ScalarAsync<int>("SELECT lit FROM lamps WHERE lamp_id = $1", lamp));
        Assert.Empty(await LettersAsync(operations));
    }

    [Fact]
    public async Task A_replay_that_fails_again_says_why_and_keeps_the_letter()
    {
        await BuryAsync(new LampLit(lamp, 13));
        using var operations = app.As(TestTokens.Operator());
        var id = (await LettersAsync(operations)).Single().GetProperty("deadLetterId").GetString();

        var replay = await operations.PostAsync($"/api/v1/operations/sample/dead-letters/{id}/replay", null);

        Assert.Equal(HttpStatusCode.Conflict, replay.StatusCode);
        Assert.Contains("Nobody lights lamp 13", await replay.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Contains("Nobody lights lamp 13", (await LettersAsync(operations)).Single().GetProperty("lastError").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_discarded_letter_is_gone_and_only_operators_may()
    {
        await BuryAsync(new LampLit(lamp, 5));
        using var operations = app.As(TestTokens.Operator());
        var id = (await LettersAsync(operations)).Single().GetProperty("deadLetterId").GetString();

        Assert.Equal(HttpStatusCode.Forbidden, (await app.As(TestTokens.Buyer(lamp)).DeleteAsync($"/api/v1/operations/sample/dead-letters/{id}")).StatusCode);
        Assert.Equal(HttpStatusCode.NoContent, (await operations.DeleteAsync($"/api/v1/operations/sample/dead-letters/{id}")).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await operations.DeleteAsync($"/api/v1/operations/sample/dead-letters/{id}")).StatusCode);
        Assert.Equal(0, await app.ScalarAsync<long>("SELECT count(*) FROM lamps"));
    }

    [Fact]
    public async Task The_list_of_dead_letters_has_pages()
    {
        for (var number = 1; number <= 5; number++)
        {
            // The list is newest first as far as a version 7 UUID tells: to the millisecond.
            await BuryAsync(new LampLit(lamp, number));
            var buried = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
            await Eventually.Async(() => DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() > buried, "the next millisecond");
        }

        using var operations = app.As(TestTokens.Operator());

        var seen = new List<int>();
        string? next = "";
        while (next is not null)
        {
            var page = JsonDocument.Parse(await operations.GetStringAsync($"/api/v1/operations/sample/dead-letters?limit=2{next}")).RootElement;
            seen.AddRange(page.GetProperty("items").EnumerateArray().Select(letter => letter.GetProperty("envelope").GetProperty("data").GetProperty("lit").GetInt32()));
            next = page.GetProperty("next").GetString() is { } cursor ? $"&cursor={cursor}" : null;
        }

        Assert.Equal([5, 4, 3, 2, 1], seen);
    }

    [Theory]
    [InlineData("limit=0"), InlineData("limit=-1"), InlineData("limit=2147483647")]
    public async Task A_page_of_them_that_cannot_be_had_is_refused_by_field(string query)
    {
        using var operations = app.As(TestTokens.Operator());
        using var reply = await operations.GetAsync($"/api/v1/operations/sample/dead-letters?{query}");

        Assert.Equal(HttpStatusCode.UnprocessableEntity, reply.StatusCode);
        Assert.Contains("A page has 1 to ", JsonDocument.Parse(await reply.Content.ReadAsStringAsync()).RootElement.GetProperty("errors").GetProperty("limit")[0].GetString(), StringComparison.Ordinal);
    }

    private async Task<HttpResponseMessage> DeliverAsync(LampLit lit)
    {
        using var sidecar = app.AsSidecar();
        return await sidecar.PostAsync("/events/lamp-lit", SampleApp.Envelope(lit, LampLit.Topic, lit.EventId));
    }

    private async Task BuryAsync(LampLit lit)
    {
        using var sidecar = app.AsSidecar();
        (await sidecar.PostAsync("/events/dead-letters", SampleApp.Envelope(lit, LampLit.Topic, lit.EventId))).EnsureSuccessStatusCode();
    }

    private static async Task<List<JsonElement>> LettersAsync(HttpClient operations) =>
        [.. JsonDocument.Parse(await operations.GetStringAsync("/api/v1/operations/sample/dead-letters")).RootElement.GetProperty("items").EnumerateArray()];
}
