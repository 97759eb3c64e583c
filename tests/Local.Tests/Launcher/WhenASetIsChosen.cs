using System.Text.Json;
using Marketplace.Local.Launcher;
using Marketplace.Local.Sidecar.RunFile;
using Xunit;

namespace Marketplace.Local.Tests.Launcher;

/// <summary>Which servers and apps start follows from the component files and from dapr.yaml.</summary>
public sealed class WhenASetIsChosen : IDisposable
{
    private readonly SmallTree tree = new();

    public void Dispose() => tree.Dispose();

    [Fact]
    public void Only_what_it_needs_is_started_for_the_apps_that_start()
    {
        Component("carts", "state.redis", "redisHost", "redis-host", "shop");
        Component("events", "pubsub.rabbitmq", "connectionString", "rabbitmq-url", "office");
        Component("log", "pubsub.kafka", "brokers", "kafka-brokers", "office", "authType: none");
        Component("mail", "bindings.smtp", "host", "smtp-host", "office", "port: \"25\"");

        Assert.Equal((true, true, true, true), Of(Plan(new LaunchOptions()).Needs));
        Assert.Equal((true, false, false, false), Of(Plan(new LaunchOptions { Only = new HashSet<string> { "shop" } }).Needs));
        Assert.Equal((false, true, true, true), Of(Plan(new LaunchOptions { Only = new HashSet<string> { "office" } }).Needs));

        // An address that the file writes down is somebody else's server.
        tree.Write("components/local/carts.yaml", File.ReadAllText(Path.Combine(tree.Root, "components/local/carts.yaml")).Replace("secretKeyRef: {name: redis-host, key: redis-host}", "value: away:6379", StringComparison.Ordinal));
        Assert.False(Plan(new LaunchOptions()).Needs.Redis);

        static (bool, bool, bool, bool) Of(Needs needs) => (needs.Redis, needs.RabbitMq, needs.Kafka, needs.Mail);
    }

    [Fact]
    public void Streams_are_remembered_since_not_every_redis_has_them()
    {
        Component("events", "pubsub.redis", "redisHost", "redis-host", "shop");
        Assert.Equal("events", Plan(new LaunchOptions()).Needs.Streams!.Name);
    }

    [Fact]
    public async Task The_doctor_says_what_is_in_the_way_of_each()
    {
        tree.Write("components/cloud/secrets.yaml", SmallTree.Secrets.Replace("secretstores.local.file", "secretstores.gcp.secretmanager", StringComparison.Ordinal).Replace("secretsFile", "project_id", StringComparison.Ordinal).Replace("envRef: MARKETPLACE_SECRETS", "value: x", StringComparison.Ordinal));
        tree.Write("components/broken/secrets.yaml", SmallTree.Secrets.Replace("secretsFile", "secretFile", StringComparison.Ordinal));
        var sets = (await Doctor.SetsAsync(new SourceTree(tree.Root), new LaunchOptions(), TestContext.Current.CancellationToken)).ToDictionary(set => set.Name);
        Assert.Equal(["broken", "cloud", "local", "redis"], sets.Keys.Order());
        Assert.Null(sets["local"].BuiltIn);
        Assert.Equal("only a real Dapr serves secretstores.gcp.secretmanager", sets["cloud"].BuiltIn);
        Assert.Contains("did you mean secretsFile?", sets["broken"].BuiltIn, StringComparison.Ordinal);
    }

    [Fact]
    public void Any_folder_is_a_set()
    {
        var elsewhere = Path.Combine(tree.Root, "elsewhere");
        tree.Write("elsewhere/secrets.yaml", SmallTree.Secrets);
        var plan = SystemPlan.Read(new SourceTree(tree.Root), new LaunchOptions { Components = elsewhere + "/" }, SidecarKind.Local);
        Assert.Equal(("elsewhere", elsewhere), (plan.Set.Name, plan.Set.Folder));
        Assert.Empty(plan.Missing());
        tree.Write("components/local/pubsub.yaml", "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: pubsub\nspec:\n  type: pubsub.in-memory\n  version: v1\n");
        Assert.Contains(plan.Missing(), remark => remark.StartsWith($"{elsewhere} has no component pubsub for shop", StringComparison.Ordinal));
        Assert.Empty(Plan(new LaunchOptions()).Missing());
    }

