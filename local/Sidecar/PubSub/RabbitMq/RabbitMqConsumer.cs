using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;
using RabbitMQ.Client.Exceptions;

namespace Marketplace.Local.Sidecar.PubSub.RabbitMq;

/// <summary>
/// One subscription: declares its exchange and queue, consumes, and does so again whenever channel or connection are lost. Its channel is its own, so that closing it
/// gives every message without an answer back to the queue.
/// </summary>
internal sealed partial class RabbitMqConsumer : IAsyncDisposable
{
    /// <summary>Without a prefetch count RabbitMQ sends the whole queue; no app gets more requests at once than these.</summary>
    private const int MostAtOnce = 500;
    private const int LongestTag = 255;
    private static readonly TimeSpan AbandonedWait = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan SubscribeWait = TimeSpan.FromMinutes(1);

    private readonly RabbitMqPubSub pubsub;
    private readonly Delivery delivery;
    private readonly Subscription subscription;
    private readonly string queue;
    private readonly TimeProvider time;
    private readonly ILogger log;
    private readonly Dictionary<string, object?> queueArguments;
    private readonly CancellationTokenSource stopping = new();
    private readonly TaskCompletionSource started = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly SemaphoreSlim places;
    private readonly ConcurrentDictionary<Task, bool> underway = new();
    private Task running = Task.CompletedTask;

    public RabbitMqConsumer(RabbitMqPubSub pubsub, Delivery delivery, string queue, TimeProvider time, ILogger log)
    {
        this.pubsub = pubsub;
        this.delivery = delivery;
        subscription = delivery.Subscription;
        this.queue = queue;
        this.time = time;
        this.log = log;
        queueArguments = ArgumentsOf(subscription.Metadata);
        places = new SemaphoreSlim(pubsub.Options.OneAtATime ? 1 : MostAtOnce);
    }

    public string Queue => queue;

    public int UnderWay => underway.Count;

