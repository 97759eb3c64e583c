using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text.Json;
using Marketplace.Local.Launcher;
using Marketplace.Local.Sidecar;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using StackExchange.Redis;

namespace Marketplace.Bench.Sidecar;

/// <summary>
/// What is measured: a Redis server and the sidecar host as they run for real, each a process, and in this process the client and an app of
/// the least that answers. The app's cost is in the column of the client, on the floor as well as through the sidecar.
/// </summary>
internal sealed class SidecarBed : IAsyncDisposable
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(30);

    private readonly string folder = Directory.CreateTempSubdirectory("sidecar-bench-").FullName;
    private readonly ConcurrentDictionary<long, TaskCompletionSource> awaited = new();
    private Child? redis;
    private Child? host;
    private WebApplication? app;
    private ConnectionMultiplexer? connection;
    private long sequence;

    public HttpClient Http { get; } = new(new SocketsHttpHandler { UseProxy = false, UseCookies = false, ActivityHeadersPropagator = null, MaxConnectionsPerServer = 64 });

    /// <summary>redis-server where there is one, else Garnet.</summary>
    public string RedisName { get; private set; } = "";

    public int RedisPort { get; private set; }

    public IDatabase Redis => connection!.GetDatabase();

    public string App { get; private set; } = "";

    public string SidecarHttp { get; private set; } = "";

    public string SidecarGrpc { get; private set; } = "";

    /// <summary>Pub/sub components that this host knows.</summary>
    public IReadOnlyList<string> Brokers { get; private set; } = [];

    public static async Task<SidecarBed> StartAsync()
    {
        var bed = new SidecarBed();
        try
        {
            await bed.StartPartsAsync();
            return bed;
        }
        catch
        {
            await bed.DisposeAsync();
            throw;
        }
    }

    public (TimeSpan Host, TimeSpan Redis, TimeSpan Self) Cpu()
    {
        using var self = Process.GetCurrentProcess();
        return (CpuTime.OfTree(host!.Pid), CpuTime.OfTree(redis!.Pid), self.TotalProcessorTime);
    }

    /// <summary>An event to publish and the task that ends when the app has it.</summary>
    public (string Body, Task Delivered) NextEvent()
    {
        var number = Interlocked.Increment(ref sequence);
        var delivered = awaited[number] = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        return (number.ToString(CultureInfo.InvariantCulture), delivered.Task);
    }

    public void Deliver(string number)
    {
        // A redelivery finds nobody waiting.
        if (awaited.TryRemove(long.Parse(number, CultureInfo.InvariantCulture), out var waiting)) waiting.SetResult();
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        if (host is not null) await host.StopAsync();
        host?.Dispose();
        if (app is not null) await app.DisposeAsync();
        if (connection is not null) await connection.DisposeAsync();
        if (redis is not null) await redis.StopAsync();
        redis?.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    private async Task StartPartsAsync()
    {
        var ports = new PortBook(null, onlyFreeOnes: true);
        RedisPort = ports.Take("redis", null);
        var server = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Select(path => Path.Combine(path, "redis-server")).FirstOrDefault(File.Exists);
        RedisName = server is null ? "Garnet" : "redis-server";
        string[] command = server is null
            ? ["dotnet", typeof(SidecarPlan).Assembly.Location, "redis", "--port", $"{RedisPort}", "--data", Path.Combine(folder, "redis")]
            : [server, "--port", $"{RedisPort}", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder];
        redis = Child.Start(new ChildSpec("redis", command, folder, Path.Combine(folder, "redis.log")));
        await ListeningAsync(RedisPort, redis);
        connection = await ConnectionMultiplexer.ConnectAsync($"127.0.0.1:{RedisPort}");

        var appPort = ports.Take("app", null);
        app = await StartAppAsync(appPort);
        App = $"http://127.0.0.1:{appPort}";

        var (http, grpc) = (ports.Take("http", null), ports.Take("grpc", null));
        (SidecarHttp, SidecarGrpc) = ($"http://127.0.0.1:{http}", $"http://127.0.0.1:{grpc}");
        foreach (var brokers in (IReadOnlyList<string>[])[["memory", "streams"], ["memory"]])
        {
            Brokers = brokers;
            var resources = Path.Combine(folder, $"components-{brokers.Count}");
            WriteComponents(resources, brokers.Contains("streams"));
            var plan = new SidecarPlan(folder, 0, null, null, null,
            [
                new SidecarApp("client", folder, null, http, grpc, [resources]),
                new SidecarApp("app", folder, appPort, ports.Take("app-http", null), ports.Take("app-grpc", null), [resources]),
            ]);
            var planFile = Path.Combine(folder, "plan.json");
            plan.Write(planFile);
            host = Child.Start(new ChildSpec("sidecars", ["dotnet", typeof(SidecarPlan).Assembly.Location, "sidecars", "--plan", planFile], folder, Path.Combine(folder, "sidecars.log")));
            if (await ListeningAsync(http, host)) break;
            host.Dispose();
            host = null;
        }

        if (host is null) throw new InvalidOperationException($"The sidecar host did not start: {await File.ReadAllTextAsync(Path.Combine(folder, "sidecars.log"))}");
        await ReadyAsync();
    }

    private void WriteComponents(string resources, bool streams)
    {
        Directory.CreateDirectory(resources);
        File.WriteAllText(Path.Combine(resources, "components.yaml"), $$"""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: { name: store }
            spec:
              type: state.redis
              version: v1
              metadata:
              - { name: redisHost, value: "127.0.0.1:{{RedisPort}}" }
              - { name: actorStateStore, value: "true" }
            ---
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: { name: memory }
            spec: { type: pubsub.in-memory, version: v1, metadata: [] }
            """);
        if (!streams) return;
        File.WriteAllText(Path.Combine(resources, "streams.yaml"), $$"""
            apiVersion: dapr.io/v1alpha1
            kind: Component
            metadata: { name: streams }
            spec:
              type: pubsub.redis
              version: v1
              metadata:
              - { name: redisHost, value: "127.0.0.1:{{RedisPort}}" }
              - { name: concurrency, value: "32" }
            """);
    }

    private async Task<WebApplication> StartAppAsync(int port)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, port));
        builder.Logging.ClearProviders();
        var web = builder.Build();
        web.Run(async http =>
        {
            var path = http.Request.Path.Value!;
            switch (path)
            {
                case "/dapr/config":
                    await http.Response.WriteAsJsonAsync(new { entities = (string[])["Echo"] });
                    break;
                case "/dapr/subscribe":
                    await http.Response.WriteAsJsonAsync(Brokers.Select(broker => new { pubsubname = broker, topic = "bench", route = "/events" }));
                    break;
                case "/events":
                    using (var envelope = await JsonDocument.ParseAsync(http.Request.Body, cancellationToken: http.RequestAborted))
                        Deliver(envelope.RootElement.GetProperty("data").GetProperty("n").GetString()!);
                    break;
                case "/deliver":
                    using (var reader = new StreamReader(http.Request.Body))
                        Deliver(await reader.ReadToEndAsync(http.RequestAborted));
                    break;
                default:
                    // Bodies go back as they came: echo, and actor calls.
                    await http.Request.Body.CopyToAsync(http.Response.Body, http.RequestAborted);
                    break;
            }
        });
        await web.StartAsync();
        return web;
    }

    private async Task ReadyAsync()
    {
        // Until the app is called, its actors are placed and every subscription delivers.
        await UntilAsync("invocation", async () => (await Http.PostAsync($"{SidecarHttp}/v1.0/invoke/app/method/echo", null)).IsSuccessStatusCode);
        await UntilAsync("actors", async () => (await Http.PostAsync($"{SidecarHttp}/v1.0/actors/Echo/ready/method/ping", null)).IsSuccessStatusCode);
        foreach (var broker in Brokers)
        {
            await UntilAsync(broker, async () =>
            {
                var (body, delivered) = NextEvent();
                using var content = new StringContent($$"""{"n":"{{body}}"}""", System.Text.Encoding.UTF8, "application/json");
                using var answer = await Http.PostAsync($"{SidecarHttp}/v1.0/publish/{broker}/bench", content);
                return answer.IsSuccessStatusCode && await Task.WhenAny(delivered, Task.Delay(1000)) == delivered;
            });
        }
    }

    private async Task UntilAsync(string what, Func<Task<bool>> done)
    {
        for (var clock = Stopwatch.StartNew(); !await done(); await Task.Delay(50))
        {
            if (clock.Elapsed > StartLimit) throw new InvalidOperationException($"{what} did not work within {StartLimit}: {await File.ReadAllTextAsync(Path.Combine(folder, "sidecars.log"))}");
        }
    }

    /// <summary>False when the process ended before it listened.</summary>
    private static async Task<bool> ListeningAsync(int port, Child child)
    {
        for (var clock = Stopwatch.StartNew(); !child.HasExited; await Task.Delay(50))
        {
            try
            {
                using var client = new System.Net.Sockets.TcpClient();
                await client.ConnectAsync(IPAddress.Loopback, port);
                return true;
            }
            catch (System.Net.Sockets.SocketException) when (clock.Elapsed < StartLimit)
            {
                continue;
            }
        }

        return false;
    }
}
