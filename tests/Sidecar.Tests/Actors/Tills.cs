using System.Diagnostics;
using System.Text;
using Dapr.Actors;
using Dapr.Actors.Client;
using Dapr.Actors.Runtime;
using Marketplace.Local.Sidecar;
using Marketplace.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;

namespace Marketplace.Sidecar.Tests.Actors;

/// <summary>App <c>tills</c> in one or more instances with Dapr.Actors.AspNetCore, their sidecars, and an app <c>office</c> that only calls.</summary>
internal sealed class Tills : IAsyncDisposable
{
    private const int Office = 0;

    private readonly string folder = Directory.CreateTempSubdirectory("tills-").FullName;
    private readonly Action<ActorRuntimeOptions>? options;
    private readonly int[] ports;
    private readonly TestApp?[] apps;
    private IAsyncDisposable? sidecars;
    private Process? process;

    private Tills(int instances, string? database, bool stateTtl, Action<ActorRuntimeOptions>? options)
    {
        this.options = options;
        ports = [.. Enumerable.Range(0, instances).Select(_ => Ports.Free())];
        apps = new TestApp?[instances];
        Books = [.. Enumerable.Range(0, instances).Select(number => new TillBook($"tills-{number}"))];
        var resources = Directory.CreateDirectory(Path.Combine(folder, "components")).FullName;
        File.WriteAllText(Path.Combine(resources, "actors.yaml"), $$"""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: { name: actors }
            spec:
              type: {{(database is null ? "state.in-memory" : "state.postgresql")}}
              version: {{(database is null ? "v1" : "v2")}}
              metadata:
              {{(database is null ? "" : $"- {{ name: connectionString, value: \"{database}\" }}")}}
              - { name: actorStateStore, value: "true" }
            """, Encoding.UTF8);
        var config = Path.Combine(folder, "config.yaml");
        File.WriteAllText(config, $$"""
            apiVersion: dapr.io/v1alpha1
            kind: Configuration
            metadata: { name: tills }
            spec:
              features:
              - { name: ActorStateTTL, enabled: {{(stateTtl ? "true" : "false")}} }
            """);
        Plan = new SidecarPlan(Path.Combine(folder, "data"), Ports.Free(), null, null, null,
        [
            new SidecarApp("office", folder, AppPort: null, Ports.Free(), Ports.Free(), []),
            .. ports.Select(port => new SidecarApp("tills", folder, port, Ports.Free(), Ports.Free(), [resources], config)),
        ]);
    }

    public SidecarPlan Plan { get; }
    public IReadOnlyList<TillBook> Books { get; }
    public TillBook Book => Books[0];

    public static async Task<Tills> StartAsync(int instances = 1, string? database = null, bool stateTtl = true, Action<ActorRuntimeOptions>? options = null, bool ownProcess = false)
    {
        var tills = new Tills(instances, database, stateTtl, options);
        for (var i = 0; i < instances; i++) await tills.AppUpAsync(i);
        if (ownProcess) await tills.UpProcessAsync();
        else tills.sidecars = await SidecarsUnderTest.RunAsync(tills.Plan);
        await tills.ReadyAsync();
        return tills;
    }

    public async Task AppUpAsync(int instance)
    {
        var endpoint = Address(instance + 1);
        apps[instance] = await TestApp.StartAsync(app => app.MapActorsHandlers(), ports[instance], services =>
        {
            services.AddSingleton(Books[instance]);
            services.AddActors(actors =>
            {
                actors.HttpEndpoint = endpoint;
                actors.Actors.RegisterActor<TillActor>();
                options?.Invoke(actors);
            });
        });
    }

    public async Task AppDownAsync(int instance)
    {
        if (apps[instance] is { } app) await app.DisposeAsync();
        apps[instance] = null;
    }

    public async Task UpProcessAsync()
    {
        SidecarsUnderTest.LocalOnly("it kills the host");
        var plan = Path.Combine(folder, "plan.json");
        Plan.Write(plan);
        process = Process.Start(new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "Local.dll"), "sidecars", "--plan", plan]))!;
        await ReadyAsync();
    }

    /// <summary>SIGKILL.</summary>
    public async Task KillAsync()
    {
        process!.Kill();
        await process.WaitForExitAsync();
        process.Dispose();
        process = null;
    }

    /// <summary>The till as an app sees it: from the office, or through the sidecar of an instance.</summary>
    public ITill Till(string id, int? through = null) => ActorProxy.Create<ITill>(new ActorId(id), "Till", Options(through));

    /// <summary>Without the interface: JSON and a method's name.</summary>
    public ActorProxy Loose(string id) => ActorProxy.Create(new ActorId(id), "Till", Options(null));

    public HttpClient Http(int? instance = null) => new() { BaseAddress = new Uri(Address(instance is { } number ? number + 1 : Office)) };

    public int GrpcPort(int instance = 0) => Plan.Apps[instance + 1].GrpcPort;

    public async ValueTask DisposeAsync()
    {
        if (sidecars is not null) await sidecars.DisposeAsync();
        if (process is not null) await KillAsync();
        for (var i = 0; i < apps.Length; i++) await AppDownAsync(i);
        Directory.Delete(folder, recursive: true);
    }

    private string Address(int app) => $"http://127.0.0.1:{Plan.Apps[app].HttpPort}";

    private ActorProxyOptions Options(int? through) => new() { HttpEndpoint = Address(through is { } number ? number + 1 : Office), RequestTimeout = TimeSpan.FromSeconds(20) };

    /// <summary>Every running instance hosts its actors.</summary>
    private async Task ReadyAsync()
    {
        using var client = new HttpClient();
        await Eventually.Async(async () =>
        {
            try
            {
                for (var i = 0; i < apps.Length; i++)
                    if (apps[i] is not null && !(await client.GetStringAsync($"{Address(i + 1)}/v1.0/metadata")).Contains("\"Till\"", StringComparison.Ordinal)) return false;
                return true;
            }
            catch (HttpRequestException)
            {
                return false;
            }
        }, "the sidecars know the actors of their apps", TimeSpan.FromSeconds(SidecarsUnderTest.Kind == SidecarKind.Local ? 30 : 90));
    }
}
