using System.Text.Json.Serialization;
using Marketplace.Hosting;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Catalog.Imports;

/// <summary>How an import stands.</summary>
/// <param name="Status">open, completed or failed.</param>
/// <param name="Offset">Bytes of the file that are done; an open import goes on there.</param>
/// <param name="Rows">Rows of the file that are done, the header and empty ones included.</param>
/// <param name="Failed">Rows that were not stored; each has at least one error.</param>
public sealed record Import(
    Guid ImportId,
    string Status,
    long Offset,
    long Rows,
    long Created,
    long Updated,
    long Unchanged,
    long Failed,
    string? Reason,
    DateTimeOffset StartedAt,
    DateTimeOffset UpdatedAt)
{
    public const string Open = "open";
    public const string Completed = "completed";
    public const string GivenUp = "failed";

    [JsonIgnore]
    public string[]? Columns { get; init; }

    [JsonIgnore]
    public byte Delimiter { get; init; }

    [JsonIgnore]
    public CsvPlace Place { get; init; }

    [JsonIgnore]
    public long Run { get; init; }
}

public sealed record ImportPage(IReadOnlyList<Import> Items, string? Next);

public sealed record ImportErrorPage(IReadOnlyList<RowError> Items, string? Next);

/// <summary>What came of some rows.</summary>
public sealed record Stored(int Created, int Updated, int Unchanged, int Failed, IReadOnlyList<RowError> Errors)
{
    public static Stored Nothing { get; } = new(0, 0, 0, 0, []);
}

public sealed class ImportStore(NpgsqlDataSource database, TimeProvider time)
{
    /// <summary>A seller's finished imports and their errors are kept this long.</summary>
    public static readonly TimeSpan Kept = TimeSpan.FromDays(30);

    private const string Columns =
        "import_id, status, bytes, rows, created, updated, unchanged, failed, reason, started_at, updated_at, columns, delimiter, lines, skipping, run";

    /// <summary>A new import, or (with a key that was used before) the one that was started with it.</summary>
    public async Task<(Import Import, bool IsNew)> StartAsync(SellerId seller, string? key, ImportColumns? columns, byte delimiter, CsvPlace place, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var prune = new NpgsqlCommand("DELETE FROM imports WHERE seller_id = $1 AND updated_at < $2", connection)
        {
            Parameters = { new() { Value = seller.Value }, new() { Value = now - Kept } },
        };
        await prune.ExecuteNonQueryAsync(ct);

        await using var insert = new NpgsqlCommand($"""
            INSERT INTO imports (import_id, seller_id, idempotency_key, status, columns, delimiter, bytes, rows, lines, started_at, updated_at)
            VALUES ($1, $2, $3, 'open', $4, $5, $6, $7, $8, $9, $9)
            ON CONFLICT (seller_id, idempotency_key) DO NOTHING
            RETURNING {Columns}
            """, connection)
        {
            Parameters =
            {
                new() { Value = Guid.CreateVersion7(now) },
                new() { Value = seller.Value },
                new() { Value = (object?)key ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text },
                new() { Value = (object?)columns?.Names.ToArray() ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text },
                new() { Value = (short)delimiter },
                new() { Value = place.Bytes },
                new() { Value = place.Rows },
                new() { Value = place.Lines },
                new() { Value = now },
            },
        };
        if (await OneAsync(insert, ct) is { } started)
            return (started, true);

        await using var find = new NpgsqlCommand($"SELECT {Columns} FROM imports WHERE seller_id = $1 AND idempotency_key = $2", connection)
        {
            Parameters = { new() { Value = seller.Value }, new() { Value = key! } },
        };
        return (await OneAsync(find, ct) ?? throw new InvalidOperationException("An import was pruned while it was asked for."), false);
    }

    public async Task<Import?> FindAsync(SellerId seller, Guid importId, CancellationToken ct)
    {
        await using var find = database.CreateCommand($"SELECT {Columns} FROM imports WHERE import_id = $1 AND seller_id = $2");
        find.Parameters.Add(new() { Value = importId });
        find.Parameters.Add(new() { Value = seller.Value });
        return await OneAsync(find, ct);
    }

    /// <summary>Newest first.</summary>
    public async Task<ImportPage> PageAsync(SellerId seller, (DateTimeOffset StartedAt, Guid ImportId)? after, int limit, CancellationToken ct)
    {
        await using var select = database.CreateCommand($"""
            SELECT {Columns} FROM imports WHERE seller_id = $1 {(after is null ? "" : "AND (started_at, import_id) < ($3, $4)")}
            ORDER BY started_at DESC, import_id DESC LIMIT $2
            """);
        select.Parameters.Add(new() { Value = seller.Value });
        select.Parameters.Add(new() { Value = limit + 1 });
        if (after is { } last)
        {
            select.Parameters.Add(new() { Value = last.StartedAt.ToUniversalTime() });
            select.Parameters.Add(new() { Value = last.ImportId });
        }

        await using var reader = await select.ExecuteReaderAsync(ct);
        var imports = new List<Import>(limit);
        while (await reader.ReadAsync(ct))
        {
            if (imports.Count == limit)
                return new ImportPage(imports, Cursor.Encode(imports[^1].StartedAt, imports[^1].ImportId));
            imports.Add(Read(reader));
        }

        return new ImportPage(imports, null);
    }

