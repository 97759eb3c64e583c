using Marketplace.Local.Sidecar.Bindings;
using Marketplace.Local.Sidecar.Locks;
using Marketplace.Local.Sidecar.Resiliency;
using Marketplace.Local.Sidecar.Secrets;
using Marketplace.Local.Sidecar.State;

namespace Marketplace.Local.Sidecar.Resources;

/// <summary>What one app instance's resources folders hold for it: files in order, documents filtered by scopes, references resolved.</summary>
public sealed partial class ComponentSet(SidecarHost host, SidecarApp app) : IAsyncDisposable
{
    private readonly Dictionary<string, StateStoreComponent> stateStores = [];
    private readonly Dictionary<string, SecretStoreComponent> secretStores = [];
    private readonly Dictionary<string, Component> pubSubs = [];
    private readonly Dictionary<string, BindingComponent> bindings = [];
    private readonly Dictionary<string, RedisLockStore> lockStores = [];
    private readonly List<Component> all = [];
    private readonly List<SubscriptionManifest> subscriptions = [];
    private readonly ILogger log = host.Loggers.CreateLogger<ComponentSet>();

    public IReadOnlyList<Component> All => all;
    public IReadOnlyDictionary<string, StateStoreComponent> StateStores => stateStores;
    internal IReadOnlyDictionary<string, SecretStoreComponent> SecretStores => secretStores;

    /// <summary>Components of type pubsub.*; the pub/sub block opens them.</summary>
    public IReadOnlyDictionary<string, Component> PubSubs => pubSubs;

    internal IReadOnlyDictionary<string, BindingComponent> Bindings => bindings;

    internal IReadOnlyDictionary<string, RedisLockStore> LockStores => lockStores;

    /// <summary>Declarative subscriptions of this app.</summary>
    public IReadOnlyList<SubscriptionManifest> Subscriptions => subscriptions;

    public ResiliencyPolicies Resiliency { get; private set; } = ResiliencyPolicies.None;

    public Configuration Configuration { get; private set; } = Configuration.Default;

    /// <summary>The one state store with actorStateStore "true", if any.</summary>
    public StateStoreComponent? ActorStore => stateStores.Values.FirstOrDefault(store => store.IsActorStore);

