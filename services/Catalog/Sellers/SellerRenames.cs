using Marketplace.Catalog.Listings;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Catalog.Sellers;

/// <summary>The last listing that was looked at; none yet at the beginning.</summary>
public sealed record RenamedSoFar(DateTimeOffset? ListedAt, Guid? ProductId);

/// <summary>
/// A seller's new name goes into the listings, some hundred in a transaction that also orders the next ones. A second run of one finds what
/// the first left to do.
/// </summary>
public sealed class SellerRenames(NpgsqlDataSource database, ListingStore listings, OutboxSignal outbox, TimeProvider time)
{
    public const string Lane = "seller-names";
    private const int AtOnce = 200;

    public async Task GoOnAsync(OutboxMessage message, CancellationToken ct)
    {
        var (seller, soFar) = (message.AggregateId, message.Read<RenamedSoFar>());
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        var renamed = await RenameAsync(tx, seller, soFar, ct);
        if (renamed.Count > 0)
        {
            var stand = (await listings.LoadAsync(tx, [.. renamed.Select(one => one.ProductId!.Value)], ct)).Values.Select(one => one.Listing);
            await Outbox.AddAsync(tx, [.. stand.Where(listing => listing.IsPublished).Select(listing => ((DomainEvent)listing.ToEvent(), listing.ProductId))], ct);
        }

        // At the end once more from the beginning, until nothing is found: a listing may have come in under the old name meanwhile.
        if (renamed.Count > 0 || soFar.ProductId is not null)
            await Outbox.AddCommandAsync(tx, Lane, seller, renamed.Count == AtOnce ? renamed[^1] : new RenamedSoFar(null, null), ct);
        await tx.CommitAsync(ct);
        outbox.Notify();
    }

    private async Task<List<RenamedSoFar>> RenameAsync(NpgsqlTransaction tx, Guid seller, RenamedSoFar soFar, CancellationToken ct)
    {
        await using var rename = new NpgsqlCommand("""
            WITH now_called AS (
                SELECT name FROM sellers WHERE seller_id = $1
            ), old AS (
                SELECT l.product_id FROM listings l, now_called
                WHERE l.seller_id = $1 AND l.deleted_at IS NULL AND l.seller_name <> now_called.name AND ($2::timestamptz IS NULL OR (l.listed_at, l.product_id) < ($2, $3))
                ORDER BY l.listed_at DESC, l.product_id DESC LIMIT $4
                FOR NO KEY UPDATE OF l
            )
            UPDATE listings SET seller_name = now_called.name, revision = revision + 1, updated_at = $5
            FROM old, now_called WHERE listings.product_id = old.product_id
            RETURNING listings.listed_at, listings.product_id
            """, tx.Connection, tx)
        {
            Parameters =
            {
                new() { Value = seller },
                new() { Value = (object?)soFar.ListedAt?.ToUniversalTime() ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.TimestampTz },
                new() { Value = (object?)soFar.ProductId ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Uuid },
                new() { Value = AtOnce },
                new() { Value = time.GetUtcNow() },
            },
        };
        await using var reader = await rename.ExecuteReaderAsync(ct);
        var renamed = new List<RenamedSoFar>();
        while (await reader.ReadAsync(ct))
            renamed.Add(new RenamedSoFar(reader.GetFieldValue<DateTimeOffset>(0), reader.GetGuid(1)));
        return [.. renamed.OrderByDescending(one => one.ListedAt).ThenByDescending(one => one.ProductId?.ToString(), StringComparer.Ordinal)];
    }
}
