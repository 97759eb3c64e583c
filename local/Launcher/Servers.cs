using System.Globalization;
using System.Net.Sockets;
using System.Text.Json;

namespace Marketplace.Local.Launcher;

/// <summary>What the services need from outside: databases always, the rest as the component set asks; and the secrets that tell them where it is.</summary>
internal sealed class Servers(SystemPlan plan, DataFolder data, KeyRing keys, PortBook ports, List<string> remarks, Action changed)
{
    private readonly Part postgres = New("postgres", changed);
    private readonly Part mail = New("mail", changed);
    private readonly Part provider = New("provider", changed);
    private readonly Part? redis = plan.Needs.Redis ? New("redis", changed) : null;
    private readonly Part? rabbitMq = plan.Needs.RabbitMq ? New("rabbitmq", changed) : null;
    private readonly Part? kafka = plan.Needs.Kafka ? New("kafka", changed) : null;
    private string rabbitMqUrl = "";

    public IReadOnlyList<Part> Parts => [.. new[] { postgres, redis, rabbitMq, kafka, plan.Needs.Mail ? mail : null, provider }.OfType<Part>()];

    /// <summary>What sidecars and services cannot start without.</summary>
    public IReadOnlyList<Part> Stores => [.. new[] { postgres, redis, rabbitMq, kafka }.OfType<Part>()];

    /// <summary>A broker that forgets topics and offsets when its process ends.</summary>
    public Part? Forgetful { get; private set; }

    public PostgresLogin? Login { get; private set; }

    /// <summary>Names the cluster, so that another one is migrated anew.</summary>
    public string Cluster { get; private set; } = "";

    public string RedisAddress { get; private set; } = "";
    public string KafkaBrokers { get; private set; } = "";
    public string RabbitMqAddress => rabbitMqUrl.Length == 0 ? "" : new Uri(rabbitMqUrl).Authority;
    public int? ProviderPort => provider.Port;

    /// <summary>The names of all secrets there will be, known before anything runs.</summary>
    public static IReadOnlySet<string> SecretNames(SystemPlan plan) => new HashSet<string>(
    [
        .. plan.Services.Where(service => service.Database is not null).Select(service => $"{service.AppId}-db"), "actors-db",
        "redis-password", .. plan.Needs.Redis ? (string[])["redis-host"] : [], .. plan.Needs.RabbitMq ? (string[])["rabbitmq-url"] : [],
        .. plan.Needs.Kafka ? (string[])["kafka-brokers"] : [], .. plan.Needs.Mail ? (string[])["smtp-host", "smtp-port"] : [],
        "stripe-key", "stripe-webhook-secret", "stripe-api-base", "operator-password", "signing-key-wrap", "queue-ticket-keys",
        .. ConfiguredElasticsearch is null ? (string[])[] : ["elasticsearch-url"],
    ]);

    /// <summary>Of the search service's other engine, which is never started here: <c>MARKETPLACE_ELASTICSEARCH=http://user:password@host:9200</c>.</summary>
    private static string? ConfiguredElasticsearch => Environment.GetEnvironmentVariable("MARKETPLACE_ELASTICSEARCH") is { Length: > 0 } address ? address : null;

    /// <summary>Ports that others are told of before anything runs.</summary>
    public void Declare()
    {
        if (plan.Needs.Mail)
            mail.Port = ports.Take("mail", 1025);
        provider.Port = ports.Take("provider", 8190);
    }

    /// <param name="gatewayPort">Where the provider sends its webhooks.</param>
    public async Task StartAsync(int gatewayPort, CancellationToken ct)
    {
        await Task.WhenAll(
            Task.Run(() => StartPostgresAsync(ct), ct),
            redis is null ? Task.CompletedTask : Task.Run(() => StartRedisAsync(redis, ct), ct),
            rabbitMq is null ? Task.CompletedTask : Task.Run(() => StartRabbitMqAsync(rabbitMq, ct), ct),
            kafka is null ? Task.CompletedTask : Task.Run(() => StartKafkaAsync(kafka, ct), ct),
            plan.Needs.Mail ? Task.Run(() => StartMailAsync(ct), ct) : Task.CompletedTask,
            Task.Run(() => StartProviderAsync(gatewayPort, ct), ct));
        ports.Save();
        WriteSecrets();
    }

