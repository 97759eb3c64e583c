using System.Globalization;
using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using Npgsql;

namespace Marketplace.Hosting;

/// <summary>The database is not what this build needs: absent, behind, or migrated by files that have changed since.</summary>
public sealed class DatabaseNotReadyException(string message) : Exception(message);

/// <summary>
/// Numbered SQL files, embedded as <c>Migrations/0001_what_it_makes_true.sql</c>, forward only. Hosting's own (outbox, inbox, …) come
/// first under a source of their own, so that both number from 1.
/// </summary>
public static class Migrations
{
    // Any fixed number will do; advisory locks are per database, so services do not wait for each other.
    private const long LockKey = 0x4d4b5450_4d494752;
    private const string HostingSource = "hosting";
    private const string ServiceSource = "service";

    /// <summary>Creates the database when absent and applies what is missing. Several may run at once: one works, the others wait and find it done.</summary>
    public static async Task<IReadOnlyList<string>> ApplyAsync(string connectionString, Assembly service, CancellationToken ct = default)
    {
        await CreateDatabaseWhenAbsentAsync(connectionString, ct);

        await using var database = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false });
        await using var connection = await database.OpenConnectionAsync(ct);
        await ExecuteAsync(connection, null, $"SELECT pg_advisory_lock({LockKey})", ct);
        try
        {
            await ExecuteAsync(connection, null, """
                CREATE TABLE IF NOT EXISTS schema_migrations (
                    source     text        NOT NULL,
                    number     integer     NOT NULL,
                    name       text        NOT NULL,
                    checksum   text        NOT NULL,
                    applied_at timestamptz NOT NULL DEFAULT now(),
                    PRIMARY KEY (source, number)
                )
                """, ct);

            var applied = await AppliedAsync(connection, ct);
            var known = Known(service);
            RefuseChanged(known, applied, connection.Database);

            var done = new List<string>();
            foreach (var migration in known.Where(migration => !applied.ContainsKey(migration.Key)))
            {
                await ApplyAsync(connection, migration, ct);
                done.Add(migration.Name);
            }

            return done;
        }
        finally
        {
            await ExecuteAsync(connection, null, $"SELECT pg_advisory_unlock({LockKey})", CancellationToken.None);
        }
    }

    /// <summary>What a start does: look, change nothing, and say plainly what is wrong. A database ahead of this build is fine.</summary>
    public static async Task CheckAsync(NpgsqlDataSource database, Assembly service, CancellationToken ct = default)
    {
        var verb = $"`dotnet {service.GetName().Name}.dll migrate`";
        await using var connection = await OpenAsync(database, verb, ct);
        Dictionary<(string, int), string> applied;
        try
        {
            applied = await AppliedAsync(connection, ct);
        }
        catch (PostgresException absent) when (absent.SqlState == PostgresErrorCodes.UndefinedTable)
        {
            throw new DatabaseNotReadyException($"The database '{connection.Database}' was never migrated. Run {verb} first.");
        }

        var known = Known(service);
        RefuseChanged(known, applied, connection.Database);
        var missing = known.Where(migration => !applied.ContainsKey(migration.Key)).Select(migration => migration.Name).ToList();
        if (missing.Count > 0)
            throw new DatabaseNotReadyException($"The database '{connection.Database}' lacks {string.Join(", ", missing)}. Run {verb} first.");
    }

    internal static IReadOnlyList<Migration> Known(Assembly service) =>
        [.. Read(typeof(Migrations).Assembly, HostingSource), .. service == typeof(Migrations).Assembly ? [] : Read(service, ServiceSource)];

    private static List<Migration> Read(Assembly assembly, string source)
    {
        var found = new List<Migration>();
        foreach (var resource in assembly.GetManifestResourceNames())
        {
            if (!resource.StartsWith("Migrations/", StringComparison.Ordinal) || !resource.EndsWith(".sql", StringComparison.Ordinal))
                continue;

            var name = resource["Migrations/".Length..];
            if (name.Length < 6 || name[4] != '_' || !int.TryParse(name[..4], NumberStyles.None, CultureInfo.InvariantCulture, out var number))
                throw new InvalidOperationException($"{assembly.GetName().Name}: '{name}' is not named like 0001_what_it_makes_true.sql.");

            using var reader = new StreamReader(assembly.GetManifestResourceStream(resource)!, Encoding.UTF8);
            // Line ends may differ between checkouts; the checksum must not.
            var sql = reader.ReadToEnd().ReplaceLineEndings("\n");
            found.Add(new Migration(source, number, name, sql, Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(sql)))));
        }

        var twice = found.GroupBy(migration => migration.Number).FirstOrDefault(same => same.Count() > 1);
        return twice is null
            ? [.. found.OrderBy(migration => migration.Number)]
            : throw new InvalidOperationException($"{assembly.GetName().Name}: two migrations bear the number {twice.Key:0000}.");
    }

    private static async Task ApplyAsync(NpgsqlConnection connection, Migration migration, CancellationToken ct)
    {
        await using var tx = await connection.BeginTransactionAsync(ct);
        try
        {
            await ExecuteAsync(connection, tx, migration.Sql, ct);
        }
        catch (PostgresException failed)
        {
            throw new DatabaseNotReadyException($"{migration.Name} failed and changed nothing: {failed.MessageText} (position {failed.Position}, {failed.SqlState}).");
        }

        await using var record = new NpgsqlCommand(
            "INSERT INTO schema_migrations (source, number, name, checksum) VALUES ($1, $2, $3, $4)", connection, tx)
        {
            Parameters =
            {
                new() { Value = migration.Source }, new() { Value = migration.Number }, new() { Value = migration.Name }, new() { Value = migration.Checksum },
            },
        };
        await record.ExecuteNonQueryAsync(ct);
        await tx.CommitAsync(ct);
    }

    private static async Task<Dictionary<(string Source, int Number), string>> AppliedAsync(NpgsqlConnection connection, CancellationToken ct)
    {
        await using var select = new NpgsqlCommand("SELECT source, number, checksum FROM schema_migrations", connection);
        await using var reader = await select.ExecuteReaderAsync(ct);
        var applied = new Dictionary<(string, int), string>();
        while (await reader.ReadAsync(ct))
            applied[(reader.GetString(0), reader.GetInt32(1))] = reader.GetString(2);
        return applied;
    }

    private static void RefuseChanged(IReadOnlyList<Migration> known, Dictionary<(string, int), string> applied, string database)
    {
        var changed = known.FirstOrDefault(migration => applied.TryGetValue(migration.Key, out var checksum) && checksum != migration.Checksum);
        if (changed is not null)
            throw new DatabaseNotReadyException(
                $"{changed.Name} was changed after it ran on the database '{database}'. Put it back as it was and add a new number instead.");
    }

    private static async Task CreateDatabaseWhenAbsentAsync(string connectionString, CancellationToken ct)
    {
        var wanted = new NpgsqlConnectionStringBuilder(connectionString);
        var maintenance = new NpgsqlConnectionStringBuilder(connectionString) { Database = "postgres", Pooling = false };
        await using var database = NpgsqlDataSource.Create(maintenance);
        await using var connection = await OpenAsync(database, "the migration again", ct);
        await using var exists = new NpgsqlCommand("SELECT 1 FROM pg_database WHERE datname = $1", connection) { Parameters = { new() { Value = wanted.Database! } } };
        if (await exists.ExecuteScalarAsync(ct) is not null)
            return;

        try
        {
            await ExecuteAsync(connection, null, $"CREATE DATABASE \"{wanted.Database!.Replace("\"", "\"\"", StringComparison.Ordinal)}\"", ct);
        }
        catch (PostgresException raced) when (raced.SqlState is PostgresErrorCodes.DuplicateDatabase or PostgresErrorCodes.UniqueViolation)
        {
            return;                                             // another migration run created it meanwhile: that is what was wanted
        }
    }

    // The server may still be starting when we are.
    private static async Task<NpgsqlConnection> OpenAsync(NpgsqlDataSource database, string verb, CancellationToken ct)
    {
        var deadline = Environment.TickCount64 + 30_000;
        while (true)
        {
            try
            {
                return await database.OpenConnectionAsync(ct);
            }
            catch (PostgresException absent) when (absent.SqlState == PostgresErrorCodes.InvalidCatalogName)
            {
                throw new DatabaseNotReadyException($"{absent.MessageText}. Run {verb} first.");
            }
            catch (NpgsqlException starting) when (starting.IsTransient && Environment.TickCount64 < deadline)
            {
                await Task.Delay(250, ct);
            }
        }
    }

    private static async Task ExecuteAsync(NpgsqlConnection connection, NpgsqlTransaction? tx, string sql, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand(sql, connection, tx) { CommandTimeout = 0 };
        await command.ExecuteNonQueryAsync(ct);
    }

    internal sealed record Migration(string Source, int Number, string Name, string Sql, string Checksum)
    {
        public (string Source, int Number) Key => (Source, Number);
    }
}
