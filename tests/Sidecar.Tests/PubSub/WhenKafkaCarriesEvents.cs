using System.Collections.Concurrent;
using Dapr;
using Dapr.AspNetCore;
using Dapr.Client;
using Marketplace.Local.Kafka;
using Marketplace.Local.Sidecar.Resources;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Xunit;

namespace Marketplace.Sidecar.Tests.PubSub;

/// <summary>What is Kafka's own in pubsub.kafka, on librdkafka's mock cluster.</summary>
public sealed class WhenKafkaCarriesEvents : IDisposable
{
    private const string Topic = "order.created";
    private readonly MockCluster kafka = new();

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public void Dispose() => kafka.Dispose();

    [Fact]
    public async Task Events_of_a_key_stay_in_order()
    {
        var handled = new ConcurrentQueue<Keyed>();
        await using var billing = await HandlingAsync("billing", async order =>
        {
            await Task.Delay(Random.Shared.Next(3));   // without order, one would overtake the other here
            handled.Enqueue(order);
            return Results.Ok();
        });
        await using var sidecars = await StartAsync(Component(), billing);
        var shop = sidecars.Client();
        await Task.WhenAll(Enumerable.Range(0, 8).Select(async key =>
        {
            for (var i = 0; i < 40; i++) await PublishAsync(shop, key, i);
        }));
        await Eventually.Async(() => handled.Count == 320, "all arrive");
        Assert.All(handled.GroupBy(order => order.Key), key => Assert.Equal(Enumerable.Range(0, 40), key.Select(order => order.I)));
    }

    [Fact]
    public async Task Where_a_message_lies_and_what_it_was_published_with_become_headers()
    {
        await using var billing = await HandlingAsync("billing", _ => Task.FromResult(Results.Ok()));
        await using var sidecars = await StartAsync(Component(("excludeHeaderMetaRegex", "^secret$")), billing);
        await sidecars.Client().PublishEventAsync("pubsub", Topic, new { key = 1, i = 0 },
            new Dictionary<string, string> { ["partitionKey"] = "lamp", ["tenant"] = "north", ["secret"] = "x" }, Ct);
        await Eventually.Async(() => billing.Arrivals.Count == 1, "it arrives");
        var headers = new Dictionary<string, string>(billing.Arrivals.Single().Headers, StringComparer.OrdinalIgnoreCase);
        Assert.Equal(("lamp", "0", Topic, "north", "lamp"), (headers["__key"], headers["__offset"], headers["__topic"], headers["tenant"], headers["partitionKey"]));
        Assert.True(int.Parse(headers["__partition"], null) is >= 0 and < 4);
        Assert.True(DateTimeOffset.FromUnixTimeMilliseconds(long.Parse(headers["__timestamp"], null)) > DateTimeOffset.UtcNow.AddMinutes(-5));
        Assert.DoesNotContain("secret", headers.Keys);
    }

    [Fact]
    public async Task A_message_that_fails_holds_up_its_partition_and_no_other()
    {
        var open = false;
        var handled = new ConcurrentQueue<Keyed>();
        await using var billing = await HandlingAsync("billing", order =>
        {
            if (order.Key == 1 && !Volatile.Read(ref open)) return Task.FromResult(Results.StatusCode(500));
            handled.Enqueue(order);
            return Task.FromResult(Results.Ok());
        });
        await using var sidecars = await StartAsync(Component(("backOffDuration", "100ms")), billing);
        var shop = sidecars.Client();
        for (var i = 0; i < 5; i++)
        {
            await PublishAsync(shop, 1, i, partition: 1);
            await PublishAsync(shop, 2, i, partition: 2);
        }

        await Eventually.Async(() => handled.Count == 5 && billing.Arrivals.Count >= 8, "the other partition goes on while the first is tried again and again");
        Assert.All(handled, order => Assert.Equal(2, order.Key));
        Volatile.Write(ref open, true);
        await Eventually.Async(() => handled.Count == 10, "the held ones follow");
        Assert.Equal(Enumerable.Range(0, 5), handled.Where(order => order.Key == 1).Select(order => order.I));
        await Eventually.Async(async () => await WaitingAsync(sidecars) == 0, "all are committed");
    }

