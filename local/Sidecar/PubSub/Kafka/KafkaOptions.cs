using System.Text.Json;
using System.Text.RegularExpressions;
using Confluent.Kafka;
using Marketplace.Local.Sidecar.Resources;

namespace Marketplace.Local.Sidecar.PubSub.Kafka;

/// <summary>
/// The metadata of a pubsub.kafka component, with daprd's names and defaults (components-contrib, common/component/kafka), in the words of librdkafka.
/// <c>version</c> is read by nobody here: librdkafka asks the broker what it speaks. Without <c>initialOffset: oldest</c> a group that is new misses what was published before it.
/// </summary>
internal sealed class KafkaOptions
{
    private readonly Component component;
    private readonly ClientConfig client;

    public KafkaOptions(Component component)
    {
        this.component = component;
        Brokers = component.Require("brokers");
        client = new ClientConfig
        {
            BootstrapServers = Brokers,
            ClientId = component.Get("clientID") ?? "sarama",
            SocketConnectionSetupTimeoutMs = Milliseconds("dialTimeout", 30_000),
            SocketTimeoutMs = Milliseconds("readTimeout", 30_000),
            SocketKeepaliveEnable = component.Duration("clientConnectionKeepAliveInterval", TimeSpan.Zero) > TimeSpan.Zero,
            TopicMetadataRefreshIntervalMs = Milliseconds("clientConnectionTopicMetadataRefreshInterval", 8 * 60_000),
            ReconnectBackoffMaxMs = 2000,   // a broker that comes back is found while its clients are still patient
            AllowAutoCreateTopics = true,
        };
        Authenticate();
        if (component.Get("schemaRegistryURL") is not null) throw Unserved("schemaRegistryURL", "a schema registry");

        InitialOffset = component.Get("initialOffset")?.ToLowerInvariant() switch
        {
            null or "newest" => AutoOffsetReset.Latest,
            "oldest" => AutoOffsetReset.Earliest,
            var other => throw component.Error("initialOffset", $"must be newest or oldest, not {other}."),
        };
        ConsumeRetry = component.Bool("consumeRetryEnabled", true);
        EscapeHeaders = component.Bool("escapeHeaders");
        BufferSize = Math.Max(1, component.Int("channelBufferSize", 256));
        if (component.Get("excludeHeaderMetaRegex") is { } pattern)
        {
            try
            {
                ExcludedHeaders = new Regex(pattern, RegexOptions.CultureInvariant, TimeSpan.FromSeconds(1));
            }
            catch (ArgumentException e)
            {
                throw component.Error("excludeHeaderMetaRegex", e.Message);
            }
        }

        // Read once, so that what is wrong is found when the component is loaded.
        RetryPause = PausesOf(component);
        Producer = ProducerOf();
        _ = ConsumerOf("any");
    }

    public string Brokers { get; }
    public AutoOffsetReset InitialOffset { get; }
    public bool ConsumeRetry { get; }
    public bool EscapeHeaders { get; }

    /// <summary>Messages of a partition that are held ready here.</summary>
    public int BufferSize { get; }

    public Regex? ExcludedHeaders { get; }

    /// <summary>The wait before try number n+1 of a message, after n failures and so much time since the first; null where no more is tried. Five seconds, without end, unless set.</summary>
    public Func<int, TimeSpan, TimeSpan?> RetryPause { get; }

    public ProducerConfig Producer { get; }

    /// <summary>The group: consumerGroup, else the consumerID, else the app id.</summary>
    public string GroupOf(string app) => component.Get("consumerGroup") ?? component.Get("consumerID")?.Trim() ?? app;

    public ConsumerConfig ConsumerOf(string group) => new(new Dictionary<string, string>(client))
    {
        GroupId = group,
        AutoOffsetReset = InitialOffset,
        EnableAutoCommit = true,
        AutoCommitIntervalMs = 1000,
        EnableAutoOffsetStore = false,   // a message counts when its app has answered
        SessionTimeoutMs = Milliseconds("sessionTimeout", 10_000),
        HeartbeatIntervalMs = Milliseconds("heartbeatInterval", 3_000),
        FetchMinBytes = component.Int("consumerFetchMin", 1),
        MaxPartitionFetchBytes = component.Int("consumerFetchDefault", 1 << 20),

        // A topic that was away, as all are after a cluster in memory comes back, joins the group's plan again with the next look.
        TopicMetadataRefreshIntervalMs = Math.Min(client.TopicMetadataRefreshIntervalMs ?? int.MaxValue, 5_000),
        QueuedMaxMessagesKbytes = 16 * 1024,   // of each app instance; they share one process
        PartitionAssignmentStrategy = component.Get("consumerGroupRebalanceStrategy")?.ToLowerInvariant() switch
        {
            null or "range" => PartitionAssignmentStrategy.Range,
            "roundrobin" => PartitionAssignmentStrategy.RoundRobin,
            "sticky" => PartitionAssignmentStrategy.CooperativeSticky,   // the only sticky one librdkafka has; a group shared with daprd must use another
            var other => throw component.Error("consumerGroupRebalanceStrategy", $"must be range, roundrobin or sticky, not {other}."),
        },
    };

