using System.Globalization;
using RabbitMQ.Client;
using RabbitMQ.Client.Exceptions;

namespace Marketplace.Local.Launcher;

/// <summary>
/// A private RabbitMQ node of this data folder: loopback only, a login of its own, messages on disk, and no epmd left behind.
/// <code>
/// if (RabbitMqServer.Configured() is { } url) part.IsElsewhere(…)          // MARKETPLACE_RABBITMQ
/// else
/// {
///     var server = new RabbitMqServer(data, keys, ports);
///     var (spec, url) = await server.PrepareAsync(ct);
///     part.Start(spec, token => RabbitMqServer.AnswersAsync(url, token));   // a node takes four seconds on two cores
///     await part.UntilReadyAsync(TimeSpan.FromSeconds(60), ct);
///     part.Says(server.How);
/// }
/// secrets["rabbitmq-url"] = url;
/// </code>
/// </summary>
public sealed class RabbitMqServer(DataFolder data, KeyRing keys, PortBook ports)
{
    private const string User = "marketplace";

    /// <summary>The node's name is part of its files' names: fixed, so that a computer that changes its own name finds them again.</summary>
    private const string Node = "marketplace@localhost";

    public string How { get; private set; } = "";

    public int Port { get; private set; }

    /// <summary>The server named by MARKETPLACE_RABBITMQ (<c>amqp://user:password@host:port/</c>), when there is one.</summary>
    public static string? Configured()
    {
        if (Environment.GetEnvironmentVariable("MARKETPLACE_RABBITMQ") is not { Length: > 0 } text)
            return null;
        if (!Uri.TryCreate(text, UriKind.Absolute, out var url) || url.Scheme is not ("amqp" or "amqps") || url.Host.Length == 0)
            throw new LaunchException($"MARKETPLACE_RABBITMQ is not the address of a RabbitMQ: {text}", "Example: MARKETPLACE_RABBITMQ=amqp://user:password@127.0.0.1:5672/");
        return text;
    }

    /// <summary>The start script of an installed RabbitMQ; Debian's own wrapper changes the user and is passed by.</summary>
    public static string? FindScript()
    {
        List<string> candidates = [];
        if (Environment.GetEnvironmentVariable("MARKETPLACE_RABBITMQ_BIN") is { Length: > 0 } chosen)
            candidates.Add(chosen);
        candidates.Add("/usr/lib/rabbitmq/bin");
        if (Directory.Exists("/usr/lib/rabbitmq/lib"))
            candidates.AddRange(Directory.GetDirectories("/usr/lib/rabbitmq/lib", "rabbitmq_server-*").OrderDescending().Select(folder => Path.Combine(folder, "sbin")));
        candidates.AddRange((Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries));
        candidates.AddRange(["/opt/homebrew/sbin", "/usr/local/sbin", "/opt/rabbitmq/sbin"]);
        return OperatingSystem.IsWindows() ? null : candidates.Select(folder => Path.Combine(folder, "rabbitmq-server")).FirstOrDefault(IsScript);
    }

    /// <summary>The process to supervise and the address it will answer at, with login; waits for nothing yet.</summary>
    public async Task<(ChildSpec Spec, string Url)> PrepareAsync(CancellationToken ct)
    {
        Port = ports.Take("rabbitmq", 5672);
        var url = $"amqp://{User}:{keys.RabbitMq}@127.0.0.1:{Port.ToString(CultureInfo.InvariantCulture)}/";
        if (FindScript() is { } script)
        {
            How = script;
            return (Private(script, data.RabbitMq, Port, ports.Take("rabbitmq/erlang", null), User, keys.RabbitMq, data.FreshLog("rabbitmq")), url);
        }

        if (await Containers.AnswerAsync(ct))
            return (Container(), url);
        throw new LaunchException("No RabbitMQ: no rabbitmq-server is installed and no Docker answers.",
            "Debian and Ubuntu: apt-get install -y rabbitmq-server (and systemctl disable --now rabbitmq-server: the launcher runs a node of its own) · macOS: brew install rabbitmq · or name one: MARKETPLACE_RABBITMQ=amqp://user:password@host:5672/");
    }

