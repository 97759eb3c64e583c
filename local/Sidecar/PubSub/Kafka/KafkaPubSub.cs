using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using Confluent.Kafka;
using Marketplace.Local.Sidecar.Resources;

namespace Marketplace.Local.Sidecar.PubSub.Kafka;

/// <summary>
/// pubsub.kafka as daprd has it: the app is a consumer group, what has the same <c>partitionKey</c> (or <c>__key</c>) stays in order, all metadata of a publish become headers.
/// </summary>
internal sealed partial class KafkaPubSub : IPubSub
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly string group;
    private readonly TimeProvider time;
    private readonly ILogger log;
    private readonly IProducer<byte[]?, byte[]?> producer;
    private readonly ConcurrentDictionary<SidecarInstance, KafkaConsumer> consumers = new();
    private bool disposed;

    private KafkaPubSub(Component component, string app, TimeProvider time, ILogger log)
    {
        Name = component.Name;
        Options = new KafkaOptions(component);
        group = Options.GroupOf(app);
        this.time = time;
        this.log = log;
        producer = new ProducerBuilder<byte[]?, byte[]?>(Options.Producer).SetLogHandler((_, message) => Tell(message)).SetErrorHandler((_, error) => Tell(error)).Build();
    }

    public string Name { get; }

    public KafkaOptions Options { get; }

    /// <summary>Opens the producer and asks the brokers, as daprd does when it loads the component. Brokers that do not answer fail the start of the sidecar.</summary>
    public static async Task<KafkaPubSub> OpenAsync(Component component, string app, TimeProvider time, ILogger log, CancellationToken ct)
    {
        KafkaPubSub pubsub;
        try
        {
            pubsub = new KafkaPubSub(component, app, time, log);
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentException or KafkaException)
        {
            throw component.Error($"Kafka's client does not take this: {e.Message}");
        }

        try
        {
            using var admin = new DependentAdminClientBuilder(pubsub.producer.Handle).Build();
            await Task.Run(() => admin.GetMetadata(Patience), ct);
            return pubsub;
        }
        catch (KafkaException e)
        {
            await pubsub.DisposeAsync();
            throw component.Error("brokers", $"no broker of {pubsub.Options.Brokers} answers: {e.Error.Reason}");
        }
    }

    public IReadOnlyList<string> Features { get; } = [IPubSub.BulkPublish];

    public async Task PublishAsync(string topic, IReadOnlyList<Sealed> messages, CancellationToken ct)
    {
        var reports = new Task[messages.Count];
        for (var i = 0; i < reports.Length; i++) reports[i] = ProduceAsync(topic, messages[i], ct);
        await Task.WhenAll(reports).WaitAsync(ct).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        ct.ThrowIfCancellationRequested();
        if (Array.Exists(reports, report => report.IsFaulted))
            throw new PublishException([.. reports.Select((report, i) => (i, Reason: report.Exception?.InnerException)).Where(one => one.Reason is not null).Select(one => (one.i, one.Reason!.Message))]);
    }

    public async Task<IAsyncDisposable> SubscribeAsync(Delivery delivery, CancellationToken ct)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        if (delivery.Subscription.Metadata.GetValueOrDefault("valueSchemaType") is { Length: > 0 } schema && !schema.Equals("none", StringComparison.OrdinalIgnoreCase))
            throw new FormatException($"the subscription of {delivery.Topic}: the local sidecar host does not serve valueSchemaType {schema}; use a real daprd");

        // A topic that is not there would join the group's plan only minutes later; asking as a producer does makes it, where the brokers allow that.
        await MakeSureAsync(delivery.Topic, ct);
        return await consumers.GetOrAdd(delivery.Instance, static (_, self) => new KafkaConsumer(self.Name, self.Options, self.group, self.time, self.log), this).AddAsync(delivery, ct);
    }

    /// <summary>How far the group is behind on the partitions that are consumed here, as of its last commit.</summary>
    public Task<long> WaitingAsync(CancellationToken ct) => Task.Run(() => consumers.Values.Sum(consumer => consumer.Behind(Patience)), ct);

    public async ValueTask DisposeAsync()
    {
        if (disposed) return;
        disposed = true;
        await Task.WhenAll(consumers.Values.Select(consumer => consumer.DisposeAsync().AsTask()));
        await Task.Run(producer.Dispose);   // waits for its threads
    }

    private async Task MakeSureAsync(string topic, CancellationToken ct)
    {
        using var admin = new DependentAdminClientBuilder(producer.Handle).Build();
        for (var tries = 0; tries < 50; tries++)
        {
            try
            {
                var known = await Task.Run(() => admin.GetMetadata(topic, Patience).Topics.FirstOrDefault(one => one.Topic == topic), ct);
                if (known is { Error.IsError: false, Partitions.Count: > 0 }) return;
            }
            catch (KafkaException e)
            {
                LogClient(Name, e.Error.Code.ToString(), e.Error.Reason);   // the brokers are away; the consumer goes on asking
                return;
            }
            await Task.Delay(TimeSpan.FromMilliseconds(100), time, ct);
        }
        LogNoTopic(Name, topic);
    }

    private async Task ProduceAsync(string topic, Sealed message, CancellationToken ct)
    {
        var (place, content) = (PlaceOf(topic, message), MessageOf(message));
        while (true)
        {
            try
            {
                await producer.ProduceAsync(place, content, CancellationToken.None);
                return;
            }
            catch (KafkaException e) when (e.Error.Code == ErrorCode.Local_QueueFull)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(50), time, ct);   // more is under way than the client keeps
            }
        }
    }

    private static TopicPartition PlaceOf(string topic, in Sealed message)
    {
        if (message.Metadata?.GetValueOrDefault("partitionNumber") is not { } text) return new TopicPartition(topic, Partition.Any);
        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? new TopicPartition(topic, number)
            : throw new FormatException($"partitionNumber must be a whole number from 0, not {text}");
    }

    private Message<byte[]?, byte[]?> MessageOf(in Sealed message)
    {
        var made = new Message<byte[]?, byte[]?> { Value = message.Body.AsSpan().SequenceEqual("null"u8) ? null : message.Body };
        if ((message.Metadata?.GetValueOrDefault("__key") ?? message.Key) is { } key) made.Key = Encoding.UTF8.GetBytes(key);
        if (message.Metadata is not { Count: > 0 }) return made;

        made.Headers = [];
        foreach (var (name, value) in message.Metadata)
            if (Options.ExcludedHeaders?.IsMatch(name) is not true) made.Headers.Add(name, Encoding.UTF8.GetBytes(value));
        return made;
    }

    private void Tell(LogMessage message) => LogClient(Name, message.Facility, message.Message);

    private void Tell(Error error)
    {
        if (error.Code == ErrorCode.Local_AllBrokersDown) LogAway(Name, Options.Brokers);
        else LogClient(Name, error.Code.ToString(), error.Reason);
    }

    [LoggerMessage(LogLevel.Debug, "{PubSub}: Kafka's client says {Facility}: {Message}")]
    private partial void LogClient(string pubSub, string facility, string message);

    [LoggerMessage(LogLevel.Warning, "{PubSub}: no broker of {Brokers} can be reached")]
    private partial void LogAway(string pubSub, string brokers);

    [LoggerMessage(LogLevel.Warning, "{PubSub}: there is no topic {Topic}, and asking for it did not make it")]
    private partial void LogNoTopic(string pubSub, string topic);
}
