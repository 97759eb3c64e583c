using Marketplace.Local.Sidecar.Resiliency;
using Marketplace.Local.Sidecar.Resources;
using Marketplace.Local.Sidecar.RunFile;
using Marketplace.Local.Sidecar.Secrets;

namespace Marketplace.Local.Launcher;

/// <summary>What is to run, decided and checked from files alone, before anything is built or started.</summary>
public sealed class SystemPlan
{
    /// <summary>Where the sets for a real Dapr find the launcher's data folder, seen from the folder of a service.</summary>
    public const string UsualFolder = "../../.local/";

    private readonly SidecarKind sidecar;
    private readonly Dictionary<string, ResourceFolder> own = [];

    private SystemPlan(SourceTree tree, LaunchOptions options, SidecarKind sidecar, RunPlan runFile, IReadOnlyList<LocalService> services, ComponentFolder set)
    {
        this.sidecar = sidecar;
        Tree = tree;
        Options = options;
        RunFile = runFile;
        Services = services;
        Set = set;
        Needs = Needs.Of(services.SelectMany(service => ResourcesOf(service).Components.Where(component => IsInScope(component.Scopes, service))));
    }

    public SourceTree Tree { get; }
    public LaunchOptions Options { get; }
    public RunPlan RunFile { get; }

    /// <summary>The apps that start, in the order of dapr.yaml.</summary>
    public IReadOnlyList<LocalService> Services { get; }

    public ComponentFolder Set { get; }
    public Needs Needs { get; }

    /// <summary>The programs of a real Dapr, when its sidecars are asked for.</summary>
    public DaprPrograms? Dapr { get; private init; }

    /// <exception cref="ResourceException">A file says something that cannot work; the message names file, line and key.</exception>
    /// <exception cref="UsageException">An option names what does not exist.</exception>
    public static SystemPlan Read(SourceTree tree, LaunchOptions options, SidecarKind sidecar)
    {
        var runFile = RunPlan.Read(tree.RunFile);
        var all = runFile.Apps.Select(app => new LocalService(app)).ToList();
        Known(options.Only ?? new HashSet<string>(), "--only", all);
        Known(options.Instances.Keys, "--instances", all);
        foreach (var asked in options.With.Where(asked => !all.Any(service => service.IsNamed(asked))))
            throw new UsageException($"--with: there is no app {asked} in dapr.yaml{Nearest.Hint(asked, all.Where(service => service.App.OptIn).Select(service => service.AppId))}.");

        foreach (var service in all)
        {
            if (options.Instances.TryGetValue(service.AppId, out var asked) && service.Replicas is { } limit && asked > limit.AtMost)
                throw new UsageException($"--instances {service.AppId}={asked}: {service.AppId} allows {limit.AtMost}, {limit.Because} ({limit.File}).");
        }

        var services = all.Where(service => options.With.Any(service.IsNamed) || (options.Only is { } only ? only.Contains(service.AppId) : !service.App.OptIn)).ToList();
        var set = ComponentFolder.Find(tree, options.Components ?? (sidecar == SidecarKind.Local ? "local" : "redis"));
        var plan = new SystemPlan(tree, options, sidecar, runFile, services, set)
        {
            Dapr = sidecar == SidecarKind.Daprd ? DaprPrograms.Find(services.Select(service => service.App.RuntimePath).FirstOrDefault(path => path is not null)) : null,
        };
        plan.Check();
        return plan;
    }

    /// <summary>Names that the usual set has for the apps that start and this one has not. No error: a set may be for a part of the system.</summary>
    public IReadOnlyList<string> Missing()
    {
        var usual = Path.Combine(Tree.Root, "components", "local");
        if (!Directory.Exists(usual) || usual == Set.Folder)
            return [];
        return
        [
            .. from component in ResourceFolder.Read(usual).Components
               where component.Type.Split('.')[0] != "secretstores"   // one that is missed is an error where it is named
               let without = Services.Where(service => IsInScope(component.Scopes, service) && !ResourcesOf(service).Components.Any(one => one.Name == component.Name && IsInScope(one.Scopes, service))).ToList()
               where without.Count > 0
               select $"{Set.Folder} has no component {component.Name} for {string.Join(", ", without.Select(service => service.AppId))}, which ask for that name; components/local/{Path.GetFileName(component.Place.File)} says what it is.",
        ];
    }

