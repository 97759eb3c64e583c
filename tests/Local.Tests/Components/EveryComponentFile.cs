using System.Text.RegularExpressions;
using Marketplace.Local.Launcher;
using Marketplace.Local.Sidecar.RunFile;
using Xunit;
using YamlDotNet.RepresentationModel;

namespace Marketplace.Local.Tests.Components;

/// <summary>What a real Dapr would reject, found before one is asked: the component sets, their policies and the run file.</summary>
public sealed partial class EveryComponentFile
{
    private static readonly string Root = SourceTree.Find().Root;

    public static TheoryData<string> Files => [.. Directory.EnumerateFiles(Path.Combine(Root, "components"), "*", SearchOption.AllDirectories).Select(file => Path.GetRelativePath(Root, file)).Order()];
    public static TheoryData<string> Sets => [.. Directory.EnumerateDirectories(Path.Combine(Root, "components")).Select(folder => Path.GetFileName(folder)).Order()];

    [Theory, MemberData(nameof(Files))]
    public void Names_only_metadata_its_type_knows_and_all_that_it_requires(string file)
    {
        var schemas = Outside.Find("dapr/component-metadata");
        Assert.SkipWhen(schemas is null, "the component schemas of Dapr are not beside this checkout");
        foreach (var component in Documents(file).Where(document => Text(document, "kind") == "Component"))
        {
            var spec = Map(component, "spec")!;
            var (type, version) = (Text(spec, "type")!, Text(spec, "version")!);
            var schema = File.Exists(Path.Combine(schemas, $"{type}.{version}.yaml")) ? Load(Path.Combine(schemas, $"{type}.{version}.yaml")) : Load(Path.Combine(schemas, $"{type}.yaml"));
            Assert.Equal(Text(schema, "version"), version);

            var given = Items(spec, "metadata").Select(item => Text(item, "name")!).ToHashSet(StringComparer.OrdinalIgnoreCase);
            var profiles = Items(schema, "authenticationProfiles").Concat(Items(schema, "builtinAuthenticationProfiles")).Select(profile => Items(profile, "metadata").ToList()).ToList();
            var known = Items(schema, "metadata").Concat(profiles.SelectMany(profile => profile)).Select(item => Text(item, "name")!)
                .Concat(type.StartsWith("state.", StringComparison.Ordinal) ? ["keyPrefix", "actorStateStore", "outboxPublishPubsub", "outboxPublishTopic"] : [])
                .Concat(type.StartsWith("pubsub.", StringComparison.Ordinal) ? ["consumerID", "publishingScopes", "subscriptionScopes", "protectedTopics"] : [])
                .ToHashSet(StringComparer.OrdinalIgnoreCase);
            Assert.Empty(given.Except(known, StringComparer.OrdinalIgnoreCase));

            var required = Items(schema, "metadata").Where(item => Text(item, "required") == "true").Select(item => Text(item, "name")!);
            Assert.Empty(required.Except(given, StringComparer.OrdinalIgnoreCase));
            var ways = Items(schema, "authenticationProfiles").Select(profile => Items(profile, "metadata").Where(item => Text(item, "required") == "true").Select(item => Text(item, "name")!).ToList()).ToList();
            // No login at all is a way too where the mail server asks for none.
            Assert.True(ways.Count == 0 || type == "bindings.smtp" || ways.Any(way => way.All(given.Contains)), $"{file}: no way to log in is complete");

            foreach (var item in Items(spec, "metadata"))
            {
                var allowed = Items(schema, "metadata").FirstOrDefault(known => string.Equals(Text(known, "name"), Text(item, "name"), StringComparison.OrdinalIgnoreCase));
                if (allowed is not null && Items(allowed, "allowedValues").Count > 0 && Text(item, "value") is { } value)
                    Assert.Contains(value, ((YamlSequenceNode)allowed.Children["allowedValues"]).Children.OfType<YamlScalarNode>().Select(scalar => scalar.Value));
            }
        }
    }