    [Fact]
    public void Policies_for_a_component_that_is_not_there_are_a_remark()
    {
        Component("carts", "state.redis", "redisHost", "redis-host", "shop");
        tree.Write("components/local/resiliency.yaml", """
            apiVersion: dapr.io/v1alpha1
            kind: Resiliency
            metadata: {name: calls}
            spec:
              policies:
                timeouts: {short: 1s}
              targets:
                components:
                  carts:
                    outbound: {timeout: short}
                  crats:
                    outbound: {timeout: short}
            """);

        var remark = Assert.Single(Plan(new LaunchOptions()).Aimless());
        Assert.EndsWith("resiliency.yaml:11: spec.targets.components.crats: there is no component crats (did you mean carts?), so these policies never apply.", remark, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_app_that_is_opt_in_starts_when_asked_for_and_is_told_so()
    {
        Assert.Equal(["shop", "office"], Plan(new LaunchOptions()).Services.Select(service => service.AppId));
        Assert.Equal(["shop", "office", "night-watch"], Plan(new LaunchOptions { With = new HashSet<string> { "watch-node" } }).Services.Select(service => service.AppId));
        Assert.Equal(["night-watch"], Plan(new LaunchOptions { Only = new HashSet<string> { "night-watch" } }).Services.Select(service => service.AppId));

        SmallTree.NeedsPostgres();
        using var launched = tree.Launch("up", "--ports", "free", "--with", "night-watch", "--json");
        var running = await launched.ReadyAsync();
        Assert.Equal(["night-watch", "office", "postgres", "provider", "shop", "sidecars"], running.Parts.Select(part => part.Name).Order());
        Assert.Equal("on", tree.Starts.Single(start => start.Who == "app night-watch").Environment["NIGHT_WATCH"]);
        Assert.DoesNotContain("NIGHT_WATCH", tree.Starts.Single(start => start.Who == "app shop").Environment.Keys);
        Assert.Equal(0, await launched.StopAsync());
    }

    [Fact]
    public async Task Infra_says_exactly_how_to_go_on()
    {
        SmallTree.NeedsPostgres();
        using (var launched = tree.Launch("infra", "--json"))
        {
            var running = await launched.ReadyAsync();
            var token = JsonDocument.Parse(File.ReadAllText(tree.Data.Keys)).RootElement.GetProperty("app-token").GetString();
            Assert.Equal(("none", $"APP_API_TOKEN={token} MARKETPLACE_SECRETS={tree.Data.Secrets} dapr run -f ."), (running.Sidecar, running.GoOn));
            Assert.Equal(["postgres", "provider"], running.Parts.Select(part => part.Name).Order());
            await launched.StopAsync();
        }

        // For a set that dapr.yaml does not name there is a copy of it that does.
        tree.Write("other/secrets.yaml", SmallTree.Secrets);
        using (var launched = tree.Launch("infra", "--json", "--components", "other", "--with", "night-watch"))
        {
            var running = await launched.ReadyAsync();
            var copy = Path.Combine(tree.Data.Root, "dapr.yaml");
            Assert.EndsWith($" NIGHT_WATCH=on dapr run -f {copy}", running.GoOn, StringComparison.Ordinal);
            await launched.StopAsync();

            var (original, copied) = (RunPlan.Read(tree.Root).Apps, RunPlan.Read(copy).Apps);
            Assert.All(copied, app => Assert.Equal([Path.Combine(tree.Root, "other")], app.ResourcesPaths));
            Assert.Equal(original.Select(Rest), copied.Select(Rest));
        }

        static object Rest(RunApp app) => (app.AppId, app.Folder, string.Join(' ', app.Command), app.AppPort, app.DaprHttpPort, app.ConfigFile, app.HealthCheck, app.MaxConcurrency, app.OptIn);
    }

    private SystemPlan Plan(LaunchOptions options) => SystemPlan.Read(new SourceTree(tree.Root), options, SidecarKind.Local);

    private void Component(string name, string type, string key, string secret, string app, params string[] more) => tree.Write($"components/local/{name}.yaml", $$"""
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: {name: {{name}}}
        spec:
          type: {{type}}
          version: v1
          metadata:
            - name: {{key}}
              secretKeyRef: {name: {{secret}}, key: {{secret}}}
        {{string.Join('\n', more.Select(one => $"    - name: {one.Split(": ")[0]}\n      value: {one.Split(": ")[1]}"))}}
        auth: {secretStore: secrets}
        scopes: [{{app}}]
        """);
}