    private async Task StartPostgresAsync(CancellationToken ct)
    {
        if (PostgresServer.Configured() is { } configured)
        {
            Login = configured;
            await PostgresServer.WaitAsync(configured, () => false, TimeSpan.FromSeconds(10), ct);
            postgres.IsElsewhere($"{configured.Host}:{configured.Port}");
        }
        else
        {
            var server = new PostgresServer(data, keys, ports);
            postgres.Says("preparing the cluster");
            var (spec, login) = await server.PrepareAsync(ct);
            Login = login;
            postgres.Port = login.Port;
            postgres.Start(spec, async token =>
            {
                await PostgresServer.WaitAsync(login, () => postgres.Child!.HasExited, TimeSpan.FromSeconds(60), token);
                return true;
            });
            await postgres.UntilReadyAsync(TimeSpan.FromSeconds(60), ct);
            postgres.Says(server.How);
            if (server.Remark is { } remark)
                remarks.Add(remark);
        }

        var passwords = plan.Services.Where(service => service.Database is not null).ToDictionary(service => service.Database!, service => keys.Database(service.AppId));
        passwords["dapr"] = keys.Database("actors");
        Cluster = await PostgresServer.CreateDatabasesAsync(Login, passwords, ct);
    }

    private async Task StartRedisAsync(Part part, CancellationToken ct)
    {
        if (ConfiguredRedis is [{ Length: > 0 } configured, ..])
        {
            RedisAddress = configured;
            if (!await AcceptsAsync(RedisAddress, ct))
                throw new LaunchException($"Nothing answers at MARKETPLACE_REDIS={RedisAddress}.", "Start that server, or unset the variable: the launcher brings its own.");
            part.IsElsewhere(RedisAddress);
            return;
        }

        var server = FindRedis();
        var port = ports.Take("redis", 6379);
        RedisAddress = $"127.0.0.1:{port}";
        part.Port = port;
        string[] command = server is not null
            ? [server, "--port", Text(port), "--bind", "127.0.0.1", "--dir", data.Redis, "--appendonly", "yes", "--save", "", "--daemonize", "no"]
            : [.. LocalSystem.Self("redis"), "--port", Text(port), "--data", data.Redis];
        part.Start(new ChildSpec("redis", command, data.Root, data.FreshLog("redis")), token => AcceptsAsync(RedisAddress, token));
        await part.UntilReadyAsync(TimeSpan.FromSeconds(30), ct);
        part.Says(server ?? "Garnet");
    }

    /// <summary>Garnet, which is used where no server is installed, has no streams.</summary>
    /// <exception cref="LaunchException">The set needs what this machine does not have.</exception>
    public static void CheckPrograms(SystemPlan plan)
    {
        if (plan.Needs.Streams is { } streams && ConfiguredRedis is [] && FindRedis() is null)
        {
            throw new LaunchException($"{streams.TypePlace}: component {streams.Name} is a pubsub.redis, which needs Redis Streams. The built-in server (Garnet) has none, and there is no redis-server or valkey-server on PATH.",
                "Debian and Ubuntu: apt-get install -y redis-server · macOS: brew install redis · or name one: MARKETPLACE_REDIS=host:6379 · or take another set: --components local");
        }
    }

    public static string? FindRedis() => Programs.Find("redis-server") ?? Programs.Find("valkey-server");

    /// <summary>MARKETPLACE_REDIS as its address and what follows; empty when it is not set.</summary>
    private static string[] ConfiguredRedis => Environment.GetEnvironmentVariable("MARKETPLACE_REDIS") is { Length: > 0 } text ? text.Split(',') : [];

    private async Task StartRabbitMqAsync(Part part, CancellationToken ct)
    {
        if (RabbitMqServer.Configured() is { } configured)
        {
            rabbitMqUrl = configured;
            if (!await RabbitMqServer.AnswersAsync(configured, ct))
                throw new LaunchException($"No RabbitMQ lets us in at MARKETPLACE_RABBITMQ ({RabbitMqAddress}).", "Start that server, correct the address, or unset the variable: the launcher brings its own.");
            part.IsElsewhere(RabbitMqAddress);
            return;
        }

        var server = new RabbitMqServer(data, keys, ports);
        (var spec, rabbitMqUrl) = await server.PrepareAsync(ct);
        part.Port = server.Port;
        part.Start(spec, token => RabbitMqServer.AnswersAsync(rabbitMqUrl, token));
        await part.UntilReadyAsync(TimeSpan.FromSeconds(90), ct);
        part.Says(server.How);
    }

