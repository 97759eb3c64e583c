using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Npgsql;

namespace Marketplace.Local.Launcher;

/// <summary>Where a PostgreSQL answers, and the login that may create databases there.</summary>
public sealed record PostgresLogin(string Host, int Port, string User, string Password)
{
    public string To(string database, string? user = null, string? password = null, int poolSize = 20) => new NpgsqlConnectionStringBuilder
    {
        Host = Host,
        Port = Port,
        Username = user ?? User,
        Password = password ?? Password,
        Database = database,
        MaxPoolSize = poolSize,
        // Loopback needs neither encryption nor a Kerberos lookup; asking for them costs every new connection a round trip.
        SslMode = SslMode.Disable,
        GssEncryptionMode = GssEncryptionMode.Disable,
        ConnectionIdleLifetime = 60,
    }.ConnectionString;

    /// <summary>The form both libpq-like readers and Npgsql accept.</summary>
    public string ToSidecar(string database, string user, string password) =>
        $"host={Host} port={Port.ToString(CultureInfo.InvariantCulture)} user={user} password={password} database={database} sslmode=disable";
}

/// <summary>What this machine offers for running PostgreSQL, best first.</summary>
public sealed record PostgresBinaries(string Folder, string Version)
{
    public string Program(string name) => Path.Combine(Folder, OperatingSystem.IsWindows() ? name + ".exe" : name);

    public static PostgresBinaries? Find()
    {
        var candidates = new List<string>();
        if (Environment.GetEnvironmentVariable("MARKETPLACE_PG_BIN") is { Length: > 0 } chosen)
        {
            // What was chosen and is not there must not become another version quietly: the cluster may be of the one that was meant.
            var named = new PostgresBinaries(chosen, "");
            if (!File.Exists(named.Program("initdb")) || !File.Exists(named.Program("postgres")))
                throw new LaunchException($"MARKETPLACE_PG_BIN={chosen}: there is no initdb and postgres in that folder.", "Name the folder with both, such as /usr/lib/postgresql/15/bin, or unset the variable.");
            candidates.Add(chosen);
        }

        candidates.AddRange((Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries));
        foreach (var root in (string[])["/usr/lib/postgresql", "/usr/local/pgsql", "/opt/homebrew/opt", "/Library/PostgreSQL"])
        {
            if (Directory.Exists(root))
            {
                candidates.AddRange(Directory.GetDirectories(root).Select(folder => Path.Combine(folder, "bin"))
                    .OrderByDescending(folder => VersionIn(folder)).ToList());
            }
        }

        candidates.AddRange(Directory.Exists("/usr") ? Directory.GetDirectories("/usr", "pgsql-*").Select(folder => Path.Combine(folder, "bin")) : []);
        foreach (var candidate in candidates)
        {
            // /usr/local/bin and the like hold links; the folder behind them tells the version.
            var folder = Path.Combine(candidate, "initdb") is var link && File.Exists(link) && File.ResolveLinkTarget(link, returnFinalTarget: true) is { } target
                ? Path.GetDirectoryName(target.FullName)! : candidate;
            var found = new PostgresBinaries(folder, VersionIn(folder).ToString(CultureInfo.InvariantCulture));
            if (File.Exists(found.Program("initdb")) && File.Exists(found.Program("postgres")))
                return found;
        }

        return null;
    }

    private static int VersionIn(string folder) => folder.Split('/', '\\').Select(part => part.Split('@', '-').Last())
        .Select(part => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out var version) ? version : 0).Max();
}

/// <summary>
/// A private cluster of this data folder: loopback only, password login, as durable as production (a crash test that
/// runs with fsync off proves nothing), sized for a laptop with two cores.
/// </summary>
public sealed class PostgresServer(DataFolder data, KeyRing keys, PortBook ports)
{
    private const string Superuser = "marketplace";

    public string Cluster { get; private set; } = "";
    public string How { get; private set; } = "";

    /// <summary>Something worth telling: where the cluster really is, for instance.</summary>
    public string? Remark { get; private set; }

