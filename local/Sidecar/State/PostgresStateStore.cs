using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using Marketplace.Local.Sidecar.Resources;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Local.Sidecar.State;

/// <summary>The two table layouts of state.postgresql; a database that daprd made works here and the other way round.</summary>
internal sealed record PostgresDialect(
    string Table,
    string MetadataTable,
    string MigrationKey,
    int MigrationLevel,
    string Create,
    string ETag,
    string Expires,
    string Upsert,
    string UpsertMany,
    string Update,
    bool IsJson)
{
    /// <summary>v1: jsonb, what is not JSON as base64 in a JSON string; the ETag is the row's xmin.</summary>
    public static PostgresDialect First(Component component)
    {
        var table = Name(component, "tableName", "state");
        return new PostgresDialect(
            table,
            Name(component, "metadataTableName", "dapr_metadata"),
            "migrations",
            2,
            $"""
            CREATE TABLE IF NOT EXISTS {table} (
                key text NOT NULL PRIMARY KEY,
                value jsonb NOT NULL,
                isbinary boolean NOT NULL,
                insertdate timestamptz NOT NULL DEFAULT now(),
                updatedate timestamptz NULL,
                expiredate timestamptz NULL);
            ALTER TABLE {table} ADD COLUMN IF NOT EXISTS expiredate timestamptz NULL
            """,
            "xmin::text",
            "expiredate",
            $"""
            INSERT INTO {table} AS t (key, value, isbinary, expiredate) VALUES ($1, $2, $4, now() + $3)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value, isbinary = excluded.isbinary, updatedate = now(), expiredate = excluded.expiredate
            """,
            $"""
            INSERT INTO {table} AS t (key, value, isbinary, expiredate)
            SELECT key, value::jsonb, isbinary, now() + ttl FROM unnest($1::text[], $2::text[], $3::interval[], $4::boolean[]) AS w (key, value, ttl, isbinary)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value, isbinary = excluded.isbinary, updatedate = now(), expiredate = excluded.expiredate
            """,
            $"UPDATE {table} SET value = $2, isbinary = $4, updatedate = now(), expiredate = now() + $3 WHERE key = $1 AND xmin::text = $5 AND (expiredate IS NULL OR expiredate >= now())",
            IsJson: true);
    }

    /// <summary>v2: bytes as they came, the ETag is a UUID.</summary>
    public static PostgresDialect Second(Component component)
    {
        var prefix = component.Get("tablePrefix") ?? "";
        var table = Checked(component, "tablePrefix", prefix + "state");
        return new PostgresDialect(
            table,
            Name(component, "metadataTableName", "dapr_metadata"),
            "migrations-state-v2-" + prefix,
            1,
            $"""
            CREATE TABLE IF NOT EXISTS {table} (
                key text NOT NULL PRIMARY KEY,
                value bytea NOT NULL,
                etag uuid NOT NULL DEFAULT gen_random_uuid(),
                created_at timestamptz NOT NULL DEFAULT now(),
                updated_at timestamptz,
                expires_at timestamptz);
            CREATE INDEX IF NOT EXISTS {table.Replace('.', '_')}_expires_at_idx ON {table} (expires_at)
            """,
            "etag::text",
            "expires_at",
            $"""
            INSERT INTO {table} AS t (key, value, expires_at) VALUES ($1, $2, now() + $3)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value, etag = gen_random_uuid(), updated_at = now(), expires_at = excluded.expires_at
            """,
            $"""
            INSERT INTO {table} AS t (key, value, expires_at)
            SELECT key, value, now() + ttl FROM unnest($1::text[], $2::bytea[], $3::interval[]) AS w (key, value, ttl)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value, etag = gen_random_uuid(), updated_at = now(), expires_at = excluded.expires_at
            """,
            $"UPDATE {table} SET value = $2, etag = gen_random_uuid(), updated_at = now(), expires_at = now() + $3 WHERE key = $1 AND etag::text = $4 AND (expires_at IS NULL OR expires_at >= now())",
            IsJson: false);
    }

    private static string Name(Component component, string key, string otherwise) => Checked(component, key, component.Get(key) ?? otherwise);

    private static string Checked(Component component, string key, string name) =>
        name.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '.') ? name : throw component.Error(key, $"is no plain table name: {name}.");
}

