using Dapr;
using Marketplace.Local.Sidecar;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Xunit;

namespace Marketplace.Sidecar.Tests.PubSub;

/// <summary>SIGKILL of the real process: what was acknowledged to a publisher still arrives.</summary>
public sealed class WhenTheSidecarHostIsKilled
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory]
    [EveryBroker]
    public async Task Events_that_were_not_answered_yet_come_again(string broker)
    {
        var open = false;
        await using var billing = new ListeningApp("billing", app => app.MapPost("/orders", () => Volatile.Read(ref open) ? Results.Ok() : Results.StatusCode(500))
            .WithTopic(new TopicOptions { PubsubName = "patient", Name = "order.created" }));
        await using var sidecars = await Broadcast.StartProcessAsync(await BrokersUnderTest.StartAsync(broker), billing);
        var shop = sidecars.Client();
        for (var i = 0; i < 50; i++) await shop.PublishEventAsync("patient", "order.created", new { i }, new Dictionary<string, string> { ["partitionKey"] = $"{i % 5}" }, Ct);
        await Eventually.Async(() => billing.Arrivals.Count >= 5, "the first tries fail");

        await sidecars.KillAsync();
        billing.Arrivals.Clear();
        Volatile.Write(ref open, true);
        await sidecars.UpProcessAsync();

        await Eventually.Async(() => Numbers().Count == 50, "every event arrives after all", TimeSpan.FromSeconds(20));
        if (broker == BrokersUnderTest.InMemory) Assert.All(Numbers().GroupBy(i => i % 5), key => Assert.Equal(key.Order(), key));

        List<int> Numbers() => [.. billing.Arrivals.Select(arrival => arrival.Data.GetProperty("i").GetInt32()).Distinct()];
    }

    [Fact]
    public async Task Killed_again_and_again_while_events_pour_in_it_loses_none_and_keeps_the_order_of_each_key()
    {
        const int Keys = 8;
        const int PerKey = 60;
        await using var billing = new ListeningApp("billing", app => app.MapPost("/orders", () => Results.Ok()).WithTopic("patient", "order.created"));
        await using var sidecars = await Broadcast.StartProcessAsync(new InMemoryBroker(), billing);
        var shop = sidecars.Client();
        var acknowledged = 0;
        var publishing = Task.WhenAll(Enumerable.Range(0, Keys).Select(async key =>
        {
            for (var i = 0; i < PerKey; i++)
            {
                await Eventually.Async(() => PublishedAsync(key, i), "the host comes back", TimeSpan.FromSeconds(60));
                Interlocked.Increment(ref acknowledged);
            }
        }));

        for (var kill = 1; kill <= 3; kill++)
        {
            await Eventually.Async(() => Volatile.Read(ref acknowledged) >= kill * Keys * PerKey / 4, "events pour in", TimeSpan.FromSeconds(60));
            await sidecars.KillAsync();
            await sidecars.UpProcessAsync();
        }

        await publishing;
        await Eventually.Async(() => Seen().Count == Keys * PerKey, "every acknowledged event arrives", TimeSpan.FromSeconds(30));
        Assert.All(Seen().GroupBy(entry => entry.Key), key => Assert.Equal(Enumerable.Range(0, PerKey), key.Select(entry => entry.I)));

        List<(int Key, int I)> Seen() => [.. billing.Arrivals.Select(arrival => (arrival.Data.GetProperty("key").GetInt32(), arrival.Data.GetProperty("i").GetInt32())).Distinct()];

        async Task<bool> PublishedAsync(int key, int i)
        {
            try
            {
                await shop.PublishEventAsync("patient", "order.created", new { key, i }, new Dictionary<string, string> { ["partitionKey"] = $"{key}" }, Ct);
                return true;
            }
            catch (DaprException)
            {
                return false;
            }
        }
    }

    [Theory]
    [EveryBroker]
    public async Task An_event_under_retry_when_the_host_stops_in_order_comes_again(string broker)
    {
        var open = false;
        await using var billing = new ListeningApp("billing", app => app.MapPost("/orders", () => Volatile.Read(ref open) ? Results.Ok() : Results.StatusCode(500))
            .WithTopic(new TopicOptions { PubsubName = "patient", Name = "order.created", DeadLetterTopic = "billing.dead" }));
        await using var sidecars = await Broadcast.StartAsync(broker, billing);
        await sidecars.Client().PublishEventAsync("patient", "order.created", new { i = 1 }, Ct);
        await Eventually.Async(() => billing.Arrivals.Count >= 2, "the first tries fail");

        await sidecars.DownAsync();
        billing.Arrivals.Clear();
        Volatile.Write(ref open, true);
        await sidecars.UpAsync();
        await Eventually.Async(() => billing.Arrivals.Count == 1, "it arrives after all");
    }

    [Fact]
    public async Task A_second_host_keeps_its_hands_off_the_journal()
    {
        await using var sidecars = await Broadcast.StartAsync();
        var second = sidecars.Plan with { ControlPort = 0, Apps = [.. sidecars.Plan.Apps.Select(app => app with { HttpPort = Ports.Free(), GrpcPort = Ports.Free() })] };
        var refused = await Assert.ThrowsAsync<IOException>(() => SidecarHost.StartAsync(second, ct: Ct));
        Assert.Contains("in use by another sidecar host", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_topic_the_app_no_longer_listens_to_is_given_up()
    {
        var both = true;
        await using var billing = new ListeningApp("billing", app =>
        {
            app.MapPost("/orders", () => Results.Ok()).WithTopic("patient", "order.created");
            if (both) app.MapPost("/returns", () => Results.StatusCode(500)).WithTopic("patient", "order.returned");
        });
        await using var sidecars = await Broadcast.StartAsync(billing);
        await sidecars.Client().PublishEventAsync("patient", "order.returned", new { i = 1 }, Ct);
        await Eventually.Async(() => billing.At("/returns").Count >= 1, "the first try fails");

        await sidecars.DownAsync();
        await billing.DieAsync();
        both = false;
        await billing.StartAsync();
        await sidecars.UpAsync();
        await Eventually.Async(async () => await sidecars.WaitingAsync("patient") == 0, "what waited for it is dropped");
    }

    [Theory]
    [EveryBroker]
    public async Task Events_for_an_app_that_was_away_are_kept_over_the_kill(string broker)
    {
        await using var billing = new ListeningApp("billing", app => app.MapPost("/orders", () => Results.Ok())
            .WithTopic(new TopicOptions { PubsubName = "pubsub", Name = "order.created" }));
        await using var sidecars = await Broadcast.StartProcessAsync(await BrokersUnderTest.StartAsync(broker), billing);
        var shop = sidecars.Client();
        await shop.PublishEventAsync("pubsub", "order.created", new { i = 0 }, Ct);
        await Eventually.Async(() => billing.Arrivals.Count == 1, "the app is listening");

        await billing.DieAsync();
        for (var i = 1; i <= 10; i++) await shop.PublishEventAsync("pubsub", "order.created", new { i }, Ct);
        await sidecars.KillAsync();
        await sidecars.UpProcessAsync();
        await shop.PublishEventAsync("pubsub", "order.created", new { i = 11 }, Ct);
        await billing.StartAsync();

        // The first one may come twice: the app went away while it was still answering it.
        await Eventually.Async(() => billing.Arrivals.Select(arrival => arrival.Data.GetProperty("i").GetInt32()).Distinct().Count() == 12, "everything arrives", TimeSpan.FromSeconds(20));
    }
}