    /// <summary>The server named by MARKETPLACE_POSTGRES, when there is one.</summary>
    public static PostgresLogin? Configured()
    {
        if (Environment.GetEnvironmentVariable("MARKETPLACE_POSTGRES") is not { Length: > 0 } text)
            return null;
        try
        {
            var login = new NpgsqlConnectionStringBuilder(text);
            return new PostgresLogin(login.Host ?? "127.0.0.1", login.Port, login.Username ?? "postgres", login.Password ?? "");
        }
        catch (ArgumentException wrong)
        {
            throw new LaunchException($"MARKETPLACE_POSTGRES is not a connection string: {wrong.Message}", "Example: Host=127.0.0.1;Port=5432;Username=marketplace;Password=marketplace", wrong);
        }
    }

    /// <summary>The process to supervise and the login it will answer to; waits for nothing yet.</summary>
    public async Task<(ChildSpec Spec, PostgresLogin Login)> PrepareAsync(CancellationToken ct)
    {
        var port = ports.Take("postgres", 5432);
        var login = new PostgresLogin("127.0.0.1", port, Superuser, keys.Postgres);
        if (PostgresBinaries.Find() is { } binaries)
            return (await FromBinariesAsync(binaries, port, ct), login);
        if (await Containers.AnswerAsync(ct))
            return (Container(port), login);
        // As root they must lie where the other user can read them.
        var binariesFolder = Signals.IsRoot ? "/var/tmp/marketplace-postgres-binaries" : Path.Combine(data.Root, "postgres-binaries");
        if (await DownloadedPostgres.InstallAsync(binariesFolder, ct) is { } downloaded)
            return (await FromBinariesAsync(downloaded, port, ct), login);
        throw new LaunchException("No PostgreSQL: none on PATH or under /usr/lib/postgresql, no Docker that answers, and none could be downloaded.",
            "Debian and Ubuntu: apt-get install -y postgresql · Fedora: dnf install postgresql-server · macOS: brew install postgresql@17 · or name one: MARKETPLACE_POSTGRES=\"Host=…;Username=…;Password=…\"");
    }

    public static async Task WaitAsync(PostgresLogin login, Func<bool> died, TimeSpan patience, CancellationToken ct)
    {
        var deadline = DateTime.UtcNow + patience;
        while (true)
        {
            try
            {
                await using var connection = new NpgsqlConnection(login.To("postgres") + ";Pooling=false;Timeout=2");
                await connection.OpenAsync(ct);
                return;
            }
            catch (NpgsqlException failure)
            {
                if (died())
                    throw new LaunchException("PostgreSQL ended while starting.", "See logs/postgres.log in the data folder.", failure);
                if (DateTime.UtcNow > deadline)
                    throw new LaunchException($"PostgreSQL at {login.Host}:{login.Port} does not let us in: {failure.Message}", Configured() is null ? null : "MARKETPLACE_POSTGRES names it: start that server, correct the variable, or unset it and the launcher brings its own.", failure);
                await Task.Delay(100, ct);
            }
        }
    }

    /// <summary>
    /// One database and one login per service: a service that reads another's tables fails here as it would in production.
    /// </summary>
    public static async Task<string> CreateDatabasesAsync(PostgresLogin login, IReadOnlyDictionary<string, string> passwords, CancellationToken ct)
    {
        await using var connection = new NpgsqlConnection(login.To("postgres") + ";Pooling=false");
        await connection.OpenAsync(ct);
        var roles = await ListAsync(connection, "SELECT rolname FROM pg_roles", ct);
        var databases = await ListAsync(connection, "SELECT datname FROM pg_database", ct);
        foreach (var (name, password) in passwords)
        {
            var quoted = '"' + name + '"';
            var verb = roles.Contains(name) ? "ALTER" : "CREATE";
            await ExecuteAsync(connection, $"{verb} ROLE {quoted} LOGIN PASSWORD '{password}'", ct);
            if (databases.Contains(name))
                continue;
            // The file copy strategy of older templates checkpoints twice per database; the WAL one does not.
            await ExecuteAsync(connection, $"CREATE DATABASE {quoted} OWNER {quoted}", ct);
            await ExecuteAsync(connection, $"REVOKE CONNECT ON DATABASE {quoted} FROM PUBLIC", ct);
        }

        await using var identity = new NpgsqlCommand("SELECT system_identifier::text FROM pg_control_system()", connection);
        return (string)(await identity.ExecuteScalarAsync(ct) ?? "");
    }

