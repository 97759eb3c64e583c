using System.Collections.Concurrent;
using Dapr;
using Dapr.Client;
using Marketplace.Local.Sidecar.Resources;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using RabbitMQ.Client;
using Xunit;

namespace Marketplace.Sidecar.Tests.PubSub;

/// <summary>What is RabbitMQ's own in pubsub.rabbitmq, on a real node.</summary>
public sealed class WhenRabbitMqCarriesEvents
{
    /// <summary>Names of this test: exchanges and queues stay in the node that all share.</summary>
    private readonly string topic = $"order.created.{Guid.NewGuid():N}";

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task An_event_goes_through_an_exchange_of_its_topic_into_a_queue_of_each_app()
    {
        var node = await RabbitMqNode.SharedAsync();
        await using var billing = await ListeningAsync("billing", () => Results.Ok());
        await using var mailing = await ListeningAsync("mailing", () => Results.Ok());
        await using var sidecars = await StartAsync(Component(node), billing, mailing);

        await sidecars.Client().PublishEventAsync("pubsub", topic, new { i = 1 }, Ct);
        await Eventually.Async(() => billing.Arrivals.Count == 1 && mailing.Arrivals.Count == 1, "both apps get it");

        await using var connection = await node.ConnectAsync();
        await using var channel = await connection.CreateChannelAsync(cancellationToken: Ct);
        await channel.ExchangeDeclarePassiveAsync(topic, Ct);
        Assert.Equal(1u, await channel.ConsumerCountAsync($"billing-{topic}", Ct));
        Assert.Equal(1u, await channel.ConsumerCountAsync($"mailing-{topic}", Ct));
    }

    [Fact]
    public async Task Two_instances_share_the_queue_of_their_app()
    {
        var node = await RabbitMqNode.SharedAsync();
        await using var first = await ListeningAsync("billing", () => Results.Ok());
        await using var second = await ListeningAsync("billing", () => Results.Ok());
        await using var sidecars = await StartAsync(Component(node, ("prefetchCount", "5")), first, second);

        await Task.WhenAll(Enumerable.Range(0, 200).Select(i => sidecars.Client().PublishEventAsync("pubsub", topic, new { i }, Ct)));
        await Eventually.Async(() => first.Arrivals.Count + second.Arrivals.Count == 200, "all arrive");
        Assert.NotEmpty(first.Arrivals);
        Assert.NotEmpty(second.Arrivals);
        Assert.Equal(200, Numbers(first, second).Distinct().Count());
    }

    [Fact]
    public async Task An_event_whose_handler_fails_is_lost_unless_it_is_requeued()
    {
        var node = await RabbitMqNode.SharedAsync();
        await using var billing = await ListeningAsync("billing", () => Results.StatusCode(500));
        await using var sidecars = await StartAsync(Component(node), billing);
        await sidecars.Client().PublishEventAsync("pubsub", topic, new { i = 1 }, Ct);
        await sidecars.Client().PublishEventAsync("pubsub", topic, new { i = 2 }, Ct);
        await Eventually.Async(() => Numbers(billing).Contains(2), "the second one comes");
        await Eventually.Async(async () => await WaitingAsync(sidecars) == 0, "neither is kept");
        Assert.Equal([1, 2], Numbers(billing).Order());
    }

    [Fact]
    public async Task An_event_whose_handler_fails_comes_again_where_the_component_requeues()
    {
        var node = await RabbitMqNode.SharedAsync();
        var tries = 0;
        await using var billing = await ListeningAsync("billing", () => Interlocked.Increment(ref tries) < 5 ? Results.StatusCode(500) : Results.Ok());
        await using var sidecars = await StartAsync(Component(node, ("requeueInFailure", "true")), billing);
        await sidecars.Client().PublishEventAsync("pubsub", topic, new { i = 1 }, Ct);
        await Eventually.Async(async () => billing.Arrivals.Count >= 5 && await WaitingAsync(sidecars) == 0, "it comes until it is taken");
        Assert.Single(billing.Arrivals.Select(arrival => arrival.Id).Distinct());
    }

