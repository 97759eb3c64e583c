using Marketplace.Local.Sidecar.Bindings;
using Marketplace.Local.Sidecar.PubSub;
using Marketplace.Local.Sidecar.PubSub.Kafka;
using Marketplace.Local.Sidecar.PubSub.RabbitMq;
using Marketplace.Local.Sidecar.PubSub.Redis;
using Marketplace.Local.Sidecar.State;

namespace Marketplace.Local.Sidecar.Resources;

/// <summary>Values that cannot be what their key wants, found by reading them as opening the component would, before there is a server to open it on.</summary>
internal static class ComponentValues
{
    // Fits wherever a number, a duration, a name or an address may stand.
    private const string Unknown = "0";

    /// <exception cref="ResourceException">The first value that is wrong, among those that stand in the file.</exception>
    public static void Check(ComponentManifest manifest)
    {
        if (!ComponentTypes.IsServed(manifest)) return;
        var written = manifest.Metadata.Values.Where(item => item is { Secret: null, Environment: null }).ToDictionary(item => item.Name, item => item.Value ?? "", StringComparer.OrdinalIgnoreCase);
        var metadata = manifest.Metadata.Keys.ToDictionary(name => name, name => written.GetValueOrDefault(name, Unknown), StringComparer.OrdinalIgnoreCase);
        var component = new Component(manifest, metadata);
        try
        {
            Read(component);
        }
        catch (ResourceException wrong) when (!written.Keys.Any(name => written[name].Length > 0 && wrong.Field == component.Error(name, "").Field))
        {
            // Of a value that only the running sidecar knows.
        }
    }

    private static void Read(Component component)
    {
        switch (component.Type)
        {
            case "pubsub.redis":
                RedisStreamSettings.Of(component, ".", "");
                RedisOptions.Of(component);
                break;
            case "state.redis" or "lock.redis":
                component.Int("redisDB");
                component.Int("ttlInSeconds");
                RedisOptions.Of(component);
                break;
            case "state.postgresql" or "state.postgres":
                PostgresConnection.Of(component);
                break;
            case "pubsub.in-memory":
                PubSubComponents.Concurrency(component);
                break;
            case "pubsub.rabbitmq":
                _ = new RabbitMqOptions(component);
                break;
            case "pubsub.kafka":
                _ = new KafkaOptions(component);
                break;
            case "bindings.smtp":
                _ = new SmtpBinding(component, TimeProvider.System);
                break;
            case "bindings.http":
                _ = new HttpBinding(component);
                break;
            case "bindings.cron":
                _ = new CronBinding(component, TimeProvider.System);
                break;
            default:
                break;
        }
    }
}
