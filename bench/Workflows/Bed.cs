using System.Diagnostics;
using Dapr.Workflow;
using Marketplace.Local.Launcher;
using Marketplace.Local.Sidecar;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Npgsql;

namespace Marketplace.Bench.Workflows;

/// <summary>What is measured: a private PostgreSQL as durable as the launcher's, the sidecar host and the worker as they run for real, each a process.</summary>
internal sealed class Bed : IAsyncDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("workflow-bench-").FullName;
    private Child? postgres;
    private Child? sidecars;
    private IHost? worker;

    public string Database { get; private set; } = "";

    public DaprWorkflowClient Client => worker!.Services.GetRequiredService<DaprWorkflowClient>();

    public static async Task<Bed> StartAsync()
    {
        var bed = new Bed();
        var data = new DataFolder(bed.folder);
        data.Create();
        var ports = new PortBook(null, onlyFreeOnes: true);
        var (spec, login) = await new PostgresServer(data, KeyRing.Open(data), ports).PrepareAsync(CancellationToken.None);
        bed.postgres = Child.Start(spec);
        await PostgresServer.WaitAsync(login, () => bed.postgres.HasExited, TimeSpan.FromSeconds(30), CancellationToken.None);
        await using (var server = NpgsqlDataSource.Create(login.To("postgres")))
        await using (var create = server.CreateCommand("CREATE DATABASE dapr"))
            await create.ExecuteNonQueryAsync();
        bed.Database = login.To("dapr");
        return bed;
    }

    /// <summary>A fresh host on this store and a worker with the five-activity workflow.</summary>
    public async Task UseAsync(bool inMemory)
    {
        await StopAppAsync();
        var ports = new PortBook(null, onlyFreeOnes: true);
        var grpc = ports.Take("grpc", null);
        var resources = Directory.CreateDirectory(Path.Combine(folder, "components")).FullName;
        await File.WriteAllTextAsync(Path.Combine(resources, "actors.yaml"), $$"""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: { name: actors }
            spec:
              type: {{(inMemory ? "state.in-memory" : "state.postgresql")}}
              version: {{(inMemory ? "v1" : "v2")}}
              metadata:
              - { name: actorStateStore, value: "true" }
              {{(inMemory ? "" : $"- {{ name: connectionString, value: \"{Database}\" }}")}}
            """);
        var plan = new SidecarPlan(folder, 0, null, null, null, [new SidecarApp("bench", folder, null, ports.Take("http", null), grpc, [resources])]);
        var planFile = Path.Combine(folder, "plan.json");
        plan.Write(planFile);
        sidecars = Child.Start(new ChildSpec("sidecars", ["dotnet", typeof(SidecarPlan).Assembly.Location, "sidecars", "--plan", planFile], folder, Path.Combine(folder, "sidecars.log")));
        await ListeningAsync(grpc);

        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Configuration.AddInMemoryCollection([KeyValuePair.Create("DAPR_GRPC_PORT", (string?)$"{grpc}")]);
        builder.Services.AddDaprWorkflow(options =>
        {
            options.RegisterActivity<int, int>("Step", (_, n) => Task.FromResult(n + 1));
            options.RegisterWorkflow<int, int>("Five", async (context, n) =>
            {
                for (var i = 0; i < 5; i++) n = await context.CallActivityAsync<int>("Step", n);
                return n;
            });
        });
        worker = builder.Build();
        await worker.StartAsync();
    }

    /// <summary>CPU time so far of PostgreSQL (all its processes), the host, and this process with the worker in it.</summary>
    public (TimeSpan Postgres, TimeSpan Host, TimeSpan Worker) Cpu()
    {
        using var self = Process.GetCurrentProcess();
        return (CpuTime.OfTree(postgres!.Pid), sidecars is null ? TimeSpan.Zero : CpuTime.OfTree(sidecars.Pid), self.TotalProcessorTime);
    }

    public async ValueTask DisposeAsync()
    {
        await StopAppAsync();
        if (postgres is not null) await postgres.StopAsync();
        postgres?.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    private async Task StopAppAsync()
    {
        if (worker is not null)
        {
            await worker.StopAsync();
            worker.Dispose();
            worker = null;
        }

        if (sidecars is null) return;
        await sidecars.StopAsync();
        sidecars.Dispose();
        sidecars = null;
    }

    private static async Task ListeningAsync(int port)
    {
        var clock = Stopwatch.StartNew();
        while (true)
        {
            try
            {
                using var client = new System.Net.Sockets.TcpClient();
                await client.ConnectAsync("127.0.0.1", port);
                return;
            }
            catch (System.Net.Sockets.SocketException) when (clock.Elapsed < TimeSpan.FromSeconds(30))
            {
                await Task.Delay(50);
            }
        }
    }
}