/// <summary>state.postgresql v1 and v2.</summary>
internal sealed partial class PostgresStateStore : IStateStore
{
    /// <summary>From so many writes on, two statements over arrays cost the server less than one statement for each.</summary>
    private const int Many = 6;

    /// <summary>daprd's pool (pgx) asks a connection that nobody used for so long whether it still lives.</summary>
    private static readonly TimeSpan TrustedFor = TimeSpan.FromSeconds(1);

    private static readonly StateResult NothingUpdated = new(StateVerdict.Refused, "no item was updated");

    private readonly NpgsqlDataSource database;
    private readonly PostgresDialect dialect;
    private readonly TimeProvider time;
    private readonly ILogger log;
    private readonly CancellationTokenSource stop = new();
    private readonly Task cleaning;
    private readonly string select;
    private readonly string selectMany;
    private readonly string upsertFirst;
    private readonly string delete;
    private readonly string deleteMatching;
    private readonly string deleteMany;
    private readonly string list;
    private long lastUsed;

    private PostgresStateStore(NpgsqlDataSource database, PostgresDialect dialect, TimeSpan cleanupInterval, TimeProvider time, ILogger log)
    {
        this.database = database;
        this.dialect = dialect;
        this.time = time;
        this.log = log;
        lastUsed = time.GetTimestamp();
        var fields = $"value{(dialect.IsJson ? "::text" : "")}, {dialect.ETag}, {dialect.Expires}{(dialect.IsJson ? ", isbinary" : "")}";
        var alive = $"({dialect.Expires} IS NULL OR {dialect.Expires} >= now())";
        select = $"SELECT {fields} FROM {dialect.Table} WHERE key = $1 AND {alive}";
        selectMany = $"SELECT {fields}, key FROM {dialect.Table} WHERE key = ANY($1) AND {alive}";
        upsertFirst = $"{dialect.Upsert} WHERE t.{dialect.Expires} < now()";
        delete = $"DELETE FROM {dialect.Table} WHERE key = $1";
        deleteMany = $"DELETE FROM {dialect.Table} WHERE key = ANY($1)";
        deleteMatching = $"DELETE FROM {dialect.Table} WHERE key = $1 AND {dialect.ETag} = $2";
        list = $"SELECT key FROM {dialect.Table} WHERE starts_with(key, $1) AND {alive} ORDER BY key COLLATE \"C\"";
        cleaning = cleanupInterval > TimeSpan.Zero ? CleanAsync(cleanupInterval, time, stop.Token) : Task.CompletedTask;
    }

    public IReadOnlyList<string> Capabilities { get; } = ["ETAG", "TRANSACTIONAL", "TTL", "KEYS_LIKE", "ACTOR"];

    public static async Task<PostgresStateStore> OpenAsync(SidecarHost host, Component component, PostgresDialect dialect, CancellationToken ct)
    {
        var database = host.Connections.Postgres(PostgresConnection.Of(component));
        try
        {
            await using var connection = await database.OpenConnectionAsync(ct);
            await using var tx = await connection.BeginTransactionAsync(ct);

            // Sidecars of several apps start at once: IF NOT EXISTS alone lets two of them collide in the catalogue. The lock is that of the
            // metadata table, which stores with tables of their own share.
            await using var create = new NpgsqlCommand($"""
                SELECT pg_advisory_xact_lock(hashtext('dapr:{dialect.MetadataTable}'));
                CREATE TABLE IF NOT EXISTS {dialect.MetadataTable} (key text NOT NULL PRIMARY KEY, value text NOT NULL);
                {dialect.Create};
                INSERT INTO {dialect.MetadataTable} (key, value) VALUES ('{dialect.MigrationKey}', '{dialect.MigrationLevel}') ON CONFLICT (key) DO NOTHING
                """, connection, tx);
            await create.ExecuteNonQueryAsync(ct);
            await tx.CommitAsync(ct);
        }
        catch (NpgsqlException e)
        {
            throw component.Error("connectionString", $"the database cannot be used: {e.Message}");
        }

        return new PostgresStateStore(
            database,
            dialect,
            component.Duration("cleanupInterval", component.Duration("cleanupIntervalInSeconds", TimeSpan.FromHours(1))),
            host.Time,
            host.Loggers.CreateLogger<PostgresStateStore>());
    }