    [Fact]
    public async Task The_brokers_own_dead_letters_get_what_failed()
    {
        var node = await RabbitMqNode.SharedAsync();
        await using var billing = await ListeningAsync("billing", () => Results.StatusCode(500));
        await using var sidecars = await StartAsync(Component(node, ("enableDeadLetter", "true")) + Brokered.Retries(2), billing);
        await sidecars.Client().PublishEventAsync("pubsub", topic, new { i = 1 }, Ct);

        await using var connection = await node.ConnectAsync();
        await using var channel = await connection.CreateChannelAsync(cancellationToken: Ct);
        await Eventually.Async(async () => await channel.MessageCountAsync($"dlq-billing-{topic}", Ct) == 1, "it is in the dead-letter queue");
        Assert.Equal(3, billing.Arrivals.Count);
    }

    [Fact]
    public async Task What_an_app_held_when_it_died_returns_to_the_queue()
    {
        var node = await RabbitMqNode.SharedAsync();
        using var hold = new SemaphoreSlim(0);
        await using var billing = await ListeningAsync("billing", async () =>
        {
            await hold.WaitAsync(TimeSpan.FromSeconds(30));
            return Results.Ok();
        });
        await using var sidecars = await StartAsync(Component(node), billing);
        await sidecars.Client().PublishEventAsync("pubsub", topic, new { i = 1 }, Ct);
        await Eventually.Async(() => billing.Arrivals.Count == 1, "the app works at it");

        await billing.DieAsync();
        billing.Arrivals.Clear();
        hold.Release(10);
        await billing.StartAsync();
        await Eventually.Async(async () => !billing.Arrivals.IsEmpty && await WaitingAsync(sidecars) == 0, "it comes again and is taken");
    }

    [Fact]
    public async Task A_queue_collects_while_its_app_is_away()
    {
        var node = await RabbitMqNode.SharedAsync();
        await using var billing = await ListeningAsync("billing", () => Results.Ok());
        await using var sidecars = await StartAsync(Component(node), billing);
        await billing.DieAsync();
        for (var i = 0; i < 10; i++) await sidecars.Client().PublishEventAsync("pubsub", topic, new { i }, Ct);
        await billing.StartAsync();
        await Eventually.Async(() => Numbers(billing).Distinct().Count() == 10, "all arrive");
    }

    [Fact]
    public async Task A_killed_broker_loses_nothing_that_it_confirmed_or_that_was_not_answered()
    {
        await using var node = await RabbitMqNode.OwnAsync();
        var seen = new ConcurrentBag<int>();
        var open = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var billing = new ListeningApp("billing", server => server.MapPost("/orders", async (Numbered order) =>
        {
            await open.Task;
            seen.Add(order.I);
            return Results.Ok();
        }).WithTopic("pubsub", topic));
        await billing.StartAsync();
        await using var sidecars = await StartAsync(Component(node, ("prefetchCount", "10")), billing);
        var shop = sidecars.Client();
        for (var i = 0; i < 50; i++) await shop.PublishEventAsync("pubsub", topic, new { i }, Ct);
        await Eventually.Async(() => billing.Arrivals.Count == 10, "ten are with the app, unanswered");

        await node.KillAsync();
        open.SetResult();
        var published = Task.WhenAll(Enumerable.Range(50, 10).Select(i => UntilPublishedAsync(shop, i)));
        await node.UpAsync();
        await published;

        await Eventually.Async(() => seen.Distinct().Count() == 60, "every one is handled", TimeSpan.FromSeconds(60));
        await Eventually.Async(async () => await WaitingAsync(sidecars) == 0, "none is left");
    }

    [Fact]
    public async Task One_of_two_hosts_killed_under_load_loses_nothing()
    {
        var node = await RabbitMqNode.SharedAsync();
        await using var first = await ListeningAsync("billing", () => Results.Ok());
        await using var second = await ListeningAsync("billing", () => Results.Ok());
        await using var hosts = new Brokered();
        var resources = Component(node, ("prefetchCount", "20"));
        var shop = await hosts.AddAsync(resources, "shop", appPort: null);
        var doomed = await hosts.AddAsync(resources, "billing", first.Port);
        await hosts.AddAsync(resources, "billing", second.Port);

        var publishing = Task.Run(async () =>
        {
            for (var i = 0; i < 600; i++) await shop.Client.PublishEventAsync("pubsub", topic, new { i }, Ct);
        }, Ct);
        await Eventually.Async(() => first.Arrivals.Count > 50, "the load is on both");
        await doomed.KillAsync();
        await publishing;
        await Eventually.Async(() => Numbers(first, second).Distinct().Count() == 600, "every one arrives", TimeSpan.FromSeconds(30));
        Assert.NotEmpty(second.Arrivals);
    }

