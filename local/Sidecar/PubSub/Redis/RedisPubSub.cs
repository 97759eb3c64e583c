using System.Collections.Concurrent;
using System.Text;
using System.Text.Json;
using System.Threading.Channels;
using Marketplace.Local.Sidecar.Resources;
using StackExchange.Redis;

namespace Marketplace.Local.Sidecar.PubSub.Redis;

/// <summary>
/// pubsub.redis for one app: a stream for each topic with the fields <c>data</c> and <c>metadata</c>, one consumer group for each consumerID, as Dapr's
/// component has them, so that both can work on the same streams. A failed message is acknowledged; one that nobody answered stays pending and comes again.
/// </summary>
/// <remarks>
/// All instances of the app in this host are one consumer, whose name belongs to the host: what is pending under it at a start can only be left over from
/// an earlier life, and is taken up at once. daprd names every consumer after the group, where that cannot be told from what another daprd is just doing,
/// and so waits for processingTimeout. What others left is claimed after that time here, too.
/// </remarks>
internal sealed partial class RedisPubSub : IPubSub
{
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan AcknowledgePause = TimeSpan.FromMilliseconds(100);

    private readonly ConnectionMultiplexer connection;
    private readonly IDatabase database;
    private readonly RedisStreamSettings settings;
    private readonly TimeProvider time;
    private readonly ILogger log;
    private readonly ConcurrentDictionary<string, Topic> topics = new();
    private readonly ConcurrentDictionary<string, int> losses = new();
    private readonly Channel<Entry> finished = Channel.CreateUnbounded<Entry>(new UnboundedChannelOptions { SingleReader = true });
    private readonly CancellationTokenSource stop = new();
    private readonly GroupReader reader;
    private readonly Task acknowledging;
    private readonly Lock gate = new();
    private Task? reading;
    private Task? reclaiming;

    private RedisPubSub(ConnectionMultiplexer connection, ConfigurationOptions options, RedisStreamSettings settings, TimeProvider time, ILogger log)
    {
        this.connection = connection;
        this.settings = settings;
        this.time = time;
        this.log = log;
        database = connection.GetDatabase(settings.Database);
        reader = new GroupReader(connection, options, settings, topics, log);
        acknowledging = Task.Run(AcknowledgeAsync);
    }

    /// <exception cref="ResourceException">The server is not there, or knows no streams.</exception>
    public static async Task<RedisPubSub> OpenAsync(SidecarHost host, Component component, string app, ILogger log)
    {
        if (component.Get("redisType") is { } type && type != "node") throw component.Error("redisType", $"{type} is not served by the local sidecar host, only node.");
        var options = RedisOptions.Of(component);
        options.ClientName = "sidecar-pubsub";
        options.AllowAdmin = true;                            // for CLIENT UNBLOCK
        options.BacklogPolicy = BacklogPolicy.FailFast;       // a publisher hears of a dead broker soon, as from daprd
        options.ReconnectRetryPolicy = new LinearRetry(200);
        options.HeartbeatInterval = TimeSpan.FromMilliseconds(500);
        var settings = RedisStreamSettings.Of(component, host.Plan.DataFolder, app);
        try
        {
            var connection = await host.Connections.RedisAsync(options);
            await KnowsStreamsAsync(connection.GetDatabase(settings.Database), component);
            return new RedisPubSub(connection, options, settings, host.Time, log);
        }
        catch (RedisException e)
        {
            throw component.Error("redisHost", $"cannot connect to {component.Get("redisHost")}: {e.Message}");
        }
    }

    public async Task PublishAsync(string topic, IReadOnlyList<Sealed> messages, CancellationToken ct)
    {
        await ConnectedAsync(ct);
        if (messages.Count == 1)
        {
            await AddAsync(topic, messages[0]);
            return;
        }

        // One after the other on one connection, without waiting for each.
        var added = new Task[messages.Count];
        for (var i = 0; i < added.Length; i++) added[i] = AddAsync(topic, messages[i]);
        await Task.WhenAll(added).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        var refused = new List<(int, string)>();
        for (var i = 0; i < added.Length; i++)
            if (added[i].Exception is { } e) refused.Add((i, e.InnerException!.Message));
        if (refused.Count > 0) throw new PublishException(refused);
    }