    private async Task<ChildSpec> FromBinariesAsync(PostgresBinaries binaries, int port, CancellationToken ct)
    {
        var user = Signals.IsRoot ? SystemUser() : null;
        Cluster = await ClusterFolderAsync(user, ct);
        if (!File.Exists(Path.Combine(Cluster, "PG_VERSION")))
            await InitialiseAsync(binaries, user, ct);
        else if ((await File.ReadAllTextAsync(Path.Combine(Cluster, "PG_VERSION"), ct)).Trim() is var made && made != binaries.Version && binaries.Version != "0")
            throw new LaunchException($"The cluster in {Cluster} was made by PostgreSQL {made}; the binaries found in {binaries.Folder} are version {binaries.Version}.",
                $"Set MARKETPLACE_PG_BIN to the folder of the old binaries, or delete {Cluster} to start empty.");

        await EndLeftoverAsync(Cluster, ct);
        How = $"{binaries.Folder} as {user ?? Environment.UserName}";
        return new ChildSpec("postgres", [binaries.Program("postgres"), "-D", Cluster, .. Settings(port, await CompressionAsync(binaries, user, ct))], "/", data.FreshLog("postgres"))
        {
            User = user,
            StopSignal = Signals.Interrupt,
            Grace = TimeSpan.FromSeconds(20),
        };
    }

    /// <summary>
    /// A launcher that was killed may leave a server behind, or only its postmaster.pid. The file is PostgreSQL's own guard
    /// against two servers on one cluster, so that it goes only when its process is certainly not a server of this cluster.
    /// </summary>
    private static async Task EndLeftoverAsync(string cluster, CancellationToken ct)
    {
        var pidFile = Path.Combine(cluster, "postmaster.pid");
        if (!OperatingSystem.IsLinux() || !File.Exists(pidFile) || !int.TryParse(File.ReadLines(pidFile).FirstOrDefault(), out var pid))
            return;

        bool Serves() => File.Exists($"/proc/{pid}/cmdline") && File.ReadAllText($"/proc/{pid}/cmdline").Split('\0').Contains(cluster);
        if (Serves())
        {
            Signals.Send(pid, Signals.Interrupt);
            for (var wait = 0; wait < 100 && Serves(); wait++)
                await Task.Delay(100, ct);
            if (Serves())
                throw new LaunchException($"A PostgreSQL server (process {pid}) already runs on {cluster} and does not end.", $"kill -INT {pid}");
        }

        if (File.Exists(pidFile))
            File.Delete(pidFile);
    }

    /// <summary>lz4 costs a fraction of what the built-in method does; not every build of the server has it.</summary>
    private async Task<string> CompressionAsync(PostgresBinaries binaries, string? user, CancellationToken ct)
    {
        var (exit, _) = await Child.RunAsync(Child.AsUser(user, [binaries.Program("postgres"), "-D", Cluster, "-c", "wal_compression=lz4", "-C", "wal_compression"]), "/", ct: ct);
        return exit == 0 ? "lz4" : "on";
    }

    private static IEnumerable<string> Settings(int port, string compression)
    {
        var settings = new Dictionary<string, string>
        {
            ["port"] = port.ToString(CultureInfo.InvariantCulture),
            ["listen_addresses"] = "127.0.0.1",
            ["unix_socket_directories"] = "",
            ["max_connections"] = "200",
            ["password_encryption"] = "scram-sha-256",
            ["fsync"] = "on",
            ["synchronous_commit"] = "on",
            ["full_page_writes"] = "on",
            ["wal_compression"] = compression,
            ["shared_buffers"] = "256MB",
            ["wal_buffers"] = "16MB",
            ["max_wal_size"] = "2GB",
            ["checkpoint_timeout"] = "15min",
            ["checkpoint_completion_target"] = "0.9",
            ["effective_cache_size"] = "1GB",
            ["random_page_cost"] = "1.1",
            // Short statements on two cores: a plan that forks workers or compiles itself costs more than it saves.
            ["max_parallel_workers_per_gather"] = "0",
            ["jit"] = "off",
            ["autovacuum_naptime"] = "20s",
            ["idle_in_transaction_session_timeout"] = "60s",
            ["log_line_prefix"] = "%m [%p] %d ",
            ["log_min_duration_statement"] = "1s",
            ["log_timezone"] = "UTC",
            ["timezone"] = "UTC",
        };
        return settings.SelectMany(setting => (string[])["-c", $"{setting.Key}={setting.Value}"]);
    }