    public async ValueTask<StateEntry?> GetAsync(string key, CancellationToken ct)
    {
        await using var connection = await ConnectAsync(ct);
        await using var command = new NpgsqlCommand(select, connection);
        command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = key });
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? Entry(reader) : null;
    }

    public async ValueTask<IReadOnlyList<StateEntry?>> GetManyAsync(IReadOnlyList<string> keys, CancellationToken ct)
    {
        await using var connection = await ConnectAsync(ct);
        await using var command = new NpgsqlCommand(selectMany, connection);
        command.Parameters.Add(new NpgsqlParameter<string[]> { TypedValue = [.. keys] });
        var found = new Dictionary<string, StateEntry>(keys.Count);
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            found[reader.GetString(dialect.IsJson ? 4 : 3)] = Entry(reader);
        return (StateEntry?[])[.. keys.Select(found.GetValueOrDefault)];
    }

    public async ValueTask<StateResult> SetAsync(StateWrite write, CancellationToken ct)
    {
        if (!IsETag(write)) return InvalidETag(write);
        await using var connection = await ConnectAsync(ct);
        await using var command = new NpgsqlCommand(SetText(write), connection);
        Bind(command.Parameters, write);
        return Verdict(write, await command.ExecuteNonQueryAsync(ct));
    }

    public async ValueTask<StateResult> DeleteAsync(StateWrite write, CancellationToken ct)
    {
        write = write with { Delete = true };
        if (!IsETag(write)) return InvalidETag(write);
        await using var connection = await ConnectAsync(ct);
        await using var command = new NpgsqlCommand(string.IsNullOrEmpty(write.ETag) ? delete : deleteMatching, connection);
        Bind(command.Parameters, write);
        return Verdict(write, await command.ExecuteNonQueryAsync(ct));
    }

    public async ValueTask<StateResult> TransactAsync(IReadOnlyList<StateWrite> writes, CancellationToken ct)
    {
        if (writes.Count == 0) return StateResult.Done;
        if (writes.Count == 1) return await (writes[0].Delete ? DeleteAsync(writes[0], ct) : SetAsync(writes[0], ct));
        foreach (var write in writes)
        {
            if (!IsETag(write)) return InvalidETag(write);
        }

        await using var connection = await ConnectAsync(ct);

        // A batch is one transaction by itself and one round trip. Only a condition that may fail without an error needs more.
        if (writes.All(write => string.IsNullOrEmpty(write.ETag) && write.Concurrency != StateConcurrency.FirstWrite))
        {
            await using var simple = writes.Count >= Many && HasDistinctKeys(writes) ? ArrayBatch(connection, writes) : Batch(connection, writes);
            await simple.ExecuteNonQueryAsync(ct);
            return StateResult.Done;
        }

        await using var tx = await connection.BeginTransactionAsync(ct);
        await using var batch = Batch(connection, writes);
        batch.Transaction = tx;
        await batch.ExecuteNonQueryAsync(ct);
        for (var i = 0; i < writes.Count; i++)
        {
            var verdict = Verdict(writes[i], batch.BatchCommands[i].RecordsAffected);
            if (!verdict.Ok) return verdict;
        }

        await tx.CommitAsync(ct);
        return StateResult.Done;
    }

    /// <summary>Classes of SQLSTATE that speak of the data: malformed, against a constraint, beyond a limit such as the longest key of an index.</summary>
    public bool IsRefusal(Exception failure) => failure is PostgresException { SqlState: { Length: 5 } state } && state[..2] is "22" or "23" or "54";

    public async IAsyncEnumerable<string> ListKeysAsync(string prefix, [EnumeratorCancellation] CancellationToken ct)
    {
        await using var connection = await ConnectAsync(ct);
        await using var command = new NpgsqlCommand(list, connection);
        command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = prefix });
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            yield return reader.GetString(0);
    }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await cleaning.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        stop.Dispose();
    }

    /// <summary>A server that was started again meanwhile costs nobody a call: the pool throws away all that broke with the first that is found.</summary>
    private async ValueTask<NpgsqlConnection> ConnectAsync(CancellationToken ct)
    {
        var connection = await database.OpenConnectionAsync(ct);
        if (time.GetElapsedTime(Volatile.Read(ref lastUsed)) > TrustedFor)
        {
            try
            {
                await using var ping = new NpgsqlCommand("SELECT 1", connection);
                await ping.ExecuteNonQueryAsync(ct);
            }
            catch (NpgsqlException)
            {
                await connection.DisposeAsync();
                connection = await database.OpenConnectionAsync(ct);
            }
        }

        Volatile.Write(ref lastUsed, time.GetTimestamp());
        return connection;
    }

    private NpgsqlBatch Batch(NpgsqlConnection connection, IReadOnlyList<StateWrite> writes)
    {
        var batch = new NpgsqlBatch(connection);
        foreach (var write in writes)
        {
            var command = new NpgsqlBatchCommand(!write.Delete ? SetText(write) : string.IsNullOrEmpty(write.ETag) ? delete : deleteMatching);
            Bind(command.Parameters, write);
            batch.BatchCommands.Add(command);
        }

        return batch;
    }

    /// <summary>Without conditions and with each key once, the order of writes and deletes means nothing.</summary>
    private NpgsqlBatch ArrayBatch(NpgsqlConnection connection, IReadOnlyList<StateWrite> writes)
    {
        var batch = new NpgsqlBatch(connection);
        var sets = new List<StateWrite>(writes.Count);
        var gone = new List<string>();
        foreach (var write in writes)
        {
            if (write.Delete) gone.Add(write.Key);
            else sets.Add(write);
        }

        if (sets.Count > 0)
        {
            var upsert = new NpgsqlBatchCommand(dialect.UpsertMany);
            upsert.Parameters.Add(new NpgsqlParameter<string[]> { TypedValue = [.. sets.Select(write => write.Key)] });
            upsert.Parameters.Add(dialect.IsJson
                ? new NpgsqlParameter<string[]> { TypedValue = [.. sets.Select(JsonText)] }
                : new NpgsqlParameter<ReadOnlyMemory<byte>[]> { TypedValue = [.. sets.Select(write => write.Value)], NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bytea });
            upsert.Parameters.Add(new NpgsqlParameter<TimeSpan?[]>
            {
                TypedValue = [.. sets.Select(write => write.TtlSeconds is > 0 and var ttl ? TimeSpan.FromSeconds(ttl) : (TimeSpan?)null)],
                NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Interval,
            });
            if (dialect.IsJson) upsert.Parameters.Add(new NpgsqlParameter<bool[]> { TypedValue = [.. sets.Select(write => !write.Json)] });
            batch.BatchCommands.Add(upsert);
        }

        if (gone.Count > 0)
        {
            var remove = new NpgsqlBatchCommand(deleteMany);
            remove.Parameters.Add(new NpgsqlParameter<string[]> { TypedValue = [.. gone] });
            batch.BatchCommands.Add(remove);
        }

        return batch;
    }

    private static bool HasDistinctKeys(IReadOnlyList<StateWrite> writes)
    {
        var keys = new HashSet<string>(writes.Count);
        foreach (var write in writes)
        {
            if (!keys.Add(write.Key)) return false;
        }

        return true;
    }

    private string SetText(StateWrite write) =>
        !string.IsNullOrEmpty(write.ETag) ? dialect.Update
        : write.Concurrency == StateConcurrency.FirstWrite ? upsertFirst
        : dialect.Upsert;

    private void Bind(NpgsqlParameterCollection parameters, StateWrite write)
    {
        parameters.Add(new NpgsqlParameter<string> { TypedValue = write.Key });
        if (!write.Delete)
        {
            if (dialect.IsJson) parameters.Add(new NpgsqlParameter<string> { TypedValue = JsonText(write), NpgsqlDbType = NpgsqlDbType.Jsonb });
            else parameters.Add(new NpgsqlParameter<ReadOnlyMemory<byte>> { TypedValue = write.Value, NpgsqlDbType = NpgsqlDbType.Bytea });

            parameters.Add(new NpgsqlParameter
            {
                NpgsqlDbType = NpgsqlDbType.Interval,
                Value = write.TtlSeconds is > 0 and var ttl ? TimeSpan.FromSeconds(ttl) : DBNull.Value,
            });
            if (dialect.IsJson) parameters.Add(new NpgsqlParameter<bool> { TypedValue = !write.Json });
        }

        if (!string.IsNullOrEmpty(write.ETag)) parameters.Add(new NpgsqlParameter<string> { TypedValue = write.ETag });
    }

    private static string JsonText(StateWrite write) =>
        write.Json ? Encoding.UTF8.GetString(write.Value.Span) : $"\"{Convert.ToBase64String(write.Value.Span)}\"";

    private StateEntry Entry(NpgsqlDataReader reader)
    {
        var etag = reader.GetString(1);
        DateTimeOffset? expires = reader.IsDBNull(2) ? null : reader.GetFieldValue<DateTimeOffset>(2);
        if (!dialect.IsJson) return new StateEntry(reader.GetFieldValue<byte[]>(0), etag, expires);

        var text = reader.GetString(0);
        var bytes = reader.GetBoolean(3) ? Convert.FromBase64String(JsonSerializer.Deserialize<string>(text) ?? "") : Encoding.UTF8.GetBytes(text);
        return new StateEntry(bytes, etag, expires);
    }

    /// <summary>v1 refuses a text that cannot be a row version; v2 just finds no row with it.</summary>
    private bool IsETag(StateWrite write) => !dialect.IsJson || string.IsNullOrEmpty(write.ETag) || uint.TryParse(write.ETag, out _);

    private static StateResult InvalidETag(StateWrite write) => new(StateVerdict.InvalidETag, $"invalid etag value: {write.ETag}");

    private static StateResult Verdict(StateWrite write, int rows) =>
        rows > 0 ? StateResult.Done
        : !string.IsNullOrEmpty(write.ETag) ? StateResult.Mismatch
        : write.Delete ? StateResult.Done
        : NothingUpdated;

    /// <summary>Expired rows are invisible at once; this only takes them out of the table.</summary>
    private async Task CleanAsync(TimeSpan interval, TimeProvider time, CancellationToken ct)
    {
        using var timer = new PeriodicTimer(interval, time);
        while (await timer.WaitForNextTickAsync(ct))
        {
            try
            {
                await using var command = database.CreateCommand($"DELETE FROM {dialect.Table} WHERE {dialect.Expires} < now()");
                await command.ExecuteNonQueryAsync(ct);
            }
            catch (NpgsqlException e)
            {
                LogCleanupFailed(e, dialect.Table);
            }
        }
    }

    [LoggerMessage(LogLevel.Warning, "Expired rows stay in table {Table} until the next cleanup")]
    private partial void LogCleanupFailed(Exception exception, string table);
}
