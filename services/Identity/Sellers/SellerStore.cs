using Npgsql;

namespace Marketplace.Identity.Sellers;

public sealed record SellerProfile(Guid SellerId, string DisplayName, DateTimeOffset Since);

public sealed class SellerStore(NpgsqlDataSource database, TimeProvider time)
{
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

        await using var read = database.CreateCommand("SELECT seller_id, display_name, created_at FROM sellers WHERE account_id = $1");
        read.Parameters.Add(new() { Value = accountId });
        return await ReadAsync(read, ct) ?? throw new InvalidOperationException($"The seller of account {accountId} is gone.");
    }

    public async Task<SellerProfile?> FindAsync(Guid sellerId, CancellationToken ct)
    {
        await using var read = database.CreateCommand("SELECT seller_id, display_name, created_at FROM sellers WHERE seller_id = $1");
        read.Parameters.Add(new() { Value = sellerId });
        return await ReadAsync(read, ct);
    }

    private static async Task<SellerProfile?> ReadAsync(NpgsqlCommand command, CancellationToken ct)
    {
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? new(reader.GetGuid(0), reader.GetString(1), reader.GetFieldValue<DateTimeOffset>(2)) : null;
    }
}