    public async Task<IAsyncDisposable> SubscribeAsync(Delivery delivery, CancellationToken ct)
    {
        try
        {
            await database.StreamCreateConsumerGroupAsync(delivery.Topic, settings.Group, "0", createStream: true);
        }
        catch (RedisServerException e) when (e.Message.StartsWith("BUSYGROUP", StringComparison.Ordinal))
        {
            LogKnown(settings.Group, delivery.Topic);
        }
        catch (RedisException e)
        {
            LogLater(settings.Group, delivery.Topic, e.Message);   // the reader makes it as soon as the server is back
        }

        var topic = topics.GetOrAdd(delivery.Topic, static (name, self) => new Topic(name, self.settings, self.time, self.log), this);
        if (topic.Group.IsEmpty) topic.CaughtUp = false;
        var member = topic.Group.Join(delivery);
        lock (gate)
        {
            reading ??= Task.Run(() => reader.RunAsync(Received, stop.Token), CancellationToken.None);
            reclaiming ??= Task.Run(ReclaimAsync, CancellationToken.None);
        }
        reader.Wake();
        return member;
    }

    public async Task<long> WaitingAsync(CancellationToken ct)
    {
        var waiting = 0L;
        foreach (var topic in topics.Keys)
        {
            var groups = await database.StreamGroupInfoAsync(topic).WaitAsync(ct);
            var mine = groups.First(group => group.Name == settings.Group);
            waiting += mine.PendingMessageCount;
            waiting += mine.Lag ?? (await database.StreamRangeAsync(topic, $"({mine.LastDeliveredId}", "+", count: 1)).Length;
        }
        return waiting;
    }

