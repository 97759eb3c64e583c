using Npgsql;

namespace Marketplace.Identity.Addresses;

public sealed record Address(Guid AddressId, string Name, string Line1, string? Line2, string City, string PostalCode, string Country);

/// <summary>Every statement names the account: somebody else's address is not found, whatever is asked of it.</summary>
public sealed class AddressStore(NpgsqlDataSource database, TimeProvider time)
{
    public const int MostPerAccount = 50;

    public async Task<IReadOnlyList<Address>> ListAsync(Guid accountId, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT address_id, name, line1, line2, city, postal_code, country
            FROM addresses WHERE account_id = $1 ORDER BY created_at, address_id
            """);
        command.Parameters.Add(new() { Value = accountId });
        List<Address> addresses = [];
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            addresses.Add(new(
                reader.GetGuid(0), reader.GetString(1), reader.GetString(2), reader.IsDBNull(3) ? null : reader.GetString(3),
                reader.GetString(4), reader.GetString(5), reader.GetString(6)));
        }
        return addresses;
    }

    /// <summary>Each account's address of that id, or its first one. Who has none is absent.</summary>
    public async Task<IReadOnlyList<AccountAddress>> LookUpAsync(IReadOnlyList<WantedAddress> wanted, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT w.account_id, a.address_id, a.name, a.line1, a.line2, a.city, a.postal_code, a.country
            FROM unnest($1, $2) AS w (account_id, address_id)
            CROSS JOIN LATERAL (
                SELECT address_id, name, line1, line2, city, postal_code, country
                FROM addresses WHERE account_id = w.account_id AND (w.address_id IS NULL OR address_id = w.address_id)
                ORDER BY created_at, address_id LIMIT 1) a
            """);
        command.Parameters.Add(new() { Value = wanted.Select(one => one.AccountId).ToArray() });
        command.Parameters.Add(new() { Value = wanted.Select(one => one.AddressId).ToArray(), NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Array | NpgsqlTypes.NpgsqlDbType.Uuid });
        List<AccountAddress> found = [];
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            found.Add(new(
                reader.GetGuid(0), reader.GetGuid(1), reader.GetString(2), reader.GetString(3), reader.IsDBNull(4) ? null : reader.GetString(4),
                reader.GetString(5), reader.GetString(6), reader.GetString(7)));
        }
        return found;
    }

    /// <summary>Null when the account has as many as it may.</summary>
    public async Task<Address?> AddAsync(Guid accountId, AddressRequest request, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        var address = request.As(Guid.CreateVersion7(now));
        await using var command = database.CreateCommand("""
            INSERT INTO addresses (address_id, account_id, name, line1, line2, city, postal_code, country, created_at)
            SELECT $1, a.account_id, $3, $4, $5, $6, $7, $8, $9
            FROM accounts a
            WHERE a.account_id = $2 AND (SELECT count(*) FROM addresses WHERE account_id = $2) < $10
            """);
        Fill(command, accountId, address);
        command.Parameters.Add(new() { Value = now });
        command.Parameters.Add(new() { Value = (long)MostPerAccount });
        return await command.ExecuteNonQueryAsync(ct) == 1 ? address : null;
    }

    public async Task<Address?> ChangeAsync(Guid accountId, Guid addressId, AddressRequest request, CancellationToken ct)
    {
        var address = request.As(addressId);
        await using var command = database.CreateCommand("""
            UPDATE addresses SET name = $3, line1 = $4, line2 = $5, city = $6, postal_code = $7, country = $8
            WHERE address_id = $1 AND account_id = $2
            """);
        Fill(command, accountId, address);
        return await command.ExecuteNonQueryAsync(ct) == 1 ? address : null;
    }

    public async Task<bool> RemoveAsync(Guid accountId, Guid addressId, CancellationToken ct)
    {
        await using var command = database.CreateCommand("DELETE FROM addresses WHERE address_id = $1 AND account_id = $2");
        command.Parameters.Add(new() { Value = addressId });
        command.Parameters.Add(new() { Value = accountId });
        return await command.ExecuteNonQueryAsync(ct) == 1;
    }

    private static void Fill(NpgsqlCommand command, Guid accountId, Address address)
    {
        command.Parameters.Add(new() { Value = address.AddressId });
        command.Parameters.Add(new() { Value = accountId });
        command.Parameters.Add(new() { Value = address.Name });
        command.Parameters.Add(new() { Value = address.Line1 });
        command.Parameters.Add(new() { Value = (object?)address.Line2 ?? DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Text });
        command.Parameters.Add(new() { Value = address.City });
        command.Parameters.Add(new() { Value = address.PostalCode });
        command.Parameters.Add(new() { Value = address.Country });
    }
}
