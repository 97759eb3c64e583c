using Marketplace.Payments.Provider;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Payments.Methods;

public sealed record ChargeableMethod(string ProviderMethod, string? ProviderCustomer);

public sealed record SavedMethod(Guid Id, string Brand, string Last4, int ExpMonth, int ExpYear, bool IsDefault);

public sealed class MethodStore(NpgsqlDataSource database, TimeProvider time)
{
    /// <summary>
    /// What to charge: a saved method by our id or the provider's, the shopper's default when none is named, or a provider's token used once. Null: there is none,
    /// or it is another shopper's.
    /// </summary>
    public async Task<ChargeableMethod?> ForChargeAsync(Guid buyerId, string? wanted, CancellationToken ct)
    {
        if (wanted is { Length: 0 })
            wanted = null;
        var id = Guid.TryParse(wanted, out var parsed) ? parsed : (Guid?)null;
        await using var find = database.CreateCommand("""
            SELECT m.provider_method, c.provider_customer, m.buyer_id
            FROM payment_methods m JOIN customers c USING (buyer_id)
            WHERE CASE WHEN $2::uuid IS NOT NULL THEN m.method_id = $2 AND m.buyer_id = $1
                       WHEN $3::text IS NOT NULL THEN m.provider_method = $3
                       ELSE m.buyer_id = $1 AND m.is_default END
            """);
        find.Parameters.AddRange((NpgsqlParameter[])[
            new() { Value = buyerId },
            new() { Value = (object?)id ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Uuid },
            new() { Value = (object?)wanted ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text },
        ]);
        await using var row = await find.ExecuteReaderAsync(ct);
        if (await row.ReadAsync(ct))
            return row.GetGuid(2) == buyerId ? new ChargeableMethod(row.GetString(0), row.GetString(1)) : null;
        return id is null && ProviderToken.IsOne(wanted) ? new ChargeableMethod(wanted!, null) : null;
    }

    public async Task<string?> CustomerOfAsync(Guid buyerId, CancellationToken ct)
    {
        await using var find = database.CreateCommand("SELECT provider_customer FROM customers WHERE buyer_id = $1");
        find.Parameters.Add(new() { Value = buyerId });
        return await find.ExecuteScalarAsync(ct) as string;
    }

    public async Task AddCustomerAsync(Guid buyerId, string providerCustomer, CancellationToken ct)
    {
        await using var insert = database.CreateCommand("INSERT INTO customers (buyer_id, provider_customer) VALUES ($1, $2) ON CONFLICT DO NOTHING");
        insert.Parameters.AddRange((NpgsqlParameter[])[new() { Value = buyerId }, new() { Value = providerCustomer }]);
        await insert.ExecuteNonQueryAsync(ct);
    }

    /// <summary>The first method of a shopper is the default whether asked for or not.</summary>
    public async Task<SavedMethod> AddAsync(Guid buyerId, SavedCard card, bool makeDefault, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var batch = new NpgsqlBatch(connection)
        {
            BatchCommands =
            {
                new("SELECT buyer_id FROM customers WHERE buyer_id = $1 FOR UPDATE") { Parameters = { new() { Value = buyerId } } },
                new("UPDATE payment_methods SET is_default = false WHERE buyer_id = $1 AND is_default AND $2") { Parameters = { new() { Value = buyerId }, new() { Value = makeDefault } } },
                new("""
                    INSERT INTO payment_methods AS m (method_id, buyer_id, provider_method, brand, last4, exp_month, exp_year, is_default)
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8 OR NOT EXISTS (SELECT FROM payment_methods WHERE buyer_id = $2 AND is_default))
                    ON CONFLICT (provider_method) DO UPDATE SET is_default = m.is_default OR excluded.is_default
                    RETURNING method_id, brand, last4, exp_month, exp_year, is_default
                    """)
                {
                    Parameters =
                    {
                        new() { Value = Guid.CreateVersion7(time.GetUtcNow()) }, new() { Value = buyerId }, new() { Value = card.ProviderMethod }, new() { Value = card.Brand }, new() { Value = card.Last4 },
                        new() { Value = (short)card.ExpMonth }, new() { Value = (short)card.ExpYear }, new() { Value = makeDefault },
                    },
                },
            },
        };
        await using var row = await batch.ExecuteReaderAsync(ct);
        await row.NextResultAsync(ct);
        await row.ReadAsync(ct);
        return Read(row);
    }

