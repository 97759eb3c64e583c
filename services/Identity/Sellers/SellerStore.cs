using System.Text.Json.Serialization;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Identity.Sellers;

/// <summary>What everybody may know of a seller.</summary>
public sealed record SellerProfile(Guid SellerId, string DisplayName, string About, string? LogoUrl, DateTimeOffset Since, [property: JsonIgnore] long Version = 1)
{
    [JsonIgnore]
    public string ETag => $"\"{Version}\"";
}

public enum ProfileChange
{
    Done,

    /// <summary>Said again what was said before: no new version, nothing announced.</summary>
    Same,

    /// <summary>Changed since the version it was based on.</summary>
    Stale,

    Unknown,
}

public sealed class SellerStore(NpgsqlDataSource database, OutboxSignal outbox, TimeProvider time)
{
    private const string Columns = "seller_id, display_name, about, logo_url, created_at, version";

    /// <summary>The account's seller, made now or made before: an account is one seller at most.</summary>
    public async Task<SellerProfile> OpenAsync(Guid accountId, string displayName, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        await using var insert = database.CreateCommand("""
            INSERT INTO sellers (seller_id, account_id, display_name, created_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (account_id) DO NOTHING
            """);
        insert.Parameters.Add(new() { Value = Guid.CreateVersion7(now) });
        insert.Parameters.Add(new() { Value = accountId });
        insert.Parameters.Add(new() { Value = displayName });
        insert.Parameters.Add(new() { Value = now });
        await insert.ExecuteNonQueryAsync(ct);

        await using var read = database.CreateCommand($"SELECT {Columns} FROM sellers WHERE account_id = $1");
        read.Parameters.Add(new() { Value = accountId });
        return await ReadAsync(read, ct) ?? throw new InvalidOperationException($"The seller of account {accountId} is gone.");
    }

    public async Task<SellerProfile?> FindAsync(Guid sellerId, CancellationToken ct)
    {
        await using var read = database.CreateCommand($"SELECT {Columns} FROM sellers WHERE seller_id = $1");
        read.Parameters.Add(new() { Value = sellerId });
        return await ReadAsync(read, ct);
    }

    /// <param name="basedOn">Null changes whatever version there is.</param>
    public async Task<(ProfileChange Verdict, SellerProfile? Profile)> ChangeAsync(
        SellerId seller, long? basedOn, string displayName, string about, string? logoUrl, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        await using var update = new NpgsqlCommand($"""
            UPDATE sellers SET display_name = $3, about = $4, logo_url = $5, version = version + 1, updated_at = $6
            WHERE seller_id = $1 AND ($2::bigint IS NULL OR version = $2) AND (display_name, about, logo_url) IS DISTINCT FROM ($3, $4, $5)
            RETURNING {Columns}
            """, connection, tx)
        {
            Parameters =
            {
                new() { Value = seller.Value },
                new() { Value = (object?)basedOn ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Bigint },
                new() { Value = displayName },
                new() { Value = about },
                new() { Value = (object?)logoUrl ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text },
                new() { Value = time.GetUtcNow() },
            },
        };
        if (await ReadAsync(update, ct) is { } changed)
        {
            await Outbox.AddAsync(tx, new SellerUpdated(changed.SellerId, changed.Version, changed.DisplayName, changed.About, changed.LogoUrl), changed.SellerId, ct);
            await tx.CommitAsync(ct);
            outbox.Notify();
            return (ProfileChange.Done, changed);
        }

        await using var read = new NpgsqlCommand($"SELECT {Columns} FROM sellers WHERE seller_id = $1", connection, tx) { Parameters = { new() { Value = seller.Value } } };
        var there = await ReadAsync(read, ct);
        return there switch
        {
            null => (ProfileChange.Unknown, null),
            _ when basedOn is { } version && version != there.Version => (ProfileChange.Stale, there),
            _ => (ProfileChange.Same, there),
        };
    }

    private static async Task<SellerProfile?> ReadAsync(NpgsqlCommand command, CancellationToken ct)
    {
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct)
            ? new(reader.GetGuid(0), reader.GetString(1), reader.GetString(2), reader.IsDBNull(3) ? null : reader.GetString(3), reader.GetFieldValue<DateTimeOffset>(4), reader.GetInt64(5))
            : null;
    }
}
