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
        var looked = await RenameAsync(tx, seller, soFar, ct);
        var renamed = looked.Where(one => one.Renamed).Select(one => one.ProductId).ToArray();
        if (renamed.Length > 0)
        {
            var stand = (await listings.LoadAsync(tx, renamed, ct)).Values.Select(one => one.Listing);
            await Outbox.AddAsync(tx, [.. stand.Where(listing => listing.IsPublished).Select(listing => ((DomainEvent)listing.ToEvent(), listing.ProductId))], ct);
        }

        // At the end once more from the beginning, until nothing is found: a listing may have come in under the old name meanwhile.
        if (looked.Count > 0 || soFar.ProductId is not null)
            await Outbox.AddCommandAsync(tx, Lane, seller, looked.Count == AtOnce ? new RenamedSoFar(looked[^1].ListedAt, looked[^1].ProductId) : new RenamedSoFar(null, null), ct);
        await tx.CommitAsync(ct);
        outbox.Notify();
    }

    /// <summary>
    /// The next listings under another name, and whether they have the new one from here: somebody else may have changed them while their
    /// locks were waited for. Newest first, but locked in the order of their ids: whoever locks several does it so, or the two would
    /// wait for each other.
    /// </summary>
    private async Task<List<(DateTimeOffset ListedAt, Guid ProductId, bool Renamed)>> RenameAsync(NpgsqlTransaction tx, Guid seller, RenamedSoFar soFar, CancellationToken ct)
    {
        await using var rename = new NpgsqlCommand("""
            WITH now_called AS (
                SELECT name FROM sellers WHERE seller_id = $1
            ), next AS MATERIALIZED (
                SELECT l.product_id, l.listed_at FROM listings l, now_called
                WHERE l.seller_id = $1 AND l.deleted_at IS NULL AND l.seller_name <> now_called.name AND ($2::timestamptz IS NULL OR (l.listed_at, l.product_id) < ($2, $3))
                ORDER BY l.listed_at DESC, l.product_id DESC LIMIT $4
            ), old AS MATERIALIZED (
                SELECT l.product_id FROM listings l, now_called
                WHERE l.product_id = ANY(ARRAY(SELECT product_id FROM next)) AND l.deleted_at IS NULL AND l.seller_name <> now_called.name
                ORDER BY l.product_id
                FOR NO KEY UPDATE OF l
            ), renamed AS (
                UPDATE listings SET seller_name = now_called.name, revision = revision + 1, updated_at = $5
                FROM old, now_called WHERE listings.product_id = old.product_id
                RETURNING listings.product_id
            )
            SELECT next.listed_at, next.product_id, renamed.product_id IS NOT NULL FROM next LEFT JOIN renamed USING (product_id)
            ORDER BY next.listed_at DESC, next.product_id DESC
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
        var looked = new List<(DateTimeOffset, Guid, bool)>(AtOnce);
        while (await reader.ReadAsync(ct))
            looked.Add((reader.GetFieldValue<DateTimeOffset>(0), reader.GetGuid(1), reader.GetBoolean(2)));
        return looked;
    }
}