    public async Task<IReadOnlyList<SavedMethod>> ListAsync(Guid buyerId, CancellationToken ct)
    {
        await using var list = database.CreateCommand(
            "SELECT method_id, brand, last4, exp_month, exp_year, is_default FROM payment_methods WHERE buyer_id = $1 ORDER BY method_id DESC");
        list.Parameters.Add(new() { Value = buyerId });
        await using var row = await list.ExecuteReaderAsync(ct);
        var methods = new List<SavedMethod>();
        while (await row.ReadAsync(ct))
            methods.Add(Read(row));
        return methods;
    }

    /// <summary>Each shopper's method of that id, or the default. Who has none is absent.</summary>
    public async Task<IReadOnlyList<BuyerMethod>> LookUpAsync(IReadOnlyList<WantedMethod> wanted, CancellationToken ct)
    {
        await using var find = database.CreateCommand("""
            SELECT w.buyer_id, m.method_id
            FROM unnest($1, $2) AS w (buyer_id, method_id)
            CROSS JOIN LATERAL (
                SELECT method_id FROM payment_methods
                WHERE buyer_id = w.buyer_id AND CASE WHEN w.method_id IS NULL THEN is_default ELSE method_id = w.method_id END LIMIT 1) m
            """);
        find.Parameters.Add(new() { Value = wanted.Select(one => one.BuyerId).ToArray() });
        find.Parameters.Add(new() { Value = wanted.Select(one => one.MethodId).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Uuid });
        await using var row = await find.ExecuteReaderAsync(ct);
        var found = new List<BuyerMethod>(wanted.Count);
        while (await row.ReadAsync(ct))
            found.Add(new BuyerMethod(row.GetGuid(0), row.GetGuid(1)));
        return found;
    }

    /// <summary>The provider's name of what was removed; null when the shopper has no such method. The newest of the rest becomes the default.</summary>
    public async Task<string?> RemoveAsync(Guid buyerId, Guid methodId, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var batch = new NpgsqlBatch(connection)
        {
            BatchCommands =
            {
                new("DELETE FROM payment_methods WHERE buyer_id = $1 AND method_id = $2 RETURNING provider_method") { Parameters = { new() { Value = buyerId }, new() { Value = methodId } } },
                new("""
                    UPDATE payment_methods SET is_default = true
                    WHERE method_id = (SELECT method_id FROM payment_methods WHERE buyer_id = $1 ORDER BY method_id DESC LIMIT 1)
                      AND NOT EXISTS (SELECT FROM payment_methods WHERE buyer_id = $1 AND is_default)
                    """)
                {
                    Parameters = { new() { Value = buyerId } },
                },
            },
        };
        return await batch.ExecuteScalarAsync(ct) as string;
    }

    private static SavedMethod Read(NpgsqlDataReader row) =>
        new(row.GetGuid(0), row.GetString(1), row.GetString(2), row.GetInt16(3), row.GetInt16(4), row.GetBoolean(5));
}

/// <summary>The provider's names for payment methods: <c>pm_…</c> and <c>tok_…</c>.</summary>
public static class ProviderToken
{
    public static bool IsOne(string? text) =>
        text is { Length: <= 255 }
        && (text.StartsWith("pm_", StringComparison.Ordinal) || text.StartsWith("tok_", StringComparison.Ordinal))
        && text.All(c => char.IsAsciiLetterOrDigit(c) || c == '_');
}