    /// <summary>Completes when the broker knows the consumer. A refusal that trying again cannot change is thrown; where the broker is away it goes on trying.</summary>
    public async Task StartAsync(CancellationToken ct)
    {
        running = RunAsync();
        try
        {
            await started.Task.WaitAsync(SubscribeWait, time, ct);
        }
        catch (TimeoutException)
        {
            LogNotYet(pubsub.Name, queue);
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (stopping.IsCancellationRequested) return;
        await stopping.CancelAsync();
        await running;
        pubsub.Forget(this);
        stopping.Dispose();
        places.Dispose();
    }

    private async Task RunAsync()
    {
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                var connection = await pubsub.ConnectionAsync(stopping.Token);
                await using var channel = await connection.CreateChannelAsync(new CreateChannelOptions(false, false), stopping.Token);
                await DeclareAsync(channel, stopping.Token);
                var receiver = new Receiver(channel, this);
                await channel.BasicConsumeAsync(queue, pubsub.Options.AutoAck, Tag(), noLocal: false, exclusive: false, arguments: null, receiver, stopping.Token);
                if (!started.TrySetResult()) LogBack(pubsub.Name, queue);
                await Task.WhenAny(receiver.Ended, Task.Delay(Timeout.InfiniteTimeSpan, stopping.Token));
                if (stopping.IsCancellationRequested)
                {
                    // Whoever was answered just now is heard before the channel goes.
                    await Task.WhenAll(underway.Keys).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                    return;
                }
                LogLost(pubsub.Name, queue);
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested)
            {
                return;
            }
            catch (OperationInterruptedException e) when (e.ShutdownReason?.ReplyCode == Constants.PreconditionFailed && !started.Task.IsCompleted)
            {
                // The queue or exchange is there with other settings, which only a person can put right.
                started.TrySetException(new IOException($"queue {queue} cannot be used: {e.ShutdownReason.ReplyText}", e));
                return;
            }
            catch (Exception e) when (RabbitMqPubSub.IsTrouble(e) || e is ObjectDisposedException)
            {
                if (stopping.IsCancellationRequested) return;
                LogTrouble(pubsub.Name, queue, e.Message);
            }

            try
            {
                await Task.Delay(pubsub.Options.ReconnectWait, time, stopping.Token);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    private async Task DeclareAsync(IChannel channel, CancellationToken ct)
    {
        var options = pubsub.Options;
        await channel.ExchangeDeclareAsync(delivery.Topic, options.ExchangeKind, options.Durable, options.DeletedWhenUnused, cancellationToken: ct);
        if (options.EnableDeadLetter)
        {
            var (exchange, letters) = ($"dlx-{queue}", $"dlq-{queue}");
            var arguments = Limits();
            arguments["x-queue-mode"] = "lazy";
            await channel.ExchangeDeclareAsync(exchange, ExchangeType.Fanout, durable: true, options.DeletedWhenUnused, cancellationToken: ct);
            await channel.QueueDeclareAsync(letters, durable: true, exclusive: false, options.DeletedWhenUnused, arguments, cancellationToken: ct);
            await channel.QueueBindAsync(letters, exchange, "", cancellationToken: ct);
        }

        await channel.QueueDeclareAsync(queue, options.Durable, exclusive: false, options.DeletedWhenUnused, queueArguments, cancellationToken: ct);
        if (options.PrefetchCount > 0) await channel.BasicQosAsync(0, options.PrefetchCount, global: false, ct);
        foreach (var key in subscription.Metadata.GetValueOrDefault("routingKey", "").Split(','))
            await channel.QueueBindAsync(queue, delivery.Topic, key, cancellationToken: ct);
    }

    private Dictionary<string, object?> Limits()
    {
        var arguments = new Dictionary<string, object?>();
        if (pubsub.Options.MaxLen > 0) arguments["x-max-length"] = (long)pubsub.Options.MaxLen;
        if (pubsub.Options.MaxLenBytes > 0) arguments["x-max-length-bytes"] = (long)pubsub.Options.MaxLenBytes;
        return arguments;
    }

    private Dictionary<string, object?> ArgumentsOf(IReadOnlyDictionary<string, string> metadata)
    {
        var arguments = Limits();
        if (pubsub.Options.EnableDeadLetter) arguments["x-dead-letter-exchange"] = $"dlx-{queue}";
        if (Number("maxPriority") is { } priority) arguments["x-max-priority"] = (byte)Math.Min(priority, 255);
        var type = metadata.GetValueOrDefault("queueType") is { Length: > 0 } chosen ? chosen : "classic";
        if (type is not ("classic" or "quorum")) throw new FormatException($"the subscription of {subscription.Topic}: invalid queue type {type}. Valid types are classic and quorum");
        arguments["x-queue-type"] = type;
        if (metadata.TryGetValue("singleActiveConsumer", out var single) && Publication.IsTrue(single)) arguments["x-single-active-consumer"] = true;
        if (Number("maxLenBytes") is { } bytes) arguments["x-max-length-bytes"] = bytes;
        if (Number("maxLen") is { } length) arguments["x-max-length"] = length;
        return arguments;

        long? Number(string name) => metadata.GetValueOrDefault(name) is not { Length: > 0 } text ? null
            : long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number
            : throw new FormatException($"the subscription of {subscription.Topic}: {name} must be a whole number, not {text}");
    }

    /// <summary>Never the same twice: a tag that the broker still holds for a lost consumer would close the connection.</summary>
    private string Tag()
    {
        var tag = $"{queue}-{Guid.NewGuid()}";
        return tag.Length > LongestTag ? tag[^LongestTag..] : tag;
    }

    private async Task HandleAsync(IChannel channel, ulong tag, Incoming message)
    {
        try
        {
            var outcome = await delivery.DeliverAsync(message, stopping.Token);
            if (pubsub.Options.AutoAck) return;
            switch (outcome)
            {
                case Outcome.Done:
                    await channel.BasicAckAsync(tag, multiple: false, CancellationToken.None);
                    break;
                case Outcome.Failed:
                    await channel.BasicNackAsync(tag, multiple: false, requeue: pubsub.Options.RequeueInFailure, CancellationToken.None);
                    break;
                case Outcome.Abandoned:
                    // Nobody refused it. A moment of rest, or an app that is away would make it go round without end; the end of the subscription gives it back as well.
                    await Task.Delay(AbandonedWait, time, stopping.Token);
                    await channel.BasicNackAsync(tag, multiple: false, requeue: true, CancellationToken.None);
                    break;
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // Back to the queue with the channel.
        }
        catch (Exception e) when (RabbitMqPubSub.IsTrouble(e) || e is ObjectDisposedException)
        {
            LogNoAnswer(pubsub.Name, queue, e.Message);   // the broker delivers it again: it did not hear us
        }
        finally
        {
            places.Release();
        }
    }

    /// <summary>What comes over the channel. The body is lent for the length of the call only.</summary>
    private sealed class Receiver(IChannel channel, RabbitMqConsumer owner) : AsyncDefaultBasicConsumer(channel)
    {
        private readonly TaskCompletionSource ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Ended => ended.Task;

        public override async Task HandleBasicDeliverAsync(string consumerTag, ulong deliveryTag, bool redelivered, string exchange, string routingKey, IReadOnlyBasicProperties properties,
            ReadOnlyMemory<byte> body, CancellationToken cancellationToken = default)
        {
            var message = new Incoming(body.ToArray(), owner.pubsub.Options.PropertiesToMetadata ? MetadataOf(properties) : Incoming.NoMetadata);
            try
            {
                await owner.places.WaitAsync(owner.stopping.Token);
            }
            catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
            {
                return;   // unanswered, and the channel is about to close
            }

            var handling = owner.HandleAsync(Channel, deliveryTag, message);
            if (handling.IsCompleted) return;
            owner.underway.TryAdd(handling, true);
            _ = handling.ContinueWith(static (done, set) => ((ConcurrentDictionary<Task, bool>)set!).TryRemove(done, out _), owner.underway, CancellationToken.None,
                TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        }

        protected override Task OnCancelAsync(string[] consumerTags, CancellationToken cancellationToken = default)
        {
            ended.TrySetResult();
            return base.OnCancelAsync(consumerTags, cancellationToken);
        }

        private static Dictionary<string, string> MetadataOf(IReadOnlyBasicProperties properties)
        {
            var metadata = new Dictionary<string, string>();
            if (properties.MessageId is { Length: > 0 } id) metadata["metadata.messageid"] = id;
            if (properties.CorrelationId is { Length: > 0 } correlation) metadata["metadata.correlationid"] = correlation;
            if (properties.Type is { Length: > 0 } type) metadata["metadata.type"] = type;
            if (properties.ContentType is { Length: > 0 } content) metadata["metadata.contenttype"] = content;
            foreach (var (name, value) in properties.Headers ?? new Dictionary<string, object?>())
                if (value is not null) metadata[$"metadata.{name}"] = value is byte[] text ? Encoding.UTF8.GetString(text) : Convert.ToString(value, CultureInfo.InvariantCulture) ?? "";
            return metadata;
        }
    }

    [LoggerMessage(LogLevel.Warning, "{PubSub}: the broker does not know the consumer of {Queue} after a minute; it goes on trying")]
    private partial void LogNotYet(string pubSub, string queue);

    [LoggerMessage(LogLevel.Warning, "{PubSub}: the consumer of {Queue} was lost")]
    private partial void LogLost(string pubSub, string queue);

    [LoggerMessage(LogLevel.Warning, "{PubSub}: the consumer of {Queue} is back")]
    private partial void LogBack(string pubSub, string queue);

    [LoggerMessage(LogLevel.Warning, "{PubSub}: no consumer of {Queue} yet: {Reason}")]
    private partial void LogTrouble(string pubSub, string queue, string reason);

    [LoggerMessage(LogLevel.Warning, "{PubSub}: a message of {Queue} will come again, its answer did not reach the broker: {Reason}")]
    private partial void LogNoAnswer(string pubSub, string queue, string reason);
}
