using Marketplace.Local.Sidecar.Resiliency;
using Marketplace.Local.Sidecar.State;

namespace Marketplace.Local.Sidecar.Resources;

/// <summary>What one app instance's resources folders hold for it: files in order, documents filtered by scopes, references resolved.</summary>
public sealed class ComponentSet(SidecarHost host, SidecarApp app) : IAsyncDisposable
{
    private readonly Dictionary<string, StateStoreComponent> stateStores = [];
    private readonly Dictionary<string, Component> pubSubs = [];
    private readonly Dictionary<string, Component> bindings = [];
    private readonly List<Component> all = [];
    private readonly List<SubscriptionManifest> subscriptions = [];

    public IReadOnlyList<Component> All => all;
    public IReadOnlyDictionary<string, StateStoreComponent> StateStores => stateStores;

    /// <summary>Components of type pubsub.*; the pub/sub block opens them.</summary>
    public IReadOnlyDictionary<string, Component> PubSubs => pubSubs;

    public IReadOnlyDictionary<string, Component> Bindings => bindings;

    /// <summary>Declarative subscriptions of this app.</summary>
    public IReadOnlyList<SubscriptionManifest> Subscriptions => subscriptions;

    public ResiliencyPolicies Resiliency { get; } = ResiliencyPolicies.None;

    /// <summary>The one state store with actorStateStore "true", if any.</summary>
    public StateStoreComponent? ActorStore => stateStores.Values.FirstOrDefault(store => store.IsActorStore);

    internal Task LoadAsync(CancellationToken ct)
    {
        _ = host;
        _ = app;
        return Task.CompletedTask;
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}

/// <summary>A component with its metadata as final text: secrets and environment are filled in. Names ignore case.</summary>
public record Component(ComponentManifest Manifest, IReadOnlyDictionary<string, string> Metadata)
{
    public string Name => Manifest.Name;
    public string Type => Manifest.Type;

    public string? Get(string name) => Metadata.TryGetValue(name, out var value) ? value : null;
}

/// <summary>A state store of one app: <see cref="Key"/> turns the app's keys into those of the store.</summary>
public sealed record StateStoreComponent(Component Component, IStateStore Store, string KeyPrefix, bool IsActorStore)
{
    public string Name => Component.Name;

    public string Key(string key) => KeyPrefix.Length == 0 ? key : KeyPrefix + "||" + key;
}