    [Fact]
    public async Task Without_retries_a_message_that_fails_is_passed_over()
    {
        await using var billing = await HandlingAsync("billing", order => Task.FromResult(order.I == 0 ? Results.StatusCode(500) : Results.Ok()));
        await using var sidecars = await StartAsync(Component(("consumeRetryEnabled", "false")), billing);
        for (var i = 0; i < 3; i++) await PublishAsync(sidecars.Client(), 1, i);
        await Eventually.Async(async () => billing.Arrivals.Count == 3 && await WaitingAsync(sidecars) == 0, "each is tried once");
    }

    [Fact]
    public async Task Two_instances_share_the_partitions_and_take_over_from_each_other()
    {
        await using var first = await HandlingAsync("billing", _ => Task.FromResult(Results.Ok()));
        await using var second = await HandlingAsync("billing", _ => Task.FromResult(Results.Ok()));
        await using var sidecars = await StartAsync(Component(), first, second);
        var shop = sidecars.Client();
        var sent = 0;
        await Eventually.Async(async () =>
        {
            for (var partition = 0; partition < 4; partition++) await PublishAsync(shop, partition, sent++, partition);
            return !first.Arrivals.IsEmpty && !second.Arrivals.IsEmpty;
        }, "both get some");

        await second.DieAsync();
        for (var i = 0; i < 40; i++) await PublishAsync(shop, i % 4, sent++, i % 4);
        await Eventually.Async(() => Numbers(first, second).Distinct().Count() == sent, "the first one gets what the second left", TimeSpan.FromSeconds(40));
        await second.StartAsync();
        second.Arrivals.Clear();
        await Eventually.Async(async () =>
        {
            for (var partition = 0; partition < 4; partition++) await PublishAsync(shop, partition, sent++, partition);
            return !second.Arrivals.IsEmpty;
        }, "the second one shares again", TimeSpan.FromSeconds(40));
        await Eventually.Async(async () => Numbers(first, second).Distinct().Count() >= sent - 44 && await WaitingAsync(sidecars) == 0, "nothing is left", TimeSpan.FromSeconds(40));
    }

    [Fact]
    public async Task One_of_two_hosts_killed_under_load_loses_nothing()
    {
        SidecarsUnderTest.LocalOnly("it kills the host");
        await using var first = await HandlingAsync("billing", _ => Task.FromResult(Results.Ok()));
        await using var second = await HandlingAsync("billing", _ => Task.FromResult(Results.Ok()));
        await using var hosts = new Brokered();
        var resources = Component(("sessionTimeout", "6s"));
        var shop = await hosts.AddAsync(resources, "shop", appPort: null);
        var doomed = await hosts.AddAsync(resources, "billing", first.Port);
        await hosts.AddAsync(resources, "billing", second.Port);

        var publishing = Task.Run(async () =>
        {
            for (var i = 0; i < 800; i++) await PublishAsync(shop.Client, i % 16, i);
        }, Ct);
        await Eventually.Async(() => first.Arrivals.Count > 50, "the load is on both");
        await doomed.KillAsync();
        await publishing;
        await Eventually.Async(() => Numbers(first, second).Distinct().Count() == 800, "every one arrives", TimeSpan.FromSeconds(60));
    }

    [Theory]
    [InlineData("oldest", true)]
    [InlineData("newest", false)]
    public async Task A_new_group_starts_where_the_component_says(string initialOffset, bool getsTheFirst)
    {
        await using (var before = await SidecarsUnderTest.StartAsync(Component(), new AppUnderTest("shop")))
            for (var partition = 0; partition < 4; partition++) await PublishAsync(before.Client(), 0, -1, partition);

        await using var billing = await HandlingAsync("billing", _ => Task.FromResult(Results.Ok()));
        await using var sidecars = await StartAsync(Component(("initialOffset", initialOffset)), billing);
        var sent = 0;
        await Eventually.Async(async () =>
        {
            await PublishAsync(sidecars.Client(), 0, sent++, partition: sent % 4);
            return Numbers(billing).Any(number => number >= 0);
        }, "what is published from now on arrives");
        if (getsTheFirst) await Eventually.Async(() => Numbers(billing).Count(number => number == -1) == 4, "so does what was there before");
        else Assert.DoesNotContain(-1, Numbers(billing));
    }

