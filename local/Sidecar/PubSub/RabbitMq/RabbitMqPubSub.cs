using System.Collections.Concurrent;
using Marketplace.Local.Sidecar.Resources;
using RabbitMQ.Client;
using RabbitMQ.Client.Exceptions;

namespace Marketplace.Local.Sidecar.PubSub.RabbitMq;

/// <summary>
/// pubsub.rabbitmq as daprd has it: an exchange for each topic and a queue for each app and topic. One connection for the app, one channel for publishing and one
/// for each subscription, so that what goes wrong with one queue leaves the others alone.
/// </summary>
internal sealed partial class RabbitMqPubSub : IPubSub
{
    private const int PublishAttempts = 3;
    private static readonly TimeSpan PublishRetryWait = TimeSpan.FromSeconds(2);

    private readonly string consumerId;
    private readonly TimeProvider time;
    private readonly ILogger log;
    private readonly CancellationTokenSource stopping = new();
    private readonly SemaphoreSlim connecting = new(1, 1);
    private readonly SemaphoreSlim publishing = new(1, 1);
    private readonly ConcurrentDictionary<RabbitMqConsumer, bool> consumers = new();
    private IConnection? connection;
    private RabbitMqPublisher? publisher;

    private RabbitMqPubSub(Component component, string app, TimeProvider time, ILogger log)
    {
        Name = component.Name;
        Options = new RabbitMqOptions(component);
        consumerId = component.Get("consumerID")?.Trim() ?? app;
        this.time = time;
        this.log = log;
        if (component.Get("concurrency") is not null && component.Get("concurrencyMode") is null) LogConcurrency(component.Name);
    }

    public string Name { get; }

    public RabbitMqOptions Options { get; }

    /// <summary>Connects, as daprd does when it loads the component. A broker that does not answer fails the start of the sidecar.</summary>
    public static async Task<RabbitMqPubSub> OpenAsync(Component component, string app, TimeProvider time, ILogger log, CancellationToken ct)
    {
        var pubsub = new RabbitMqPubSub(component, app, time, log);
        try
        {
            await pubsub.ConnectionAsync(ct);
            return pubsub;
        }
        catch (Exception e) when (IsTrouble(e))
        {
            await pubsub.DisposeAsync();
            throw component.Error(component.Get("connectionString") is null ? "hostname" : "connectionString", $"RabbitMQ at {pubsub.Options.Address} does not let us in: {e.InnerException?.Message ?? e.Message}");
        }
    }

    public IReadOnlyList<string> Features { get; } = [IPubSub.TimeToLive];

    public async Task PublishAsync(string topic, IReadOnlyList<Sealed> messages, CancellationToken ct)
    {
        int[] left = [.. Enumerable.Range(0, messages.Count)];
        for (var attempt = 1; ; attempt++)
        {
            Exception failure;
            try
            {
                var answers = await (await PublisherAsync(ct)).SendAsync(topic, left.Length == messages.Count ? messages : [.. left.Select(i => messages[i])], ct);
                await Task.WhenAll(answers).WaitAsync(ct).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                ct.ThrowIfCancellationRequested();
                if (Array.Find(answers, answer => answer.IsFaulted) is not { } refused) return;
                left = [.. left.Where((_, place) => answers[place].IsFaulted)];
                failure = refused.Exception!.InnerException!;
            }
            catch (Exception e) when (IsTrouble(e))
            {
                failure = e;
            }

            if (attempt == PublishAttempts || failure is OperationInterruptedException { ShutdownReason.ReplyCode: Constants.PreconditionFailed })
                throw new PublishException([.. left.Select(i => (i, failure.Message))]);
            LogPublishFailed(Name, topic, attempt, failure.Message);
            await Task.Delay(connection is { IsOpen: true } ? PublishRetryWait : Options.ReconnectWait, time, ct);
        }
    }

    public async Task<IAsyncDisposable> SubscribeAsync(Delivery delivery, CancellationToken ct)
    {
        var queue = delivery.Subscription.Metadata.GetValueOrDefault("queueName") is { Length: > 0 } name ? name : $"{consumerId}-{delivery.Topic}";
        var consumer = new RabbitMqConsumer(this, delivery, queue, time, log);
        consumers.TryAdd(consumer, true);
        try
        {
            await consumer.StartAsync(ct);
            return consumer;
        }
        catch
        {
            await consumer.DisposeAsync();
            throw;
        }
    }

    /// <summary>What stands in the queues that are consumed here and what is under way from them.</summary>
    public async Task<long> WaitingAsync(CancellationToken ct)
    {
        await using var channel = await (await ConnectionAsync(ct)).CreateChannelAsync(cancellationToken: ct);
        var waiting = 0L;
        foreach (var group in consumers.Keys.GroupBy(consumer => consumer.Queue))
            waiting += await channel.MessageCountAsync(group.Key, ct) + group.Sum(consumer => consumer.UnderWay);
        return waiting;
    }

    /// <summary>A consumer that is done.</summary>
    public void Forget(RabbitMqConsumer consumer) => consumers.TryRemove(consumer, out _);

    /// <summary>The open connection; one try to make it where there is none.</summary>
    public async Task<IConnection> ConnectionAsync(CancellationToken ct)
    {
        if (connection is { IsOpen: true } open) return open;
        await connecting.WaitAsync(ct);
        try
        {
            ObjectDisposedException.ThrowIf(stopping.IsCancellationRequested, this);
            if (connection is { IsOpen: true } meanwhile) return meanwhile;
            if (connection is { } broken) await broken.DisposeAsync();
            connection = null;
            return connection = await Options.Factory.CreateConnectionAsync(ct);
        }
        finally
        {
            connecting.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (stopping.IsCancellationRequested) return;
        await stopping.CancelAsync();
        await Task.WhenAll(consumers.Keys.Select(consumer => consumer.DisposeAsync().AsTask()));
        if (publisher is not null) await publisher.DisposeAsync();
        if (connection is not null) await connection.DisposeAsync();
        connecting.Dispose();
        publishing.Dispose();
        stopping.Dispose();
    }

    /// <summary>What the client throws when broker or network are the reason.</summary>
    public static bool IsTrouble(Exception e) => e is RabbitMQClientException or IOException or TimeoutException or System.Net.Sockets.SocketException
        || e is OperationCanceledException { CancellationToken.IsCancellationRequested: false };

    private async Task<RabbitMqPublisher> PublisherAsync(CancellationToken ct)
    {
        if (publisher is { IsOpen: true } open) return open;
        await publishing.WaitAsync(ct);
        try
        {
            if (publisher is { IsOpen: true } meanwhile) return meanwhile;
            var connected = await ConnectionAsync(ct);
            if (publisher is { } broken) await broken.DisposeAsync();
            publisher = null;
            return publisher = await RabbitMqPublisher.OpenAsync(Options, connected, ct);
        }
        finally
        {
            publishing.Release();
        }
    }

    [LoggerMessage(LogLevel.Warning, "{PubSub}: try {Attempt} to publish to {Topic} failed: {Reason}")]
    private partial void LogPublishFailed(string pubSub, string topic, int attempt, string reason);

    [LoggerMessage(LogLevel.Warning, "{PubSub}: the metadata `concurrency` of pubsub.rabbitmq has no effect, here as in daprd; its name is concurrencyMode")]
    private partial void LogConcurrency(string pubSub);
}