    /// <summary>Policies for a component that no file has. No error, since daprd takes them too: they never apply, which one slip of a letter is enough for.</summary>
    public IReadOnlyList<string> Aimless() =>
    [
        .. (from folder in Folders
            let names = folder.Components.Select(component => component.Name).ToList()
            from target in folder.Resiliency.SelectMany(one => one.ComponentPlaces)
            where !names.Contains(target.Name)
            select target.Place.Error($"spec.targets.components.{target.Name}", $"there is no component {target.Name}{Nearest.Hint(target.Name, names)}, so these policies never apply.").Message).Distinct(),
    ];

    public static bool IsInScope(IReadOnlyList<string> scopes, LocalService service) => scopes.Count == 0 || scopes.Contains(service.AppId);

    private IEnumerable<ResourceFolder> Folders => Apps.Select(ResourcesOf).Distinct();

    /// <summary>All apps of dapr.yaml, also those that do not start: a scope may name them.</summary>
    private IEnumerable<LocalService> Apps => RunFile.Apps.Select(app => new LocalService(app));

    /// <summary>What is wrong with the files that can be seen without starting anything: all of it, at once.</summary>
    private void Check()
    {
        var wrong = new List<ResourceException>();
        void Try(Action check)
        {
            try
            {
                check();
            }
            catch (ResourceException one)
            {
                if (!wrong.Exists(other => other.Message == one.Message))
                    wrong.Add(one);
            }
        }

        foreach (var folder in Folders)
        {
            foreach (var component in folder.Components)
                Try(() => Check(component));
            foreach (var twice in folder.Components.GroupBy(component => component.Name).Where(group => group.Count() > 1))
                Try(() => throw twice.Last().Place.Error("metadata.name", $"a component {twice.Key} is declared at {twice.First().Place} already; give one of them another name."));
            foreach (var (scopes, places) in folder.Components.Select(one => (one.Scopes, one.ScopePlaces))
                         .Concat(folder.Subscriptions.Select(one => (one.Scopes, one.ScopePlaces))).Concat(folder.Resiliency.Select(one => (one.Scopes, one.ScopePlaces))))
            {
                foreach (var (scope, place) in scopes.Zip(places).Where(pair => RunFile.Apps.All(app => app.AppId != pair.First)))
                    Try(() => throw place.Error("scopes", $"there is no app {scope} in {RunFile.File}{Nearest.Hint(scope, RunFile.Apps.Select(app => app.AppId))}."));
            }
        }

        foreach (var service in Services)
            Check(service, Try);
        if (wrong.Count == 1)
            throw wrong[0];
        if (wrong.Count > 1)
            throw new LaunchException(string.Join('\n', wrong.OrderBy(one => one.File, StringComparer.Ordinal).ThenBy(one => one.Line).Select(one => one.Message)), $"{wrong.Count} things to correct; nothing was started.");
    }

    private void Check(ComponentManifest component)
    {
        ComponentTypes.Check(component);
        ComponentValues.Check(component);
        if (sidecar == SidecarKind.Local && !ComponentTypes.IsServed(component) && !component.IgnoreErrors)
            throw Component.NotServed(component);
        if (sidecar != SidecarKind.Local && component.Type == "pubsub.in-memory")
            throw component.TypePlace.Error("spec.type", $"component {component.Name} is a pubsub.in-memory, whose events never leave one daprd: no app would hear of another. Take a set with a broker, such as --components redis.");
    }

