namespace Marketplace.Local.Sidecar.PubSub;

/// <summary>
/// pubsub.in-memory for one app: the broker is shared by all apps of the host and keeps a journal on disk. An app that listens to a topic for the first
/// time gets what is published from then on; from then on its messages wait while it is away.
/// </summary>
internal sealed class InMemoryPubSub(Broker broker, string app) : IPubSub
{
    public IReadOnlyList<string> Features { get; } = [IPubSub.Wildcards];

    public Task PublishAsync(string topic, IReadOnlyList<Sealed> messages, CancellationToken ct) => broker.PublishAsync(topic, messages);

    public Task<IAsyncDisposable> SubscribeAsync(Delivery delivery, CancellationToken ct) => broker.SubscribeAsync(delivery);

    public async Task KeepOnlyAsync(IReadOnlySet<string> topics)
    {
        foreach (var topic in broker.TopicsOf(app))
            if (!topics.Contains(topic)) await broker.ForgetAsync(topic, app);
    }

    public Task<long> WaitingAsync(CancellationToken ct) => Task.FromResult(broker.Backlog(app));

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
