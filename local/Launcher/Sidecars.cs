using System.Globalization;
using Marketplace.Local.Sidecar;

namespace Marketplace.Local.Launcher;

/// <summary>One process of an app. Its part knows the ports, those of its sidecar too.</summary>
internal sealed record AppInstance(string Name, LocalService Service, Part Part)
{
    /// <summary>The one that has the ports of dapr.yaml; further ones take free ones.</summary>
    public bool IsFirst => Name == Service.AppId;

    public int Port => Part.Port!.Value;
    public int HttpPort => Part.DaprHttpPort!.Value;
    public int GrpcPort => Part.DaprGrpcPort!.Value;
}

/// <summary>The sidecars of all app instances: the built-in ones, or those of a real Dapr.</summary>
internal interface ISidecars
{
    /// <summary>What runs, for the table and for state.json.</summary>
    IReadOnlyList<Part> Parts { get; }

    /// <summary>Where faults can be ordered; empty where there are none to order.</summary>
    string ControlUrl { get; }

    /// <param name="set">The folder of component files.</param>
    Task StartAsync(string set, CancellationToken ct);

    /// <summary>Whether the instance's sidecar has met its app and knows what it listens to: what is published before may be lost.</summary>
    Task<bool> KnowsAsync(AppInstance instance, CancellationToken ct);

    Task StopAsync();
}

/// <summary>The sidecar host: one process for all.</summary>
internal sealed class BuiltInSidecars : ISidecars
{
    private readonly DataFolder data;
    private readonly KeyRing keys;
    private readonly IReadOnlyList<AppInstance> instances;

    public BuiltInSidecars(DataFolder data, KeyRing keys, PortBook ports, IReadOnlyList<AppInstance> instances, IReadOnlyList<Part> needs, Action changed)
    {
        this.instances = instances;
        this.data = data;
        this.keys = keys;
        Parts = [new Part("sidecars", "sidecar host", changed) { Port = ports.Take("control", 3590), Needs = needs }];
    }

    public IReadOnlyList<Part> Parts { get; }
    public string ControlUrl => $"http://127.0.0.1:{Host.Port!.Value.ToString(CultureInfo.InvariantCulture)}";

    public Task StartAsync(string set, CancellationToken ct)
    {
        var apps = instances.Select(instance =>
        {
            var app = instance.Service.App;
            return new SidecarApp(app.AppId, app.Folder, instance.Port, instance.HttpPort, instance.GrpcPort, app.HasOwnResources ? app.ResourcesPaths : [set],
                app.ConfigFile, app.AppProtocol, app.HealthCheck, app.MaxConcurrency, app.MaxBodyBytes < 0 ? int.MaxValue : app.MaxBodyBytes);
        }).ToList();
        new SidecarPlan(data.Root, Host.Port!.Value, null, keys.AppToken, null, apps).Write(data.Plan);
        Host.Start(
            new ChildSpec("sidecars", [.. LocalSystem.Self("sidecars"), "--plan", data.Plan], data.Root, data.FreshLog("sidecars"))
            {
                Environment = new Dictionary<string, string?> { ["MARKETPLACE_SECRETS"] = data.Secrets, ["APP_API_TOKEN"] = keys.AppToken },
            },
            token => LocalSystem.OkAsync($"{ControlUrl}/livez", token));
        return Task.CompletedTask;
    }

    public Task<bool> KnowsAsync(AppInstance instance, CancellationToken ct) =>
        LocalSystem.OkAsync($"{ControlUrl}/apps/{instance.Port.ToString(CultureInfo.InvariantCulture)}/introduced", ct);

    public Task StopAsync() => Host.StopAsync();

    private Part Host => Parts[0];
}