    /// <summary>Whether somebody can log in there.</summary>
    public static async Task<bool> AnswersAsync(string url, CancellationToken ct)
    {
        var factory = new ConnectionFactory { Uri = new Uri(url), AutomaticRecoveryEnabled = false, RequestedConnectionTimeout = TimeSpan.FromSeconds(2), HandshakeContinuationTimeout = TimeSpan.FromSeconds(5) };
        try
        {
            await using var connection = await factory.CreateConnectionAsync(ct);
            await connection.CloseAsync(ct);
            return true;
        }
        catch (Exception failure) when (failure is BrokerUnreachableException or OperationInterruptedException or AlreadyClosedException or IOException or TimeoutException)
        {
            return false;
        }
    }

    /// <summary>A node with all its files in one folder, as the user that starts it, root or not.</summary>
    public static ChildSpec Private(string script, string folder, int port, int erlangPort, string user, string password, string logFile)
    {
        Directory.CreateDirectory(folder);
        var configuration = Path.Combine(folder, "rabbitmq.conf");
        PrivateFile.Write(configuration, $"""
            listeners.tcp.1 = 127.0.0.1:{port}
            default_user = {user}
            default_pass = {password}
            log.file = false
            log.console = true
            log.console.level = warning
            vm_memory_high_watermark.absolute = 512MB
            disk_free_limit.absolute = 100MB
            cluster_formation.peer_discovery_backend = classic_config

            """);
        var plugins = Path.Combine(folder, "enabled_plugins");
        File.WriteAllText(plugins, "[].\n");
        return new ChildSpec("rabbitmq", [script], folder, logFile)
        {
            Environment = new Dictionary<string, string?>
            {
                ["HOME"] = folder,   // where Erlang keeps its cookie
                ["RABBITMQ_NODENAME"] = Node,
                ["RABBITMQ_CONF_ENV_FILE"] = Path.Combine(folder, "none"),   // not the system's settings
                ["RABBITMQ_CONFIG_FILE"] = configuration,
                ["RABBITMQ_ADVANCED_CONFIG_FILE"] = Path.Combine(folder, "advanced.config"),
                ["RABBITMQ_ENABLED_PLUGINS_FILE"] = plugins,
                ["RABBITMQ_MNESIA_BASE"] = Path.Combine(folder, "data"),
                ["RABBITMQ_LOG_BASE"] = Path.Combine(folder, "logs"),
                ["RABBITMQ_PID_FILE"] = Path.Combine(folder, "pid"),
                ["RABBITMQ_LOG"] = "-color",
                ["RABBITMQ_LOGS"] = "-",
                ["ERL_CRASH_DUMP"] = Path.Combine(folder, "erl_crash.dump"),

                // The script becomes the node instead of standing before it: the process that is watched, asked to end and killed is the right one.
                ["RUNNING_UNDER_SYSTEMD"] = "true",
                ["NOTIFY_SOCKET"] = null,

                ["RABBITMQ_NODE_PORT"] = null,
                ["RABBITMQ_NODE_IP_ADDRESS"] = null,
                ["RABBITMQ_DIST_PORT"] = null,
                ["ERL_EPMD_PORT"] = null,

                // A node needs the port mapper epmd only to be found by others, and would leave one running for ever. With its own name and port given
                // to Erlang before RabbitMQ looks, none is asked and none is started, also by the helper that RabbitMQ runs once a minute.
                ["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] = $"-sname {Node} -kernel inet_dist_use_interface {{127,0,0,1}}",
                ["ERL_ZFLAGS"] = $"-start_epmd false -erl_epmd_port {erlangPort.ToString(CultureInfo.InvariantCulture)}",
            },
            Grace = TimeSpan.FromSeconds(20),
        };
    }

    private static bool IsScript(string file)
    {
        if (!File.Exists(file))
            return false;
        var real = File.ResolveLinkTarget(file, returnFinalTarget: true)?.Name ?? Path.GetFileName(file);
        return real != "rabbitmq-script-wrapper";
    }

    private ChildSpec Container()
    {
        How = "container rabbitmq:4-alpine";
        var name = Containers.NameFor(data, "rabbitmq");
        return new ChildSpec("rabbitmq",
            ["docker", "run", "--rm", "--name", name, "--hostname", "marketplace", "-p", $"127.0.0.1:{Port}:5672", "-v", $"{name}:/var/lib/rabbitmq",
                "-e", $"RABBITMQ_DEFAULT_USER={User}", "-e", $"RABBITMQ_DEFAULT_PASS={keys.RabbitMq}", "rabbitmq:4-alpine"], "/", data.FreshLog("rabbitmq"))
        {
            Grace = TimeSpan.FromSeconds(20),
        };
    }
}
