using System.Globalization;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;

namespace Marketplace.Local.Sidecar.PubSub.RabbitMq;

/// <summary>
/// One channel for publishing. Callers write one after the other and wait for the broker's confirms together, so that many publishes share a flush of its disk.
/// After any failure it is used up; the next publish opens another.
/// </summary>
internal sealed class RabbitMqPublisher : IAsyncDisposable
{
    private readonly RabbitMqOptions options;
    private readonly IChannel channel;
    private readonly SemaphoreSlim writing = new(1, 1);
    private readonly HashSet<string> exchanges = [];
    private readonly Lock gate = new();
    private readonly Dictionary<ulong, TaskCompletionSource> unconfirmed = [];
    private ulong oldest = 1;
    private ulong last;

    private RabbitMqPublisher(RabbitMqOptions options, IChannel channel)
    {
        this.options = options;
        this.channel = channel;
        channel.BasicAcksAsync += (_, ack) => Confirmed(ack.DeliveryTag, ack.Multiple, failure: null);
        channel.BasicNacksAsync += (_, nack) => Confirmed(nack.DeliveryTag, nack.Multiple, new IOException("RabbitMQ did not take the message."));
        channel.ChannelShutdownAsync += (_, shutdown) => Confirmed(ulong.MaxValue, multiple: true, new IOException($"the channel was closed: {shutdown.ReplyText}"));
    }

    public bool IsOpen => channel.IsOpen;

    public static async Task<RabbitMqPublisher> OpenAsync(RabbitMqOptions options, IConnection connection, CancellationToken ct) =>
        new(options, await connection.CreateChannelAsync(new CreateChannelOptions(options.PublisherConfirm, publisherConfirmationTrackingEnabled: false), ct));

    /// <summary>Writes the messages in order; the task of each ends with the broker's answer to it, at once where nobody waits for answers.</summary>
    public async Task<Task[]> SendAsync(string topic, IReadOnlyList<Sealed> messages, CancellationToken ct)
    {
        var answers = new Task[messages.Count];
        await writing.WaitAsync(ct);
        try
        {
            if (!exchanges.Contains(topic))
            {
                await channel.ExchangeDeclareAsync(topic, options.ExchangeKind, options.Durable, options.DeletedWhenUnused, cancellationToken: ct);
                exchanges.Add(topic);
            }

            for (var i = 0; i < messages.Count; i++)
            {
                answers[i] = options.PublisherConfirm ? Expect() : Task.CompletedTask;
                var routingKey = messages[i].Metadata?.GetValueOrDefault("routingKey") ?? "";

                // Not cancelled half-way: a number that was counted must go out.
                await channel.BasicPublishAsync(topic, routingKey, mandatory: false, PropertiesOf(messages[i]), messages[i].Body, CancellationToken.None);
            }
            return answers;
        }
        finally
        {
            writing.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await channel.DisposeAsync();
        await Confirmed(ulong.MaxValue, multiple: true, new IOException("the channel was closed"));
        writing.Dispose();
    }

    private Task Expect()
    {
        var answer = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (gate) unconfirmed.Add(++last, answer);
        return answer.Task;
    }

    private Task Confirmed(ulong tag, bool multiple, Exception? failure)
    {
        lock (gate)
        {
            if (!multiple) Answer(tag);
            else
            {
                for (var next = oldest; next <= last && next <= tag; next++) Answer(next);
                oldest = Math.Max(oldest, Math.Min(tag, last) + 1);
            }
        }
        return Task.CompletedTask;

        void Answer(ulong number)
        {
            if (!unconfirmed.Remove(number, out var answer)) return;
            if (failure is null) answer.TrySetResult();
            else answer.TrySetException(failure);
        }
    }

    private BasicProperties PropertiesOf(in Sealed message)
    {
        var properties = new BasicProperties
        {
            ContentType = "text/plain",
            DeliveryMode = options.Persistent ? DeliveryModes.Persistent : DeliveryModes.Transient,
        };
        var metadata = message.Metadata ?? Incoming.NoMetadata;
        if ((TimeToLive(metadata) ?? options.TimeToLive) is { } ttl) properties.Expiration = ((long)ttl.TotalMilliseconds).ToString(CultureInfo.InvariantCulture);
        foreach (var (name, value) in metadata)
        {
            if (value.Length == 0) continue;
            switch (name.ToUpperInvariant())
            {
                case "CONTENTTYPE": properties.ContentType = value; break;
                case "MESSAGEID": properties.MessageId = value; break;
                case "CORRELATIONID": properties.CorrelationId = value; break;
                case "TYPE": properties.Type = value; break;
                case "PRIORITY" when int.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var priority): properties.Priority = (byte)Math.Clamp(priority, 0, 255); break;
            }
        }
        return properties;
    }

    private static TimeSpan? TimeToLive(IReadOnlyDictionary<string, string> metadata) =>
        metadata.TryGetValue("ttlInSeconds", out var text) && Resources.GoDuration.TryParse(text, out var ttl) && ttl > TimeSpan.Zero ? ttl : null;
}
