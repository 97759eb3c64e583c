using System.Net;
using System.Net.Sockets;
using Marketplace.Local.Launcher;
using Xunit;

namespace Marketplace.Local.Tests.Launcher;

/// <summary>Each mistake ends `up` at once with file, line, key and what to do, exit code 1, and nothing running.</summary>
public sealed class WhenTheFilesAreWrong : IDisposable
{
    private readonly SmallTree tree = new();

    public void Dispose() => tree.Dispose();

    public static TheoryData<string, string, string> Mistakes => new()
    {
        { "a type that does not exist", "components/local/carts.yaml|" + Redis("state.reddis", "redisHost"), "carts.yaml:6: spec.type: Dapr has no component type state.reddis (did you mean state.redis?)" },
        { "a type that only a real Dapr serves", "components/local/carts.yaml|" + Redis("state.mongodb", "host"), "carts.yaml:6: spec.type: state.mongodb/v1 of component carts is not served by the built-in sidecars" },
        { "a version that does not exist", "components/local/carts.yaml|" + Redis("state.redis", "redisHost").Replace("version: v1", "version: v3", StringComparison.Ordinal), "spec.version: state.redis has no version v3; there is v1" },
        { "a missing key", "components/local/carts.yaml|" + Redis("state.redis", "redisPassword"), "component carts: spec.metadata.redisHost: is required by state.redis" },
        { "a misspelt key", "components/local/carts.yaml|" + Redis("state.redis", "redisHots"), "carts.yaml:9: component carts: spec.metadata.redisHots: state.redis has no such key (did you mean redisHost?)" },
        { "a secret that nobody writes", "components/local/carts.yaml|" + Redis("state.redis", "redisHost", "redis-hots"), "carts.yaml:9: component carts: spec.metadata.redisHost.secretKeyRef: secret store secrets has no secret redis-hots (did you mean redis-host?)" },
        { "a store of secrets that is not there", "components/local/carts.yaml|" + Redis("state.redis", "redisHost").Replace("secretStore: secrets", "secretStore: secret", StringComparison.Ordinal), "component carts: auth.secretStore: app shop has no secret store secret (did you mean secrets?)" },
        { "a scope that names no app", "components/local/carts.yaml|" + Redis("state.redis", "redisHost") + "\nscopes:\n  - shop\n  - ofice\n", "carts.yaml:18: scopes: there is no app ofice in" },
        { "two components of one name", "components/local/carts.yaml|" + Redis("state.redis", "redisHost") + "\n---\n" + Redis("state.redis", "redisHost"), "metadata.name: a component carts is declared at" },
        { "a misspelt key of the document", "components/local/carts.yaml|" + Redis("state.redis", "redisHost") + "\nscope: [shop]\n", "carts.yaml:16: scope: there is no such key here (did you mean scopes?)" },
        { "a misspelt kind", "components/local/carts.yaml|" + Redis("state.redis", "redisHost").Replace("kind: Component", "kind: Componnent", StringComparison.Ordinal), "carts.yaml:2: kind: there is no kind Componnent (did you mean Component?)" },
        { "a component that is no YAML", "components/local/carts.yaml|kind: Component\n  apiVersion: x\n", "carts.yaml:2: not valid YAML" },
        { "a value that is no duration", "components/local/pubsub.yaml|" + Redis("pubsub.redis", "redisHost", more: ["processingTimeout: soon"]), "pubsub.yaml:13: component carts: spec.metadata.processingTimeout: must be a duration such as 5s or 1h30m, not soon" },
        { "a value that is no number", "components/local/pubsub.yaml|" + Redis("pubsub.kafka", "brokers", "kafka-brokers", more: ["authType: none", "channelBufferSize: many"]), "pubsub.yaml:15: component carts: spec.metadata.channelBufferSize: must be a whole number, not many" },
        { "a word that is none of those there are", "components/local/pubsub.yaml|" + Redis("pubsub.kafka", "brokers", "kafka-brokers", more: ["authType: none", "initialOffset: first"]), "pubsub.yaml:15: component carts: spec.metadata.initialOffset: must be newest or oldest, not first" },
        { "a policy nobody defined", "components/local/resiliency.yaml|apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata:\n  name: calls\nspec:\n  targets:\n    apps:\n      shop:\n        retry: often\n", "resiliency.yaml:9: spec.targets.apps.shop.retry: there is no retry policy often" },
        { "a policy with a misspelt key", "components/local/resiliency.yaml|apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata:\n  name: calls\nspec:\n  policies:\n    retries:\n      often:\n        maxRetrys: 3\n", "resiliency.yaml:9: spec.policies.retries.often.maxRetrys: there is no such key here (did you mean maxRetries?)" },
        { "a subscription to no broker", "components/local/subscription.yaml|apiVersion: dapr.io/v2alpha1\nkind: Subscription\nmetadata:\n  name: orders\nspec:\n  pubsubname: pubsubs\n  topic: order.created\n  routes:\n    default: /orders\n", "subscription.yaml:1: spec.pubsubname: app shop has no pub/sub component pubsubs" },
        { "a subscription without a topic", "components/local/subscription.yaml|apiVersion: dapr.io/v2alpha1\nkind: Subscription\nmetadata:\n  name: orders\nspec:\n  pubsubname: pubsub\n  routes:\n    default: /orders\n", "spec.topic: is required" },
        { "a configuration with a misspelt key", "components/config.yaml|apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata:\n  name: small\nspec:\n  tracings:\n    samplingRate: \"1\"\n", "config.yaml:6: spec.tracings: there is no such key here (did you mean tracing?)" },
        { "a folder that is not there", "dapr.yaml|version: 1\napps:\n  - appID: shop\n    appDirPath: ./apps/shopp\n", "dapr.yaml:4: apps[0].appDirPath: there is no folder" },
        { "a misspelt key of dapr.yaml", "dapr.yaml|version: 1\napps:\n  - appID: shop\n    appDirPath: ./apps/shop\n    appport: 8080\n", "dapr.yaml:5: apps[0].appport: there is no such key here (did you mean appPort?)" },
        { "an app that nothing starts", "dapr.yaml|version: 1\napps:\n  - appID: shop\n    appDirPath: ./apps/shop\n", "dapr.yaml:3: command: is required: the launcher starts every app, shop too" },
        { "a program that is not there", "dapr.yaml|version: 1\napps:\n  - appID: shop\n    appDirPath: ./apps/shop\n    command: [\"no-such-program\"]\n", "dapr.yaml:5: shop: command: there is no program no-such-program on PATH" },
        { "a dapr.yaml that is no YAML", "dapr.yaml|version: 1\napps:\n  - appID: shop\n   appDirPath: x\n", "dapr.yaml:" },
        { "an app id twice", "dapr.yaml|version: 1\napps:\n  - appID: shop\n    appDirPath: ./apps/shop\n  - appID: shop\n    appDirPath: ./apps/office\n", "dapr.yaml:5: apps[1].appID: app id shop is taken by the app at" },
        { "a port twice", "dapr.yaml|version: 1\napps:\n  - appID: shop\n    appDirPath: ./apps/shop\n    appPort: 8080\n  - appID: office\n    appDirPath: ./apps/office\n    appPort: 8080\n", "dapr.yaml:8: apps[1].appPort: port 8080 is the appPort at" },
    };

