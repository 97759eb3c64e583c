namespace Marketplace.Local.Sidecar.PubSub;

/// <summary>
/// One pub/sub component as the sidecars of one app see it; all instances of the app in this host share it. What Dapr does with a message is done by
/// <see cref="Delivery"/>; a component brings messages to it and hears from it what to tell the broker.
/// </summary>
internal interface IPubSub : IAsyncDisposable
{
    const string TimeToLive = "MESSAGE_TTL";
    const string Wildcards = "SUBSCRIBE_WILDCARDS";
    const string BulkPublish = "BULK_PUBSUB";

    /// <summary>Names as the metadata API shows them, of those above.</summary>
    IReadOnlyList<string> Features => [];

    /// <summary>Completes when the broker has the messages, in their order.</summary>
    /// <exception cref="PublishException">Only some were refused; those are named.</exception>
    /// <exception cref="Exception">Anything else means that none is known to have arrived. The publisher is told ERR_PUBSUB_PUBLISH_MESSAGE with its message.</exception>
    Task PublishAsync(string topic, IReadOnlyList<Sealed> messages, CancellationToken ct);

    /// <summary>Starts to consume for one instance. Disposing the result ends that; what it has not finished goes back to the broker.</summary>
    Task<IAsyncDisposable> SubscribeAsync(Delivery delivery, CancellationToken ct);

    /// <summary>The app listens to these topics and to no others: what only this host keeps for others may go.</summary>
    Task KeepOnlyAsync(IReadOnlySet<string> topics) => Task.CompletedTask;

    /// <summary>Messages that the app has not finished, as far as the broker can tell.</summary>
    Task<long> WaitingAsync(CancellationToken ct);
}

/// <summary>A message as a broker hands it over.</summary>
/// <param name="Data">The envelope as it was published, or bare bytes where the publisher asked for that.</param>
/// <param name="Metadata">What the component tells about the message; it becomes headers of the call to the app.</param>
/// <param name="Id">What the broker calls the message, in logs and to count how often an app died with it; may be empty.</param>
/// <param name="Key">The partition key, which a copy in the dead-letter topic keeps.</param>
/// <param name="Expires">When the component itself knows it; otherwise the envelope says it.</param>
internal readonly record struct Incoming(
    ReadOnlyMemory<byte> Data,
    IReadOnlyDictionary<string, string> Metadata,
    string Id = "",
    string? Key = null,
    DateTimeOffset? Expires = null)
{
    public static readonly IReadOnlyDictionary<string, string> NoMetadata = new Dictionary<string, string>();
}

/// <summary>What became of a message.</summary>
internal enum Outcome
{
    /// <summary>Handled, dropped or put into the dead-letter topic: acknowledge it.</summary>
    Done,

    /// <summary>Every attempt failed and nobody else took it: the component's own rule for that applies.</summary>
    Failed,

    /// <summary>The app or this host went away before there was an answer: leave it to be delivered again.</summary>
    Abandoned,
}

/// <summary>Some messages of one publish were refused, by their index.</summary>
internal sealed class PublishException(IReadOnlyList<(int Index, string Reason)> refused) : IOException(refused[0].Reason)
{
    public IReadOnlyList<(int Index, string Reason)> Refused { get; } = refused;
}