    [Fact]
    public async Task Routing_keys_and_expiry_are_the_brokers()
    {
        var node = await RabbitMqNode.SharedAsync();
        await using var billing = new ListeningApp("billing", server => server.MapPost("/orders", () => Results.Ok()));
        await billing.StartAsync();
        var subscription = $$"""
            ---
            apiVersion: dapr.io/v2alpha1
            kind: Subscription
            metadata: { name: orders }
            spec:
              pubsubname: pubsub
              topic: {{topic}}
              routes: { default: /orders }
              metadata: { routingKey: "uk.*,fr.paris", queueName: "orders-{{topic}}", queueType: quorum }
            """;
        await using var sidecars = await StartAsync(Component(node, ("exchangeKind", "topic")) + subscription, billing);
        var shop = sidecars.Client();
        await shop.PublishEventAsync("pubsub", topic, new { i = 1 }, new Dictionary<string, string> { ["routingKey"] = "uk.leeds" }, Ct);
        await shop.PublishEventAsync("pubsub", topic, new { i = 2 }, new Dictionary<string, string> { ["routingKey"] = "fr.lyon" }, Ct);
        await shop.PublishEventAsync("pubsub", topic, new { i = 3 }, new Dictionary<string, string> { ["routingKey"] = "fr.paris" }, Ct);
        await Eventually.Async(() => Numbers(billing).Order().SequenceEqual([1, 3]), "only what the keys match");
        Assert.False(billing.Arrivals.First().Envelope.TryGetProperty("expiration", out _));

        await billing.DieAsync();
        await using var connection = await node.ConnectAsync();
        await using var channel = await connection.CreateChannelAsync(cancellationToken: Ct);
        await Eventually.Async(async () => await channel.ConsumerCountAsync($"orders-{topic}", Ct) == 0, "nobody consumes");
        await shop.PublishEventAsync("pubsub", topic, new { i = 4 }, new Dictionary<string, string> { ["routingKey"] = "uk.york", ["ttlInSeconds"] = "1" }, Ct);
        await Eventually.Async(async () => await channel.MessageCountAsync($"orders-{topic}", Ct) == 0, "the broker drops it when its time is over");
        await billing.StartAsync();
        await shop.PublishEventAsync("pubsub", topic, new { i = 5 }, new Dictionary<string, string> { ["routingKey"] = "uk.york" }, Ct);
        await Eventually.Async(() => Numbers(billing).Contains(5), "the next one arrives");
        Assert.DoesNotContain(4, Numbers(billing));
    }

    [Fact]
    public async Task Properties_of_a_message_become_headers_where_that_is_wanted()
    {
        var node = await RabbitMqNode.SharedAsync();
        await using var billing = await ListeningAsync("billing", () => Results.Ok());
        await using var sidecars = await StartAsync(Component(node, ("publishMessagePropertiesToMetadata", "true")), billing);
        await sidecars.Client().PublishEventAsync("pubsub", topic, new { i = 1 }, new Dictionary<string, string> { ["messageID"] = "m1", ["correlationID"] = "c1", ["contentType"] = "application/json" }, Ct);
        await Eventually.Async(() => billing.Arrivals.Count == 1, "it arrives");
        var headers = billing.Arrivals.Single().Headers;
        Assert.Equal(("m1", "c1", "application/json"), (headers["metadata.messageid"], headers["metadata.correlationid"], headers["metadata.contenttype"]));
    }

