using System.Collections.Concurrent;
using Marketplace.TestKit;
using Microsoft.Extensions.DependencyInjection;
using Xunit;

namespace Marketplace.Hosting.Tests;

public sealed class WhenEventsLeaveTheOutbox
{
    [Fact]
    public async Task They_are_published_with_the_outbox_id_as_the_events_id()
    {
        await using var sidecar = await FakeSidecar.StartAsync();
        await using var app = await SampleApp.StartAsync(settings: sidecar.Settings());
        var lamp = Guid.CreateVersion7();

        await app.LightAsync(lamp, 1);
        await Eventually.Async(() => sidecar.Published.Count == 1, "the event reaches the sidecar");

        var published = sidecar.Published.Single();
        var eventId = await app.ScalarAsync<Guid>("SELECT event_id FROM outbox");
        Assert.Equal(("pubsub", "lamp.lit", "application/json"), (published.PubsubName, published.Topic, published.DataContentType));
        Assert.Equal(eventId.ToString(), published.Metadata["cloudevent.id"]);
        Assert.Equal("lamp.lit", published.Metadata["cloudevent.type"]);
        Assert.Equal(lamp.ToString(), published.Metadata["cloudevent.subject"]);
        Assert.Equal(lamp.ToString(), published.Metadata["partitionKey"]);
        Assert.Contains($"\"lampId\":\"{lamp}\"", published.Data.ToStringUtf8(), StringComparison.Ordinal);
        Assert.DoesNotContain("0001-01-01", published.Data.ToStringUtf8(), StringComparison.Ordinal);
        await Eventually.Async(async () => await app.ScalarAsync<long>("SELECT count(*) FROM outbox WHERE sent_at IS NULL") == 0, "the row is marked");
    }

    [Fact]
    public async Task What_was_committed_before_a_crash_goes_out_after_the_restart()
    {
        var connection = await TestDatabase.CreateAsync(typeof(SampleApp).Assembly);
        await using (var before = await SampleApp.StartAsync(connection))        // its relay is off: as good as killed after the commit
            await before.LightAsync(Guid.CreateVersion7(), 1, 2);

        await using var sidecar = await FakeSidecar.StartAsync();
        await using var after = await SampleApp.StartAsync(connection, sidecar.Settings());

        await Eventually.Async(() => sidecar.Published.Count == 2, "the relay of the next process finds the rows");
    }

