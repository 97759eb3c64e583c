using Marketplace.Contracts;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.FlashSales.ExpressCheckout;

/// <summary>What an account left so that a claim can become an order without asking anything.</summary>
/// <param name="PaymentMethodId">Null: the account's default at the time of the charge.</param>
public sealed record RememberedCheckout(Guid BuyerId, Guid AddressId, PostalAddress ShipTo, OrderContact Contact, Guid? PaymentMethodId);

public sealed class CheckoutStore(NpgsqlDataSource database, TimeProvider time)
{
    private const string Columns = "buyer_id, address_id, name, line1, line2, city, postal_code, country, contact_email, contact_name, payment_method";

    public async Task<RememberedCheckout?> FindAsync(Guid buyerId, CancellationToken ct)
    {
        await using var find = database.CreateCommand($"SELECT {Columns} FROM express_checkouts WHERE buyer_id = $1");
        find.Parameters.Add(new() { Value = buyerId });
        await using var row = await find.ExecuteReaderAsync(ct);
        return await row.ReadAsync(ct)
            ? new RememberedCheckout(
                row.GetGuid(0), row.GetGuid(1),
                new PostalAddress(row.GetString(2), row.GetString(3), row.IsDBNull(4) ? null : row.GetString(4), row.GetString(5), row.GetString(6), row.GetString(7)),
                new OrderContact(row.GetString(8), row.GetString(9)), row.IsDBNull(10) ? null : row.GetGuid(10))
            : null;
    }

    /// <summary>The account said so: it replaces what there was.</summary>
    public Task SetAsync(RememberedCheckout checkout, CancellationToken ct) => WriteAsync([checkout], """
        ON CONFLICT (buyer_id) DO UPDATE SET address_id = excluded.address_id, name = excluded.name, line1 = excluded.line1, line2 = excluded.line2,
            city = excluded.city, postal_code = excluded.postal_code, country = excluded.country, contact_email = excluded.contact_email,
            contact_name = excluded.contact_name, payment_method = excluded.payment_method, changed_at = excluded.changed_at
        """, ct);

    /// <summary>These were looked up: what an account said itself stays.</summary>
    public Task RememberAsync(IReadOnlyCollection<RememberedCheckout> checkouts, CancellationToken ct) =>
        WriteAsync(checkouts.OrderBy(checkout => checkout.BuyerId).ToArray(), "ON CONFLICT (buyer_id) DO NOTHING", ct);

    private async Task WriteAsync(IReadOnlyCollection<RememberedCheckout> checkouts, string onConflict, CancellationToken ct)
    {
        await using var write = database.CreateCommand($"""
            INSERT INTO express_checkouts ({Columns}, changed_at)
            SELECT {Columns}, $12 FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) AS c ({Columns})
            {onConflict}
            """);
        write.Parameters.AddRange((NpgsqlParameter[])[
            new() { Value = checkouts.Select(one => one.BuyerId).ToArray() }, new() { Value = checkouts.Select(one => one.AddressId).ToArray() },
            Text(one => one.ShipTo.Name), Text(one => one.ShipTo.Line1), Text(one => one.ShipTo.Line2), Text(one => one.ShipTo.City), Text(one => one.ShipTo.PostalCode),
            Text(one => one.ShipTo.Country), Text(one => one.Contact.Email), Text(one => one.Contact.Name),
            new() { Value = checkouts.Select(one => one.PaymentMethodId).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Uuid }, new() { Value = time.GetUtcNow() },
        ]);
        await write.ExecuteNonQueryAsync(ct);

        NpgsqlParameter Text(Func<RememberedCheckout, string?> of) => new() { Value = checkouts.Select(of).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text };
    }
}
