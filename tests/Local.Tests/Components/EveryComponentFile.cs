using Marketplace.Local.Launcher;
using Marketplace.Local.Sidecar.Resources;
using Marketplace.Local.Sidecar.RunFile;
using Xunit;
using YamlDotNet.RepresentationModel;
using static Marketplace.Local.Tests.Components.Yaml;

namespace Marketplace.Local.Tests.Components;

/// <summary>What a real Dapr would reject, found before one is asked: the component sets, their policies and the run file.</summary>
public sealed class EveryComponentFile
{
    private static readonly string Root = SourceTree.Find().Root;
    private static readonly string[] AllSets = ["local", "redis", "rabbitmq", "kafka", "postgres", "compose", "aws", "azure", "gcp"];

    public static TheoryData<string> Sets => [.. AllSets];

    [Fact]
    public void Belongs_to_a_set_that_is_tested_here()
    {
        Assert.Equal(AllSets.Order(), Directory.EnumerateDirectories(Path.Combine(Root, "components")).Select(folder => Path.GetFileName(folder)).Order());
        Assert.Equal(["config.yaml"], Directory.EnumerateFiles(Path.Combine(Root, "components")).Select(file => Path.GetFileName(file)));
    }

    [Theory, MemberData(nameof(Sets))]
    public void Says_only_what_its_type_and_its_kind_know_and_all_that_they_require(string set) =>
        Assert.Empty(Check.Rules(set).Complaints(Folder(set)));

    [Theory, MemberData(nameof(Sets))]
    public void Is_read_by_the_local_sidecar_host_too(string set) =>
        Assert.Equal(10, ResourceFolder.Read(Folder(set)).Components.Count);

    [Theory, MemberData(nameof(Sets))]
    public void Has_the_names_and_the_users_that_it_has_in_every_set(string set)
    {
        string[] Names(string folder) => [.. Directory.EnumerateFiles(Folder(folder)).SelectMany(Documents).Select(document => $"{Text(document, "kind")} {Name(document)} for {string.Join(' ', Scopes(document).Order())}").Order()];
        Assert.Equal(Names("redis"), Names(set));
        Assert.Equal(Names(set).Length, Names(set).Select(name => name.Split(" for ")[0]).Distinct().Count());

        // Dapr warns about anything else in a resources folder, reads no folder inside, and of a file's documents only the first Resiliency.
        Assert.Empty(Directory.EnumerateDirectories(Folder(set)));
        Assert.All(Directory.EnumerateFiles(Folder(set)), file => Assert.EndsWith(".yaml", file, StringComparison.Ordinal));
        Assert.All(Directory.EnumerateFiles(Folder(set)), file => Assert.Single(Documents(file)));
    }

    [Theory, MemberData(nameof(Sets))]
    public void Brings_each_app_the_secret_store_it_needs_and_one_store_for_actors(string set)
    {
        var components = Directory.EnumerateFiles(Folder(set)).SelectMany(Documents).Where(document => Text(document, "kind") == "Component").ToList();
        var secrets = Scopes(components.Single(component => Name(component) == "secrets")).ToHashSet();
        foreach (var component in components)
        {
            Assert.NotEmpty(Scopes(component));
            if (Map(component, "auth") is not null)
                Assert.Subset(secrets, Scopes(component).ToHashSet());
        }

        var actors = Assert.Single(components, component => Items(Map(component, "spec")!, "metadata").Any(item => Text(item, "name") == "actorStateStore" && Text(item, "value") == "true"));
        Assert.Equal("actors", Name(actors));
        if (Check.Schemas is { } schemas)
        {
            var spec = Map(actors, "spec")!;
            var schema = Load(Path.Combine(schemas, $"{Text(spec, "type")}.{Text(spec, "version")}.yaml"));
            Assert.Subset(Items<YamlScalarNode>(schema, "capabilities").Select(one => one.Value!).ToHashSet(), new HashSet<string> { "actorStateStore", "transactional" });
        }
    }

    [Theory, MemberData(nameof(Sets))]
    public void Holds_the_policies_that_all_sets_hold(string set)
    {
        foreach (var file in new[] { "resiliency.yaml", "resiliency-questions.yaml" })
            Assert.Equal(File.ReadAllText(Path.Combine(Folder("local"), file)), File.ReadAllText(Path.Combine(Folder(set), file)));
    }

    [Theory]
    [InlineData("redis", "processingTimeout")]
    [InlineData("aws", "messageVisibilityTimeout")]
    [InlineData("azure", "handlerTimeoutInSec")]
    [InlineData("gcp", "ackDeadline")]
    public void Leaves_a_message_its_minute_of_tries_before_the_broker_takes_its_reader_for_dead(string set, string key)
    {
        var messages = Documents(Path.Combine(Folder(set), "resiliency.yaml")).Single();
        var retry = Map(Map(Map(Map(messages, "spec")!, "policies")!, "retries")!, "restart")!;
        Assert.True(GoDuration.TryParse(Text(retry, "duration")!, out var pause));
        var minute = pause * int.Parse(Text(retry, "maxRetries")!, System.Globalization.CultureInfo.InvariantCulture);

        Assert.True(GoDuration.TryParse(Value(set, "pubsub", key), out var patience));   // bare numbers are seconds
        Assert.True(patience > minute, $"{set}: {key} is {patience}, the tries take {minute}");
    }

