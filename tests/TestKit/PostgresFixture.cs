using System.Diagnostics;
using System.Globalization;
using Npgsql;
using Testcontainers.PostgreSql;
using Xunit;

namespace Marketplace.TestKit;

/// <summary>
/// A real PostgreSQL, one private cluster per test process: from the binaries on the machine, else a container, else the tests that
/// need it are skipped and say why. It dies with the process, also when that is killed.
/// </summary>
public sealed class PostgresFixture : IAsyncLifetime
{
    private static readonly Lazy<Task<TestServer>> Server = new(TestServer.StartAsync);

    public ValueTask InitializeAsync() => new(Server.Value);

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;  // the next class uses the same cluster

    /// <summary>Skips the calling test when there is no PostgreSQL to be had.</summary>
    internal static async Task<string> AddressAsync()
    {
        var server = await Server.Value;
        if (server.Address is null)
            Assert.Skip(server.WhyNot!);
        return server.Address!;
    }

    private sealed record TestServer(string? Address, string? WhyNot)
    {
        public static async Task<TestServer> StartAsync()
        {
            if (PrivateCluster.FindBinaries() is { } binaries)
                return new TestServer(await PrivateCluster.StartAsync(binaries), null);

            if (!File.Exists("/var/run/docker.sock") && Environment.GetEnvironmentVariable("DOCKER_HOST") is null)
                return new TestServer(null, "PostgreSQL is neither installed (initdb on PATH or under /usr/lib/postgresql) nor is there a Docker to run it in.");

            // Testcontainers' own reaper removes it after the process.
            var container = new PostgreSqlBuilder("postgres:17-alpine").WithCommand("-c", "fsync=off", "-c", "max_connections=300").Build();
            await container.StartAsync();
            return new TestServer(container.GetConnectionString(), null);
        }
    }

    private static class PrivateCluster
    {
        public static string? FindBinaries()
        {
            var folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
                .Concat(Directory.Exists("/usr/lib/postgresql")
                    ? Directory.GetDirectories("/usr/lib/postgresql").OrderByDescending(Version).Select(version => Path.Combine(version, "bin"))
                    : [])
                .Concat(["/usr/local/pgsql/bin", "/opt/homebrew/bin", "/usr/pgsql/bin"]);
            return folders.FirstOrDefault(folder => File.Exists(Path.Combine(folder, "initdb")) && File.Exists(Path.Combine(folder, "postgres")));

            static int Version(string folder) => int.TryParse(Path.GetFileName(folder), CultureInfo.InvariantCulture, out var version) ? version : 0;
        }

        public static async Task<string> StartAsync(string binaries)
        {
            var folder = Directory.CreateTempSubdirectory("marketplace-tests-").FullName;
            var data = Path.Combine(folder, "data");
            string[] asUser = [];
            if (Environment.UserName == "root")
            {
                // PostgreSQL refuses to run as root.
                var user = (await RunAsync("getent", "passwd", "postgres")).Code == 0 ? "postgres" : "nobody";
                await MustAsync("chown", user, folder);
                asUser = ["setpriv", $"--reuid={user}", "--clear-groups", "--inh-caps=-all", $"--regid={(await MustAsync("id", "-g", user)).Trim()}", "--"];
            }

            await MustAsync([.. asUser, Path.Combine(binaries, "initdb"), "-D", data, "-U", "marketplace", "-A", "trust", "-E", "UTF8", "--locale=C", "-N", "--no-instructions"]);
            for (var attempt = 1; ; attempt++)
            {
                var port = Ports.Free();
                var address = $"Host=127.0.0.1;Port={port};Username=marketplace;Database=postgres;Include Error Detail=true;Maximum Pool Size=40;Timeout=15";
                var log = Path.Combine(folder, $"server-{attempt}.log");
                // The shell waits for its input to end, which it does when this process is gone for whatever reason, stops the server and
                // cleans up behind it.
                string[] server =
                [
                    .. asUser, "sh", "-c", """
                    "$0" "$@" > "$SERVER_LOG" 2>&1 &
                    server=$!
                    read -r gone
                    kill -QUIT $server 2> /dev/null
                    wait $server
                    cd / && rm -rf "$SERVER_FOLDER"
                    """,
                    Path.Combine(binaries, "postgres"), "-D", data, "-p", port.ToString(CultureInfo.InvariantCulture), "-k", "", "-c", "listen_addresses=127.0.0.1",
                    "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off", "-c", "max_connections=300", "-c", "shared_buffers=64MB",
                    "-c", "autovacuum=off", "-c", "max_wal_size=256MB",
                ];
                var start = new ProcessStartInfo(server[0], server[1..]) { RedirectStandardInput = true, WorkingDirectory = folder };
                start.Environment["SERVER_LOG"] = log;
                start.Environment["SERVER_FOLDER"] = folder;
                var process = Process.Start(start)!;
                if (await AnswersAsync(address, log))
                {
                    AppDomain.CurrentDomain.ProcessExit += (_, _) => Stop(process);
                    return address;
                }

                if (attempt == 3)
                {
                    var why = await File.ReadAllTextAsync(log);
                    Stop(process);
                    throw new InvalidOperationException($"The test cluster did not start:\n{why}");
                }

                process.Kill(entireProcessTree: true);                                 // not by its input: the data is needed for the next try, on another port
            }
        }

        private static async Task<bool> AnswersAsync(string address, string log)
        {
            await using var database = NpgsqlDataSource.Create(address + ";Pooling=false");
            var clock = Stopwatch.StartNew();
            while (clock.Elapsed < TimeSpan.FromSeconds(60) && !(File.Exists(log) && (await File.ReadAllTextAsync(log)).Contains("could not bind", StringComparison.Ordinal)))
            {
                try
                {
                    await using var connection = await database.OpenConnectionAsync();
                    return true;
                }
                catch (NpgsqlException)
                {
                    await Task.Delay(50);
                }
            }

            return false;
        }

        private static void Stop(Process process)
        {
            process.StandardInput.Close();
            process.WaitForExit(10_000);
        }

        private static async Task<string> MustAsync(params string[] command)
        {
            var (code, output) = await RunAsync(command);
            return code == 0 ? output : throw new InvalidOperationException($"{string.Join(' ', command)} ended with {code}:\n{output}");
        }

        private static async Task<(int Code, string Output)> RunAsync(params string[] command)
        {
            using var process = Process.Start(new ProcessStartInfo(command[0], command[1..])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
                WorkingDirectory = Path.GetTempPath(),
            })!;
            var output = process.StandardOutput.ReadToEndAsync();
            var errors = process.StandardError.ReadToEndAsync();
            await process.WaitForExitAsync();
            return (process.ExitCode, await output + await errors);
        }
    }
}
