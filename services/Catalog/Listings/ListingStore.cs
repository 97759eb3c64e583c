using Marketplace.Contracts;
using Marketplace.Hosting;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Catalog.Listings;

public enum Change
{
    Done,

    /// <summary>Unknown, deleted or somebody else's: all the same to who asks.</summary>
    NotYours,

    /// <summary>Changed since the revision it was based on.</summary>
    Stale,
}

public sealed record Changed(Change Verdict, Listing? Listing = null);

public sealed record Created(IReadOnlyList<Listing> Listings, IReadOnlyList<Guid> Taken);

public sealed record Page(IReadOnlyList<Listing> Items, string? Next);

public sealed class ListingStore(NpgsqlDataSource database, OutboxSignal outbox, TimeProvider time)
{
    private const string Columns = "product_id, revision, seller_id, seller_name, title, description, brand, category, price_minor, currency, image_url, listed_at";

    public async Task<Listing?> FindAsync(Guid productId, CancellationToken ct)
    {
        await using var select = database.CreateCommand($"SELECT {Columns} FROM listings WHERE product_id = $1 AND deleted_at IS NULL");
        select.Parameters.Add(new() { Value = productId });
        await using var reader = await select.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? Read(reader) : null;
    }

    /// <summary>Newest first. The text is put together from constants, so that each combination has the plan of its own index.</summary>
    public async Task<Page> PageAsync(string? category, Guid? seller, (DateTimeOffset ListedAt, Guid ProductId)? after, int limit, CancellationToken ct)
    {
        await using var select = database.CreateCommand();
        var where = "deleted_at IS NULL";
        if (category is not null)
            where += $" AND category = {Parameter(category)}";
        if (seller is { } sellerId)
            where += $" AND seller_id = {Parameter(sellerId)}";
        if (after is { } last)
            where += $" AND (listed_at, product_id) < ({Parameter(last.ListedAt.ToUniversalTime())}, {Parameter(last.ProductId)})";
        select.CommandText = $"SELECT {Columns} FROM listings WHERE {where} ORDER BY listed_at DESC, product_id DESC LIMIT {Parameter(limit + 1)}";

        await using var reader = await select.ExecuteReaderAsync(ct);
        var listings = new List<Listing>(limit);
        while (await reader.ReadAsync(ct))
        {
            if (listings.Count == limit)
                return new Page(listings, Cursor.Encode(listings[^1].ListedAt, listings[^1].ProductId));
            listings.Add(Read(reader));
        }

        return new Page(listings, null);

        string Parameter(object value)
        {
            select.Parameters.Add(new() { Value = value });
            return $"${select.Parameters.Count}";
        }
    }

    /// <summary>
    /// All or nothing. A seller may choose the ids, and then a repeat of the same listings (a lost reply) finds them and changes nothing;
    /// an id that stands for anything else is taken.
    /// </summary>
    public async Task<Created> CreateAsync(SellerId seller, string sellerName, IReadOnlyList<(Guid? ProductId, ListingText Text)> products, CancellationToken ct)
    {
        // Microseconds, as the column keeps them: the event must say what the row says.
        var now = time.GetUtcNow();
        now = now.AddTicks(-(now.Ticks % TimeSpan.TicksPerMicrosecond));
        var listings = products.Select(product => new Listing(
            product.ProductId ?? Guid.CreateVersion7(now), 1, seller.Value, sellerName,
            product.Text.Title, product.Text.Description, product.Text.Brand, product.Text.Category, product.Text.Price, product.Text.ImageUrl, now)).ToList();

        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        var inserted = await InsertAsync(connection, tx, listings, ct);
        if (inserted.Count < listings.Count)
        {
            var repeated = listings.Where(listing => !inserted.Contains(listing.ProductId)).ToList();
            var found = await FindAllAsync(connection, tx, repeated, ct);
            var taken = repeated.Where(listing => !(found.TryGetValue(listing.ProductId, out var there) && SameOffer(there, listing))).Select(listing => listing.ProductId).ToList();
            if (taken.Count > 0)
                return new Created([], taken);

            listings = [.. listings.Select(listing => found.GetValueOrDefault(listing.ProductId, listing))];
        }

        await Outbox.AddAsync(tx, [.. listings.Where(listing => inserted.Contains(listing.ProductId)).Select(listing => ((DomainEvent)listing.ToEvent(), listing.ProductId))], ct);
        await tx.CommitAsync(ct);
        outbox.Notify();
        return new Created(listings, []);
    }

    public async Task<Changed> ChangeAsync(SellerId seller, Guid productId, long? basedOn, ListingText text, string sellerName, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        await using var update = new NpgsqlCommand($"""
            UPDATE listings SET title = $4, description = $5, brand = $6, category = $7, price_minor = $8, currency = $9, image_url = $10,
                                seller_name = $11, revision = revision + 1, updated_at = $12
            WHERE product_id = $1 AND seller_id = $2 AND deleted_at IS NULL AND ($3::bigint IS NULL OR revision = $3)
            RETURNING {Columns}
            """, connection, tx)
        {
            Parameters =
            {
                new() { Value = productId },
                new() { Value = seller.Value },
                new() { Value = (object?)basedOn ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Bigint },
                new() { Value = text.Title },
                new() { Value = text.Description },
                new() { Value = text.Brand },
                new() { Value = text.Category },
                new() { Value = text.Price.Minor },
                new() { Value = text.Price.Currency },
                new() { Value = (object?)text.ImageUrl ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text },
                new() { Value = sellerName },
                new() { Value = time.GetUtcNow() },
            },
        };
        var changed = await OneAsync(update, ct);
        if (changed is null)
            return await WhyNotAsync(connection, tx, seller, productId, ct);

        await Outbox.AddAsync(tx, changed.ToEvent(), productId, ct);
        await tx.CommitAsync(ct);
        outbox.Notify();
        return new Changed(Change.Done, changed);
    }

