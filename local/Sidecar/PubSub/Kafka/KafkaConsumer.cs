using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Threading.Channels;
using Confluent.Kafka;

namespace Marketplace.Local.Sidecar.PubSub.Kafka;

/// <summary>
/// What one app instance consumes: a member of its group with all its topics. A thread polls; each partition has a lane that delivers its messages one after the other and counts
/// one as consumed when the app has answered, so that a message that fails holds up its own partition and no other.
/// </summary>
internal sealed partial class KafkaConsumer : IAsyncDisposable
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan AfterTrouble = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan AssignmentWait = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan AbandonedWait = TimeSpan.FromMilliseconds(500);

    /// <summary>How long a partition that goes to another member waits for the answer its app still owes; well below the session timeout.</summary>
    private static readonly TimeSpan HandOverWait = TimeSpan.FromSeconds(3);

    private readonly string pubsub;
    private readonly KafkaOptions options;
    private readonly string group;
    private readonly TimeProvider time;
    private readonly ILogger log;
    private readonly Lock gate = new();
    private readonly Dictionary<string, List<Entry>> topics = [];
    private readonly Dictionary<TopicPartition, Lane> lanes = [];   // touched by the polling thread only
    private readonly List<TaskCompletionSource> applied = [];
    private readonly List<(string Topic, TaskCompletionSource Assigned)> expected = [];
    private readonly SemaphoreSlim changed = new(0);
    private readonly Task polling;
    private volatile IConsumer<byte[]?, byte[]?>? member;
    private volatile bool dirty;
    private volatile bool stopping;

    public KafkaConsumer(string pubsub, KafkaOptions options, string group, TimeProvider time, ILogger log)
    {
        this.pubsub = pubsub;
        this.options = options;
        this.group = group;
        this.time = time;
        this.log = log;
        polling = Task.Factory.StartNew(Run, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    /// <summary>Completes when the group has given partitions of the topic to this member, or after a while where it gets none.</summary>
    public async Task<IAsyncDisposable> AddAsync(Delivery delivery, CancellationToken ct)
    {
        var entry = new Entry(this, delivery);
        var assigned = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (gate)
        {
            if (topics.TryGetValue(delivery.Topic, out var entries))
            {
                entries.Add(entry);
                return entry;
            }
            topics[delivery.Topic] = [entry];
            expected.Add((delivery.Topic, assigned));
            dirty = true;
        }
        changed.Release();
        try
        {
            await assigned.Task.WaitAsync(AssignmentWait, time, ct);
        }
        catch (TimeoutException)
        {
            LogNothingAssigned(pubsub, group, delivery.Topic);
        }
        return entry;
    }

    /// <summary>Messages of the assigned partitions that the group has not committed.</summary>
    public long Behind(TimeSpan patience)
    {
        if (member is not { } consumer) return 0;
        return consumer.Committed(consumer.Assignment, patience).Sum(committed =>
        {
            var offsets = consumer.QueryWatermarkOffsets(committed.TopicPartition, patience);
            return offsets.High.Value - (committed.Offset.IsSpecial ? offsets.Low.Value : committed.Offset.Value);
        });
    }

    public async ValueTask DisposeAsync()
    {
        if (stopping) return;
        stopping = true;
        changed.Release();
        await polling;
        changed.Dispose();
    }

    private async Task RemoveAsync(Entry entry)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (gate)
        {
            if (!topics.TryGetValue(entry.Delivery.Topic, out var entries) || !entries.Remove(entry)) return;
            if (entries.Count > 0) return;
            topics.Remove(entry.Delivery.Topic);
            if (stopping) return;
            applied.Add(done);
            dirty = true;
        }
        changed.Release();
        await Task.WhenAny(done.Task, polling);
    }

    private void Run()
    {
        var rest = Timeout.InfiniteTimeSpan;
        while (!stopping)
        {
            changed.Wait(rest);
            if (stopping) return;
            if (!dirty) continue;
            rest = Timeout.InfiniteTimeSpan;
            try
            {
                using var consumer = new ConsumerBuilder<byte[]?, byte[]?>(options.ConsumerOf(group))
                    .SetPartitionsAssignedHandler((consumer, partitions) => OnAssigned(consumer, partitions))
                    .SetPartitionsRevokedHandler((consumer, partitions) => OnRevoked(consumer, partitions))
                    .SetPartitionsLostHandler((_, partitions) => End(partitions.Select(place => place.TopicPartition), TimeSpan.Zero))
                    .SetLogHandler((_, message) => LogClient(pubsub, message.Facility, message.Message))
                    .SetErrorHandler((_, error) => LogClient(pubsub, error.Code.ToString(), error.Reason))
                    .Build();
                member = consumer;
                try
                {
                    Consume(consumer);
                }
                finally
                {
                    member = null;
                    End([.. lanes.Keys], HandOverWait);
                    consumer.Close();   // leaves the group and commits
                }
            }
            catch (KafkaException e)
            {
                LogTrouble(pubsub, group, e.Error.Reason);
                dirty = true;
                rest = AfterTrouble;
            }
            Answer();
        }
    }

    /// <summary>Until there is nothing to listen to any more.</summary>
    private void Consume(IConsumer<byte[]?, byte[]?> consumer)
    {
        while (!stopping)
        {
            if (dirty)
            {
                string[] wanted;
                TaskCompletionSource[] waiting;
                lock (gate)
                {
                    dirty = false;
                    wanted = [.. topics.Keys];
                    waiting = [.. applied];
                    applied.Clear();
                }

                // What nobody listens to any more ends now; the group learns it with the new list.
                End(lanes.Keys.Where(place => !wanted.Contains(place.Topic)).ToList(), HandOverWait);
                if (wanted.Length > 0) consumer.Subscribe(wanted);
                foreach (var done in waiting) done.TrySetResult();
                if (wanted.Length == 0) return;
            }

            ConsumeResult<byte[]?, byte[]?>? result;
            try
            {
                result = consumer.Consume(Poll);
            }
            catch (ConsumeException e) when (!e.Error.IsFatal)
            {
                LogTrouble(pubsub, group, e.Error.Reason);
                continue;
            }

            if (result is null) continue;
            if (lanes.TryGetValue(result.TopicPartition, out var lane)) lane.Add(result);
        }
    }

    private void Answer()
    {
        lock (gate)
        {
            foreach (var done in applied) done.TrySetResult();
            applied.Clear();
        }
    }

    private void OnAssigned(IConsumer<byte[]?, byte[]?> consumer, List<TopicPartition> partitions)
    {
        foreach (var place in partitions)
            if (!lanes.ContainsKey(place)) lanes[place] = new Lane(this, consumer, place);
        lock (gate)
        {
            foreach (var (_, assigned) in expected.Where(one => partitions.Exists(place => place.Topic == one.Topic))) assigned.TrySetResult();
            expected.RemoveAll(one => one.Assigned.Task.IsCompleted);
        }
    }

    private void OnRevoked(IConsumer<byte[]?, byte[]?> consumer, List<TopicPartitionOffset> partitions) => End(partitions.Select(place => place.TopicPartition).ToList(), HandOverWait);

    private void End(IEnumerable<TopicPartition> places, TimeSpan patience)
    {
        var ending = places.Select(place => lanes.Remove(place, out var lane) ? lane : null).OfType<Lane>().ToList();
        Task.WhenAll(ending.Select(lane => lane.EndAsync(patience))).GetAwaiter().GetResult();   // the thread is ours, and the partitions may go only afterwards
    }

    private Entry? EntryOf(string topic)
    {
        lock (gate) return topics.GetValueOrDefault(topic)?.LastOrDefault();   // of two subscriptions of a topic daprd serves the later one
    }

    private Incoming IncomingOf(ConsumeResult<byte[]?, byte[]?> result)
    {
        var metadata = new Dictionary<string, string>((result.Message.Headers?.Count ?? 0) + 5);
        if (result.Message.Key is { } key) metadata["__key"] = Escaped(Encoding.UTF8.GetString(key));
        metadata["__offset"] = result.Offset.Value.ToString(CultureInfo.InvariantCulture);
        metadata["__topic"] = result.Topic;
        metadata["__timestamp"] = result.Message.Timestamp.UnixTimestampMs.ToString(CultureInfo.InvariantCulture);
        metadata["__partition"] = result.Partition.Value.ToString(CultureInfo.InvariantCulture);
        foreach (var header in result.Message.Headers ?? [])
            if (options.ExcludedHeaders?.IsMatch(header.Key) is not true) metadata[header.Key] = Escaped(Encoding.UTF8.GetString(header.GetValueBytes() ?? []));
        return new Incoming(result.Message.Value ?? "null"u8.ToArray(), metadata, $"{metadata["__partition"]}/{metadata["__offset"]}", metadata.GetValueOrDefault("__key"));
    }

    private string Escaped(string value) => options.EscapeHeaders ? Uri.EscapeDataString(value).Replace("%20", "+", StringComparison.Ordinal) : value;

    /// <summary>One subscription of the app.</summary>
    private sealed class Entry(KafkaConsumer owner, Delivery delivery) : IAsyncDisposable
    {
        public Delivery Delivery => delivery;

        public ValueTask DisposeAsync() => new(owner.RemoveAsync(this));
    }

    /// <summary>The messages of one partition while it belongs to this member.</summary>
    private sealed class Lane : IAsyncDisposable
    {
        private readonly KafkaConsumer owner;
        private readonly IConsumer<byte[]?, byte[]?> consumer;
        private readonly TopicPartition place;
        private readonly Channel<ConsumeResult<byte[]?, byte[]?>> waiting = Channel.CreateUnbounded<ConsumeResult<byte[]?, byte[]?>>(new() { SingleReader = true, SingleWriter = true });
        private readonly CancellationTokenSource pausing = new();   // ends waits between tries
        private readonly CancellationTokenSource giveUp = new();    // ends deliveries too
        private readonly Task working;
        private int held;
        private int paused;

        public Lane(KafkaConsumer owner, IConsumer<byte[]?, byte[]?> consumer, TopicPartition place)
        {
            this.owner = owner;
            this.consumer = consumer;
            this.place = place;
            working = Task.Run(WorkAsync);
        }

        public void Add(ConsumeResult<byte[]?, byte[]?> result)
        {
            waiting.Writer.TryWrite(result);
            if (Interlocked.Increment(ref held) < owner.options.BufferSize || Interlocked.Exchange(ref paused, 1) != 0) return;
            consumer.Pause([place]);
        }

        public async Task EndAsync(TimeSpan patience)
        {
            await pausing.CancelAsync();
            await Task.WhenAny(working, Task.Delay(patience, owner.time));
            await giveUp.CancelAsync();
            await working;
            pausing.Dispose();
            giveUp.Dispose();
        }

        public ValueTask DisposeAsync() => new(EndAsync(TimeSpan.Zero));

        private async Task WorkAsync()
        {
            try
            {
                while (await waiting.Reader.WaitToReadAsync(pausing.Token))
                {
                    if (!waiting.Reader.TryPeek(out var first)) continue;
                    if (owner.EntryOf(first.Topic) is not { } entry) return;
                    var batch = await TakeAsync(entry.Delivery.Subscription.Bulk);
                    if (!await FinishAsync(entry, batch)) return;
                }
            }
            catch (OperationCanceledException) when (pausing.IsCancellationRequested)
            {
                // What was not stored as consumed comes again to whoever gets the partition.
            }
        }

        /// <summary>One message, or as many as a bulk subscription takes at once.</summary>
        private async Task<List<ConsumeResult<byte[]?, byte[]?>>> TakeAsync(BulkOptions? bulk)
        {
            var batch = new List<ConsumeResult<byte[]?, byte[]?>>();
            var deadline = owner.time.GetTimestamp();
            while (true)
            {
                while (batch.Count < (bulk?.MaxMessages ?? 1) && waiting.Reader.TryRead(out var next)) batch.Add(next);
                if (bulk is null || batch.Count >= bulk.MaxMessages) return batch;
                var left = bulk.MaxWait - owner.time.GetElapsedTime(deadline);
                if (left <= TimeSpan.Zero) return batch;
                try
                {
                    await waiting.Reader.WaitToReadAsync(pausing.Token).AsTask().WaitAsync(left, owner.time, pausing.Token);
                }
                catch (TimeoutException)
                {
                    return batch;
                }
            }
        }

        /// <summary>True when all of them are consumed; false when the lane ends before.</summary>
        private async Task<bool> FinishAsync(Entry entry, List<ConsumeResult<byte[]?, byte[]?>> batch)
        {
            var failures = 0;
            long? firstFailure = null;
            while (true)
            {
                var outcomes = batch.Count == 1 ? [await entry.Delivery.DeliverAsync(owner.IncomingOf(batch[0]), giveUp.Token)]
                    : await Task.WhenAll(batch.Select(result => entry.Delivery.DeliverAsync(owner.IncomingOf(result), giveUp.Token)));
                var done = outcomes.TakeWhile(outcome => outcome == Outcome.Done).Count();
                if (done > 0)
                {
                    Store(batch[done - 1]);
                    (failures, firstFailure) = (0, null);
                    batch.RemoveRange(0, done);
                    Released(done);
                    if (batch.Count == 0) return true;
                }

                if (pausing.IsCancellationRequested) return false;
                if (outcomes[done] == Outcome.Abandoned)
                {
                    await Task.Delay(AbandonedWait, owner.time, pausing.Token);
                    continue;
                }

                firstFailure ??= owner.time.GetTimestamp();
                if (!owner.options.ConsumeRetry || owner.options.RetryPause(++failures, owner.time.GetElapsedTime(firstFailure.Value)) is not { } pause)
                {
                    // As daprd: passed over, and consumed with the next one that succeeds.
                    owner.LogPassedOver(owner.pubsub, place.Topic, place.Partition.Value, batch[0].Offset.Value);
                    (failures, firstFailure) = (0, null);
                    batch.RemoveAt(0);
                    Released(1);
                    if (batch.Count == 0) return true;
                    continue;
                }

                if (failures == 1) owner.LogRetry(owner.pubsub, place.Topic, place.Partition.Value, batch[0].Offset.Value, pause);
                await Task.Delay(pause, owner.time, pausing.Token);
            }
        }

        private void Released(int count)
        {
            if (Interlocked.Add(ref held, -count) > owner.options.BufferSize / 2 || Volatile.Read(ref paused) == 0 || Interlocked.Exchange(ref paused, 0) == 0) return;
            if (!pausing.IsCancellationRequested) consumer.Resume([place]);
        }

        private void Store(ConsumeResult<byte[]?, byte[]?> result)
        {
            try
            {
                consumer.StoreOffset(result);
            }
            catch (KafkaException e)
            {
                owner.LogNotStored(owner.pubsub, place.Topic, place.Partition.Value, result.Offset.Value, e.Error.Reason);   // the partition is gone: another member delivers it again
            }
        }
    }

    [LoggerMessage(LogLevel.Debug, "{PubSub}: Kafka's client says {Facility}: {Message}")]
    private partial void LogClient(string pubSub, string facility, string message);

    [LoggerMessage(LogLevel.Warning, "{PubSub}: the member of group {Group} has trouble and goes on: {Reason}")]
    private partial void LogTrouble(string pubSub, string group, string reason);

    [LoggerMessage(LogLevel.Information, "{PubSub}: group {Group} has given no partition of {Topic} to this member yet")]
    private partial void LogNothingAssigned(string pubSub, string group, string topic);

    [LoggerMessage(LogLevel.Warning, "{PubSub}: message {Topic}/{Partition}/{Offset} failed and holds up its partition; next try in {Pause}")]
    private partial void LogRetry(string pubSub, string topic, int partition, long offset, TimeSpan pause);

    [LoggerMessage(LogLevel.Error, "{PubSub}: message {Topic}/{Partition}/{Offset} failed and is passed over")]
    private partial void LogPassedOver(string pubSub, string topic, int partition, long offset);

    [LoggerMessage(LogLevel.Debug, "{PubSub}: message {Topic}/{Partition}/{Offset} is done, but its partition went elsewhere: {Reason}")]
    private partial void LogNotStored(string pubSub, string topic, int partition, long offset, string reason);
}
