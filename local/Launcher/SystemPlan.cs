using Marketplace.Local.Sidecar.Resources;
using Marketplace.Local.Sidecar.RunFile;

namespace Marketplace.Local.Launcher;

/// <summary>What is to run, decided and checked from files alone, before anything is built or started.</summary>
public sealed class SystemPlan
{
    private readonly SidecarKind sidecar;

    private SystemPlan(SourceTree tree, LaunchOptions options, SidecarKind sidecar, RunPlan runFile, IReadOnlyList<LocalService> services, ComponentFolder set)
    {
        this.sidecar = sidecar;
        Tree = tree;
        Options = options;
        RunFile = runFile;
        Services = services;
        Set = set;
        Needs = Needs.Of(set.Resources.Components.Where(component => services.Any(service => IsInScope(component.Scopes, service))));
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

        var services = all.Where(service => options.Only is { } only ? only.Contains(service.AppId) : !service.App.OptIn || options.With.Any(service.IsNamed)).ToList();
        var set = ComponentFolder.Find(tree, options.Components ?? (sidecar == SidecarKind.Local ? "local" : "redis"));
        var plan = new SystemPlan(tree, options, sidecar, runFile, services, set)
        {
            Dapr = sidecar == SidecarKind.Daprd ? DaprPrograms.Find(services.Select(service => service.App.RuntimePath).FirstOrDefault(path => path is not null)) : null,
        };
        plan.Check();
        return plan;
    }

    public static bool IsInScope(IReadOnlyList<string> scopes, LocalService service) => scopes.Count == 0 || scopes.Contains(service.AppId);

    private void Check()
    {
        foreach (var component in Set.Resources.Components)
        {
            ComponentTypes.Check(component);
            if (sidecar == SidecarKind.Local && !ComponentTypes.IsServed(component) && !component.IgnoreErrors)
                throw Component.NotServed(component);
            if (sidecar != SidecarKind.Local && component.Type == "pubsub.in-memory")
                throw component.TypePlace.Error("spec.type", $"component {component.Name} is a pubsub.in-memory, whose events never leave one daprd: no app would hear of another. Take a set with a broker, such as --components redis.");
        }
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
    public static Needs Of(IEnumerable<ComponentManifest> components)
    {
        var all = components.ToList();
        return new Needs(
            all.Any(component => component.Type is "state.redis" or "pubsub.redis" or "lock.redis" or "configuration.redis" or "bindings.redis" && IsOurs(component, "redisHost")),
            all.Find(component => component.Type == "pubsub.redis" && IsOurs(component, "redisHost")),
            all.Any(component => component.Type is "pubsub.rabbitmq" or "bindings.rabbitmq" && (IsOurs(component, "connectionString") || IsOurs(component, "hostname") || IsOurs(component, "host"))),
            all.Any(component => component.Type is "pubsub.kafka" or "bindings.kafka" && IsOurs(component, "brokers")),
            all.Any(component => component.Type == "bindings.smtp" && IsOurs(component, "host")));
    }

    private static bool IsOurs(ComponentManifest component, string key) => component.Metadata.TryGetValue(key, out var item) && item.Secret is not null;
}