    [Fact]
    public async Task A_bulk_subscription_gets_many_at_once_and_only_the_failed_ones_again()
    {
        var calls = new ConcurrentQueue<int>();
        var failed = 0;
        await using var billing = new ListeningApp("billing", server => server.MapPost("/orders", (BulkSubscribeMessage<BulkMessageModel<Keyed>> batch) =>
        {
            calls.Enqueue(batch.Entries.Count);
            return Results.Ok(new BulkSubscribeAppResponse([.. batch.Entries.Select(entry => new BulkSubscribeAppResponseEntry(entry.EntryId,
                entry.Event.Data.I == 7 && Interlocked.Increment(ref failed) == 1 ? BulkSubscribeAppResponseStatus.RETRY : BulkSubscribeAppResponseStatus.SUCCESS))]));
        }).WithTopic("pubsub", Topic).WithBulkSubscribe(new BulkSubscribeTopicOptions { TopicName = Topic, MaxMessagesCount = 20, MaxAwaitDurationMs = 300 }));
        await billing.StartAsync();
        await using var sidecars = await StartAsync(Component(("backOffDuration", "50ms")), billing);
        for (var i = 0; i < 20; i++) await PublishAsync(sidecars.Client(), 1, i);
        await Eventually.Async(async () => failed == 2 && await WaitingAsync(sidecars) == 0, "all are taken");
        Assert.Contains(calls, count => count > 1);
    }

    [Fact]
    public async Task A_cluster_that_went_away_refuses_the_publish()
    {
        await using var sidecars = await SidecarsUnderTest.StartAsync(Component(), new AppUnderTest("shop"));
        await PublishAsync(sidecars.Client(), 1, 0);
        kafka.Dispose();
        await Assert.ThrowsAsync<DaprException>(() => PublishAsync(sidecars.Client(), 1, 1));
    }

    [Theory]
    [InlineData("brokers", "127.0.0.1:1")]
    [InlineData("authType", "awsiam")]
    [InlineData("authType", "secret")]
    [InlineData("initialOffset", "middle")]
    [InlineData("compression", "zip")]
    [InlineData("consumerGroupRebalanceStrategy", "fair")]
    [InlineData("producerRequiredAcks", "two")]
    [InlineData("excludeHeaderMetaRegex", "(")]
    [InlineData("schemaRegistryURL", "http://127.0.0.1:1")]
    public async Task A_value_that_is_none_is_named(string key, string value)
    {
        SidecarsUnderTest.LocalOnly("the error is the local host's");
        var refused = await Assert.ThrowsAsync<ResourceException>(() => SidecarsUnderTest.StartAsync(Component((key, value)), new AppUnderTest("shop")));
        Assert.Contains($"spec.metadata.{key}", refused.Message, StringComparison.Ordinal);
    }

    private static async Task<SidecarsUnderTest> StartAsync(string resources, params ListeningApp[] apps)
    {
        SidecarsUnderTest.LocalOnly("it looks into the host");
        var sidecars = await SidecarsUnderTest.StartAsync(resources, [.. apps.Select(app => new AppUnderTest(app.AppId, app.Port))]);
        await Brokered.IntroducedAsync(sidecars);
        return sidecars;
    }

    private static async Task<ListeningApp> HandlingAsync(string app, Func<Keyed, Task<IResult>> handle)
    {
        var listening = new ListeningApp(app, server => server.MapPost("/orders", (Keyed order) => handle(order)).WithTopic(new TopicOptions { PubsubName = "pubsub", Name = Topic }));
        await listening.StartAsync();
        return listening;
    }

    private static Task PublishAsync(DaprClient shop, int key, int i, int? partition = null) => shop.PublishEventAsync("pubsub", Topic, new Keyed(key, i),
        partition is null ? new Dictionary<string, string> { ["partitionKey"] = $"{key}" } : new Dictionary<string, string> { ["partitionNumber"] = $"{partition}" }, Ct);

    private static Task<long> WaitingAsync(SidecarsUnderTest sidecars) => sidecars.Host.Block<Local.Sidecar.PubSub.PubSubBlock>().WaitingAsync("pubsub", Ct);

    private static List<int> Numbers(params IEnumerable<ListeningApp> apps) => [.. apps.SelectMany(app => app.Arrivals).Select(arrival => arrival.Data.GetProperty("i").GetInt32())];

    private string Component(params IReadOnlyList<(string Name, string Value)> more) => Brokered.Component("pubsub.kafka",
    [
        .. new[] { ("brokers", kafka.Address), ("authType", "none"), ("initialOffset", "oldest"), ("heartbeatInterval", "500ms") }.Where(item => more.All(other => other.Name != item.Item1)),
        .. more,
    ]);

    private sealed record Keyed(int Key, int I);
}
