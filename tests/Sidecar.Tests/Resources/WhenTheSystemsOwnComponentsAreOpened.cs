using System.Text.Json;
using Marketplace.Local.Redis;
using Marketplace.Local.Sidecar;
using Marketplace.Local.Sidecar.RunFile;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Sidecar.Tests.Resources;

public sealed class WhenTheSystemsOwnComponentsAreOpened
{
    [Fact]
    public async Task Every_app_of_the_run_file_finds_what_it_is_scoped_to()
    {
        var folder = Directory.CreateTempSubdirectory("sidecar-tests-").FullName;
        var redisPort = Ports.Free();
        using var redis = RedisCommand.Start(redisPort, Path.Combine(folder, "redis"));
        var secrets = Path.Combine(folder, "secrets.json");
        await File.WriteAllTextAsync(secrets, JsonSerializer.Serialize(new Dictionary<string, string>
        {
            ["actors-db"] = await TestDatabase.CreateAsync(),
            ["redis-host"] = $"127.0.0.1:{redisPort}",
            ["redis-password"] = "",
            ["smtp-host"] = "127.0.0.1",
            ["smtp-port"] = "2525",
        }));
        Environment.SetEnvironmentVariable("MARKETPLACE_SECRETS", secrets);
        var root = ResourceFiles.Root();
        SidecarApp[] apps = [.. RunPlan.Read(root).Apps.Select(app =>
            new SidecarApp(app.AppId, app.Folder, AppPort: null, Ports.Free(), Ports.Free(), [Path.Combine(root, "components", "local")], app.ConfigFile))];

        await using var host = await SidecarHost.StartAsync(new SidecarPlan(Path.Combine(folder, "data"), 0, null, null, null, apps));

        IEnumerable<string> Of(string appId) => host.Group(appId)!.Instances[0].Components.All.Select(component => component.Name).Order();
        Assert.Equal(["actors", "pubsub", "secrets"], Of("ordering"));
        Assert.Equal(["carts", "pubsub", "secrets"], Of("cart"));
        Assert.Equal(["email", "pubsub", "secrets"], Of("notifications"));
        Assert.Equal(["media", "pubsub", "secrets"], Of("media"));
        Assert.NotNull(host.Group("ordering")!.Instances[0].Components.ActorStore);
        Assert.Equal(30, host.Group("ordering")!.Instances[0].Components.Resiliency.ComponentInbound("pubsub", "Pubsub")!.Retry!.MaxRetries);
        Assert.Null(host.Group("ordering")!.Instances[0].Components.Resiliency.App("payments", "x"));
        Assert.NotNull(host.Group("ordering")!.Instances[0].Components.Resiliency.App("catalog", "x"));
    }
}
