using System.Collections.Concurrent;
using Marketplace.Local.Sidecar.PubSub.Kafka;
using Marketplace.Local.Sidecar.PubSub.RabbitMq;
using Marketplace.Local.Sidecar.PubSub.Redis;
using Marketplace.Local.Sidecar.Resources;

namespace Marketplace.Local.Sidecar.PubSub;

/// <summary>Opens pub/sub components by their type, once for each app that loads them.</summary>
internal sealed class PubSubComponents(SidecarHost host) : IAsyncDisposable
{
    private readonly ConcurrentDictionary<(string Name, string App), OpenPubSub> opened = new();
    private readonly ConcurrentDictionary<string, Broker> brokers = new();
    private readonly ILogger log = host.Loggers.CreateLogger("Marketplace.Local.Sidecar.PubSub");
    private FileStream? owned;

    private string Journals => Path.Combine(host.Plan.DataFolder, "journal");

    public IEnumerable<(string Name, string App, IPubSub PubSub)> All => opened.Select(entry => (entry.Key.Name, entry.Key.App, entry.Value.Component));

    public OpenPubSub Of(string name, string app) => opened[(name, app)];

    public async Task OpenAsync(Component component, string app, CancellationToken ct)
    {
        if (opened.ContainsKey((component.Name, app))) return;
        ct.ThrowIfCancellationRequested();
        owned ??= Own(Journals);
        IPubSub pubsub = component.Type switch
        {
            "pubsub.in-memory" => new InMemoryPubSub(BrokerOf(component), app),
            "pubsub.rabbitmq" => await RabbitMqPubSub.OpenAsync(component, app, host.Time, host.Loggers.CreateLogger<RabbitMqPubSub>(), ct),
            "pubsub.kafka" => await KafkaPubSub.OpenAsync(component, app, host.Time, host.Loggers.CreateLogger<KafkaPubSub>(), ct),
            "pubsub.redis" => await RedisPubSub.OpenAsync(host, component, app, log),
            _ => throw component.UnknownType(),
        };
        var isolated = component.Manifest.Metadata.Values.Any(item => item.Value?.Contains("{namespace}", StringComparison.Ordinal) == true);
        opened[(component.Name, app)] = new OpenPubSub(pubsub, isolated ? host.Namespace : "");
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var pubsub in opened.Values) await pubsub.Component.DisposeAsync();
        foreach (var broker in brokers.Values) await broker.DisposeAsync();
        if (owned is not null) await owned.DisposeAsync();
    }

    private Broker BrokerOf(Component component)
    {
        if (brokers.TryGetValue(component.Name, out var broker)) return broker;
        return brokers[component.Name] = new Broker(Path.Combine(Journals, component.Name), Concurrency(component), host.Time, host.Loggers);
    }

    public static int Concurrency(Component component) =>
        component.Int("concurrency", ConsumerGroup.DefaultConcurrency) is var number && number > 0 ? number : throw component.Error("concurrency", $"must be positive, not {number}.");

    /// <summary>Two hosts on one journal would each deliver and delete what the other needs; two with one name at a broker would take each other's messages. The system lets go of the file when a host dies.</summary>
    private static FileStream Own(string journals)
    {
        Directory.CreateDirectory(journals);
        try
        {
            return new FileStream(Path.Combine(journals, "in-use"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e)
        {
            throw new IOException($"{journals} is in use by another sidecar host.", e);
        }
    }
}

/// <param name="Prefix">Stands before every topic at the broker: the namespace, where a component's metadata ask for that by naming it.</param>
internal sealed record OpenPubSub(IPubSub Component, string Prefix)
{
    public string NameOf(string topic) => Prefix.Length == 0 ? topic : Prefix + topic;
}