    [Fact]
    public async Task A_transaction_that_rolls_back_announces_nothing()
    {
        await using var sidecar = await FakeSidecar.StartAsync();
        await using var app = await SampleApp.StartAsync(settings: sidecar.Settings());
        var lamp = Guid.CreateVersion7();

        await using (var connection = await app.Database.OpenConnectionAsync())
        await using (var tx = await connection.BeginTransactionAsync())
            await Outbox.AddAsync(tx, new LampLit(lamp, 1), lamp, default);
        await app.LightAsync(lamp, 2);

        await Eventually.Async(() => !sidecar.Published.IsEmpty, "the committed one goes out");
        Assert.Contains("\"lit\":2", Assert.Single(sidecar.Published).Data.ToStringUtf8(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_sidecar_that_is_away_parks_nothing_and_everything_goes_out_when_it_is_back()
    {
        await using var sidecar = await FakeSidecar.StartAsync();
        sidecar.Fail(Grpc.Core.StatusCode.Unavailable);
        await using var app = await SampleApp.StartAsync(settings: sidecar.Settings(("Outbox:Tries", "1")));

        await app.LightAsync(Guid.CreateVersion7(), 1, 2, 3);
        await Eventually.Async(() => sidecar.Refused >= 2, "the relay tries again");
        Assert.Equal(0, await app.ScalarAsync<long>("SELECT count(*) FROM outbox WHERE parked_at IS NOT NULL"));

        sidecar.Fail(null);
        await Eventually.Async(() => sidecar.Published.Count == 3, "the rows go out");
    }

    [Fact]
    public async Task Two_replicas_keep_the_order_of_every_aggregate_and_send_each_row_once()
    {
        var handled = new ConcurrentQueue<(Guid Lamp, int Number, string Replica)>();
        var connection = await TestDatabase.CreateAsync(typeof(SampleApp).Assembly);
        await using var one = await StartWithLaneAsync(connection, Handle("one"), ("Outbox:BatchSize", "3"));
        await using var two = await StartWithLaneAsync(connection, Handle("two"), ("Outbox:BatchSize", "3"));
        var lamps = Enumerable.Range(0, 12).Select(_ => Guid.CreateVersion7()).ToArray();

        for (var number = 1; number <= 30; number++)
        {
            foreach (var lamp in lamps)
                await (number % 2 == 0 ? one : two).CommandAsync("lamps", lamp, number);
        }

        await Eventually.Async(() => handled.Count >= 12 * 30, "all rows are handled", TimeSpan.FromSeconds(30));

        foreach (var lamp in lamps)
            Assert.Equal(Enumerable.Range(1, 30), handled.Where(row => row.Lamp == lamp).Select(row => row.Number));
        Assert.Equal(2, handled.Select(row => row.Replica).Distinct().Count());

        Func<OutboxMessage, Task> Handle(string replica) => async message =>
        {
            await Task.Delay(Random.Shared.Next(0, 3));
            handled.Enqueue((message.AggregateId, message.Read<int>(), replica));
        };
    }

    [Fact]
    public async Task While_one_replica_is_slow_with_a_row_the_other_passes_everything_but_what_follows_it()
    {
        var handled = new ConcurrentQueue<(Guid Lamp, int Number)>();
        var release = new TaskCompletionSource();
        var held = new TaskCompletionSource();
        var (slow, quick) = (Guid.CreateVersion7(), Guid.CreateVersion7());
        var connection = await TestDatabase.CreateAsync(typeof(SampleApp).Assembly);
        await using var one = await StartWithLaneAsync(connection, HandleAsync, ("Outbox:BatchSize", "1"));
        await one.CommandAsync("lamps", slow, 1);
        await held.Task;
        await using var two = await StartWithLaneAsync(connection, HandleAsync, ("Outbox:BatchSize", "1"));

        await two.CommandAsync("lamps", slow, 2);
        await two.CommandAsync("lamps", quick, 1);
        await two.CommandAsync("lamps", quick, 2);
        await Eventually.Async(() => handled.Count == 2, "the other aggregate passes");
        Assert.Equal([(quick, 1), (quick, 2)], handled);

        release.SetResult();
        await Eventually.Async(() => handled.Count == 4, "the slow one goes on");
        Assert.Equal([1, 2], handled.Where(row => row.Lamp == slow).Select(row => row.Number));

        async Task HandleAsync(OutboxMessage message)
        {
            if (message.AggregateId == slow && message.Read<int>() == 1)
            {
                held.TrySetResult();
                await release.Task;
            }

            handled.Enqueue((message.AggregateId, message.Read<int>()));
        }
    }

    [Fact]
    public async Task A_relay_that_loses_its_database_connection_sends_again_and_in_order()
    {
        var handled = new ConcurrentQueue<int>();
        var cut = false;
        var lamp = Guid.CreateVersion7();
        var connection = await TestDatabase.CreateAsync(typeof(SampleApp).Assembly);
        await using var bystander = Npgsql.NpgsqlDataSource.Create(connection);
        await using var app = await StartWithLaneAsync(connection, async message =>
        {
            handled.Enqueue(message.Read<int>());
            if (message.Read<int>() == 2 && !cut)
            {
                cut = true;                                     // between the effect and the mark
                await using var kill = bystander.CreateCommand("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle in transaction'");
                await kill.ExecuteNonQueryAsync();
            }
        });

        foreach (var number in new[] { 1, 2, 3 })
            await app.CommandAsync("lamps", lamp, number);

        await Eventually.Async(async () => await app.ScalarAsync<long>("SELECT count(*) FROM outbox WHERE sent_at IS NULL") == 0, "everything is marked in the end");
        Assert.True(cut);
        Assert.Equal([1, 2, 3], handled.Distinct());
        Assert.Equal(3, handled.Last());
    }

    [Fact]
    public async Task A_row_that_fails_holds_back_its_own_aggregate_only()
    {
        var handled = new ConcurrentQueue<(Guid Lamp, int Number)>();
        var (stubborn, easy) = (Guid.CreateVersion7(), Guid.CreateVersion7());
        var failures = 0;
        await using var app = await StartWithLaneAsync(null, message =>
        {
            var number = message.Read<int>();
            if (message.AggregateId == stubborn && number == 1 && Interlocked.Increment(ref failures) <= 2)
                throw new InvalidOperationException("not yet");
            handled.Enqueue((message.AggregateId, number));
            return Task.CompletedTask;
        });

        foreach (var number in new[] { 1, 2, 3 })
        {
            await app.CommandAsync("lamps", stubborn, number);
            await app.CommandAsync("lamps", easy, number);
        }

        await Eventually.Async(() => handled.Count == 6, "both aggregates are done");
        Assert.Equal([1, 2, 3], handled.Where(row => row.Lamp == stubborn).Select(row => row.Number));
        Assert.Equal([1, 2, 3], handled.Where(row => row.Lamp == easy).Select(row => row.Number));
        Assert.Equal(3, failures);
    }

    [Fact]
    public async Task A_poison_row_is_parked_what_follows_it_waits_and_an_operator_sets_it_free()
    {
        var handled = new ConcurrentQueue<int>();
        var (cursed, fine) = (Guid.CreateVersion7(), Guid.CreateVersion7());
        var poisonous = true;
        await using var app = await StartWithLaneAsync(
            null,
            message =>
            {
                var number = message.Read<int>();
                if (number == 13 && Volatile.Read(ref poisonous))
                    throw new InvalidOperationException("bad luck");
                handled.Enqueue(number);
                return Task.CompletedTask;
            },
            ("Outbox:Tries", "2"));

        await app.CommandAsync("lamps", cursed, 13);
        await app.CommandAsync("lamps", cursed, 14);
        await Eventually.Async(async () => await app.ScalarAsync<long>("SELECT count(*) FROM outbox WHERE parked_at IS NOT NULL") == 1, "the row is parked");
        await app.CommandAsync("lamps", fine, 1);
        await Eventually.Async(() => !handled.IsEmpty, "another aggregate passes");
        Assert.Equal([1], handled);

        using var operations = app.As(TestTokens.Operator());
        var list = await operations.GetStringAsync("/api/v1/operations/sample/outbox");
        Assert.Contains("bad luck", list, StringComparison.Ordinal);
        Assert.Contains("\"parked\":true", list, StringComparison.Ordinal);
        Assert.Contains("\"waitingBehind\":1", list, StringComparison.Ordinal);

        Volatile.Write(ref poisonous, false);
        var position = await app.ScalarAsync<long>("SELECT position FROM outbox WHERE parked_at IS NOT NULL");
        (await operations.PostAsync($"/api/v1/operations/sample/outbox/{position}/retry", null)).EnsureSuccessStatusCode();
        await Eventually.Async(() => handled.Count == 3, "both go out");
        Assert.Equal([1, 13, 14], handled);
    }

    [Fact]
    public async Task A_discarded_row_frees_what_follows_it()
    {
        var handled = new ConcurrentQueue<int>();
        var lamp = Guid.CreateVersion7();
        await using var app = await StartWithLaneAsync(
            null,
            message =>
            {
                if (message.Read<int>() == 13)
                    throw new InvalidOperationException("bad luck");
                handled.Enqueue(message.Read<int>());
                return Task.CompletedTask;
            },
            ("Outbox:Tries", "1"));
        await app.CommandAsync("lamps", lamp, 13);
        await app.CommandAsync("lamps", lamp, 14);
        await Eventually.Async(async () => await app.ScalarAsync<long>("SELECT count(*) FROM outbox WHERE parked_at IS NOT NULL") == 1, "the row is parked");

        using var operations = app.As(TestTokens.Operator());
        var position = await app.ScalarAsync<long>("SELECT position FROM outbox WHERE parked_at IS NOT NULL");
        (await operations.DeleteAsync($"/api/v1/operations/sample/outbox/{position}")).EnsureSuccessStatusCode();

        await Eventually.Async(() => handled.SequenceEqual([14]), "the next one goes out");
    }

    [Fact]
    public async Task A_stop_sends_what_was_committed_last()
    {
        await using var sidecar = await FakeSidecar.StartAsync();
        await using (var app = await SampleApp.StartAsync(settings: sidecar.Settings(("Outbox:Poll", "00:01:00"))))
            await app.LightAsync(Guid.CreateVersion7(), [.. Enumerable.Range(1, 100)]);

        Assert.Equal(100, sidecar.Published.Count);
    }

    [Fact]
    public async Task Sent_rows_are_pruned_unsent_ones_stay()
    {
        await using var app = await SampleApp.StartAsync();
        await app.LightAsync(Guid.CreateVersion7(), 1, 2);
        await app.ScalarAsync<int>("UPDATE outbox SET sent_at = now() - interval '1 day' WHERE payload->>'lit' = '1'");
        await app.ScalarAsync<int>("INSERT INTO inbox (event_id, received_at) VALUES (gen_random_uuid(), now() - interval '30 days'), (gen_random_uuid(), now())");

        await app.Services.GetServices<Microsoft.Extensions.Hosting.IHostedService>().OfType<Housekeeping>().Single().PruneAsync(default);

        Assert.Equal(1, await app.ScalarAsync<long>("SELECT count(*) FROM outbox"));
        Assert.Equal(1, await app.ScalarAsync<long>("SELECT count(*) FROM inbox"));
    }

    private static Task<SampleApp> StartWithLaneAsync(string? connection, Func<OutboxMessage, Task> handle, params (string Key, string? Value)[] settings) => SampleApp.StartAsync(
        connection,
        settings.Append(("Outbox:Lanes", "true")).ToDictionary(setting => setting.Item1, setting => setting.Item2),
        services => services.AddOutboxLane("lamps", (_, message, _) => handle(message)));
}