    /// <summary>What its sidecar would find out when it loads its resources.</summary>
    private void Check(LocalService service, Action<Action> attempt)
    {
        if (sidecar != SidecarKind.DaprCli)
            attempt(() => CheckCommand(service.App));
        var folder = ResourcesOf(service);
        var components = folder.Components.Where(component => IsInScope(component.Scopes, service)).ToList();
        if (service.App.ConfigFile is { } file)
            attempt(() => Configuration.Read(file));
        attempt(() => _ = new ResiliencyPolicies([.. folder.Resiliency.Where(one => IsInScope(one.Scopes, service))]));
        foreach (var subscription in folder.Subscriptions.Where(one => IsInScope(one.Scopes, service)))
        {
            var brokers = components.Where(component => component.Type.StartsWith("pubsub.", StringComparison.Ordinal)).Select(component => component.Name).ToList();
            if (!brokers.Contains(subscription.PubsubName))
                attempt(() => throw subscription.Place.Error("spec.pubsubname", $"app {service.AppId} has no pub/sub component {subscription.PubsubName}{Nearest.Hint(subscription.PubsubName, brokers)}."));
        }

        foreach (var component in components.Where(component => !component.IgnoreErrors))
            attempt(() => CheckSecrets(service, component, components));
    }

    private static void CheckCommand(RunApp app)
    {
        if (app.Command.Count == 0)
            throw app.Place.Error("command", $"is required: the launcher starts every app, {app.AppId} too.");
        var program = app.Command[0];
        if (program.Contains('/', StringComparison.Ordinal) ? !File.Exists(Path.GetFullPath(program, app.Folder)) : Programs.Find(program) is null)
            throw app.Places.GetValueOrDefault("command", app.Place).Error($"{app.AppId}: command", $"there is no program {program}{(program.Contains('/', StringComparison.Ordinal) ? $" in {app.Folder}" : " on PATH")}.");
    }

    private void CheckSecrets(LocalService service, ComponentManifest component, List<ComponentManifest> all)
    {
        foreach (var item in component.Metadata.Values.Where(item => item.Secret is not null))
        {
            var field = $"component {component.Name}: spec.metadata.{item.Name}.secretKeyRef";
            if (component.SecretStore is not { } name)
                throw item.Place.Error(field, "names a secret, but the component names no auth.secretStore.");
            var stores = all.Where(one => one.Type.StartsWith("secretstores.", StringComparison.Ordinal)).ToList();
            if (stores.Find(one => one.Name == name) is not { } store)
                throw component.Place.Error($"component {component.Name}: auth.secretStore", $"app {service.AppId} has no secret store {name}{Nearest.Hint(name, stores.Select(one => one.Name))}.");
            if (KnownSecrets(service, store) is { } known && !known.Contains((item.Secret!.Name, item.Secret.Key)))
            {
                throw item.Place.Error(field, $"secret store {name} has no secret {item.Secret.Name}{(item.Secret.Key == item.Secret.Name ? "" : $" with a key {item.Secret.Key}")}{Nearest.Hint(item.Secret.Name, known.Select(one => one.Name).Where(one => one != item.Secret.Name))}."
                    + (IsOurs(store) ? $" The launcher writes {string.Join(", ", known.Select(one => one.Name).Order(StringComparer.Ordinal))}." : ""));
            }
        }
    }

    /// <summary>Names and keys of the secrets in a store; null where only a running sidecar can tell.</summary>
    private HashSet<(string Name, string Key)>? KnownSecrets(LocalService service, ComponentManifest store)
    {
        if (IsOurs(store))
            return [.. Servers.SecretNames(this).Select(name => (name, name))];
        if (store.Type != "secretstores.local.file")
            return null;
        var metadata = store.Metadata.Values.ToDictionary(item => item.Name, item => item.Environment is { } variable ? Environment.GetEnvironmentVariable(variable) ?? "" : item.Value ?? "", StringComparer.OrdinalIgnoreCase);
        return [.. LocalFileSecrets.Open(new Component(store, metadata), service.App.Folder).Names];
    }

