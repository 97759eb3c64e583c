using System.Globalization;
using Confluent.Kafka;

namespace Marketplace.Local.Launcher;

/// <summary>
/// A Kafka for this data folder: a container where Docker answers, else librdkafka's mock cluster as a process of ours, which keeps nothing over its end.
/// <code>
/// if (KafkaServer.Configured() is { } brokers) part.IsElsewhere(brokers)   // MARKETPLACE_KAFKA
/// else
/// {
///     var server = new KafkaServer(data, ports);
///     var (spec, brokers) = await server.PrepareAsync(ct);
///     part.Start(spec, token => KafkaServer.AnswersAsync(brokers, token));
///     await part.UntilReadyAsync(TimeSpan.FromSeconds(60), ct);
///     part.Says(server.How);                                               // and remarks.Add(server.Remark) when there is one
/// }
/// secrets["kafka-brokers"] = brokers;
/// </code>
/// </summary>
public sealed class KafkaServer(DataFolder data, PortBook ports)
{
    public string How { get; private set; } = "";

    public int Port { get; private set; }

    /// <summary>What a person should know who relies on it.</summary>
    public string? Remark { get; private set; }

    /// <summary>The brokers named by MARKETPLACE_KAFKA (<c>host:port,…</c>), when there are some.</summary>
    public static string? Configured()
    {
        if (Environment.GetEnvironmentVariable("MARKETPLACE_KAFKA") is not { Length: > 0 } text)
            return null;
        if (text.Split(',').Any(broker => broker.Split(':') is not [{ Length: > 0 }, var port] || !ushort.TryParse(port, NumberStyles.None, CultureInfo.InvariantCulture, out _)))
            throw new LaunchException($"MARKETPLACE_KAFKA is not a list of brokers: {text}", "Example: MARKETPLACE_KAFKA=127.0.0.1:9092");
        return text;
    }

    /// <summary>The process to supervise and the brokers it will answer as; waits for nothing yet.</summary>
    public async Task<(ChildSpec Spec, string Brokers)> PrepareAsync(CancellationToken ct)
    {
        Port = ports.Take("kafka", 9092);
        var port = Port.ToString(CultureInfo.InvariantCulture);
        var brokers = $"127.0.0.1:{port}";
        if (await Containers.AnswerAsync(ct))
            return (Container(port), brokers);

        How = "mock cluster, memory only";
        Remark = "Kafka is librdkafka's mock cluster: events and offsets live in memory and end with it. Name a real one with MARKETPLACE_KAFKA=host:port, or start Docker.";
        return (new ChildSpec("kafka", ["dotnet", Path.Combine(AppContext.BaseDirectory, "Local.dll"), "kafka", "--port", port], data.Root, data.FreshLog("kafka")), brokers);
    }

    /// <summary>Whether a broker there tells about itself.</summary>
    public static async Task<bool> AnswersAsync(string brokers, CancellationToken ct)
    {
        using var admin = new AdminClientBuilder(new AdminClientConfig { BootstrapServers = brokers })
            .SetLogHandler((_, _) => { }).SetErrorHandler((_, _) => { }).Build();   // that it does not answer yet is the answer here, not news
        try
        {
            return await Task.Run(() => admin.GetMetadata(TimeSpan.FromSeconds(3)).Brokers.Count > 0, ct);
        }
        catch (KafkaException)
        {
            return false;
        }
    }

    private ChildSpec Container(string port)
    {
        How = "container apache/kafka:4.1.0";
        var name = Containers.NameFor(data, "kafka");
        string[] settings =
        [
            "KAFKA_NODE_ID=1", "KAFKA_PROCESS_ROLES=broker,controller", "KAFKA_CONTROLLER_QUORUM_VOTERS=1@localhost:9093", "KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER",
            "KAFKA_LISTENERS=PLAINTEXT://:9092,CONTROLLER://:9093", $"KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://127.0.0.1:{port}",
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT", "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR=1", "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR=1",
            "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR=1", "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS=0", "KAFKA_NUM_PARTITIONS=4", "KAFKA_AUTO_CREATE_TOPICS_ENABLE=true",
            "KAFKA_LOG_DIRS=/var/lib/kafka/data", "CLUSTER_ID=marketplace-local-kafk",
        ];
        return new ChildSpec("kafka",
            ["docker", "run", "--rm", "--name", name, "-p", $"127.0.0.1:{port}:9092", "-v", $"{name}:/var/lib/kafka/data", .. settings.SelectMany(setting => (string[])["-e", setting]), "apache/kafka:4.1.0"],
            "/", data.FreshLog("kafka"))
        {
            Grace = TimeSpan.FromSeconds(20),
        };
    }
}