    internal async Task LoadAsync(CancellationToken ct)
    {
        if (app.ConfigFile is { } file) Configuration = Configuration.Read(file);

        var folders = app.ResourcesPaths.Select(host.Folder).ToList();
        Resiliency = new ResiliencyPolicies([.. folders.SelectMany(folder => folder.Resiliency).Where(one => InScope(one.Scopes))]);
        subscriptions.AddRange(folders.SelectMany(folder => folder.Subscriptions).Where(one => InScope(one.Scopes)));

        var waiting = Accept(folders.SelectMany(folder => folder.Components));
        while (waiting.Count > 0)
        {
            // Secret stores first, and among them those that need no other store.
            var next = waiting.Find(one => one.Type.StartsWith("secretstores.", StringComparison.Ordinal) && IsResolvable(one)) ?? waiting.Find(IsResolvable);
            if (next is null) throw Unresolvable(waiting[0]);

            waiting.Remove(next);
            try
            {
                await OpenAsync(next, ct).WaitAsync(next.InitTimeout, ct);
            }
            catch (TimeoutException) when (!next.IgnoreErrors)
            {
                throw next.Place.Error($"component {next.Name}", $"was not ready within {next.InitTimeout.TotalSeconds:0.#} s (spec.initTimeout).");
            }
            catch (Exception e) when (next.IgnoreErrors && !ct.IsCancellationRequested)
            {
                LogIgnored(e, app.AppId, next.Name);
            }
        }

        var actorStores = stateStores.Values.Where(store => store.IsActorStore).ToList();
        if (actorStores.Count > 1)
            throw actorStores[1].Component.Error("actorStateStore", $"app {app.AppId} has an actor state store already: {actorStores[0].Name}.");
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var store in stateStores.Values)
            await store.Store.DisposeAsync();
        foreach (var binding in bindings.Values)
            await binding.DisposeAsync();
    }

    private bool InScope(IReadOnlyList<string> scopes) => scopes.Count == 0 || scopes.Contains(app.AppId);

    /// <summary>A name taken by an accepted component is refused even to one that is scoped to other apps, as daprd does; the reverse order passes.</summary>
    private List<ComponentManifest> Accept(IEnumerable<ComponentManifest> manifests)
    {
        var accepted = new Dictionary<string, ComponentManifest>();
        foreach (var manifest in manifests)
        {
            if (manifest.Namespace is { } other && host.Plan.Namespace is { Length: > 0 } own && other != own) continue;
            if (accepted.TryGetValue(manifest.Name, out var first))
                throw manifest.Place.Error("metadata.name", $"a component {manifest.Name} is declared at {first.Place} already.");
            if (InScope(manifest.Scopes)) accepted.Add(manifest.Name, manifest);
        }

        return [.. accepted.Values];
    }

    private bool IsResolvable(ComponentManifest manifest) =>
        manifest.SecretStore is not { } store || secretStores.ContainsKey(store) || manifest.Metadata.Values.All(item => item.Secret is null);

    private ResourceException Unresolvable(ComponentManifest manifest) =>
        manifest.Place.Error($"component {manifest.Name}: auth.secretStore", $"app {app.AppId} has no secret store {manifest.SecretStore}.");

    private async Task<Component> ResolveAsync(ComponentManifest manifest, CancellationToken ct)
    {
        var metadata = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        foreach (var item in manifest.Metadata.Values)
        {
            if (item.Secret is { } secret)
                metadata[item.Name] = await SecretAsync(manifest, item, secret, ct);
            else if (item.Environment is { } variable)
                metadata[item.Name] = Environment.GetEnvironmentVariable(variable) ?? "";
            else
                metadata[item.Name] = item.Value ?? "";
            if (metadata[item.Name].Contains('{', StringComparison.Ordinal)) metadata[item.Name] = Filled(manifest, item, metadata[item.Name]);
        }

        return new Component(manifest, metadata);
    }

    /// <summary>The placeholders of daprd, which any metadata may hold.</summary>
    private string Filled(ComponentManifest manifest, MetadataItem item, string value)
    {
        if (value.Contains("{podName}", StringComparison.Ordinal))
            value = value.Replace("{podName}", Environment.GetEnvironmentVariable("POD_NAME") is { Length: > 0 } pod ? pod
                : throw item.Place.Error($"component {manifest.Name}: spec.metadata.{item.Name}", "holds {podName}, but the environment variable POD_NAME is not set."), StringComparison.Ordinal);
        while (value.IndexOf("{uuid}", StringComparison.Ordinal) is >= 0 and var place) value = $"{value[..place]}{Guid.NewGuid()}{value[(place + 6)..]}";
        return value.Replace("{namespace}", $"{host.Namespace}.{app.AppId}", StringComparison.Ordinal).Replace("{appID}", app.AppId, StringComparison.Ordinal);
    }

    private async Task<string> SecretAsync(ComponentManifest manifest, MetadataItem item, SecretReference secret, CancellationToken ct)
    {
        var field = $"component {manifest.Name}: spec.metadata.{item.Name}.secretKeyRef";
        if (manifest.SecretStore is not { } name) throw item.Place.Error(field, "names a secret, but the component names no auth.secretStore.");

        var values = await secretStores[name].Store.GetAsync(secret.Name, ct);
        return values is not null && values.TryGetValue(secret.Key, out var value)
            ? value
            : throw item.Place.Error(field, $"secret store {name} has no secret {secret.Name}{(secret.Key == secret.Name ? "" : $" with a key {secret.Key}")}.");
    }

    private async Task OpenAsync(ComponentManifest manifest, CancellationToken ct)
    {
        ComponentTypes.Check(manifest);
        var component = await ResolveAsync(manifest, ct);
        switch (manifest.Type.Split('.')[0])
        {
            case "secretstores":
                secretStores.Add(manifest.Name, new SecretStoreComponent(component, SecretStoreComponent.OpenStore(component, app), Configuration.SecretScopes.FirstOrDefault(scope => scope.Store == manifest.Name)));
                break;
            case "state":
                stateStores.Add(manifest.Name, await StateStoreComponent.OpenAsync(host, app, component, ct));
                break;
            case "pubsub":
                pubSubs.Add(manifest.Name, component);
                break;
            case "bindings":
                bindings.Add(manifest.Name, BindingComponent.Open(host, app, component));
                break;
            case "lock":
                lockStores.Add(manifest.Name, await RedisLockStore.OpenAsync(host, component, app.AppId));
                break;
            default:
                throw component.UnknownType();
        }

        all.Add(component);
    }

    [LoggerMessage(LogLevel.Warning, "{AppId}: component {Name} is left out (ignoreErrors)")]
    private partial void LogIgnored(Exception exception, string appId, string name);
}
