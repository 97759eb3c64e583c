using System.Net;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Hosting.Tests;

public sealed class WhenARequestIsRepeated : IAsyncLifetime
{
    private readonly Guid lamp = Guid.CreateVersion7();
    private readonly Guid ada = Guid.CreateVersion7();
    private SampleApp app = null!;

    public async ValueTask InitializeAsync() => app = await SampleApp.StartAsync();

    public ValueTask DisposeAsync() => app.DisposeAsync();

    [Fact]
    public async Task The_reply_of_the_first_time_comes_again_and_nothing_happens_twice()
    {
        var first = await TurnAsync("key-1", times: 3);
        var second = await TurnAsync("key-1", times: 3);

        Assert.Equal((HttpStatusCode.Accepted, HttpStatusCode.Accepted), (first.StatusCode, second.StatusCode));
        Assert.Equal(await first.Content.ReadAsStringAsync(), await second.Content.ReadAsStringAsync());
        Assert.Equal($"/lamps/{lamp}", second.Headers.Location!.ToString());
        Assert.False(first.Headers.Contains("Idempotent-Replayed"));
        Assert.Equal("true", second.Headers.GetValues("Idempotent-Replayed").Single());
        Assert.Equal(3, await LitAsync());
    }

    [Fact]
    public async Task Another_body_under_the_same_key_is_refused()
    {
        await TurnAsync("key-1", times: 3);
        var other = await TurnAsync("key-1", times: 4);

        Assert.Equal(HttpStatusCode.UnprocessableEntity, other.StatusCode);
        Assert.Contains("/problems/idempotency-key-reused", await other.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Equal(3, await LitAsync());
    }

    [Fact]
    public async Task The_same_key_for_another_lamp_is_another_request()
    {
        await TurnAsync("key-1", times: 3);
        var other = await TurnAsync("key-1", times: 3, of: Guid.CreateVersion7());

        Assert.Equal(HttpStatusCode.UnprocessableEntity, other.StatusCode);
    }

    [Fact]
    public async Task The_same_key_of_somebody_else_is_theirs()
    {
        await TurnAsync("key-1", times: 3);
        var other = await TurnAsync("key-1", times: 4, by: Guid.CreateVersion7());

        Assert.Equal(HttpStatusCode.Accepted, other.StatusCode);
        Assert.Equal(7, await LitAsync());
    }

    [Fact]
    public async Task At_the_same_moment_one_does_it_and_the_others_are_told_to_wait()
    {
        List<Task<HttpResponseMessage>> turns;
        await using (await app.HoldTurnsAsync())
        {
            turns = [.. Enumerable.Range(0, 5).Select(_ => TurnAsync("key-1", times: 3, reason: "held"))];
            await Eventually.Async(() => turns.Count(turn => turn.IsCompleted) == 4, "all but one are answered while that one is held");
        }

        var replies = await Task.WhenAll(turns);
        var later = await TurnAsync("key-1", times: 3, reason: "held");

        Assert.False(Assert.Single(replies, reply => reply.StatusCode == HttpStatusCode.Accepted).Headers.Contains("Idempotent-Replayed"));
        Assert.Equal(4, replies.Count(reply => reply.StatusCode == HttpStatusCode.Conflict));
        Assert.Equal(HttpStatusCode.Accepted, later.StatusCode);
        Assert.Equal("true", later.Headers.GetValues("Idempotent-Replayed").Single());
        Assert.Equal(3, await LitAsync());
    }

    [Fact]
    public async Task A_refusal_leaves_nothing_behind_and_the_key_free()
    {
        var refused = await TurnAsync("key-1", times: 3, reason: "refused");
        var again = await TurnAsync("key-1", times: 3, reason: "please");

        Assert.Equal(HttpStatusCode.Conflict, refused.StatusCode);
        Assert.Equal(HttpStatusCode.Accepted, again.StatusCode);
        Assert.Equal(3, await LitAsync());
    }

    [Theory]
    [InlineData(null), InlineData("")]
    public async Task Without_a_key_nothing_is_done(string? key)
    {
        var reply = await TurnAsync(key, times: 3);

        Assert.Equal(HttpStatusCode.BadRequest, reply.StatusCode);
        Assert.Contains("Idempotency-Key", await reply.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Equal(0, await LitAsync());
    }

    private async Task<HttpResponseMessage> TurnAsync(string? key, int times, string reason = "x", Guid? of = null, Guid? by = null)
    {
        using var client = app.As(TestTokens.Buyer(by ?? ada));
        using var request = new HttpRequestMessage(HttpMethod.Post, $"/lamps/{of ?? lamp}/turns") { Content = SampleApp.Json($$"""{"times":{{times}},"reason":"{{reason}}"}""") };
        if (key is not null)
            request.Headers.TryAddWithoutValidation("Idempotency-Key", key);
        return await client.SendAsync(request);
    }

    private Task<int> LitAsync() => app.ScalarAsync<int>("SELECT coalesce(sum(lit), 0)::int FROM lamps");
}
