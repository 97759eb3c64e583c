using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Contracts;
using Xunit;
using static Marketplace.Search.Tests.SearchFixture;

namespace Marketplace.Search.Tests;

/// <summary>An import of thousands comes in requests of hundreds, which any engine takes like so many single ones.</summary>
public sealed class WhenEventsComeInBatches : IAsyncLifetime
{
    private const string Route = "/events/product-upserted";
    private readonly SearchFixture search = new(SearchFixture.Lucene);

    public ValueTask InitializeAsync() => search.InitializeAsync();

    public ValueTask DisposeAsync() => search.DisposeAsync();

    [Fact]
    public async Task The_sidecar_is_asked_for_them()
    {
        var subscriptions = await search.Search.AsNeighbour().GetFromJsonAsync<JsonElement>("/dapr/subscribe");

        var listings = subscriptions.EnumerateArray().Single(subscription => subscription.GetProperty("topic").GetString() == ProductUpserted.Topic);
        Assert.True(listings.GetProperty("bulkSubscribe").GetProperty("enabled").GetBoolean());
        Assert.Equal(500, listings.GetProperty("bulkSubscribe").GetProperty("maxMessagesCount").GetInt32());
    }

    [Fact]
    public async Task All_of_a_batch_are_found_whatever_their_order_and_each_is_answered_for()
    {
        var lamp = Listed("Brass lamp");
        var others = Enumerable.Range(1, 300).Select(number => Listed($"Mug {number}", description: new string('x', 4_000))).ToList();

        var statuses = await DeliverAsync([("new", lamp with { Title = "Silver lamp", Revision = 2 }), ("old", lamp), .. others.Select(mug => (mug.ProductId.ToString(), (object)mug))]);

        Assert.Equal(302, statuses.Count);
        Assert.All(statuses.Values, status => Assert.Equal("SUCCESS", status));
        Assert.Equal(["Silver lamp"], await search.TitlesAsync("q=lamp"));
        Assert.Equal(300, (await search.FindAsync("q=mug")).Total);
    }

    [Fact]
    public async Task One_that_cannot_be_read_holds_nobody_up_and_goes_to_the_dead_letters()
    {
        var statuses = await DeliverAsync([("good", Listed("Brass lamp")), ("bad", new { productId = "no id" }), ("none", "text")]);

        Assert.Equal(("SUCCESS", "DROP", "DROP"), (statuses["good"], statuses["bad"], statuses["none"]));
        Assert.Single(await search.TitlesAsync("q=lamp"));
    }

    [Theory]
    [InlineData("[]"), InlineData("{"), InlineData("{\"entries\":7}"), InlineData("{\"entries\":[{}]}"), InlineData("null")]
    public async Task What_is_neither_an_event_nor_a_batch_is_dropped(string body)
    {
        var reply = await search.Search.AsNeighbour().PostAsync(Route, new StringContent(body, new System.Net.Http.Headers.MediaTypeHeaderValue("application/json")));

        Assert.Equal(HttpStatusCode.OK, reply.StatusCode);
        Assert.Contains("DROP", await reply.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nobody_but_the_sidecar_delivers() =>
        Assert.Equal(HttpStatusCode.Unauthorized, (await search.Search.As(null).PostAsJsonAsync(Route, new { entries = Array.Empty<object>() })).StatusCode);

    private async Task<Dictionary<string, string>> DeliverAsync(IReadOnlyList<(string Id, object Event)> events)
    {
        var reply = await search.Search.AsNeighbour().PostAsJsonAsync(Route, new
        {
            id = Guid.NewGuid(),
            topic = ProductUpserted.Topic,
            pubsubname = "pubsub",
            entries = events.Select(one => new { entryId = one.Id, contentType = "application/cloudevents+json", @event = new { specversion = "1.0", type = ProductUpserted.Topic, data = one.Event } }),
        });
        reply.EnsureSuccessStatusCode();
        return (await reply.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("statuses").EnumerateArray()
            .ToDictionary(status => status.GetProperty("entryId").GetString()!, status => status.GetProperty("status").GetString()!);
    }
}
