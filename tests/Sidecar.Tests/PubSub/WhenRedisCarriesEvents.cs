using System.Collections.Concurrent;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using Dapr;
using Marketplace.Local.Redis;
using Marketplace.Local.Sidecar;
using Marketplace.Local.Sidecar.Resources;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using StackExchange.Redis;
using Xunit;

namespace Marketplace.Sidecar.Tests.PubSub;

/// <summary>What is Redis's own in pubsub.redis, on a real server: streams, groups, pending entries, and a server that dies.</summary>
public sealed class WhenRedisCarriesEvents
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task An_event_is_an_entry_with_data_and_metadata_and_each_app_a_group()
    {
        var redis = await RedisBroker.StartAsync();
        await using var billing = Listener("billing", () => Results.Ok());
        await using var mailing = Listener("mailing", () => Results.Ok());
        await using var sidecars = await Broadcast.StartAsync(redis, "", billing, mailing);
        await using var connection = await redis.ConnectAsync();

        await sidecars.Client().PublishEventAsync("pubsub", "order.created", new { i = 1 }, new Dictionary<string, string> { ["partitionKey"] = "k" }, Ct);
        await Eventually.Async(() => billing.Arrivals.Count == 1 && mailing.Arrivals.Count == 1, "both apps get it");

        var entry = Assert.Single(await connection.GetDatabase().StreamRangeAsync("order.created"));
        using var envelope = JsonDocument.Parse((byte[])entry["data"]!);
        Assert.Equal(billing.Arrivals.Single().Id, envelope.RootElement.GetProperty("id").GetString());
        using var metadata = JsonDocument.Parse((byte[])entry["metadata"]!);
        Assert.Equal("k", metadata.RootElement.GetProperty("partitionKey").GetString());
        Assert.Equal("k", billing.Arrivals.Single().Headers["partitionKey"]);
        var groups = await connection.GetDatabase().StreamGroupInfoAsync("order.created");
        Assert.Equal(["billing", "mailing"], groups.Select(group => group.Name).Order());
        await Eventually.Async(async () => await sidecars.WaitingAsync("pubsub") == 0, "both are acknowledged");
    }

    [Fact]
    public async Task A_failure_is_acknowledged_once_the_policy_gives_up()
    {
        var redis = await RedisBroker.StartAsync();
        await using var billing = Listener("billing", () => Results.StatusCode(500));
        await using var sidecars = await Broadcast.StartAsync(redis, "", billing);
        await sidecars.Client().PublishEventAsync("pubsub", "order.created", new { i = 1 }, Ct);

        await Eventually.Async(async () => billing.Arrivals.Count == 4 && await sidecars.WaitingAsync("pubsub") == 0, "four tries, and it is gone");
    }

    [Fact]
    public async Task An_app_that_is_new_gets_what_the_stream_still_holds()
    {
        var redis = await RedisBroker.StartAsync();
        await using var billing = Listener("billing", () => Results.Ok());
        await using var sidecars = await Broadcast.StartAsync(redis, "", billing);
        for (var i = 0; i < 5; i++) await sidecars.Client().PublishEventAsync("pubsub", "order.created", new { i }, Ct);
        await Eventually.Async(() => billing.Arrivals.Count == 5, "the old app has them");

        await using var mailing = Listener("mailing", () => Results.Ok());
        await using var later = await Broadcast.StartAsync(new Borrowed(redis), "", mailing);
        await Eventually.Async(() => mailing.Arrivals.Count == 5, "the new app gets the history");
    }

    [Fact]
    public async Task Killed_with_events_under_way_and_started_again_the_server_has_them_all()
    {
        var redis = await RedisBroker.StartAsync();
        var open = false;
        var done = new ConcurrentDictionary<int, int>();
        await using var billing = new ListeningApp("billing", app => app.MapPost("/orders", (Numbered order) =>
        {
            if (!Volatile.Read(ref open) && order.I % 2 == 0) return Results.StatusCode(503);
            done.AddOrUpdate(order.I, 1, (_, times) => times + 1);
            return Results.Ok();
        }).WithTopic("patient", "order.created"));
        await using var sidecars = await Broadcast.StartAsync(redis, "", billing);
        for (var i = 0; i < 40; i++) await sidecars.Client().PublishEventAsync("patient", "order.created", new Numbered(i), Ct);
        await Eventually.Async(() => done.Count == 20, "the odd ones are done");

        await redis.KillAsync();
        using var refused = await sidecars.Http().PostAsync("v1.0/publish/patient/order.created", new StringContent("""{"i":100}""", Encoding.UTF8, "application/json"), Ct);
        Assert.Equal(HttpStatusCode.InternalServerError, refused.StatusCode);
        Assert.Contains("ERR_PUBSUB_PUBLISH_MESSAGE", await refused.Content.ReadAsStringAsync(Ct), StringComparison.Ordinal);

        await redis.UpAsync();
        Volatile.Write(ref open, true);
        await Eventually.Async(async () =>
        {
            using var published = await sidecars.Http().PostAsync("v1.0/publish/patient/order.created", new StringContent("""{"i":101}""", Encoding.UTF8, "application/json"), Ct);
            return published.IsSuccessStatusCode;
        }, "publishing works again");
        await Eventually.Async(async () => done.ContainsKey(101) && done.Count == 41 && await sidecars.WaitingAsync("patient") == 0, "everything is done and acknowledged");
    }

    [Fact]
    public async Task Emptied_under_our_feet_the_groups_are_made_anew()
    {
        var redis = await RedisBroker.StartAsync();
        await using var billing = Listener("billing", () => Results.Ok());
        await using var sidecars = await Broadcast.StartAsync(redis, "", billing);
        await sidecars.Client().PublishEventAsync("pubsub", "order.created", new { i = 0 }, Ct);
        await Eventually.Async(() => billing.Arrivals.Count == 1, "the app listens");

        await using var connection = await redis.ConnectAsync();
        await connection.GetServers()[0].FlushAllDatabasesAsync();
        await sidecars.Client().PublishEventAsync("pubsub", "order.created", new { i = 1 }, Ct);
        await Eventually.Async(() => billing.Arrivals.Count == 2, "it still listens");
    }

    [Fact]
    public async Task What_another_consumer_of_the_group_forgot_is_claimed_after_the_processing_timeout()
    {
        var redis = await RedisBroker.StartAsync();
        await using var connection = await redis.ConnectAsync();
        var database = connection.GetDatabase();
        await database.StreamAddAsync("order.created", [new NameValueEntry("data", """{"id":"1","specversion":"1.0","type":"t","source":"s","data":{"i":1}}""")]);
        await database.StreamAddAsync("order.created", [new NameValueEntry("data", """{"id":"2","specversion":"1.0","type":"t","source":"s","data":{"i":2}}""")]);
        await database.StreamCreateConsumerGroupAsync("order.created", "billing", "0");
        var taken = await database.StreamReadGroupAsync("order.created", "billing", "billing", ">");   // as a daprd that died
        await database.StreamDeleteAsync("order.created", [taken[1].Id]);                             // and one of them was trimmed away since

        await using var billing = new ListeningApp("billing", app => app.MapPost("/orders", () => Results.Ok()).WithTopic("quick", "order.created"));
        await using var sidecars = await Broadcast.StartAsync(redis, "---\n" + BrokersUnderTest.Yaml("quick", "pubsub.redis",
            [("redisHost", $"127.0.0.1:{redis.Port}"), ("processingTimeout", "300"), ("redeliverInterval", "100ms")]), billing);

        await Eventually.Async(async () => billing.Arrivals.Count == 1 && (await database.StreamPendingAsync("order.created", "billing")).PendingMessageCount == 0, "one is handled, the other is gone");
        Assert.Equal("1", billing.Arrivals.Single().Id);
    }

    [Fact]
    public async Task A_long_retry_is_not_taken_for_forgotten()
    {
        var redis = await RedisBroker.StartAsync();
        var calls = 0;
        var handled = new TaskCompletionSource();
        await using var billing = new ListeningApp("billing", app => app.MapPost("/orders", async () =>
        {
            Interlocked.Increment(ref calls);
            await handled.Task;
            return Results.Ok();
        }).WithTopic("quick", "order.created"));
        await using var sidecars = await Broadcast.StartAsync(redis, "---\n" + BrokersUnderTest.Yaml("quick", "pubsub.redis",
            [("redisHost", $"127.0.0.1:{redis.Port}"), ("processingTimeout", "300ms"), ("redeliverInterval", "100ms")]), billing);

        await sidecars.Client().PublishEventAsync("quick", "order.created", new { i = 1 }, Ct);
        await Eventually.Async(() => calls == 1, "it is in hand");
        await using var connection = await redis.ConnectAsync();
        var before = await LooksAsync();
        await Eventually.Async(async () => await LooksAsync() >= before + 15, "what is forgotten was looked for during many times the processing timeout");
        handled.SetResult();

        await Eventually.Async(async () => await sidecars.WaitingAsync("quick") == 0, "it is done");
        Assert.Equal(1, calls);

        async Task<long> LooksAsync()
        {
            var stats = (await connection.GetServer(connection.GetEndPoints()[0]).InfoAsync("commandstats")).SelectMany(section => section);
            return stats.FirstOrDefault(stat => stat.Key == "cmdstat_xpending").Value is { } looks ? long.Parse(looks.Split(',')[0]["calls=".Length..], null) : 0;
        }
    }

    [Fact]
    public async Task No_more_is_taken_in_hand_than_the_queue_is_deep()
    {
        var redis = await RedisBroker.StartAsync();
        var gate = new TaskCompletionSource();
        await using var billing = new ListeningApp("billing", app =>
        {
            app.MapPost("/orders", async () =>
            {
                await gate.Task;
                return Results.Ok();
            }).WithTopic("narrow", "order.created");
            app.MapPost("/others", () => Results.Ok()).WithTopic("narrow", "order.paid");
        });
        await using var sidecars = await Broadcast.StartAsync(redis, "---\n" + BrokersUnderTest.Yaml("narrow", "pubsub.redis",
            [("redisHost", $"127.0.0.1:{redis.Port}"), ("queueDepth", "4"), ("concurrency", "2")]), billing);
        var shop = sidecars.Client();
        await shop.BulkPublishEventAsync("narrow", "order.created", Enumerable.Range(0, 50).Select(i => new Numbered(i)).ToList(), cancellationToken: Ct);
        await shop.PublishEventAsync("narrow", "order.paid", new Numbered(0), Ct);

        await Eventually.Async(() => billing.At("/others").Count == 1 && billing.At("/orders").Count == 2, "two at a time, and other topics go on");
        await using var connection = await redis.ConnectAsync();
        Assert.InRange((await connection.GetDatabase().StreamPendingAsync("order.created", "billing")).PendingMessageCount, 2, 7);
        gate.SetResult();
        await Eventually.Async(async () => billing.At("/orders").Count == 50 && await sidecars.WaitingAsync("narrow") == 0, "all are done");
    }

    [Theory]
    [InlineData("maxLenApprox", "100")]
    [InlineData("streamTTL", "1ms")]
    public async Task A_stream_is_trimmed_while_it_grows(string setting, string value)
    {
        var redis = await RedisBroker.StartAsync();
        await using var sidecars = await Broadcast.StartAsync(redis, "---\n" + BrokersUnderTest.Yaml("short", "pubsub.redis", [("redisHost", $"127.0.0.1:{redis.Port}"), (setting, value)]));
        for (var batch = 0; batch < 6; batch++)
            await sidecars.Client().BulkPublishEventAsync("short", "order.created", Enumerable.Range(0, 100).Select(i => new Numbered(i)).ToList(), cancellationToken: Ct);

        // Redis trims by whole nodes of a hundred entries.
        await using var connection = await redis.ConnectAsync();
        Assert.InRange(await connection.GetDatabase().StreamLengthAsync("order.created"), 1, 300);
    }

    [Fact]
    public async Task Two_hosts_share_the_load_and_one_that_is_killed_loses_nothing()
    {
        const int Events = 600;
        var redis = await RedisBroker.StartAsync();
        var settings = new[] { ("processingTimeout", "1s"), ("redeliverInterval", "200ms") };
        redis.Always = settings;
        ListeningApp Instance() => new("billing", app => app.MapPost("/orders", async () =>
        {
            await Task.Delay(5);
            return Results.Ok();
        }).WithTopic("patient", "order.created"));
        await using var one = Instance();
        await using var two = Instance();
        await using var first = await Broadcast.StartProcessAsync(redis, one);
        await using var second = await Broadcast.StartAsync(new Borrowed(redis), "", two);

        var publishing = Task.Run(async () =>
        {
            for (var batch = 0; batch < Events / 20; batch++)
                await second.Client().BulkPublishEventAsync("patient", "order.created", Enumerable.Range(batch * 20, 20).Select(i => new Numbered(i)).ToList(), cancellationToken: Ct);
        }, Ct);
        await Eventually.Async(() => one.Arrivals.Count > 20 && two.Arrivals.Count > 20, "both get their share");
        await first.KillAsync();
        await publishing;

        await Eventually.Async(async () => await second.WaitingAsync("patient") == 0, "nothing waits any more", TimeSpan.FromSeconds(30));
        Assert.Equal(Events, one.Arrivals.Concat(two.Arrivals).Select(arrival => arrival.Data.GetProperty("i").GetInt32()).Distinct().Count());
    }

    [Fact]
    public async Task Behind_TLS_a_name_and_a_password_it_works_as_well()
    {
        using var key = RSA.Create(2048);
        using var certificate = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1)
            .CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        var redis = await RedisBroker.StartAsync((certificate.ExportCertificatePem(), key.ExportPkcs8PrivateKeyPem()), "--user", "shop", "on", ">secret", "~*", "&*", "+@all", "--user", "default", "off");
        await using var billing = Listener("billing", () => Results.Ok());
        await using var sidecars = await Broadcast.StartAsync(redis, "", billing);

        await sidecars.Client().PublishEventAsync("pubsub", "order.created", new { i = 1 }, Ct);
        await Eventually.Async(async () => billing.Arrivals.Count == 1 && await sidecars.WaitingAsync("pubsub") == 0, "it arrives");
    }

    [Fact]
    public async Task A_server_without_streams_is_refused_by_name()
    {
        var folder = Directory.CreateTempSubdirectory("sidecar-tests-garnet-").FullName;
        var port = Ports.Free();
        using (RedisCommand.Start(port, folder, password: null))
        {
            var refused = await Assert.ThrowsAsync<ResourceException>(() => Broadcast.StartAsync(new InMemoryBroker(),
                "---\n" + BrokersUnderTest.Yaml("events", "pubsub.redis", [("redisHost", $"127.0.0.1:{port}")])));
            Assert.Contains("knows no streams", refused.Message, StringComparison.Ordinal);
            Assert.Contains("install redis-server or valkey-server", refused.Message, StringComparison.Ordinal);
            Assert.Contains("all.yaml:", refused.Message, StringComparison.Ordinal);
        }
        Directory.Delete(folder, recursive: true);
    }

    private static ListeningApp Listener(string appId, Func<IResult> answer) => new(appId, app => app.MapPost("/orders", answer).WithTopic("pubsub", "order.created"));

    /// <summary>Somebody else ends it.</summary>
    private sealed class Borrowed(IBroker broker) : IBroker
    {
        public string Component(string name, params (string Name, string Value)[] metadata) => broker.Component(name, metadata);

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }

    private sealed record Numbered(int I);
}
