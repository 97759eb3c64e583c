using System.Runtime.CompilerServices;
using Marketplace.Local.Sidecar;
using Marketplace.Local.Sidecar.Resources;
using Marketplace.Local.Sidecar.RunFile;
using Xunit;

namespace Marketplace.Sidecar.Tests.Resources;

/// <summary>What is wrong in a resource file is named by file, line and field; what the repository ships is right.</summary>
public sealed class ResourceFiles : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("sidecar-tests-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    public static string Root([CallerFilePath] string here = "") => Path.GetFullPath(Path.Combine(Path.GetDirectoryName(here)!, "../../.."));

    [Fact]
    public void Every_component_set_of_the_repository_parses()
    {
        var sets = Directory.GetDirectories(Path.Combine(Root(), "components"));
        Assert.NotEmpty(sets);
        foreach (var set in sets)
        {
            var read = ResourceFolder.Read(set);
            Assert.NotEmpty(read.Components);
            Assert.All(read.Components, component => Assert.NotEmpty(component.Scopes));
        }
    }

    [Fact]
    public void The_run_file_and_configuration_of_the_repository_parse()
    {
        var plan = RunPlan.Read(Root());
        Assert.Contains(plan.Apps, app => app.AppId == "ordering");
        Assert.All(plan.Apps, app =>
        {
            Assert.NotNull(app.AppPort);
            Assert.NotNull(app.DaprHttpPort);
            Assert.NotNull(app.HealthCheck);
            Assert.True(Directory.Exists(app.ResourcesPaths.Single()));
            Configuration.Read(app.ConfigFile!);
        });
    }

    [Theory]
    [InlineData("metadata: {}", "metadata.name", 3)]
    [InlineData("metadata: {name: 7}", "metadata.name", 3)]
    [InlineData("metadata: {name: x}\nspec: {version: v1}", "spec.type", 4)]
    [InlineData("metadata: {name: x}\nspec: {type: redis}", "spec.type", 4)]
    [InlineData("metadata: {name: x}\nspec:\n  type: state.redis\n  metadata:\n    - value: a", "spec.metadata[0].name", 7)]
    [InlineData("metadata: {name: x}\nspec:\n  type: state.redis\n  metadata: {redisHost: a}", "spec.metadata", 6)]
    [InlineData("metadata: {name: x}\nspec:\n  type: state.redis\n  metadata:\n    - name: redisHost\n      envRef: DAPR_HTTP_PORT", "spec.metadata[0].envRef", 8)]
    [InlineData("metadata: {name: x}\nspec:\n  type: state.redis\n  initTimeout: soon", "spec.initTimeout", 6)]
    [InlineData("metadata: {name: x}\nspec: {type: state.redis}\nscopes: ordering", "scopes", 5)]
    [InlineData("metadata: {name: x}\nspec:\n  type: state.redis\n  initTimeOut: 5s", "spec.initTimeOut", 6)]
    [InlineData("metadata: {name: x}\nspec: {type: state.redis}\nscope: [ordering]", "scope", 5)]
    [InlineData("metadata: {name: x}\nspec:\n  type: state.redis\n  metadata:\n    - name: redisHost\n      secretKeyref: {name: a}", "spec.metadata[0].secretKeyref", 8)]
    public void A_wrong_component_is_named_by_line_and_field(string rest, string field, int line)
    {
        var error = Assert.Throws<ResourceException>(() => Read($"apiVersion: dapr.io/v1alpha1\nkind: Component\n{rest}\n"));
        Assert.Equal((field, line, Path.Combine(folder, "a.yaml")), (error.Field, error.Line, error.File));
    }

    [Fact]
    public void Text_that_is_no_yaml_is_named_by_line()
    {
        var error = Assert.Throws<ResourceException>(() => Read("apiVersion: x\nkind: [\n"));
        Assert.InRange(error.Line, 2, 3);
    }

    [Theory]
    [InlineData("policies: {retries: {r: {policy: sometimes}}}", "spec.policies.retries.r.policy")]
    [InlineData("policies: {timeouts: {t: soon}}", "spec.policies.timeouts.t")]
    [InlineData("policies: {retries: {r: {matching: {httpStatusCodes: \"5xx\"}}}}", "spec.policies.retries.r.matching.httpStatusCodes")]
    [InlineData("policies: {circuitBreakers: {b: {trip: \"failures >>> 3\"}}}", "spec.policies.circuitBreakers.b.trip")]
    [InlineData("policies: {retries: {r: {maxRetrys: 3}}}", "spec.policies.retries.r.maxRetrys")]
    [InlineData("policy: {retries: {}}", "spec.policy")]
    public void A_wrong_policy_is_named_by_field(string spec, string field)
    {
        var error = Assert.Throws<ResourceException>(() => Read($"apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata: {{name: r}}\nspec:\n  {spec}\n"));
        Assert.Equal((field, 5), (error.Field, error.Line));
    }

    [Theory]
    [InlineData("type: state.nothing", "spec.type")]
    [InlineData("type: pubsub.mqtt3\n  metadata: [{name: url, value: a}]", "spec.type")]
    [InlineData("type: state.redis\n  version: v7\n  metadata: [{name: redisHost, value: a}]", "spec.version")]
    [InlineData("type: state.redis\n  metadata: [{name: redisHost, value: a:1}, {name: redisPasword, value: b}]", "component x: spec.metadata.redisPasword")]
    [InlineData("type: secretstores.local.file\n  metadata: []", "component x: spec.metadata.secretsFile")]
    [InlineData("type: state.redis", "component x: spec.metadata.redisHost")]
    [InlineData("type: state.redis\n  metadata: [{name: redisHost, value: nowhere}]", "component x: spec.metadata.redisHost")]
    [InlineData("type: secretstores.local.file\n  metadata: [{name: secretsFile, value: none.json}]", "component x: spec.metadata.secretsFile")]
    [InlineData("type: state.in-memory\n  metadata: [{name: keyPrefix, value: \"a||b\"}]", "component x: spec.metadata.keyPrefix")]
    [InlineData("type: state.redis\n  metadata: [{name: redisHost, secretKeyRef: {name: host}}]", "component x: spec.metadata.redisHost.secretKeyRef")]
    [InlineData("type: state.redis\n  metadata: [{name: redisHost, secretKeyRef: {name: host}}]\nauth: {secretStore: vault}", "component x: auth.secretStore")]
    [InlineData("type: secretstores.local.file\n  metadata: [{name: secretsFile, envRef: NO_SUCH_VARIABLE}]", "component x: spec.metadata.secretsFile")]
    [InlineData("type: bindings.cron\n  metadata: [{name: schedule, value: whenever}]", "component x: spec.metadata.schedule")]
    [InlineData("type: bindings.smtp\n  metadata: [{name: host, value: a}, {name: port, value: many}]", "component x: spec.metadata.port")]
    public async Task A_component_that_cannot_open_stops_the_start_with_its_place(string spec, string field)
    {
        var error = await Assert.ThrowsAsync<ResourceException>(() =>
            SidecarsUnderTest.StartAsync($"apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: x}}\nspec:\n  {spec}\n", new AppUnderTest("shop")));
        Assert.Equal(field, error.Field);
        Assert.InRange(error.Line, 1, 7);
    }

    public static TheoryData<string> Served => [.. ComponentTypes.Served.Order(StringComparer.Ordinal)];

    [Theory, MemberData(nameof(Served))]
    public async Task Every_type_that_is_said_to_be_served_is(string typeAndVersion)
    {
        var (type, version) = typeAndVersion.Split(' ') is [var first, var second] ? (first, second) : throw new InvalidOperationException(typeAndVersion);
        var required = ComponentTypes.Find(type, version)!.Required.Select(key => $"{{name: {key}, value: \"127.0.0.1:1\"}}");
        var component = $"apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: x}}\nspec:\n  type: {type}\n  version: {version}\n  initTimeout: 500ms\n  metadata: [{string.Join(", ", required)}]\n";
        try
        {
            await using var sidecars = await SidecarsUnderTest.StartAsync(component, new AppUnderTest("shop"));
        }
        catch (Exception failure) when (failure is not Xunit.Sdk.XunitException)
        {
            // Nothing of this answers; what counts is that somebody tried to open it.
            Assert.NotEqual("spec.type", (failure as ResourceException)?.Field);
        }
    }

    [Fact]
    public void The_keys_of_every_type_are_those_of_its_published_schema()
    {
        // Published data that this repository does not ship: where the variable says, or beside the checkout.
        var parents = new List<string>();
        for (var parent = Directory.GetParent(Root()); parent is not null; parent = parent.Parent)
            parents.Add(Path.Combine(parent.FullName, "shared", "data"));
        var schemas = parents.Prepend(Environment.GetEnvironmentVariable("MARKETPLACE_SHARED_DATA") ?? "").Select(data => Path.Combine(data, "dapr", "component-metadata")).FirstOrDefault(Directory.Exists);
        Assert.SkipWhen(schemas is null, "the component schemas of Dapr are not beside this checkout");
        var unreadable = 0;
        foreach (var file in Directory.GetFiles(schemas, "*.yaml"))
        {
            YamlView schema;
            try
            {
                schema = YamlView.Documents(file, new StringReader(File.ReadAllText(file).Replace("\t", "  ", StringComparison.Ordinal)))[^1];
            }
            catch (ResourceException)
            {
                unreadable++;   // one of them is no YAML to a strict reader
                continue;
            }

            var type = $"{schema.Get("type").Scalar()}.{schema.Get("name").Scalar()}".Replace("aws.secretsmanager", "aws.secretmanager", StringComparison.Ordinal);
            var known = ComponentTypes.Find(type, schema.Get("version").Scalar());
            Assert.True(known is not null, $"{type} of {file}");
            foreach (var key in schema.Find("metadata")?.Items().Select(item => item.Get("name").Scalar()) ?? [])
                Assert.Contains(key, known.Keys!);
        }

        Assert.InRange(unreadable, 0, 3);
    }

    [Fact]
    public async Task A_second_component_of_one_name_stops_the_start_even_if_it_is_for_another_app()
    {
        const string Twice = """
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: x}
            spec: {type: state.in-memory}
            ---
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: x}
            spec: {type: state.in-memory}
            scopes: [office]
            """;
        var error = await Assert.ThrowsAsync<ResourceException>(() => SidecarsUnderTest.StartAsync(Twice, new AppUnderTest("shop")));
        Assert.Equal(("metadata.name", 6), (error.Field, error.Line));
    }

    [Fact]
    public async Task Ignore_errors_and_scopes_leave_components_out()
    {
        await using var sidecars = await SidecarsUnderTest.StartAsync("""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: broken}
            spec: {type: state.redis, ignoreErrors: true}
            ---
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: theirs}
            spec: {type: state.redis}
            scopes: [office]
            ---
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: {name: ours}
            spec: {type: state.in-memory}
            scopes: [shop]
            """, new AppUnderTest("shop"));
        Assert.Equal(["ours"], sidecars.Host.Instances[0].Components.All.Select(component => component.Name));
    }

    [Theory]
    [InlineData("1h2m3.5s", 3723.5)]
    [InlineData("200ms", 0.2)]
    [InlineData("20", 20)]
    [InlineData("-1s", -1)]
    [InlineData("1.5h", 5400)]
    [InlineData("0", 0)]
    public void Durations_are_read_as_go_writes_them(string text, double seconds)
    {
        Assert.True(GoDuration.TryParse(text, out var duration));
        Assert.Equal(seconds, duration.TotalSeconds, 6);
    }

    [Theory]
    [InlineData("")]
    [InlineData("5 minutes")]
    [InlineData("s")]
    [InlineData("1d")]
    public void What_go_would_refuse_is_refused(string text) => Assert.False(GoDuration.TryParse(text, out _));

    private ResourceFolder Read(string text)
    {
        File.WriteAllText(Path.Combine(folder, "a.yaml"), text);
        return ResourceFolder.Read(folder);
    }
}