    public async Task<Changed> DeleteAsync(SellerId seller, Guid productId, long? basedOn, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        await using var delete = new NpgsqlCommand($"""
            UPDATE listings SET deleted_at = $4, updated_at = $4, revision = revision + 1
            WHERE product_id = $1 AND seller_id = $2 AND deleted_at IS NULL AND ($3::bigint IS NULL OR revision = $3)
            RETURNING {Columns}
            """, connection, tx)
        {
            Parameters =
            {
                new() { Value = productId },
                new() { Value = seller.Value },
                new() { Value = (object?)basedOn ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Bigint },
                new() { Value = time.GetUtcNow() },
            },
        };
        var gone = await OneAsync(delete, ct);
        if (gone is null)
            return await WhyNotAsync(connection, tx, seller, productId, ct);

        await Outbox.AddAsync(tx, new ProductDeleted(productId, gone.Revision, seller.Value), productId, ct);
        await tx.CommitAsync(ct);
        outbox.Notify();
        return new Changed(Change.Done, gone);
    }

    private static async Task<HashSet<Guid>> InsertAsync(NpgsqlConnection connection, NpgsqlTransaction tx, List<Listing> listings, CancellationToken ct)
    {
        await using var insert = new NpgsqlCommand("""
            INSERT INTO listings (product_id, seller_id, seller_name, title, description, brand, category, price_minor, currency, image_url, listed_at, updated_at)
            SELECT product_id, $2, $3, title, description, brand, category, price_minor, currency, image_url, $11, $11
            FROM unnest($1, $4, $5, $6, $7, $8, $9, $10) AS row (product_id, title, description, brand, category, price_minor, currency, image_url)
            ORDER BY product_id
            ON CONFLICT (product_id) DO NOTHING
            RETURNING product_id
            """, connection, tx)                                // ordered, so that two requests with the same ids wait for each other instead of dead-locking
        {
            Parameters =
            {
                new() { Value = listings.Select(listing => listing.ProductId).ToArray() },
                new() { Value = listings[0].SellerId },
                new() { Value = listings[0].SellerName },
                new() { Value = listings.Select(listing => listing.Title).ToArray() },
                new() { Value = listings.Select(listing => listing.Description).ToArray() },
                new() { Value = listings.Select(listing => listing.Brand).ToArray() },
                new() { Value = listings.Select(listing => listing.Category).ToArray() },
                new() { Value = listings.Select(listing => listing.Price.Minor).ToArray() },
                new() { Value = listings.Select(listing => listing.Price.Currency).ToArray() },
                new() { Value = listings.Select(listing => listing.ImageUrl).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text },
                new() { Value = listings[0].ListedAt },
            },
        };
        await using var reader = await insert.ExecuteReaderAsync(ct);
        var inserted = new HashSet<Guid>();
        while (await reader.ReadAsync(ct))
            inserted.Add(reader.GetGuid(0));
        return inserted;
    }

    private static async Task<Dictionary<Guid, Listing>> FindAllAsync(NpgsqlConnection connection, NpgsqlTransaction tx, List<Listing> wanted, CancellationToken ct)
    {
        await using var select = new NpgsqlCommand($"SELECT {Columns} FROM listings WHERE product_id = ANY($1) AND deleted_at IS NULL", connection, tx)
        {
            Parameters = { new() { Value = wanted.Select(listing => listing.ProductId).ToArray() } },
        };
        await using var reader = await select.ExecuteReaderAsync(ct);
        var found = new Dictionary<Guid, Listing>();
        while (await reader.ReadAsync(ct))
        {
            var listing = Read(reader);
            found[listing.ProductId] = listing;
        }

        return found;
    }

    private static bool SameOffer(Listing there, Listing wanted) =>
        there with { Revision = wanted.Revision, SellerName = wanted.SellerName, ListedAt = wanted.ListedAt } == wanted;

    private static async Task<Changed> WhyNotAsync(NpgsqlConnection connection, NpgsqlTransaction tx, SellerId seller, Guid productId, CancellationToken ct)
    {
        await using var select = new NpgsqlCommand("SELECT 1 FROM listings WHERE product_id = $1 AND seller_id = $2 AND deleted_at IS NULL", connection, tx)
        {
            Parameters = { new() { Value = productId }, new() { Value = seller.Value } },
        };
        return new Changed(await select.ExecuteScalarAsync(ct) is null ? Change.NotYours : Change.Stale);
    }

    private static async Task<Listing?> OneAsync(NpgsqlCommand command, CancellationToken ct)
    {
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? Read(reader) : null;
    }

    private static Listing Read(NpgsqlDataReader row) => new(
        row.GetGuid(0),
        row.GetInt64(1),
        row.GetGuid(2),
        row.GetString(3),
        row.GetString(4),
        row.GetString(5),
        row.GetString(6),
        row.GetString(7),
        new Money(row.GetInt64(8), row.GetString(9)),
        row.IsDBNull(10) ? null : row.GetString(10),
        row.GetFieldValue<DateTimeOffset>(11));
}