    [Fact]
    public async Task A_topic_that_exists_with_other_settings_refuses_the_publish()
    {
        var node = await RabbitMqNode.SharedAsync();
        await using (var connection = await node.ConnectAsync())
        await using (var channel = await connection.CreateChannelAsync(cancellationToken: Ct))
            await channel.ExchangeDeclareAsync(topic, ExchangeType.Direct, durable: true, cancellationToken: Ct);
        await using var sidecars = await SidecarsUnderTest.StartAsync(Component(node), new AppUnderTest("shop"));
        var refused = await Assert.ThrowsAsync<DaprException>(() => sidecars.Client().PublishEventAsync("pubsub", topic, new { i = 1 }, Ct));
        Assert.Contains("PRECONDITION_FAILED", refused.InnerException?.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_broker_that_does_not_let_us_in_ends_the_start_and_its_password_stays_secret()
    {
        var node = await RabbitMqNode.SharedAsync();
        var resources = Component(node, ("connectionString", $"amqp://tests:wrong-password@127.0.0.1:{node.Port}/"));
        var refused = await Assert.ThrowsAsync<ResourceException>(() => SidecarsUnderTest.StartAsync(resources, new AppUnderTest("shop")));
        Assert.Contains("spec.metadata.connectionString", refused.Message, StringComparison.Ordinal);
        Assert.Contains($"127.0.0.1:{node.Port}", refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("wrong-password", refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("deliveryMode", "3")]
    [InlineData("prefetchCount", "300")]
    [InlineData("exchangeKind", "circle")]
    [InlineData("concurrencyMode", "double")]
    [InlineData("protocol", "http")]
    [InlineData("connectionString", "localhost")]
    [InlineData("saslExternal", "true")]
    public async Task A_value_that_is_none_is_named(string key, string value)
    {
        SidecarsUnderTest.LocalOnly("the error is the local host's");
        var resources = Brokered.Component("pubsub.rabbitmq", key == "connectionString" ? [(key, value)] : [("connectionString", "amqp://127.0.0.1:1/"), (key, value)]);
        var refused = await Assert.ThrowsAsync<ResourceException>(() => SidecarsUnderTest.StartAsync(resources, new AppUnderTest("shop")));
        Assert.Contains($"spec.metadata.{key}", refused.Message, StringComparison.Ordinal);
    }

    private static async Task<SidecarsUnderTest> StartAsync(string resources, params ListeningApp[] apps)
    {
        SidecarsUnderTest.LocalOnly("it looks into the host");
        var sidecars = await SidecarsUnderTest.StartAsync(resources, [.. apps.Select(app => new AppUnderTest(app.AppId, app.Port))]);
        await Brokered.IntroducedAsync(sidecars);
        return sidecars;
    }

    private Task<ListeningApp> ListeningAsync(string app, Func<IResult> answer) => ListeningAsync(app, () => Task.FromResult(answer()));

    private async Task<ListeningApp> ListeningAsync(string app, Func<Task<IResult>> answer)
    {
        var listening = new ListeningApp(app, server => server.MapPost("/orders", answer).WithTopic(new TopicOptions { PubsubName = "pubsub", Name = topic }));
        await listening.StartAsync();
        return listening;
    }

    private async Task UntilPublishedAsync(DaprClient shop, int i)
    {
        while (true)
        {
            try
            {
                await shop.PublishEventAsync("pubsub", topic, new { i }, Ct);
                return;
            }
            catch (DaprException)
            {
                await Task.Yield();   // the sidecar itself has waited for the broker
            }
        }
    }

    private static Task<long> WaitingAsync(SidecarsUnderTest sidecars) => sidecars.Host.Block<Local.Sidecar.PubSub.PubSubBlock>().WaitingAsync("pubsub", Ct);

    private static List<int> Numbers(params IEnumerable<ListeningApp> apps) => [.. apps.SelectMany(app => app.Arrivals).Select(arrival => arrival.Data.GetProperty("i").GetInt32())];

    private static string Component(RabbitMqNode node, params IReadOnlyList<(string Name, string Value)> more) => Brokered.Component("pubsub.rabbitmq",
    [
        .. new[] { ("connectionString", node.Url), ("deliveryMode", "2"), ("publisherConfirm", "true"), ("deletedWhenUnused", "false"), ("reconnectWaitSeconds", "1") }
            .Where(item => more.All(other => other.Name != item.Item1)),
        .. more,
    ]);

    private sealed record Numbered(int I);
}