    /// <summary>Deliveries under way get a moment to be answered, and what was answered is acknowledged. The rest stays pending.</summary>
    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await Task.WhenAll(topics.Values.Select(topic => topic.Group.DisposeAsync().AsTask()));
        finished.Writer.TryComplete();
        await Task.WhenAny(acknowledging, Task.Delay(Grace));
        if (reading is not null) await reading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (reclaiming is not null) await reclaiming.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        reader.Dispose();
        stop.Dispose();
    }

    private static async Task KnowsStreamsAsync(IDatabase database, Component component)
    {
        try
        {
            await database.ExecuteAsync("XLEN", "dapr:no-such-stream");
        }
        catch (RedisServerException e) when (e.Message.Contains("unknown command", StringComparison.OrdinalIgnoreCase))
        {
            throw component.Error("redisHost", $"the server at {component.Get("redisHost")} knows no streams ({e.Message}); pubsub.redis needs Redis 5 or newer: install redis-server or valkey-server.");
        }
    }

    /// <summary>A moment of patience with a server that is just coming back, about as much as daprd's client has.</summary>
    private async ValueTask ConnectedAsync(CancellationToken ct)
    {
        for (var pause = 8; !connection.IsConnected && pause <= 512; pause *= 2) await Task.Delay(pause, ct);
    }

    private Task AddAsync(string topic, in Sealed message)
    {
        NameValueEntry[] fields = message.Metadata is { Count: > 0 } metadata
            ? [new NameValueEntry("data", message.Body), new NameValueEntry("metadata", JsonSerializer.SerializeToUtf8Bytes(metadata))]
            : [new NameValueEntry("data", message.Body)];
        if (settings.StreamTtl > TimeSpan.Zero)
        {
            var oldest = $"{(time.GetUtcNow() - settings.StreamTtl).ToUnixTimeMilliseconds()}-1";
            var words = new List<object> { (RedisKey)topic, "MINID", "~", oldest, "*" };
            foreach (var field in fields) words.AddRange([field.Name, field.Value]);
            return database.ExecuteAsync("XADD", words);
        }
        return database.StreamAddAsync(topic, fields, messageId: null, settings.MaxLength, useApproximateMaxLength: true, limit: null, StreamTrimMode.KeepReferences);
    }

    /// <summary>Entries for this consumer, new ones or its own from before.</summary>
    private void Received(Topic topic, string id, byte[]? data, byte[]? metadata)
    {
        if (topic.Held.ContainsKey(id)) return;
        var entry = new Entry(this, topic, id, data, metadata, losses.GetValueOrDefault(id));
        topic.Held[id] = entry;
        if (data is null) entry.Finish(Outcome.Done);   // trimmed away while it was pending: nobody can handle it any more
        else topic.Group.Enqueue(entry);
    }

    /// <summary>Acknowledges what is finished, as much at a time as there is. An entry counts as held until the server knows.</summary>
    private async Task AcknowledgeAsync()
    {
        var batch = new List<Entry>();
        while (batch.Count > 0 || await finished.Reader.WaitToReadAsync())
        {
            while (batch.Count < 1000 && finished.Reader.TryRead(out var entry)) batch.Add(entry);
            var sent = batch.GroupBy(entry => entry.Topic).Select(async group =>
            {
                try
                {
                    await database.StreamAcknowledgeAsync(group.Key.Name, settings.Group, [.. group.Select(entry => (RedisValue)entry.Id)]);
                }
                catch (RedisServerException e)
                {
                    LogNotAcknowledged(settings.Group, group.Key.Name, e.Message);   // the stream or the group is gone, and these entries with it
                }
                var full = group.Key.IsFull(settings.QueueDepth);
                foreach (var entry in group) group.Key.Held.TryRemove(entry.Id, out _);
                if (full) reader.Wake();
            }).ToArray();
            await Task.WhenAll(sent).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            batch.RemoveAll(entry => !entry.Topic.Held.ContainsKey(entry.Id));
            if (batch.Count == 0) continue;
            if (stop.IsCancellationRequested) return;   // the server is away and we go, too: they will come again
            await Task.Delay(AcknowledgePause);
        }
    }

    /// <summary>Keeps what is in hand from looking forgotten, and takes over what others forgot.</summary>
    private async Task ReclaimAsync()
    {
        if (!settings.Redelivers) return;
        var period = settings.RedeliverInterval < settings.ProcessingTimeout / 3 ? settings.RedeliverInterval : settings.ProcessingTimeout / 3;
        using var timer = new PeriodicTimer(period, time);
        long? last = null;
        do
        {
            var due = last is null || time.GetElapsedTime(last.Value) >= settings.RedeliverInterval;
            if (due) last = time.GetTimestamp();
            foreach (var topic in topics.Values.Where(topic => !topic.Group.IsEmpty))
            {
                try
                {
                    await TouchAsync(topic);
                    if (due) await ClaimAsync(topic);
                }
                catch (RedisException e)
                {
                    LogNotClaimed(settings.Group, topic.Name, e.Message);   // away, or the group is just being made
                }
            }
        }
        while (await timer.WaitForNextTickAsync(stop.Token));
    }

    private async Task TouchAsync(Topic topic)
    {
        RedisValue[] old = [.. topic.Held.Values.Where(entry => time.GetElapsedTime(entry.Touched) >= settings.ProcessingTimeout / 3).Select(entry => (RedisValue)entry.Id)];
        if (old.Length == 0) return;
        foreach (var id in await database.StreamClaimIdsOnlyAsync(topic.Name, settings.Group, settings.Consumer, 0, old))
            if (topic.Held.TryGetValue(id.ToString(), out var entry)) entry.Touched = time.GetTimestamp();
    }

    private async Task ClaimAsync(Topic topic)
    {
        RedisValue from = "-";
        while (!topic.IsFull(settings.QueueDepth))
        {
            var pending = await database.StreamPendingMessagesAsync(topic.Name, settings.Group, settings.QueueDepth, RedisValue.Null, from, "+");
            RedisValue[] forgotten = [.. pending.Where(one => one.IdleTimeInMilliseconds >= settings.ProcessingTimeout.TotalMilliseconds && !topic.Held.ContainsKey(one.MessageId.ToString())).Select(one => one.MessageId)];
            if (forgotten.Length > 0)
            {
                var claimed = await database.StreamClaimAsync(topic.Name, settings.Group, settings.Consumer, (long)settings.ProcessingTimeout.TotalMilliseconds, forgotten);
                foreach (var entry in claimed)
                    if (!entry.IsNull) Received(topic, entry.Id.ToString(), entry["data"], entry["metadata"]);
            }
            if (pending.Length < settings.QueueDepth) return;
            from = After(pending[^1].MessageId.ToString());
        }
    }

    private static string After(string id)
    {
        var dash = id.IndexOf('-', StringComparison.Ordinal);
        return $"{id[..dash]}-{ulong.Parse(id[(dash + 1)..], null) + 1}";
    }

    [LoggerMessage(LogLevel.Debug, "Consumer group {Group} of {Topic} exists")]
    private partial void LogKnown(string group, string topic);

    [LoggerMessage(LogLevel.Warning, "Consumer group {Group} of {Topic} cannot be made yet: {Reason}")]
    private partial void LogLater(string group, string topic, string reason);

    [LoggerMessage(LogLevel.Warning, "Consumer group {Group} of {Topic} takes no acknowledgement: {Reason}")]
    private partial void LogNotAcknowledged(string group, string topic, string reason);

    [LoggerMessage(LogLevel.Debug, "Consumer group {Group} of {Topic}: pending entries cannot be looked at: {Reason}")]
    private partial void LogNotClaimed(string group, string topic, string reason);

    /// <summary>One stream this app reads, and the entries it has in hand: received and not yet acknowledged.</summary>
    internal sealed class Topic(string name, RedisStreamSettings settings, TimeProvider time, ILogger log)
    {
        public string Name { get; } = name;
        public ConsumerGroup Group { get; } = new(settings.Concurrency, time, log) { LetsGo = true };
        public ConcurrentDictionary<string, Entry> Held { get; } = new();

        /// <summary>The entries pending under our name have been read since the connection was made or the app came back.</summary>
        public bool CaughtUp { get; set; }

        public bool IsFull(int depth) => Held.Count >= depth;
    }

    internal sealed class Entry(RedisPubSub pubsub, Topic topic, string id, byte[]? data, byte[]? metadata, int losses) : Parcel(key: null)
    {
        private readonly long received = pubsub.time.GetTimestamp();

        public Topic Topic { get; } = topic;
        public string Id { get; } = id;
        public long Touched { get; set; } = pubsub.time.GetTimestamp();
        public override int Losses { get; } = losses;

        public override Incoming Read() => new(data, Metadata(), Id);

        public override void Finish(Outcome outcome)
        {
            if (Losses > 0) pubsub.losses.TryRemove(Id, out _);

            // As in Dapr's component: a failure after processingTimeout is not acknowledged, for by then others may have it.
            if (outcome == Outcome.Failed && pubsub.settings.Redelivers && pubsub.time.GetElapsedTime(received) >= pubsub.settings.ProcessingTimeout) Topic.Held.TryRemove(Id, out _);
            else pubsub.finished.Writer.TryWrite(this);
        }

        public override void Abandon(int losses)
        {
            if (losses > 0) pubsub.losses[Id] = losses;
            Topic.Held.TryRemove(Id, out _);
        }

        private IReadOnlyDictionary<string, string> Metadata()
        {
            if (metadata is null or { Length: 0 }) return Incoming.NoMetadata;
            try
            {
                return JsonSerializer.Deserialize<Dictionary<string, string>>(metadata) ?? Incoming.NoMetadata;
            }
            catch (JsonException)
            {
                return Incoming.NoMetadata;   // written by somebody else, and nothing a delivery depends on
            }
        }
    }
}