    [Theory, MemberData(nameof(Files))]
    public void Fits_the_resource_definition_of_its_kind(string file)
    {
        var definitions = Outside.Find("dapr/crds");
        Assert.SkipWhen(definitions is null, "the resource definitions of Dapr are not beside this checkout");
        foreach (var document in Documents(file))
        {
            Assert.Equal("dapr.io/v1alpha1", Text(document, "apiVersion"));
            var kind = Text(document, "kind")!;
            var definition = Load(Path.Combine(definitions, kind switch { "Component" => "components.yaml", "Configuration" => "configuration.yaml", "Resiliency" => "resiliency.yaml", _ => kind }));
            var schema = Map(Items(Map(definition, "spec")!, "versions").Single(version => Text(version, "name") == "v1alpha1"), "schema");
            Fits(document, Map(schema!, "openAPIV3Schema")!, $"{file}: {kind}");
        }
    }

    [Theory, MemberData(nameof(Sets))]
    public void Is_one_of_the_same_names_in_every_set(string set)
    {
        string[] Names(string folder) => [.. Directory.EnumerateFiles(Path.Combine(Root, "components", folder)).SelectMany(file => Documents(Path.GetRelativePath(Root, file))).Select(document => $"{Text(document, "kind")} {Text(Map(document, "metadata")!, "name")}").Order()];
        Assert.Equal(Names("redis"), Names(set));
        Assert.Equal(Names(set).Length, Names(set).Distinct().Count());
        // Dapr warns about anything else in a resources folder and reads no folder inside.
        Assert.Empty(Directory.EnumerateDirectories(Path.Combine(Root, "components", set)));
        Assert.All(Directory.EnumerateFiles(Path.Combine(Root, "components", set)), file => Assert.EndsWith(".yaml", file, StringComparison.Ordinal));
    }

    [Theory, MemberData(nameof(Sets))]
    public void Reaches_only_apps_that_exist_and_brings_each_the_secret_store_it_needs(string set)
    {
        var apps = RunPlan.Read(Root).Apps.Select(app => app.AppId).ToHashSet();
        var components = Directory.EnumerateFiles(Path.Combine(Root, "components", set)).SelectMany(file => Documents(Path.GetRelativePath(Root, file))).Where(document => Text(document, "kind") == "Component").ToList();
        HashSet<string> Scopes(YamlMappingNode component) => [.. ((YamlSequenceNode)component.Children["scopes"]).Children.OfType<YamlScalarNode>().Select(scope => scope.Value!)];
        var secrets = Scopes(components.Single(component => Text(Map(component, "metadata")!, "name") == "secrets"));
        foreach (var component in components)
        {
            Assert.NotEmpty(Scopes(component));
            Assert.Subset(apps, Scopes(component));
            if (Map(component, "auth") is not null)
                Assert.Subset(secrets, Scopes(component));
        }

        Assert.Single(components, component => Items(Map(component, "spec")!, "metadata").Any(item => Text(item, "name") == "actorStateStore" && Text(item, "value") == "true"));
    }

    [Theory, MemberData(nameof(Sets))]
    public void Retries_a_message_longer_than_a_service_takes_to_restart(string set)
    {
        var resiliency = Documents($"components/{set}/resiliency.yaml").Single(document => Text(Map(document, "metadata")!, "name") == "messages");
        var spec = Map(resiliency, "spec")!;
        var name = Text(Map(Map(Map(Map(spec, "targets")!, "components")!, "pubsub")!, "inbound")!, "retry")!;
        var retry = Map(Map(Map(spec, "policies")!, "retries")!, name)!;
        Assert.Equal("constant", Text(retry, "policy"));
        var seconds = int.Parse(Text(retry, "duration")!.TrimEnd('s'), System.Globalization.CultureInfo.InvariantCulture);
        Assert.True(seconds * int.Parse(Text(retry, "maxRetries")!, System.Globalization.CultureInfo.InvariantCulture) >= 45);
    }