    private async Task InitialiseAsync(PostgresBinaries binaries, string? user, CancellationToken ct)
    {
        // The password reaches initdb through a file that only the cluster's owner can read.
        const string Script = """
            set -e
            umask 077
            password=$(mktemp)
            trap 'rm -f "$password"' EXIT
            cat > "$password"
            "$2" -D "$1" -U "$3" --pwfile="$password" --auth=scram-sha-256 --encoding=UTF8 --locale=C --no-instructions
            """;
        var (exit, output) = await Child.RunAsync(
            Child.AsUser(user, ["/bin/sh", "-c", Script, "sh", Cluster, binaries.Program("initdb"), Superuser]), "/", input: keys.Postgres, ct: ct);
        if (exit != 0)
            throw new LaunchException($"initdb could not make a cluster in {Cluster}:\n{output}");
    }

    /// <summary>PostgreSQL refuses to run as root.</summary>
    private static string SystemUser()
    {
        var users = File.ReadLines("/etc/passwd").Select(line => line.Split(':')[0]).ToHashSet();
        return users.Contains("postgres") ? "postgres" : users.Contains("nobody") ? "nobody"
            : throw new LaunchException("PostgreSQL does not run as root, and there is neither a system user postgres nor nobody.", "useradd --system postgres");
    }

    private async Task<string> ClusterFolderAsync(string? user, CancellationToken ct)
    {
        if (user is null)
            return data.Postgres;
        if (await CanReachAsync(user, data.Root, ct))
        {
            await OwnAsync(user, data.Postgres, ct);
            return data.Postgres;
        }

        // Under /root, for instance, where no other user may pass.
        var key = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(data.Root)))[..12];
        var elsewhere = $"/var/tmp/marketplace-{key}";
        await OwnAsync(user, elsewhere, ct);
        Remark = $"User {user} cannot enter {data.Root}; the database cluster is in {elsewhere}/postgres.";
        return Path.Combine(elsewhere, "postgres");
    }

    private static async Task<bool> CanReachAsync(string user, string folder, CancellationToken ct) =>
        (await Child.RunAsync(Child.AsUser(user, ["/bin/sh", "-c", "cd \"$1\"", "sh", folder]), "/", ct: ct)).ExitCode == 0;

    private static async Task OwnAsync(string user, string folder, CancellationToken ct)
    {
        if (Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).Any())
            return;
        Directory.CreateDirectory(folder);
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        var (exit, output) = await Child.RunAsync(["chown", user, folder], "/", ct: ct);
        if (exit != 0)
            throw new LaunchException($"Could not give {folder} to {user}: {output}");
    }

    private ChildSpec Container(int port)
    {
        Cluster = "docker volume";
        How = "container postgres:17-alpine";
        var name = Containers.NameFor(data, "postgres");
        return new ChildSpec("postgres",
            ["docker", "run", "--rm", "--name", name, "-p", $"127.0.0.1:{port}:5432", "-v", $"{name}:/var/lib/postgresql/data",
                "-e", $"POSTGRES_USER={Superuser}", "-e", $"POSTGRES_PASSWORD={keys.Postgres}", "postgres:17-alpine",
                "postgres", "-c", "max_connections=200", "-c", "shared_buffers=256MB", "-c", "wal_compression=on"], "/", data.FreshLog("postgres"))
        {
            Grace = TimeSpan.FromSeconds(20),
        };
    }

    private static async Task<HashSet<string>> ListAsync(NpgsqlConnection connection, string sql, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var names = new HashSet<string>();
        while (await reader.ReadAsync(ct))
            names.Add(reader.GetString(0));
        return names;
    }

    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(ct);
    }
}

/// <summary>Docker, where it is installed and its daemon answers.</summary>
public static class Containers
{
    public static async Task<bool> AnswerAsync(CancellationToken ct)
    {
        if (Programs.Find("docker") is not { } docker)
            return false;
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(ct);
        patience.CancelAfter(TimeSpan.FromSeconds(5));
        try
        {
            return (await Child.RunAsync([docker, "version", "--format", "{{.Server.Version}}"], "/", ct: patience.Token)).ExitCode == 0;
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            return false;
        }
    }

    public static string NameFor(DataFolder data, string what) =>
        $"marketplace-{what}-{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(data.Root)))[..8]}";
}
