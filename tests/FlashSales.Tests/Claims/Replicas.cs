extern alias local;

using System.Diagnostics;
using System.Net.Sockets;
using Dapr.Actors.Client;
using local::Marketplace.Local.Sidecar;
using Marketplace.FlashSales.Claims;
using Marketplace.TestKit;
using Microsoft.Extensions.Options;

namespace Marketplace.FlashSales.Tests.Claims;

/// <summary>Processes of the real service behind sidecars, on one database: what may be killed, and where actors move.</summary>
internal sealed class Replicas : IAsyncDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("flashsales-").FullName;
    private readonly string database;
    private readonly List<(Process Process, SidecarApp App)> running = [];
    private IAsyncDisposable? sidecars;

    private Replicas(string database) => this.database = database;

    public static async Task<Replicas> StartAsync(string database, int count, CancellationToken ct)
    {
        var replicas = new Replicas(database);
        try
        {
            await replicas.StartAsync(count, ct);
            return replicas;
        }
        catch
        {
            await replicas.DisposeAsync();
            throw;
        }
    }

    public Uri App(int replica) => new($"http://127.0.0.1:{running[replica].App.AppPort}");

    public Uri Sidecar(int replica) => new($"http://127.0.0.1:{running[replica].App.HttpPort}");

    /// <summary>Shards as that replica's claims reach them.</summary>
    public ActorShards Through(int replica) => new(
        new ActorProxyFactory(new ActorProxyOptions { HttpEndpoint = Sidecar(replica).ToString(), JsonSerializerOptions = ActorJson.Options }),
        Options.Create(new ClaimOptions { AskTries = 20 }));

    /// <summary>SIGKILL.</summary>
    public async Task KillAsync(int replica)
    {
        running[replica].Process.Kill();
        await running[replica].Process.WaitForExitAsync();
    }

    /// <summary>The replica that has this shard's actor; null while none has.</summary>
    public async Task<int?> WithActorAsync(CancellationToken ct)
    {
        using var http = new HttpClient();
        for (var replica = 0; replica < running.Count; replica++)
        {
            using var metadata = System.Text.Json.JsonDocument.Parse(await http.GetStringAsync(new Uri(Sidecar(replica), "/v1.0/metadata"), ct));
            foreach (var type in metadata.RootElement.GetProperty("actorRuntime").GetProperty("activeActors").EnumerateArray())
                if (type.GetProperty("type").GetString() == FlashSaleActor.TypeName && type.TryGetProperty("count", out var active) && active.GetInt32() > 0) return replica;
        }
        return null;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var (process, _) in running)
        {
            if (!process.HasExited) process.Kill();
            await process.WaitForExitAsync();
            process.Dispose();
        }
        if (sidecars is not null) await sidecars.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }

    private async Task StartAsync(int count, CancellationToken ct)
    {
        await File.WriteAllTextAsync(Path.Combine(folder, "components.yaml"), """
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: { name: actors }
            spec:
              type: state.in-memory
              version: v1
              metadata:
              - { name: actorStateStore, value: "true" }
            ---
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: { name: pubsub }
            spec:
              type: pubsub.in-memory
              version: v1
            """, ct);
        SidecarApp[] apps = [.. Enumerable.Range(0, count).Select(_ => new SidecarApp("flashsales", folder, Ports.Free(), Ports.Free(), Ports.Free(), [folder]))];
        sidecars = await SidecarHost.StartAsync(new SidecarPlan(Path.Combine(folder, "data"), Ports.Free(), null, ServiceUnderTest<Program>.AppToken, null, apps), ct: ct);
        foreach (var app in apps)
            running.Add((Start(app), app));

        using var http = new HttpClient();
        for (var replica = 0; replica < count; replica++)
        {
            var metadata = new Uri(Sidecar(replica), "/v1.0/metadata");
            await Eventually.Async(
                async () => (await http.GetStringAsync(metadata, ct)).Contains($"\"{FlashSaleActor.TypeName}\"", StringComparison.Ordinal),
                "the sidecar knows the actors of its app", TimeSpan.FromSeconds(60));
        }
    }

    private Process Start(SidecarApp app)
    {
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "FlashSales.dll")]) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var (key, value) in new Dictionary<string, string>
        {
            ["APP_ID"] = "flashsales",
            ["APP_PORT"] = $"{app.AppPort}",
            ["APP_API_TOKEN"] = ServiceUnderTest<Program>.AppToken,
            ["DAPR_HTTP_PORT"] = $"{app.HttpPort}",
            ["DAPR_GRPC_PORT"] = $"{app.GrpcPort}",
            ["ConnectionStrings__flashsales"] = database,
            ["Auth__Jwks"] = TestTokens.Jwks,
            ["QueueTickets__Keys"] = FlashSalesFixture.TicketKey,
            ["Outbox__Publish"] = "false",
            ["Logging__LogLevel__Default"] = "Warning",
        })
            start.Environment[key] = value;
        var process = Process.Start(start)!;
        process.OutputDataReceived += (_, line) => TestContext.Current.SendDiagnosticMessage($"{app.AppPort}: {line.Data}");
        process.ErrorDataReceived += (_, line) => TestContext.Current.SendDiagnosticMessage($"{app.AppPort}: {line.Data}");
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return process;
    }
}