    /// <summary>
    /// Takes the import for this request: one that is still at it, and perhaps does not know yet that its sender is gone, stores nothing
    /// from here on. Null when the import is not open at this place.
    /// </summary>
    public async Task<Import?> TakeOverAsync(SellerId seller, Guid importId, long offset, CancellationToken ct)
    {
        await using var take = database.CreateCommand($"""
            UPDATE imports SET run = run + 1, updated_at = $4
            WHERE import_id = $1 AND seller_id = $2 AND bytes = $3 AND status = 'open'
            RETURNING {Columns}
            """);
        take.Parameters.Add(new() { Value = importId });
        take.Parameters.Add(new() { Value = seller.Value });
        take.Parameters.Add(new() { Value = offset });
        take.Parameters.Add(new() { Value = time.GetUtcNow() });
        return await OneAsync(take, ct);
    }

    /// <summary>
    /// Locks the import's row. False when a later request has taken it over, or when it is further on already, since a commit of this one
    /// was not heard of: then nothing may be stored.
    /// </summary>
    public static async Task<bool> IsOursAsync(NpgsqlTransaction tx, Import import, CancellationToken ct)
    {
        await using var check = new NpgsqlCommand("SELECT 1 FROM imports WHERE import_id = $1 AND run = $2 AND bytes = $3 AND status = 'open' FOR UPDATE", tx.Connection, tx)
        {
            Parameters = { new() { Value = import.ImportId }, new() { Value = import.Run }, new() { Value = import.Offset } },
        };
        return await check.ExecuteScalarAsync(ct) is not null;
    }

    /// <summary>In the transaction that stored the rows up to <paramref name="place"/>.</summary>
    public async Task<Import> AdvanceAsync(
        NpgsqlTransaction tx, Import import, ImportColumns? columns, byte delimiter, CsvPlace place, Stored stored, string status, string? reason, CancellationToken ct)
    {
        if (stored.Errors.Count > 0)
        {
            await using var tell = new NpgsqlCommand("""
                INSERT INTO import_errors (import_id, row_number, line, column_name, message)
                SELECT $1, row_number, line, column_name, message
                FROM unnest($2, $3, $4, $5) WITH ORDINALITY AS error (row_number, line, column_name, message, place) ORDER BY place
                """, tx.Connection, tx)
            {
                Parameters =
                {
                    new() { Value = import.ImportId },
                    new() { Value = stored.Errors.Select(error => error.Row).ToArray() },
                    new() { Value = stored.Errors.Select(error => error.Line).ToArray() },
                    new() { Value = stored.Errors.Select(error => error.Column).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text },
                    new() { Value = stored.Errors.Select(error => error.Message).ToArray() },
                },
            };
            await tell.ExecuteNonQueryAsync(ct);
        }

        await using var advance = new NpgsqlCommand($"""
            UPDATE imports SET bytes = $2, rows = $3, lines = $4, skipping = $5, created = created + $6, updated = updated + $7, unchanged = unchanged + $8,
                               failed = failed + $9, columns = $10, delimiter = $11, status = $12, reason = $13, updated_at = $14
            WHERE import_id = $1
            RETURNING {Columns}
            """, tx.Connection, tx)
        {
            Parameters =
            {
                new() { Value = import.ImportId },
                new() { Value = place.Bytes },
                new() { Value = place.Rows },
                new() { Value = place.Lines },
                new() { Value = place.Skipping },
                new() { Value = (long)stored.Created },
                new() { Value = (long)stored.Updated },
                new() { Value = (long)stored.Unchanged },
                new() { Value = (long)stored.Failed },
                new() { Value = (object?)columns?.Names.ToArray() ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text },
                new() { Value = (short)delimiter },
                new() { Value = status },
                new() { Value = (object?)reason ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text },
                new() { Value = time.GetUtcNow() },
            },
        };
        return (await OneAsync(advance, ct))!;
    }

    /// <summary>In the order of the file.</summary>
    public async Task<ImportErrorPage> ErrorsAsync(Guid importId, long after, int limit, CancellationToken ct)
    {
        await using var select = database.CreateCommand("""
            SELECT number, row_number, line, column_name, message FROM import_errors WHERE import_id = $1 AND number > $2 ORDER BY number LIMIT $3
            """);
        select.Parameters.Add(new() { Value = importId });
        select.Parameters.Add(new() { Value = after });
        select.Parameters.Add(new() { Value = limit + 1 });
        await using var reader = await select.ExecuteReaderAsync(ct);
        var errors = new List<RowError>(limit);
        while (await reader.ReadAsync(ct))
        {
            if (errors.Count == limit)
                return new ImportErrorPage(errors, Cursor.Encode(after));
            after = reader.GetInt64(0);
            errors.Add(new RowError(reader.GetInt64(1), reader.GetInt64(2), reader.IsDBNull(3) ? null : reader.GetString(3), reader.GetString(4)));
        }

        return new ImportErrorPage(errors, null);
    }

    private static async Task<Import?> OneAsync(NpgsqlCommand command, CancellationToken ct)
    {
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? Read(reader) : null;
    }

    private static Import Read(NpgsqlDataReader row) => new(
        row.GetGuid(0), row.GetString(1), row.GetInt64(2), row.GetInt64(3), row.GetInt64(4), row.GetInt64(5), row.GetInt64(6), row.GetInt64(7),
        row.IsDBNull(8) ? null : row.GetString(8), row.GetFieldValue<DateTimeOffset>(9), row.GetFieldValue<DateTimeOffset>(10))
    {
        Columns = row.IsDBNull(11) ? null : row.GetFieldValue<string[]>(11),
        Delimiter = (byte)row.GetInt16(12),
        Place = new CsvPlace(row.GetInt64(2), row.GetInt64(3), row.GetInt64(13), row.GetBoolean(14)),
        Run = row.GetInt64(15),
    };
}