    private async Task StartKafkaAsync(Part part, CancellationToken ct)
    {
        if (KafkaServer.Configured() is { } configured)
        {
            KafkaBrokers = configured;
            if (!await KafkaServer.AnswersAsync(configured, ct))
                throw new LaunchException($"No Kafka answers at MARKETPLACE_KAFKA={configured}.", "Start those brokers, correct the list, or unset the variable: the launcher brings its own.");
            part.IsElsewhere(configured);
            return;
        }

        var server = new KafkaServer(data, ports);
        (var spec, KafkaBrokers) = await server.PrepareAsync(ct);
        part.Port = server.Port;
        part.Start(spec, token => KafkaServer.AnswersAsync(KafkaBrokers, token));
        await part.UntilReadyAsync(TimeSpan.FromSeconds(90), ct);
        part.Says(server.How);
        if (server.Remark is not { } remark)
            return;
        remarks.Add(remark);
        Forgetful = part;
    }

    private async Task StartMailAsync(CancellationToken ct)
    {
        var port = mail.Port!.Value;
        mail.Start(new ChildSpec("mail", [.. LocalSystem.Self("mail"), "--port", Text(port), "--data", data.Mail], data.Root, data.FreshLog("mail")),
            token => AcceptsAsync($"127.0.0.1:{port}", token));
        await mail.UntilReadyAsync(TimeSpan.FromSeconds(30), ct);
        mail.Says(data.Mail);
    }

    private async Task StartProviderAsync(int gatewayPort, CancellationToken ct)
    {
        if (Environment.GetEnvironmentVariable("MARKETPLACE_STRIPE_KEY") is { Length: > 0 })
        {
            provider.IsElsewhere("Stripe, with MARKETPLACE_STRIPE_KEY");
            return;
        }

        var port = provider.Port!.Value;
        provider.Start(
            new ChildSpec("provider", [.. LocalSystem.Self("provider"), "--port", Text(port), "--data", data.Provider, "--webhook", $"http://127.0.0.1:{gatewayPort}/webhooks/stripe", "--webhook-secret", keys.WebhookSecret],
                data.Root, data.FreshLog("provider")),
            token => AcceptsAsync($"127.0.0.1:{port}", token));
        await provider.UntilReadyAsync(TimeSpan.FromSeconds(30), ct);
    }

    private void WriteSecrets()
    {
        var login = Login!;
        var secrets = plan.Services.Where(service => service.Database is not null)
            .ToDictionary(service => $"{service.AppId}-db", service => login.To(service.Database!, service.Database, keys.Database(service.AppId)));
        secrets["actors-db"] = login.ToSidecar("dapr", "dapr", keys.Database("actors"));
        if (plan.Needs.Redis)
            secrets["redis-host"] = RedisAddress;

        // Also for a set that writes the host down itself and asks only for the password.
        secrets["redis-password"] = ConfiguredRedis.FirstOrDefault(part => part.StartsWith("password=", StringComparison.OrdinalIgnoreCase))?["password=".Length..] ?? "";
        if (plan.Needs.RabbitMq)
            secrets["rabbitmq-url"] = rabbitMqUrl;
        if (plan.Needs.Kafka)
            secrets["kafka-brokers"] = KafkaBrokers;
        var realKey = Environment.GetEnvironmentVariable("MARKETPLACE_STRIPE_KEY");
        secrets["stripe-key"] = realKey is { Length: > 0 } ? realKey : keys.StripeKey;
        secrets["stripe-webhook-secret"] = Environment.GetEnvironmentVariable("MARKETPLACE_STRIPE_WEBHOOK_SECRET") is { Length: > 0 } real ? real : keys.WebhookSecret;
        secrets["stripe-api-base"] = realKey is { Length: > 0 } ? "" : $"http://127.0.0.1:{provider.Port}";
        secrets["operator-password"] = keys.OperatorPassword;
        secrets["signing-key-wrap"] = keys.SigningKeyWrap;
        secrets["queue-ticket-keys"] = keys.QueueTicketKeys;
        if (ConfiguredElasticsearch is { } elasticsearch)
            secrets["elasticsearch-url"] = elasticsearch;
        if (plan.Needs.Mail)
        {
            secrets["smtp-host"] = "127.0.0.1";
            secrets["smtp-port"] = Text(mail.Port!.Value);
        }

        PrivateFile.Write(data.Secrets, JsonSerializer.Serialize(secrets, PrivateFile.Readable));
    }

    private static Part New(string name, Action changed) => new(name, "infrastructure", changed);

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

    private static async Task<bool> AcceptsAsync(string address, CancellationToken ct)
    {
        try
        {
            using var socket = new TcpClient();
            var (host, port) = address.Split(':') is [var name, var number] ? (name, int.Parse(number, CultureInfo.InvariantCulture)) : (address, 6379);
            await socket.ConnectAsync(host, port, ct);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