    [Fact]
    public void Of_the_run_file_uses_keys_that_the_command_line_knows()
    {
        HashSet<string> both = ["resourcesPath", "resourcesPaths", "configFilePath", "appProtocol", "env", "logLevel", "enableApiLogging", "enableProfiling", "apiListenAddresses", "appMaxConcurrency", "appSSL", "maxBodySize", "readBufferSize",
            "enableAppHealthCheck", "appHealthCheckPath", "appHealthProbeInterval", "appHealthProbeTimeout", "appHealthThreshold", "placementHostAddress", "schedulerHostAddress", "runtimePath", "daprdLogDestination", "appLogDestination"];
        HashSet<string> app = [.. both, "appID", "appDirPath", "command", "appPort", "appChannelAddress", "daprHTTPPort", "daprGRPCPort", "daprInternalGRPCPort", "metricsPort", "profilePort", "unixDomainSocket"];
        var file = Load(Path.Combine(Root, "dapr.yaml"));
        Assert.Subset(new HashSet<string> { "version", "name", "common", "apps" }, Keys(file));
        Assert.Subset(both, Keys(Map(file, "common")!));
        Assert.All(Items(file, "apps"), entry => Assert.Subset(app, Keys(entry)));

        var plan = RunPlan.Read(Root);
        var ports = plan.Apps.SelectMany(entry => new[] { entry.AppPort, entry.DaprHttpPort, entry.DaprGrpcPort }).ToList();
        Assert.Equal(ports.Count, ports.Distinct().Count());
        Assert.All(plan.Apps, entry => Assert.Equal("/livez", entry.HealthCheck?.Path));
        Assert.All(plan.Apps, entry => Assert.True(Directory.EnumerateFiles(entry.Folder, "*.csproj").Any()));
    }

    private static void Fits(YamlNode node, YamlMappingNode schema, string where)
    {
        if (Text(schema, "x-kubernetes-preserve-unknown-fields") == "true")
            return;
        switch (Text(schema, "type"))
        {
            case "object":
                var map = Assert.IsType<YamlMappingNode>(node);
                foreach (var required in Items<YamlScalarNode>(schema, "required"))
                    Assert.True(map.Children.ContainsKey(required), $"{where}: {required.Value} is missing");
                foreach (var (key, value) in map.Children)
                {
                    var name = ((YamlScalarNode)key).Value!;
                    if (Map(schema, "properties") is { } properties)
                    {
                        Assert.True(properties.Children.ContainsKey(key), $"{where}: there is no field {name}");
                        Fits(value, (YamlMappingNode)properties.Children[key], $"{where}.{name}");
                    }
                    else if (Map(schema, "additionalProperties") is { } each)
                    {
                        Fits(value, each, $"{where}.{name}");
                    }
                }

                break;
            case "array":
                Assert.All(Assert.IsType<YamlSequenceNode>(node).Children, child => Fits(child, Map(schema, "items")!, $"{where}[]"));
                break;
            case "integer":
                Assert.True(int.TryParse(Assert.IsType<YamlScalarNode>(node).Value, out _), $"{where} is not a whole number");
                break;
            case "boolean":
                Assert.Contains(Assert.IsType<YamlScalarNode>(node).Value, (string[])["true", "false"]);
                break;
            case "string":
                var scalar = Assert.IsType<YamlScalarNode>(node);
                Assert.True(scalar.Style is not YamlDotNet.Core.ScalarStyle.Plain || !LooksLikeAnotherType().IsMatch(scalar.Value ?? ""), $"{where}: {scalar.Value} must be in quotes to be text");
                break;
            default:
                break;
        }
    }

    private static IEnumerable<YamlMappingNode> Documents(string file)
    {
        var stream = new YamlStream();
        using var text = new StreamReader(Path.Combine(Root, file));
        stream.Load(text);
        return stream.Documents.Select(document => (YamlMappingNode)document.RootNode).ToList();
    }

    private static YamlMappingNode Load(string file)
    {
        var stream = new YamlStream();
        using var text = new StreamReader(file);
        stream.Load(text);
        return (YamlMappingNode)stream.Documents.Last().RootNode;
    }

    private static string? Text(YamlMappingNode map, string key) => map.Children.TryGetValue(key, out var value) && value is YamlScalarNode scalar ? scalar.Value : null;
    private static YamlMappingNode? Map(YamlMappingNode map, string key) => map.Children.TryGetValue(key, out var value) ? value as YamlMappingNode : null;
    private static List<YamlMappingNode> Items(YamlMappingNode map, string key) => Items<YamlMappingNode>(map, key);
    private static List<T> Items<T>(YamlMappingNode map, string key) where T : YamlNode => map.Children.TryGetValue(key, out var value) && value is YamlSequenceNode list ? [.. list.Children.OfType<T>()] : [];
    private static HashSet<string> Keys(YamlMappingNode map) => [.. map.Children.Keys.OfType<YamlScalarNode>().Select(key => key.Value!)];

    [GeneratedRegex("^(true|false|yes|no|null|~|[0-9.]+)$", RegexOptions.IgnoreCase)]
    private static partial Regex LooksLikeAnotherType();
}