    [Theory, MemberData(nameof(Mistakes))]
    public async Task It_is_said_where_and_what(string mistake, string file, string message)
    {
        tree.Write(file.Split('|')[0], file[(file.IndexOf('|', StringComparison.Ordinal) + 1)..]);

        var (code, output) = await tree.RunAsync("up");

        Assert.True(output.Contains(message, StringComparison.Ordinal), $"{mistake}: {output}");
        Assert.Equal(1, code);
        Assert.False(File.Exists(tree.Data.State));
        Assert.False(Directory.Exists(tree.Data.Postgres), "nothing was begun");
        Assert.Empty(tree.Starts);
    }

    [Fact]
    public async Task Several_mistakes_are_said_at_once()
    {
        tree.Write("components/local/carts.yaml", Redis("state.redis", "redisHots"));
        tree.Write("components/local/cache.yaml", Redis("state.rediss", "redisHost").Replace("name: carts", "name: cache", StringComparison.Ordinal));
        var (code, output) = await tree.RunAsync("up");
        Assert.Equal(1, code);
        Assert.Contains("did you mean redisHost?", output, StringComparison.Ordinal);
        Assert.Contains("did you mean state.redis?", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_set_or_an_app_that_does_not_exist_is_named_with_its_neighbour()
    {
        var (code, output) = await tree.RunAsync("up", "--components", "locl");
        Assert.Equal(1, code);
        Assert.Contains("There is no component set locl (did you mean local?)", output, StringComparison.Ordinal);
        Assert.Contains("There are: local, redis.", output, StringComparison.Ordinal);

        (code, output) = await tree.RunAsync("up", "--with", "night-wach");
        Assert.Equal(2, code);
        Assert.Contains("--with: there is no app night-wach in dapr.yaml (did you mean night-watch?)", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("up", "--bogus"), InlineData("doctor", "--bogus"), InlineData("logs", "--data"), InlineData("seed", "--bogus")]
    public async Task A_wrong_option_is_said_in_two_lines_by_every_verb(string verb, string option)
    {
        var (code, output) = await tree.RunAsync(verb, option);
        Assert.Equal(2, code);
        Assert.Contains(option, output, StringComparison.Ordinal);
        Assert.Contains($"-- {verb} --help` tells more.", output, StringComparison.Ordinal);
        Assert.Equal(2, output.Trim().Split('\n').Length);
    }

    [Theory]
    [InlineData("mail"), InlineData("kafka"), InlineData("redis"), InlineData("provider"), InlineData("sidecars")]
    public async Task The_parts_of_the_system_explain_themselves_too(string verb)
    {
        var (code, output) = await tree.RunAsync(verb, "--help");
        Assert.Equal(0, code);
        Assert.Contains($"{verb} --", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_service_that_allows_one_process_gets_no_second()
    {
        tree.Write("apps/shop/appsettings.json", """{ "Replicas": { "AtMost": 1, "Because": "since its index is embedded" } }""");
        var (code, output) = await tree.RunAsync("up", "--instances", "shop=2");
        Assert.Equal(2, code);
        Assert.Contains("shop allows 1, since its index is embedded", output, StringComparison.Ordinal);
        Assert.Equal(1, new LocalService(Marketplace.Local.Sidecar.RunFile.RunPlan.Read(SourceTree.Find().RunFile).Apps.Single(app => app.AppId == "search")).Replicas!.AtMost);
    }

    [Theory]
    [InlineData("embedded", true), InlineData("Shared", false)]
    public void What_allows_one_process_only_while_a_setting_is_so_allows_more_otherwise(string engine, bool limited)
    {
        tree.Write("apps/shop/appsettings.json", $$"""{ "Find": { "With": "{{engine}}" }, "Replicas": { "AtMost": 1, "Because": "since its index is embedded", "While": { "Find:With": "Embedded" } } }""");

        Assert.Equal(limited, ReplicaLimit.Read(Path.Combine(tree.Root, "apps/shop/appsettings.json")) is not null);
    }

    [Fact]
    public async Task A_port_of_somebody_else_is_an_error_with_its_holder_where_it_is_wanted()
    {
        SmallTree.NeedsPostgres();
        using var holder = new TcpListener(IPAddress.Loopback, 0);
        holder.Start();
        var port = ((IPEndPoint)holder.LocalEndpoint).Port;
        tree.Write("dapr.yaml", SmallTree.RunFile.Replace("21801", $"{port}", StringComparison.Ordinal));

        var (code, output) = await tree.RunAsync("up", "--ports", "fixed");

        Assert.Equal(1, code);
        Assert.Contains($"dapr.yaml:12: shop: appPort: port {port} is taken", output, StringComparison.Ordinal);
        if (OperatingSystem.IsLinux())
            Assert.Contains($"by process {Environment.ProcessId} (", output, StringComparison.Ordinal);
        Assert.Empty(tree.Starts);
        Assert.False(File.Exists(tree.Data.State));
    }

    [Fact]
    public async Task An_app_that_never_gets_healthy_ends_it_all_with_its_last_words()
    {
        SmallTree.NeedsPostgres();
        tree.Environment["STANDIN_SICK"] = "app office";
        var (code, output) = await tree.RunAsync("up", "--ports", "free", "--patience", "5");
        Assert.Equal(1, code);
        Assert.Contains("office not ready after 5 s: http://127.0.0.1:", output, StringComparison.Ordinal);
        Gone();

        tree.Environment.Remove("STANDIN_SICK");
        tree.Environment["STANDIN_CRASH"] = "app office";
        (code, output) = await tree.RunAsync("up", "--ports", "free");
        Assert.Equal(1, code);
        Assert.Contains("office ended with code 7", output, StringComparison.Ordinal);
        Assert.Contains("app office: the sky is falling", output, StringComparison.Ordinal);
        Gone();
    }

    private void Gone()
    {
        Assert.NotEmpty(tree.Starts);
        Assert.All(tree.Starts, start => Assert.False(Signals.IsAlive(start.Pid, DateTime.UtcNow), start.Who));
        Assert.False(File.Exists(tree.Data.State));
    }

    private static string Redis(string type, string key, string secret = "redis-host", params string[] more) => $"""
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata:
          name: carts
        spec:
          type: {type}
          version: v1
          metadata:
            - name: {key}
              secretKeyRef:
                name: {secret}
                key: {secret}{string.Concat(more.Select(one => $"\n    - name: {one.Split(": ")[0]}\n      value: {one.Split(": ")[1]}"))}
        auth:
          secretStore: secrets

        """;
}
