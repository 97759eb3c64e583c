using Marketplace.Local.Sidecar.Resources;

namespace Marketplace.Local.Sidecar.State;

/// <summary>A state store of one app: <see cref="Key"/> turns the app's keys into those of the store.</summary>
public sealed record StateStoreComponent(Component Component, IStateStore Store, string KeyPrefix, bool IsActorStore)
{
    public string Name => Component.Name;

    public string Key(string key) => KeyPrefix.Length == 0 ? key : string.Concat(KeyPrefix, "||", key);

    internal static async Task<StateStoreComponent> OpenAsync(SidecarHost host, SidecarApp app, Component component, CancellationToken ct)
    {
        var prefix = component.KeyPrefix(app.AppId, host.Plan.Namespace);
        IStateStore store = (component.Type, component.Manifest.Version) switch
        {
            ("state.in-memory", "v1") => new InMemoryStateStore(host.Time),
            ("state.redis", "v1") => await RedisStateStore.OpenAsync(host, component),
            ("state.postgresql" or "state.postgres", "v1") => await PostgresStateStore.OpenAsync(host, component, PostgresDialect.First(component), ct),
            ("state.postgresql" or "state.postgres", "v2") => await PostgresStateStore.OpenAsync(host, component, PostgresDialect.Second(component), ct),
            _ => throw component.UnknownType(),
        };
        return new StateStoreComponent(component, store, prefix, component.Bool("actorStateStore"));
    }
}
