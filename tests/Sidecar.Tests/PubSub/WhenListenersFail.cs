using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text.Json;
using Dapr;
using Marketplace.Local.Sidecar;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Xunit;

namespace Marketplace.Sidecar.Tests.PubSub;

/// <summary>Refusals, retries, dead letters; and apps that go away with events in their hands.</summary>
public sealed class WhenListenersFail
{
    /// <summary>A consumer group of Kafka takes seconds to notice who is there.</summary>
    private static readonly TimeSpan Rejoining = TimeSpan.FromSeconds(60);

    /// <summary>Slow to start, and no part of how an answer is read.</summary>
    private const string Others = $"{BrokersUnderTest.RabbitMq},{BrokersUnderTest.Kafka}";

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory]
    [EveryBroker]
    public async Task An_event_that_keeps_failing_ends_in_the_dead_letters_after_its_retries(string broker)
    {
        await using var billing = Listener("pubsub", _ => Results.StatusCode(500));
        await using var sidecars = await Broadcast.StartAsync(broker, billing);
        await sidecars.Client().PublishEventAsync("pubsub", "order.created", new { id = 1 }, Ct);

        await Eventually.Async(() => billing.At("/dead").Count == 1, "the dead letter arrives");
        var tries = billing.At("/orders");
        Assert.Equal(4, tries.Count);
        Assert.Single(tries.Select(arrival => arrival.Id).Distinct());
        var dead = billing.At("/dead").Single();
        Assert.Equal(tries[0].Id, dead.Id);
        Assert.Equal("order.created", dead.Envelope.GetProperty("topic").GetString());
    }

    [Theory]
    [EveryBroker]
    public async Task A_failure_that_passes_is_only_a_delay(string broker)
    {
        var calls = 0;
        await using var billing = Listener("pubsub", _ => Interlocked.Increment(ref calls) < 3 ? Results.StatusCode(503) : Results.Ok());
        await using var sidecars = await Broadcast.StartAsync(broker, billing);
        await sidecars.Client().PublishEventAsync("pubsub", "order.created", new { id = 1 }, Ct);

        await Eventually.Async(() => billing.At("/orders").Count == 3, "the third try succeeds");
        await Eventually.Async(async () => await sidecars.WaitingAsync("pubsub") == 0, "nothing waits any more");
        Assert.Empty(billing.At("/dead"));
    }

    [Theory]
    [EveryBroker]
    public async Task Without_a_retry_policy_the_first_failure_is_a_dead_letter(string broker)
    {
        await using var billing = Listener("plain", _ => Results.StatusCode(500));
        await using var sidecars = await Broadcast.StartAsync(broker, billing);
        await sidecars.Client().PublishEventAsync("plain", "order.created", new { id = 1 }, Ct);

        await Eventually.Async(() => billing.At("/dead").Count == 1, "the dead letter arrives");
        Assert.Single(billing.At("/orders"));
    }

    [Theory]
    [EveryBroker("""{"status":"RETRY"}""", 4, But = Others)]
    [EveryBroker("""{"status":"success"}""", 4, But = Others)]
    [EveryBroker("""{"status":"DROP"}""", 1, But = Others)]
    public async Task What_the_body_says_decides_over_dead_letters(string broker, string body, int tries)
    {
        await using var billing = Listener("pubsub", _ => Results.Text(body, "application/json"));
        await using var sidecars = await Broadcast.StartAsync(broker, billing);
        await sidecars.Client().PublishEventAsync("pubsub", "order.created", new { id = 1 }, Ct);

        await Eventually.Async(() => billing.At("/dead").Count == 1, "the dead letter arrives");
        Assert.Equal(tries, billing.At("/orders").Count);
    }

    [Theory]
    [EveryBroker("""{"status":"SUCCESS"}""", But = Others)]
    [EveryBroker("""{"status":""}""", But = Others)]
    [EveryBroker("""{"order":"taken"}""", But = Others)]
    [EveryBroker("[1,2]", But = Others)]
    [EveryBroker("thanks", But = Others)]
    [EveryBroker("", But = Others)]
    public async Task Any_other_success_is_a_success(string broker, string body)
    {
        await using var billing = Listener("pubsub", _ => Results.Text(body, "application/json"));
        await using var sidecars = await Broadcast.StartAsync(broker, billing);
        await sidecars.Client().PublishEventAsync("pubsub", "order.created", new { id = 1 }, Ct);

        await Eventually.Async(async () => billing.At("/orders").Count == 1 && await sidecars.WaitingAsync("pubsub") == 0, "the event is done");
        Assert.Empty(billing.At("/dead"));
    }

    [Theory]
    [EveryBroker]
    public async Task Not_found_drops_the_event_like_DROP(string broker)
    {
        await using var billing = Listener("pubsub", _ => Results.NotFound());
        await using var sidecars = await Broadcast.StartAsync(broker, billing);
        await sidecars.Client().PublishEventAsync("pubsub", "order.created", new { id = 1 }, Ct);

        await Eventually.Async(() => billing.At("/dead").Count == 1, "the dead letter arrives");
        Assert.Single(billing.At("/orders"));
    }

    [Theory]
    [EveryBroker(But = BrokersUnderTest.RabbitMq)]   // it keeps the time itself, and what it has handed over is not too old for it
    public async Task An_expired_event_reaches_nobody_and_its_copy_among_the_dead_letters_is_as_expired(string broker)
    {
        await using var billing = Listener("patient", _ => Results.StatusCode(500));
        await using var sidecars = await Broadcast.StartAsync(broker, billing);
        await sidecars.Client().PublishEventAsync("patient", "order.created", new { id = 1 }, new Dictionary<string, string> { ["ttlInSeconds"] = "1" }, Ct);

        await Eventually.Async(async () => await sidecars.WaitingAsync("patient") == 0, "the second is over and nobody waits for the event");
        Assert.Empty(billing.At("/dead"));
    }

    [Fact]
    public async Task One_key_under_retry_holds_neither_other_keys_nor_its_own_order()
    {
        var stuck = true;
        await using var billing = Listener("patient", arrival => Volatile.Read(ref stuck) && Key(arrival) == "stuck" ? Results.StatusCode(500) : Results.Ok());
        await using var sidecars = await Broadcast.StartAsync(billing);
        var shop = sidecars.Client();
        for (var i = 0; i < 3; i++) await shop.PublishEventAsync("patient", "order.created", new { key = "stuck", i }, Keyed("stuck"), Ct);
        for (var key = 0; key < 40; key++) await shop.PublishEventAsync("patient", "order.created", new { key = $"{key}", i = 0 }, Keyed($"{key}"), Ct);

        await Eventually.Async(() => billing.At("/orders").Count(arrival => Key(arrival) != "stuck") == 40, "all other keys go on");
        Assert.All(billing.At("/orders").Where(arrival => Key(arrival) == "stuck"), arrival => Assert.Equal(0, arrival.Data.GetProperty("i").GetInt32()));

        Volatile.Write(ref stuck, false);
        await Eventually.Async(async () => await sidecars.WaitingAsync("patient") == 0, "the stuck key goes on");
        Assert.Equal([0, 1, 2], billing.At("/orders").Where(arrival => Key(arrival) == "stuck").Select(arrival => arrival.Data.GetProperty("i").GetInt32()).Distinct());
    }

    [Theory]
    [EveryBroker]
    public async Task Two_instances_of_an_app_share_its_events(string broker)
    {
        await using var one = Listener("pubsub", _ => Results.Ok());
        await using var two = Listener("pubsub", _ => Results.Ok());
        await using var sidecars = await Broadcast.StartAsync(broker, one, two);
        var shop = sidecars.Client();
        await Task.WhenAll(Enumerable.Range(0, 200).Select(i => shop.PublishEventAsync("pubsub", "order.created", new { i }, Ct)));

        await Eventually.Async(async () => one.Arrivals.Count + two.Arrivals.Count >= 200 && await sidecars.WaitingAsync("pubsub") == 0, "all events arrive",
            TimeSpan.FromSeconds(60));   // Kafka may be dividing its partitions anew for half of that
        Assert.Equal(200, one.Arrivals.Concat(two.Arrivals).Select(arrival => arrival.Id).Distinct().Count());
        if (broker == "kafka") return;   // it shares out partitions, when it gets to it: WhenKafkaCarriesEvents waits for that
        Assert.Equal(200, one.Arrivals.Count + two.Arrivals.Count);
        Assert.InRange(one.Arrivals.Count, 40, 160);
    }

    [Fact]
    public async Task Events_with_one_key_stay_in_order_over_two_instances()
    {
        var log = new ConcurrentQueue<(string Key, int I)>();
        var busy = new ConcurrentDictionary<string, bool>();
        var overlaps = 0;
        ListeningApp Instance() => new("billing", app => app.MapPost("/orders", async (Numbered order) =>
        {
            if (!busy.TryAdd(order.Key, true)) Interlocked.Increment(ref overlaps);
            await Task.Delay(Random.Shared.Next(3));
            log.Enqueue((order.Key, order.I));
            busy.TryRemove(order.Key, out _);
            return Results.Ok();
        }).WithTopic("pubsub", "order.created"));
        await using var one = Instance();
        await using var two = Instance();
        await using var sidecars = await Broadcast.StartAsync(one, two);
        var shop = sidecars.Client();
        await Task.WhenAll(Enumerable.Range(0, 20).Select(async key =>
        {
            for (var i = 0; i < 20; i++) await shop.PublishEventAsync("pubsub", "order.created", new Numbered($"{key}", i), Keyed($"{key}"), Ct);
        }));

        await Eventually.Async(() => log.Count == 400, "all events arrive");
        Assert.Equal(0, overlaps);
        Assert.All(log.GroupBy(entry => entry.Key), key => Assert.Equal(Enumerable.Range(0, 20), key.Select(entry => entry.I)));
        Assert.True(one.Arrivals.Count > 50 && two.Arrivals.Count > 50, "both take their share");
    }

    [Theory]
    [EveryBroker]
    public async Task Events_wait_for_an_app_that_is_away_and_then_come_once(string broker)
    {
        await using var billing = Listener("plain", _ => Results.Ok());
        await using var sidecars = await Broadcast.StartAsync(broker, billing);
        var shop = sidecars.Client();
        await shop.PublishEventAsync("plain", "order.created", new { i = 0 }, Ct);
        await Eventually.Async(async () => billing.Arrivals.Count == 1 && await sidecars.WaitingAsync("plain") == 0, "the app is listening");

        await billing.DieAsync();
        for (var i = 1; i <= 20; i++) await shop.PublishEventAsync("plain", "order.created", new { i }, Ct);
        await billing.StartAsync();

        await Eventually.Async(() => billing.At("/orders").Count == 21, "what was published meanwhile arrives", Rejoining);
        Assert.Equal(Enumerable.Range(0, 21), billing.At("/orders").Select(arrival => arrival.Data.GetProperty("i").GetInt32()).Order());
        Assert.Empty(billing.At("/dead"));
    }

    [Theory]
    [EveryBroker]
    public async Task An_app_whose_probes_fail_gets_nothing_until_it_is_well_again(string broker)
    {
        var (well, probes) = (true, 0);
        await using var billing = new ListeningApp("billing", app =>
        {
            app.MapGet("/livez", () =>
            {
                Interlocked.Increment(ref probes);
                return Volatile.Read(ref well) ? Results.Ok() : Results.StatusCode(503);
            });
            app.MapPost("/orders", () => Results.Ok()).WithTopic("plain", "order.created");
        })
        {
            HealthCheck = new AppHealthCheck("/livez", TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(2), Threshold: 2),
        };
        await using var sidecars = await Broadcast.StartAsync(broker, billing);
        Volatile.Write(ref well, false);
        await Eventually.Async(() => !sidecars.Host.Instances[1].Channel.IsHealthy, "the app counts as ill");
        await Eventually.Async(() => !sidecars.Host.Instances[1].Introduced, "it is left alone");

        await sidecars.Client().PublishEventAsync("plain", "order.created", new { i = 0 }, Ct);
        var seen = Volatile.Read(ref probes);
        await Eventually.Async(() => Volatile.Read(ref probes) >= seen + 3, "time passes");
        Assert.Empty(billing.Arrivals);

        Volatile.Write(ref well, true);
        await Eventually.Async(() => billing.Arrivals.Count == 1, "the event arrives");
    }

    [Theory]
    [EveryBroker]
    public async Task An_event_in_the_hands_of_a_dying_instance_goes_to_the_other(string broker)
    {
        var hung = new TaskCompletionSource();
        var hang = 0;
        ListeningApp Instance() => new("billing", app => app.MapPost("/orders", async (HttpContext http) =>
        {
            if (Interlocked.Increment(ref hang) != 1) return Results.Ok();
            hung.SetResult();
            await Task.Delay(Timeout.Infinite, http.RequestAborted);
            return Results.Ok();
        }).WithTopic(new TopicOptions { PubsubName = "plain", Name = "order.created", DeadLetterTopic = "billing.dead" }));
        await using var one = Instance();
        await using var two = Instance();
        await using var sidecars = await Broadcast.StartAsync(broker, one, two);
        await sidecars.Client().PublishEventAsync("plain", "order.created", new { i = 0 }, Ct);
        await hung.Task.WaitAsync(TimeSpan.FromSeconds(10), Ct);

        var (victim, other) = one.Arrivals.IsEmpty ? (two, one) : (one, two);
        await victim.DieAsync();
        await Eventually.Async(async () => other.Arrivals.Count == 1 && await sidecars.WaitingAsync("plain") == 0, "the other instance takes the event", Rejoining);
    }

    [Theory]
    [EveryBroker]
    public async Task An_event_in_the_hands_of_a_dying_app_comes_again_when_the_app_is_back(string broker)
    {
        var hung = new TaskCompletionSource();
        var hang = 0;
        await using var billing = new ListeningApp("billing", app => app.MapPost("/orders", async (HttpContext http) =>
        {
            if (Interlocked.Increment(ref hang) != 1) return Results.Ok();
            hung.SetResult();
            await Task.Delay(Timeout.Infinite, http.RequestAborted);
            return Results.Ok();
        }).WithTopic(new TopicOptions { PubsubName = "plain", Name = "order.created", DeadLetterTopic = "billing.dead" }));
        await using var sidecars = await Broadcast.StartAsync(broker, billing);
        await sidecars.Client().PublishEventAsync("plain", "order.created", new { i = 0 }, Ct);
        await hung.Task.WaitAsync(TimeSpan.FromSeconds(10), Ct);

        await billing.DieAsync();
        await billing.StartAsync();
        await Eventually.Async(async () => billing.Arrivals.Count == 2 && await sidecars.WaitingAsync("plain") == 0, "it comes again", Rejoining);
        Assert.Single(billing.Arrivals.Select(arrival => arrival.Id).Distinct());
    }

    [Theory]
    [EveryBroker]
    public async Task An_event_that_cuts_the_line_again_and_again_is_a_dead_letter(string broker)
    {
        await using var billing = new ListeningApp("billing", app =>
        {
            app.MapPost("/orders", (HttpContext http) => http.Abort()).WithTopic(new TopicOptions { PubsubName = "plain", Name = "order.created", DeadLetterTopic = "billing.dead" });
            app.MapPost("/dead", () => Results.Ok()).WithTopic("plain", "billing.dead");
        });
        await using var sidecars = await Broadcast.StartAsync(broker, billing);
        await sidecars.Client().PublishEventAsync("plain", "order.created", new { i = 0 }, Ct);

        await Eventually.Async(() => billing.At("/dead").Count == 1, "it ends among the dead letters", Rejoining);
        Assert.InRange(billing.At("/orders").Count, 2, 20);
    }

    [Theory]
    [EveryBroker]
    public async Task One_of_two_instances_that_dies_under_load_loses_nothing(string broker)
    {
        const int Events = 400;
        var done = new ConcurrentDictionary<int, bool>();
        ListeningApp Instance() => new("billing", app => app.MapPost("/orders", async (Numbered order, HttpContext http) =>
        {
            await Task.Delay(2, http.RequestAborted);
            done[order.I] = true;
            return Results.Ok();
        }).WithTopic(new TopicOptions { PubsubName = "plain", Name = "order.created", DeadLetterTopic = "billing.dead" }));
        await using var one = Instance();
        await using var two = Instance();
        await using var sidecars = await Broadcast.StartAsync(broker, one, two);
        var shop = sidecars.Client();
        var publishing = Task.Run(async () =>
        {
            for (var i = 0; i < Events; i += 20)
                await shop.BulkPublishEventAsync("plain", "order.created", Enumerable.Range(i, 20).Select(n => new Numbered("", n)).ToList(), cancellationToken: Ct);
        }, Ct);

        await Eventually.Async(() => one.Arrivals.Count >= 10 && two.Arrivals.Count >= 10, "both are at work");
        await one.DieAsync();
        await publishing;
        await Eventually.Async(async () => done.Count == Events && await sidecars.WaitingAsync("plain") == 0, "the other one does the rest", Rejoining);
    }

    [Theory]
    [EveryBroker]
    public async Task Ordered_faults_deliver_twice_or_fail(string broker)
    {
        await using var billing = Listener("pubsub", _ => Results.Ok());
        await using var sidecars = await Broadcast.StartAsync(broker, billing);
        Assert.Null(sidecars.Host.Faults.TryAdd(new Fault { Kind = "deliver", Mode = "twice", Topic = "order.created", App = "billing" }, out _));
        await sidecars.Client().PublishEventAsync("pubsub", "order.created", new { i = 0 }, Ct);
        await Eventually.Async(() => billing.At("/orders").Count == 2, "the event comes twice");
        Assert.Single(billing.At("/orders").Select(arrival => arrival.Id).Distinct());

        Assert.Null(sidecars.Host.Faults.TryAdd(new Fault { Kind = "deliver", Mode = "fail", Topic = "order.created", Times = 4 }, out _));
        await sidecars.Client().PublishEventAsync("pubsub", "order.created", new { i = 1 }, Ct);
        await Eventually.Async(() => billing.At("/dead").Count == 1, "the dead letter arrives");
        Assert.Equal(2, billing.At("/orders").Count);
    }

    private static ListeningApp Listener(string pubsub, Func<JsonElement, IResult> answer) => new("billing", app =>
    {
        app.MapPost("/orders", (JsonElement data) => answer(data)).WithTopic(new TopicOptions { PubsubName = pubsub, Name = "order.created", DeadLetterTopic = "billing.dead" });
        app.MapPost("/dead", () => Results.Ok()).WithTopic(pubsub, "billing.dead");
    });

    private static Dictionary<string, string> Keyed(string key) => new() { ["partitionKey"] = key };

    private static string Key(JsonElement data) => data.TryGetProperty("key", out var key) ? key.GetString()! : "";

    private static string Key(Arrival arrival) => Key(arrival.Data);

    private sealed record Numbered(string Key, int I);
}