    [Theory]
    [InlineData("cache", "redisHost")]
    [InlineData("carts", "redisHost")]
    [InlineData("payment-status", "redisHost")]
    [InlineData("order-feed", "redisHost")]
    [InlineData("pubsub", "brokers")]
    [InlineData("email", "host", "port")]
    public void Names_a_host_and_port_that_docker_compose_starts_and_publishes(string component, string host, string? port = null)
    {
        var address = Value("compose", component, host) + (port is null ? "" : $":{Value("compose", component, port)}");
        var services = Map(Load(Path.Combine(Root, "docker-compose.yml")), "services")!;
        var service = Map(services, address.Split(':')[0]);
        Assert.True(service is not null, $"{address}: docker-compose.yml has {string.Join(", ", Keys(services))}");
        Assert.Contains($"127.0.0.1:{address.Split(':')[1]}:{address.Split(':')[1]}", Items<YamlScalarNode>(service, "ports").Select(one => one.Value));
        Assert.Null(Map(service, "profiles"));
    }

    [Fact]
    public void Of_the_run_file_uses_keys_that_the_command_line_knows()
    {
        HashSet<string> both = ["resourcesPath", "resourcesPaths", "configFilePath", "appProtocol", "env", "logLevel", "enableApiLogging", "enableProfiling", "apiListenAddresses", "appMaxConcurrency", "appSSL", "maxBodySize", "readBufferSize",
            "enableAppHealthCheck", "appHealthCheckPath", "appHealthProbeInterval", "appHealthProbeTimeout", "appHealthThreshold", "placementHostAddress", "schedulerHostAddress", "runtimePath", "daprdLogDestination", "appLogDestination"];
        HashSet<string> app = [.. both, "appID", "appDirPath", "command", "appPort", "appChannelAddress", "daprHTTPPort", "daprGRPCPort", "daprInternalGRPCPort", "metricsPort", "profilePort", "unixDomainSocket",
            "optIn"];   // ours: the command line passes over keys it does not know
        var file = Load(Path.Combine(Root, "dapr.yaml"));
        Assert.Subset(new HashSet<string> { "version", "name", "common", "apps" }, Keys(file));
        Assert.Subset(both, Keys(Map(file, "common")!));
        Assert.All(Items(file, "apps"), entry => Assert.Subset(app, Keys(entry)));

        var plan = RunPlan.Read(Root);
        var ports = plan.Apps.SelectMany(entry => new[] { entry.AppPort, entry.DaprHttpPort, entry.DaprGrpcPort }).ToList();
        Assert.Equal(ports.Count, ports.Distinct().Count());
        Assert.All(plan.Apps, entry => Assert.Equal("/livez", entry.HealthCheck?.Path));
        Assert.All(plan.Apps.Where(entry => !entry.OptIn), entry => Assert.True(Directory.EnumerateFiles(entry.Folder, "*.csproj").Any()));
    }

    private static string Value(string set, string component, string key) =>
        Text(Items(Map(Documents(Path.Combine(Folder(set), $"{component}.yaml")).Single(), "spec")!, "metadata").Single(item => Text(item, "name") == key), "value")!;

    private static string Folder(string set) => Path.Combine(Root, "components", set);
}

/// <summary>The rules of the checkout: its apps, and the secrets that its launcher writes.</summary>
internal static class Check
{
    private static readonly string[] InTheCloud = ["aws", "azure", "gcp"];

    public static string? Schemas { get; } = Outside.Find("dapr/component-metadata");

    public static ComponentRules Rules(string set)
    {
        Assert.SkipWhen(Schemas is null, "the component schemas of Dapr are not beside this checkout");
        var definitions = Outside.Find("dapr/crds");
        Assert.SkipWhen(definitions is null, "the resource definitions of Dapr are not beside this checkout");
        var apps = RunPlan.Read(SourceTree.Find().Root).Apps.Select(app => app.AppId).ToHashSet();
        return new ComponentRules(Schemas, definitions, apps, InTheCloud.Contains(set) ? null : Written(set));
    }

    /// <summary>What the launcher writes into the secrets file when it starts everything on this set.</summary>
    private static IReadOnlySet<string> Written(string set)
    {
        var everything = new LaunchOptions { Components = set, With = new HashSet<string> { "order-feed" } };
        return Servers.SecretNames(SystemPlan.Read(SourceTree.Find(), everything, SidecarKind.Local));
    }
}