    /// <summary>The file that the launcher writes, named by its variable or by its usual place beside the services.</summary>
    private static bool IsOurs(ComponentManifest store) => store.Type == "secretstores.local.file" && store.Metadata.TryGetValue("secretsFile", out var file)
        && (file.Environment == "MARKETPLACE_SECRETS" || file.Value == UsualFolder + "secrets.json");

    private ResourceFolder ResourcesOf(LocalService service)
    {
        if (!service.App.HasOwnResources)
            return Set.Resources;
        if (!own.TryGetValue(service.AppId, out var resources))
        {
            var folders = service.App.ResourcesPaths.Select(ResourceFolder.Read).ToList();
            own[service.AppId] = resources = new ResourceFolder(
                [.. folders.SelectMany(folder => folder.Components)], [.. folders.SelectMany(folder => folder.Subscriptions)], [.. folders.SelectMany(folder => folder.Resiliency)]);
        }

        return resources;
    }

    private static void Known(IEnumerable<string> named, string option, List<LocalService> all)
    {
        if (named.FirstOrDefault(app => all.All(service => service.AppId != app)) is { } unknown)
            throw new UsageException($"{option}: there is no app {unknown} in dapr.yaml{Nearest.Hint(unknown, all.Select(service => service.AppId))}.");
    }
}

/// <summary>A component set: a folder under components/, or any other.</summary>
public sealed record ComponentFolder(string Name, string Folder, ResourceFolder Resources)
{
    public static ComponentFolder Find(SourceTree tree, string chosen)
    {
        var sets = Path.Combine(tree.Root, "components");
        var named = Path.Combine(sets, chosen);
        var folder = Directory.Exists(named) ? named : Path.GetFullPath(chosen);
        if (!Directory.Exists(folder))
        {
            var known = Directory.Exists(sets) ? Directory.GetDirectories(sets).Select(set => Path.GetFileName(set)).Order().ToList() : [];
            throw new LaunchException($"There is no component set {chosen}{Nearest.Hint(chosen, known)}: no folder {named}{(named == folder ? "" : $" and no {folder}")}.",
                $"There are: {string.Join(", ", known)}.");
        }

        return new ComponentFolder(Path.GetFileName(Path.TrimEndingDirectorySeparator(folder)), Path.TrimEndingDirectorySeparator(folder), ResourceFolder.Read(folder));
    }
}

/// <summary>Which servers a set asks for. An address that the set writes down itself belongs to a server that somebody else runs.</summary>
/// <param name="Streams">The component that needs Redis Streams, which not every server of the Redis protocol has.</param>
public sealed record Needs(bool Redis, ComponentManifest? Streams, bool RabbitMq, bool Kafka, bool Mail)
{
    /// <summary>Addresses that the set writes down itself.</summary>
    public IReadOnlyList<string> Elsewhere { get; init; } = [];

    public static Needs Of(IEnumerable<ComponentManifest> components)
    {
        var all = components.ToList();
        return new Needs(
            all.Any(component => component.Type is "state.redis" or "pubsub.redis" or "lock.redis" or "configuration.redis" or "bindings.redis" && IsOurs(component, "redisHost")),
            all.Find(component => component.Type == "pubsub.redis" && IsOurs(component, "redisHost")),
            all.Any(component => component.Type is "pubsub.rabbitmq" or "bindings.rabbitmq" && (IsOurs(component, "connectionString") || IsOurs(component, "hostname") || IsOurs(component, "host"))),
            all.Any(component => component.Type is "pubsub.kafka" or "bindings.kafka" && IsOurs(component, "brokers")),
            all.Any(component => component.Type == "bindings.smtp" && IsOurs(component, "host")))
        {
            Elsewhere = [.. all.SelectMany(component => Addresses.Select(key => component.Metadata.GetValueOrDefault(key)?.Value)).Where(value => !string.IsNullOrEmpty(value)).Distinct().Order(StringComparer.Ordinal)!],
        };
    }

    private static readonly string[] Addresses = ["redisHost", "hostname", "host", "brokers"];

    private static bool IsOurs(ComponentManifest component, string key) => component.Metadata.TryGetValue(key, out var item) && item.Secret is not null;
}