    private ProducerConfig ProducerOf()
    {
        var producer = new ProducerConfig(new Dictionary<string, string>(client))
        {
            Acks = component.Get("producerRequiredAcks")?.ToLowerInvariant() switch
            {
                null or "all" => Acks.All,
                "local" => Acks.Leader,
                "none" => Acks.None,
                var other => throw component.Error("producerRequiredAcks", $"must be all, local or none, not {other}."),
            },
            MessageSendMaxRetries = component.Int("producerRetryMax", 5),
            MessageTimeoutMs = 10_000,
            MaxInFlight = 1,   // a retry must not overtake what was published after it
            LingerMs = 0,      // each publish is waited for; those that come meanwhile go together all the same
            Partitioner = Partitioner.Consistent,
            CompressionType = component.Get("compression")?.ToLowerInvariant() switch
            {
                null or "none" => CompressionType.None,
                "gzip" => CompressionType.Gzip,
                "snappy" => CompressionType.Snappy,
                "lz4" => CompressionType.Lz4,
                "zstd" => CompressionType.Zstd,
                var other => throw component.Error("compression", $"must be none, gzip, snappy, lz4 or zstd, not {other}."),
            },
        };
        producer.Set("partitioner", "fnv1a_random");   // keys go where daprd puts them
        if (component.Int("maxMessageBytes", 0) is > 0 and var largest) producer.MessageMaxBytes = largest;
        return producer;
    }

    private void Authenticate()
    {
        var type = component.Get("authType")?.ToLowerInvariant() ?? component.Get("authRequired") switch
        {
            null => throw component.Error("authType", "is required by pubsub.kafka: none, password, mtls, certificate or oidc."),
            _ when !component.Bool("authRequired") => "none",
            _ => component.Get("saslPassword") is null ? "mtls" : "password",
        };
        if (type == "none") return;

        var plain = component.Bool("disableTls");
        client.SslCaPem = component.Get("caCert");
        client.EnableSslCertificateVerification = !component.Bool("skipVerify");
        switch (type)
        {
            case "password":
                client.SaslUsername = component.Require("saslUsername");
                client.SaslPassword = component.Require("saslPassword");
                client.SaslMechanism = component.Get("saslMechanism") switch
                {
                    "SHA-256" => SaslMechanism.ScramSha256,
                    "SHA-512" => SaslMechanism.ScramSha512,
                    _ => SaslMechanism.Plain,
                };
                break;
            case "oidc":
                client.SaslMechanism = SaslMechanism.OAuthBearer;
                client.SaslOauthbearerMethod = SaslOauthbearerMethod.Oidc;
                client.SaslOauthbearerTokenEndpointUrl = component.Require("oidcTokenEndpoint");
                client.SaslOauthbearerClientId = component.Require("oidcClientID");
                client.SaslOauthbearerClientSecret = component.Require("oidcClientSecret");
                client.SaslOauthbearerScope = (component.Get("oidcScopes") ?? "openid").Replace(',', ' ');
                if (component.Get("oidcExtensions") is { } extensions) client.SaslOauthbearerExtensions = Pairs(extensions);
                break;
            case "mtls":
                if (plain) throw component.Error("disableTls", "cannot be true where authType is mtls.");
                (client.SslCertificatePem, client.SslKeyPem) = (component.Get("clientCert"), component.Get("clientKey"));
                if ((client.SslCertificatePem is null) != (client.SslKeyPem is null))
                    throw component.Error(client.SslKeyPem is null ? "clientKey" : "clientCert", "clientCert and clientKey belong together.");
                break;
            case "certificate":
                component.Require("caCert");
                break;
            case "awsiam" or "oidc_private_key_jwt":
                throw Unserved("authType", type);
            default:
                throw component.Error("authType", $"must be none, password, mtls, certificate or oidc, not {type}.");
        }

        var sasl = client.SaslMechanism is not null;
        client.SecurityProtocol = (plain, sasl) switch
        {
            (true, true) => SecurityProtocol.SaslPlaintext,
            (true, false) => SecurityProtocol.Plaintext,
            (false, true) => SecurityProtocol.SaslSsl,
            _ => SecurityProtocol.Ssl,
        };
    }

    private string Pairs(string json)
    {
        try
        {
            return string.Join(',', JsonSerializer.Deserialize<Dictionary<string, string>>(json)?.Select(pair => $"{pair.Key}={pair.Value}") ?? []);
        }
        catch (JsonException)
        {
            throw component.Error("oidcExtensions", "must be a JSON object of texts.");
        }
    }

    private static Func<int, TimeSpan, TimeSpan?> PausesOf(Component component)
    {
        var most = component.Int("backOffMaxRetries", -1);
        switch (component.Get("backOffPolicy")?.ToLowerInvariant())
        {
            case null or "constant":
                var constant = component.Duration("backOffDuration", TimeSpan.FromSeconds(5));
                return (failures, _) => most >= 0 && failures > most ? null : constant;
            case "exponential":
                var (first, longest, total) = (component.Duration("backOffInitialInterval", TimeSpan.FromMilliseconds(500)),
                    component.Duration("backOffMaxInterval", TimeSpan.FromSeconds(60)), component.Duration("backOffMaxElapsedTime", TimeSpan.FromMinutes(15)));
                return (failures, elapsed) => most >= 0 && failures > most || total > TimeSpan.Zero && elapsed > total ? null
                    : TimeSpan.FromMilliseconds(Math.Min(longest.TotalMilliseconds, first.TotalMilliseconds * Math.Pow(1.5, failures - 1)) * (0.5 + Random.Shared.NextDouble()));
            case var other:
                throw component.Error("backOffPolicy", $"must be constant or exponential, not {other}.");
        }
    }

    private int Milliseconds(string name, int otherwise) => (int)Math.Clamp(component.Duration(name, TimeSpan.FromMilliseconds(otherwise)).TotalMilliseconds, 1, int.MaxValue);

    private ResourceException Unserved(string name, string what) =>
        component.Error(name, $"the local sidecar host does not serve {what} of pubsub.kafka; use a real daprd (--sidecar daprd).");
}
