using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Reflection;
using Marketplace.Local.Kafka;
using Marketplace.TestKit;
using StackExchange.Redis;
using Xunit;
using Xunit.Sdk;
using Xunit.v3;

namespace Marketplace.Sidecar.Tests.PubSub;

/// <summary>The brokers that the same tests run on. A further one is a name in <see cref="Names"/> and a class that starts it.</summary>
internal static class BrokersUnderTest
{
    public const string InMemory = "in-memory";
    public const string Redis = "redis";

    public const string RabbitMq = "rabbitmq";
    public const string Kafka = "kafka";

    public static readonly IReadOnlyList<string> Names = [InMemory, Redis, RabbitMq, Kafka];

    /// <summary>A broker of its own for one test; the test is skipped where it is not installed.</summary>
    public static async Task<IBroker> StartAsync(string name) => name switch
    {
        InMemory => new InMemoryBroker(),
        Redis => await RedisBroker.StartAsync(),
        RabbitMq => new RabbitMqBroker(await RabbitMqNode.SharedAsync()),
        Kafka => new KafkaBroker(),
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, "no such broker"),
    };

    public static string Yaml(string name, string type, IEnumerable<(string Name, string Value)> metadata) => $$"""
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: { name: {{name}} }
        spec:
          type: {{type}}
          version: v1
          metadata: [{{string.Join(", ", metadata.GroupBy(item => item.Name, (_, same) => same.Last()).Select(item => $"{{ name: {item.Name}, value: \"{item.Value}\" }}"))}}]
        """;
}

internal interface IBroker : IAsyncDisposable
{
    /// <summary>A pub/sub component as YAML. Those of one broker may share their topics: a test uses one of them.</summary>
    string Component(string name, params (string Name, string Value)[] metadata);
}

/// <summary>Runs a theory once for each broker, whose name is the first argument; the values given here follow.</summary>
[AttributeUsage(AttributeTargets.Method, AllowMultiple = true)]
public sealed class EveryBrokerAttribute(params object[] values) : DataAttribute
{
    /// <summary>Names of brokers, with commas between them, that do not promise what the test is about.</summary>
    public string But { get; init; } = "";

    public override ValueTask<IReadOnlyCollection<ITheoryDataRow>> GetData(MethodInfo testMethod, DisposalTracker disposalTracker) =>
        ValueTask.FromResult<IReadOnlyCollection<ITheoryDataRow>>([.. BrokersUnderTest.Names.Except(But.Split(',')).Select(name => new TheoryDataRow([name, .. values]))]);

    public override bool SupportsDiscoveryEnumeration() => true;
}

internal sealed class InMemoryBroker : IBroker
{
    public string Component(string name, params (string Name, string Value)[] metadata) => BrokersUnderTest.Yaml(name, "pubsub.in-memory", metadata);

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}

/// <summary>A Redis server in a folder of its own, which writes down every command before it answers. It can be killed and comes back with what it had.</summary>
internal sealed class RedisBroker : IBroker
{
    private readonly string server;
    private readonly string folder = Directory.CreateTempSubdirectory("broker-redis-").FullName;
    private readonly List<string> databases = [];
    private string[] arguments = [];
    private Process? process;

    private RedisBroker(string server) => this.server = server;

    public int Port { get; } = Ports.Free();

    /// <summary>Metadata of every component.</summary>
    public IReadOnlyList<(string Name, string Value)> Always { get; set; } = [];

    public static Task<RedisBroker> StartAsync() => StartAsync(null);

    /// <param name="secured">Certificate and key of the server as PEM; then its user is shop, whose password is secret.</param>
    public static async Task<RedisBroker> StartAsync((string Certificate, string Key)? secured, params string[] more)
    {
        var server = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
            .SelectMany(folder => (string[])[Path.Combine(folder, "redis-server"), Path.Combine(folder, "valkey-server")]).FirstOrDefault(File.Exists);
        Assert.SkipWhen(server is null, "Neither redis-server nor valkey-server is on PATH.");
        var broker = new RedisBroker(server!);
        broker.arguments = ["--port", $"{broker.Port}", "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir", broker.folder, .. more];
        if (secured is { } pair)
        {
            var (certificate, key) = (Path.Combine(broker.folder, "server.crt"), Path.Combine(broker.folder, "server.key"));
            await File.WriteAllTextAsync(certificate, pair.Certificate);
            await File.WriteAllTextAsync(key, pair.Key);
            broker.arguments = ["--tls-port", $"{broker.Port}", "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-auth-clients", "no", .. broker.arguments, "--port", "0"];
            broker.Always = [("enableTLS", "true"), ("insecureSkipTLSVerify", "true"), ("redisUsername", "shop"), ("redisPassword", "secret")];
        }
        await broker.UpAsync();
        return broker;
    }

    public string Component(string name, params (string Name, string Value)[] metadata)
    {
        if (!databases.Contains(name)) databases.Add(name);
        return BrokersUnderTest.Yaml(name, "pubsub.redis", [("redisHost", $"127.0.0.1:{Port}"), ("redisDB", $"{databases.IndexOf(name)}"), .. Always, .. metadata]);
    }

    public Task<ConnectionMultiplexer> ConnectAsync() => ConnectionMultiplexer.ConnectAsync($"127.0.0.1:{Port},allowAdmin=true");

    public async Task UpAsync()
    {
        process = Process.Start(new ProcessStartInfo(server, arguments)
        {
            RedirectStandardOutput = true,
        })!;
        process.OutputDataReceived += static (_, _) => { };
        process.BeginOutputReadLine();
        await Eventually.Async(async () =>
        {
            using var socket = new TcpClient();
            try
            {
                await socket.ConnectAsync(IPAddress.Loopback, Port);
                return true;
            }
            catch (SocketException)
            {
                return false;
            }
        }, "Redis listens");
    }

    /// <summary>SIGKILL.</summary>
    public async Task KillAsync()
    {
        if (process is null) return;
        process.Kill();
        await process.WaitForExitAsync();
        process.Dispose();
        process = null;
    }

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        Directory.Delete(folder, recursive: true);
    }
}

/// <summary>The node that all tests share; the namespace in the consumerID gives each test exchanges and queues of its own.</summary>
internal sealed class RabbitMqBroker(RabbitMqNode node) : IBroker
{
    public string Component(string name, params (string Name, string Value)[] metadata) =>
        BrokersUnderTest.Yaml(name, "pubsub.rabbitmq", ((string Name, string Value)[])[("connectionString", node.Url), ("consumerID", "{namespace}"), ("deletedWhenUnused", "false"), ("publisherConfirm", "true"), ("prefetchCount", "20"), ("reconnectWaitSeconds", "1s"), .. metadata]);

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}

/// <summary>A mock cluster of librdkafka, in this process.</summary>
internal sealed class KafkaBroker : IBroker
{
    private readonly MockCluster cluster = new();

    public string Component(string name, params (string Name, string Value)[] metadata) =>
        BrokersUnderTest.Yaml(name, "pubsub.kafka", ((string Name, string Value)[])[("brokers", cluster.Address), ("authType", "none"), ("initialOffset", "oldest"), .. metadata]);

    public ValueTask DisposeAsync()
    {
        cluster.Dispose();
        return ValueTask.CompletedTask;
    }
}
