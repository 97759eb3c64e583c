using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Dapr.Client;
using Garnet;
using Marketplace.Local.Redis;
using Marketplace.TestKit;
using Npgsql;
using Xunit;
using Xunit.Sdk;

namespace Marketplace.Sidecar.Tests.State;

/// <summary>One app with a store of every kind, on a Garnet of this process and a database of its own.</summary>
public sealed class StoresUnderTest : IAsyncLifetime
{
    private readonly string redisFolder = Directory.CreateTempSubdirectory("sidecar-tests-redis-").FullName;
    private GarnetServer? garnet;
    private Process? redis;
    private string? noRedis;
    private SidecarsUnderTest? sidecars;
    private string? noPostgres;

    public SidecarsUnderTest Sidecars => sidecars!;
    public DaprClient Dapr { get; private set; } = null!;
    public HttpClient Http { get; private set; } = null!;
    public string? Database { get; private set; }

    /// <summary>Skips a test of a store that this machine does not have.</summary>
    public void Need(string store)
    {
        if (store.StartsWith("postgres", StringComparison.Ordinal) && noPostgres is not null) Assert.Skip(noPostgres);
        if (store == "redis" && noRedis is not null) Assert.Skip(noRedis);
    }

    public async ValueTask InitializeAsync()
    {
        var garnetPort = Ports.Free();
        garnet = RedisCommand.Start(garnetPort, redisFolder, "secret");
        var resources = Store("memory", "state.in-memory", "v1")
            + Store("garnet", "state.redis", "v1", ("redisHost", $"127.0.0.1:{garnetPort}"), ("redisPassword", "secret"));
        if (await StartRedisAsync() is { } redisPort)
            resources += Store("redis", "state.redis", "v1", ("redisHost", $"127.0.0.1:{redisPort}"));
        try
        {
            var address = new NpgsqlConnectionStringBuilder(await TestDatabase.CreateAsync());
            Database = address.ConnectionString;
            resources += Store("postgres1", "state.postgresql", "v1",
                    ("connectionString", $"host={address.Host} port={address.Port} user={address.Username} database={address.Database}"), ("tableName", "first_state"))
                + Store("postgres2", "state.postgresql", "v2",
                    ("connectionString", $"postgres://{address.Username}@{address.Host}:{address.Port}/{address.Database}"), ("tablePrefix", "second_"))
                + Store("shared", "state.postgresql", "v2", ("connectionString", address.ConnectionString), ("keyPrefix", "everyone"));
        }
        catch (SkipException e)
        {
            noPostgres = e.Message;
        }

        sidecars = await SidecarsUnderTest.StartAsync(resources, new AppUnderTest("shop"), new AppUnderTest("office"));
        Dapr = sidecars.Client();
        Http = sidecars.Http();
    }

    public async ValueTask DisposeAsync()
    {
        Dapr.Dispose();
        Http.Dispose();
        if (sidecars is not null) await sidecars.DisposeAsync();
        garnet?.Dispose();
        if (redis is not null)
        {
            redis.Kill();
            await redis.WaitForExitAsync();
            redis.Dispose();
        }

        Directory.Delete(redisFolder, recursive: true);
    }

    /// <summary>The real thing, where it is installed.</summary>
    private async Task<int?> StartRedisAsync()
    {
        var server = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
            .SelectMany(folder => (string[])[Path.Combine(folder, "redis-server"), Path.Combine(folder, "valkey-server")]).FirstOrDefault(File.Exists);
        if (server is null)
        {
            noRedis = "Neither redis-server nor valkey-server is on PATH.";
            return null;
        }

        var port = Ports.Free();
        redis = Process.Start(new ProcessStartInfo(server, ["--port", $"{port}", "--bind", "127.0.0.1", "--save", "", "--dir", redisFolder]) { RedirectStandardOutput = true })!;
        await Eventually.Async(async () =>
        {
            using var socket = new TcpClient();
            try
            {
                await socket.ConnectAsync(IPAddress.Loopback, port);
                return true;
            }
            catch (SocketException)
            {
                return false;
            }
        }, "Redis listens");
        return port;
    }

    private static string Store(string name, string type, string version, params (string Name, string Value)[] metadata) => $"""
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata:
          name: {name}
        spec:
          type: {type}
          version: {version}
          metadata: [{string.Join(", ", metadata.Select(item => $"{{name: {item.Name}, value: \"{item.Value}\"}}"))}]
        ---

        """;
}
