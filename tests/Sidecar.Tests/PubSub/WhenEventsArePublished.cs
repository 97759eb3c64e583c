using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Dapr;
using Dapr.AspNetCore;
using Dapr.Client;
using Grpc.Core;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Xunit;

namespace Marketplace.Sidecar.Tests.PubSub;

/// <summary>From the publisher's call to what each listener is handed.</summary>
public sealed class WhenEventsArePublished
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory]
    [EveryBroker]
    public async Task Each_app_that_listens_gets_the_event_once_in_its_envelope(string broker)
    {
        Order? received = null;
        await using var billing = new ListeningApp("billing", app => app.MapPost("/orders", (Order order) =>
        {
            received = order;
            return Results.Ok();
        }).WithTopic("pubsub", "order.created"));
        await using var parcels = new ListeningApp("parcels", app => app.MapPost("/new-order", () => Results.Ok()).WithTopic("pubsub", "order.created"));
        await using var sidecars = await Broadcast.StartAsync(broker, billing, parcels);

        await sidecars.Client().PublishEventAsync("pubsub", "order.created", new Order(7, "Ada"), Ct);

        await Eventually.Async(() => received is not null && !parcels.Arrivals.IsEmpty, "both apps get the event");
        Assert.Equal(new Order(7, "Ada"), received);
        var arrival = Assert.Single(billing.At("/orders"));
        Assert.Equal("shop", arrival.Envelope.GetProperty("source").GetString());
        Assert.Equal("order.created", arrival.Envelope.GetProperty("topic").GetString());
        Assert.Equal("application/json", arrival.Envelope.GetProperty("datacontenttype").GetString());
        Assert.Equal("application/cloudevents+json", arrival.Headers["Content-Type"]);
        Assert.Equal("pubsub", arrival.Headers["pubsubName"]);
        Assert.Equal("app-token", arrival.Headers["dapr-api-token"]);
        Assert.Equal(arrival.Envelope.GetProperty("traceparent").GetString()![..35], arrival.Headers["traceparent"][..35]);
        Assert.Equal(arrival.Id, Assert.Single(parcels.At("/new-order")).Id);
    }

    [Theory]
    [EveryBroker]
    public async Task Over_http_the_query_is_metadata_and_success_has_no_body(string broker)
    {
        await using var billing = new ListeningApp("billing", app => app.MapPost("/orders", () => Results.Ok()).WithTopic("pubsub", "order.created"));
        await using var sidecars = await Broadcast.StartAsync(broker, billing);

        using var published = await sidecars.Http().PostAsync("v1.0/publish/pubsub/order.created?metadata.cloudevent.id=e1&metadata.cloudevent.type=gift",
            new StringContent("""{"id":1}""", Encoding.UTF8, "application/json"), Ct);

        Assert.Equal(HttpStatusCode.NoContent, published.StatusCode);
        await Eventually.Async(() => billing.Arrivals.Count == 1, "the event arrives");
        Assert.Equal("e1", billing.Arrivals.Single().Id);
        Assert.Equal("gift", billing.Arrivals.Single().Envelope.GetProperty("type").GetString());
        Assert.Equal(1, billing.Arrivals.Single().Data.GetProperty("id").GetInt32());
    }

    [Theory]
    [EveryBroker]
    public async Task An_envelope_of_the_publisher_stays_what_it_is(string broker)
    {
        await using var billing = new ListeningApp("billing", app => app.MapPost("/orders", () => Results.Ok()).WithTopic("pubsub", "order.created"));
        await using var sidecars = await Broadcast.StartAsync(broker, billing);

        var mine = new CloudEvent<Order>(new Order(9, "Bruno")) { Source = new Uri("urn:till"), Type = "till.sale" };
        await sidecars.Client().PublishEventAsync("pubsub", "order.created", mine, Ct);

        await Eventually.Async(() => billing.Arrivals.Count == 1, "the event arrives");
        Assert.Equal("urn:till", billing.Arrivals.Single().Envelope.GetProperty("source").GetString());
        Assert.Equal("till.sale", billing.Arrivals.Single().Envelope.GetProperty("type").GetString());
    }

    [Theory]
    [EveryBroker]
    public async Task Rules_lead_an_event_to_its_handler(string broker)
    {
        await using var billing = new ListeningApp("billing", app =>
        {
            app.MapPost("/gifts", () => Results.Ok()).WithTopic(new TopicOptions { PubsubName = "pubsub", Name = "order.created", Match = "event.type == 'gift'", Priority = 1 });
            app.MapPost("/large", () => Results.Ok()).WithTopic(new TopicOptions { PubsubName = "pubsub", Name = "order.created", Match = "event.data.id > 100", Priority = 2 });
            app.MapPost("/orders", () => Results.Ok()).WithTopic("pubsub", "order.created");
        });
        await using var sidecars = await Broadcast.StartAsync(broker, billing);
        var shop = sidecars.Client();

        await shop.PublishEventAsync("pubsub", "order.created", new Order(500, "a"), new Dictionary<string, string> { ["cloudevent.type"] = "gift" }, Ct);
        await shop.PublishEventAsync("pubsub", "order.created", new Order(500, "b"), Ct);
        await shop.PublishEventAsync("pubsub", "order.created", new Order(5, "c"), Ct);

        await Eventually.Async(() => billing.Arrivals.Count == 3, "all three arrive");
        Assert.Equal("a", Assert.Single(billing.At("/gifts")).Data.GetProperty("buyer").GetString());
        Assert.Equal("b", Assert.Single(billing.At("/large")).Data.GetProperty("buyer").GetString());
        Assert.Equal("c", Assert.Single(billing.At("/orders")).Data.GetProperty("buyer").GetString());
    }

    [Theory]
    [EveryBroker]
    public async Task A_declared_subscription_needs_no_word_of_the_app(string broker)
    {
        await using var billing = new ListeningApp("billing", app =>
        {
            app.MapPost("/declared", () => Results.Ok());
            app.MapPost("/orders", () => Results.Ok()).WithTopic("pubsub", "order.created");
        });
        await using var sidecars = await Broadcast.StartAsync(await BrokersUnderTest.StartAsync(broker), """
            ---
            apiVersion: dapr.io/v2alpha1
            kind: Subscription
            metadata: { name: parcels }
            spec:
              pubsubname: pubsub
              topic: parcel.sent
              routes: { default: /declared }
            scopes: [billing]
            """, billing);

        await sidecars.Client().PublishEventAsync("pubsub", "parcel.sent", new Order(1, "x"), Ct);
        await Eventually.Async(() => billing.At("/declared").Count == 1, "the declared route gets the event");
    }

    [Theory]
    [EveryBroker]
    public async Task A_batch_keeps_its_order_and_is_refused_as_a_whole_where_an_entry_is_malformed(string broker)
    {
        await using var billing = new ListeningApp("billing", app => app.MapPost("/orders", () => Results.Ok()).WithTopic("pubsub", "order.created"));
        await using var sidecars = await Broadcast.StartAsync(broker, billing);

        var orders = Enumerable.Range(0, 20).Select(i => new Order(i, "Ada")).ToList();
        var all = await sidecars.Client().BulkPublishEventAsync("pubsub", "order.created", orders, new Dictionary<string, string> { ["partitionKey"] = "one" }, Ct);
        Assert.Empty(all.FailedEntries);
        await Eventually.Async(() => billing.Arrivals.Count == 20, "the batch arrives");
        var ids = billing.Arrivals.Select(arrival => arrival.Data.GetProperty("id").GetInt32());
        Assert.Equal(Enumerable.Range(0, 20), broker == BrokersUnderTest.InMemory ? ids : ids.Order());   // other brokers promise no order, key or not

        using var mixed = await sidecars.Http().PostAsJsonAsync("v1.0/publish/bulk/pubsub/order.created", new object[]
        {
            new { entryId = "a", @event = new { id = 100 }, contentType = "application/json" },
            new { entryId = "b", @event = "no envelope", contentType = "application/cloudevents+json" },
        }, Ct);
        Assert.Equal(HttpStatusCode.InternalServerError, mixed.StatusCode);
        Assert.Contains("ERR_PUBSUB_CLOUD_EVENTS_SER", await mixed.Content.ReadAsStringAsync(Ct), StringComparison.Ordinal);

        using var twice = await sidecars.Http().PostAsJsonAsync("v1.0-alpha1/publish/bulk/pubsub/order.created", new object[]
        {
            new { entryId = "a", @event = "x", contentType = "text/plain" }, new { entryId = "a", @event = "y", contentType = "text/plain" },
        }, Ct);
        Assert.Equal(HttpStatusCode.BadRequest, twice.StatusCode);
    }

    [Theory]
    [EveryBroker]
    public async Task Raw_bytes_reach_a_raw_subscriber_in_a_synthetic_envelope(string broker)
    {
        await using var billing = new ListeningApp("billing", app => app.MapPost("/raw", () => Results.Ok())
            .WithTopic(new TopicOptions { PubsubName = "pubsub", Name = "scan", Metadata = new Dictionary<string, string> { ["rawPayload"] = "true" } }));
        await using var sidecars = await Broadcast.StartAsync(broker, billing);

        await sidecars.Client().PublishByteEventAsync("pubsub", "scan", new byte[] { 1, 2, 3 }, "application/octet-stream", new Dictionary<string, string> { ["rawPayload"] = "true" }, Ct);
        await Eventually.Async(() => billing.Arrivals.Count == 1, "the bytes arrive");
        Assert.Equal([1, 2, 3], billing.Arrivals.Single().Envelope.GetProperty("data_base64").GetBytesFromBase64());
    }

    [Fact]
    public async Task A_star_at_the_end_of_a_topic_takes_all_that_begin_so()
    {
        await using var billing = new ListeningApp("billing", app => app.MapPost("/orders", () => Results.Ok()).WithTopic("pubsub", "order.*"));
        await using var sidecars = await Broadcast.StartAsync(billing);
        foreach (var topic in (string[])["order.created", "order.", "parcel.sent", "order.paid"]) await sidecars.Client().PublishEventAsync("pubsub", topic, new Order(1, topic), Ct);

        await Eventually.Async(() => billing.Arrivals.Count == 2, "both arrive");
        Assert.Equal(["order.created", "order.paid"], billing.Arrivals.Select(arrival => arrival.Envelope.GetProperty("topic").GetString()).Order());
    }

    [Theory]
    [EveryBroker]
    public async Task Bare_bytes_come_as_base64_in_a_batch(string broker)
    {
        await using var billing = new ListeningApp("billing", app => app.MapPost("/bulk", () => Results.Json(new { statuses = Array.Empty<object>() }))
            .WithTopic(new TopicOptions { PubsubName = "plain", Name = "scan", Metadata = new Dictionary<string, string> { ["rawPayload"] = "true" } })
            .WithBulkSubscribe(new BulkSubscribeTopicOptions { TopicName = "scan", MaxMessagesCount = 10 }));
        await using var sidecars = await Broadcast.StartAsync(broker, billing);

        await sidecars.Client().PublishByteEventAsync("plain", "scan", new byte[] { 1, 2, 3 }, "application/octet-stream", new Dictionary<string, string> { ["rawPayload"] = "true" }, Ct);
        await Eventually.Async(() => billing.Arrivals.Count == 1, "the batch arrives");
        var entry = billing.Arrivals.Single().Envelope.GetProperty("entries")[0];
        Assert.Equal([1, 2, 3], entry.GetProperty("event").GetBytesFromBase64());
        Assert.Equal("application/octet-stream", entry.GetProperty("contentType").GetString());
    }

    [Theory]
    [EveryBroker]
    public async Task Consumers_named_by_namespace_keep_to_topics_of_their_namespace(string broker)
    {
        var inside = await BrokersUnderTest.StartAsync(broker);
        await using var billing = new ListeningApp("billing", app => app.MapPost("/orders", () => Results.Ok()).WithTopic("apart", "order.created"));
        await using var sidecars = await Broadcast.StartAsync(inside, "---\n" + inside.Component("apart", ("consumerID", "{namespace}")), billing);
        await sidecars.Client().PublishEventAsync("apart", "order.created", new Order(1, "Ada"), Ct);
        await Eventually.Async(() => billing.Arrivals.Count == 1, "it arrives");
        Assert.Equal("order.created", billing.Arrivals.Single().Envelope.GetProperty("topic").GetString());
    }

    [Theory]
    [InlineData("nowhere/order.created", HttpStatusCode.NotFound, "ERR_PUBSUB_NOT_FOUND")]
    [InlineData("pubsub/", HttpStatusCode.NotFound, "ERR_TOPIC_NAME_EMPTY")]
    [InlineData("plain/vault", HttpStatusCode.Forbidden, "ERR_PUBSUB_FORBIDDEN")]
    public async Task A_publish_that_cannot_be_is_refused_with_its_code(string path, HttpStatusCode status, string code)
    {
        await using var sidecars = await Broadcast.StartAsync();
        using var refused = await sidecars.Http().PostAsync($"v1.0/publish/{path}", new StringContent("{}"), Ct);
        Assert.Equal(status, refused.StatusCode);
        using var error = JsonDocument.Parse(await refused.Content.ReadAsStringAsync(Ct));
        Assert.Equal(code, error.RootElement.GetProperty("errorCode").GetString());
    }

    [Fact]
    public async Task The_sdk_sees_refusals_as_status_codes()
    {
        await using var sidecars = await Broadcast.StartAsync();
        var shop = sidecars.Client();
        var unknown = await Assert.ThrowsAsync<DaprException>(() => shop.PublishEventAsync("nowhere", "order.created", new Order(1, "x"), Ct));
        Assert.Equal(StatusCode.InvalidArgument, Assert.IsType<RpcException>(unknown.InnerException).StatusCode);
        var forbidden = await Assert.ThrowsAsync<DaprException>(() => shop.PublishEventAsync("plain", "vault", new Order(1, "x"), Ct));
        Assert.Equal(StatusCode.PermissionDenied, Assert.IsType<RpcException>(forbidden.InnerException).StatusCode);
    }

    [Theory]
    [EveryBroker]
    public async Task A_batch_can_also_be_delivered_as_one(string broker)
    {
        await using var billing = new ListeningApp("billing", app => app.MapPost("/bulk", (BulkSubscribeMessage<BulkMessageModel<Order>> batch) =>
            Results.Ok(new BulkSubscribeAppResponse([.. batch.Entries.Select(entry => new BulkSubscribeAppResponseEntry(entry.EntryId, BulkSubscribeAppResponseStatus.SUCCESS))])))
            .WithTopic("pubsub", "order.created").WithBulkSubscribe(new BulkSubscribeTopicOptions { TopicName = "order.created", MaxMessagesCount = 10 }));
        await using var sidecars = await Broadcast.StartAsync(broker, billing);

        await sidecars.Client().BulkPublishEventAsync("pubsub", "order.created", Enumerable.Range(0, 30).Select(i => new Order(i, "Ada")).ToList(), cancellationToken: Ct);
        await Eventually.Async(() => billing.Arrivals.Sum(batch => batch.Envelope.GetProperty("entries").GetArrayLength()) == 30, "all entries arrive");
        Assert.All(billing.Arrivals, batch => Assert.InRange(batch.Envelope.GetProperty("entries").GetArrayLength(), 1, 10));
        Assert.True(billing.Arrivals.Count < 30, "they come in batches");
    }

    private sealed record Order(int Id, string Buyer);
}
