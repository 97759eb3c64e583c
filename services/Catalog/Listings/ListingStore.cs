using System.Text.Json;
using Marketplace.Catalog.Attributes;
using Marketplace.Catalog.Categories;
using Marketplace.Catalog.Pictures;
using Marketplace.Catalog.Variants;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Catalog.Listings;

/// <summary>Why a listing cannot be as it was wanted.</summary>
public abstract record Refusal
{
    /// <summary>Other listings of the seller have these SKUs.</summary>
    public sealed record SkusTaken(IReadOnlyList<string> Skus) : Refusal;

    /// <summary>Variants, by the SKU they were sent with, whose id this listing never had.</summary>
    public sealed record UnknownVariants(IReadOnlyList<string> Skus) : Refusal;

    /// <summary>Attributes that a published listing of its category must have.</summary>
    public sealed record Incomplete(IReadOnlyList<string> Missing) : Refusal;

    public sealed record IdsTaken(IReadOnlyList<Guid> ProductIds) : Refusal;

    /// <summary>An order of pictures that are not all of the listing's and no others.</summary>
    public sealed record OtherPictures : Refusal;
}

public enum Change
{
    Done,

    /// <summary>It was so already.</summary>
    Nothing,

    /// <summary>Unknown, deleted or somebody else's: all the same to who asks.</summary>
    NotYours,

    /// <summary>Changed since the revision it was based on.</summary>
    Stale,

    Refused,
}

public sealed record Changed(Change Verdict, Listing? Listing = null, Refusal? Refusal = null);

public sealed record Created(IReadOnlyList<Listing> Listings, Refusal? Refusal = null);

public sealed record Page(IReadOnlyList<Listing> Items, string? Next);

/// <summary>A listing's row under its lock, as a change finds it.</summary>
public sealed record Standing(
    Guid SellerId, long Revision, string Status, Guid? DocumentId, string? DocumentHash, bool HasVariantsOrSku, IReadOnlyList<string> Missing);

public sealed class ListingStore(NpgsqlDataSource database, CategoryStore categories, AttributeDocuments documents, OutboxSignal outbox, TimeProvider time)
{
    // One statement, one snapshot: a listing is never read with the variants or pictures of another revision.
    private const string Columns = """
        product_id, revision, seller_id, seller_name, title, description, brand, category, price_minor, currency, image_url, listed_at,
        status, sku, option_names, facets, document_id, rating_average, rating_count, rating_version, deleted_at IS NOT NULL,
        CASE WHEN cardinality(option_names) > 0 THEN
            (SELECT json_agg(json_build_object('id', variant_id, 'sku', v.sku, 'values', option_values, 'minor', v.price_minor) ORDER BY place)
             FROM variants v WHERE v.product_id = listings.product_id AND v.deleted_at IS NULL) END,
        (SELECT json_agg(json_build_object('imageId', image_id, 'status', i.status, 'reason', reason, 'renditions', renditions) ORDER BY place, image_id)
         FROM listing_images i WHERE i.product_id = listings.product_id AND removed_at IS NULL),
        document_hash
        """;

    /// <summary>By its id or by that of one of its variants; a draft only for its seller. Without its attributes: see <see cref="ListingReader"/>.</summary>
    public async Task<Listing?> FindAsync(Guid productId, SellerId? seller, CancellationToken ct)
    {
        var tree = await categories.TreeAsync(ct);
        await using var select = database.CreateCommand($"""
            SELECT {Columns} FROM listings
            WHERE product_id = coalesce((SELECT product_id FROM variants WHERE variant_id = $1 AND deleted_at IS NULL), $1)
              AND deleted_at IS NULL AND (status = 'published' OR seller_id = $2) AND ($2::uuid IS NULL OR seller_id = $2)
            """);
        select.Parameters.Add(new() { Value = productId });
        select.Parameters.Add(new() { Value = (object?)seller?.Value ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Uuid });
        await using var reader = await select.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? Read(reader, tree) : null;
    }

    /// <summary>
    /// What is published, newest first. Of a category and all below it the newest of each shelf are merged, each from the index in its
    /// order: as many rows are read as the page has for every shelf, however many listings there are.
    /// </summary>
    public async Task<Page> PageAsync(string? category, Guid? seller, (DateTimeOffset ListedAt, Guid ProductId)? after, int limit, CancellationToken ct)
    {
        var tree = category is null ? await categories.TreeAsync(ct) : await categories.TreeWithAsync(category, ct);
        if (category is not null && tree.Find(category) is null)
            return new Page([], null);

        // The text is put together from constants, so that each combination has the plan of its own index.
        await using var select = database.CreateCommand();
        var where = "deleted_at IS NULL AND status = 'published'";
        if (seller is { } sellerId)
            where += $" AND seller_id = {Parameter(select, sellerId)}";
        if (after is { } last)
            where += $" AND (listed_at, product_id) < ({Parameter(select, last.ListedAt.ToUniversalTime())}, {Parameter(select, last.ProductId)})";
        var rows = Parameter(select, limit + 1);

        const string newestFirst = "ORDER BY listed_at DESC, product_id DESC";
        if (category is not null && tree.Subtree(category) is { Count: > 1 } shelves)
        {
            select.CommandText = $"""
                WITH page AS (
                    SELECT listed_at, product_id FROM unnest({Parameter(select, shelves.ToArray())}) AS shelf (code) CROSS JOIN LATERAL (
                        SELECT listed_at, product_id FROM listings WHERE category = shelf.code AND {where} {newestFirst} LIMIT {rows}) AS newest
                    {newestFirst} LIMIT {rows})
                SELECT {Columns} FROM listings WHERE product_id IN (SELECT product_id FROM page) {newestFirst}
                """;
        }
        else
        {
            if (category is not null)
                where += $" AND category = {Parameter(select, category)}";
            select.CommandText = $"SELECT {Columns} FROM listings WHERE {where} {newestFirst} LIMIT {rows}";
        }

        return await PageAsync(select, tree, limit, ct);
    }

    /// <summary>What is published, by id, for an index that is built anew. The page ends early where its descriptions come to <paramref name="mostText"/> characters.</summary>
    public async Task<IReadOnlyList<Listing>> AllAsync(Guid? after, int limit, int mostText, CancellationToken ct)
    {
        var tree = await categories.TreeAsync(ct);
        await using var select = database.CreateCommand($"""
            SELECT {Columns} FROM listings WHERE product_id > $1 AND deleted_at IS NULL AND status = 'published' ORDER BY product_id LIMIT $2
            """);
        select.Parameters.Add(new() { Value = after ?? Guid.Empty });
        select.Parameters.Add(new() { Value = limit });
        await using var reader = await select.ExecuteReaderAsync(ct);
        var listings = new List<Listing>(limit);
        for (var text = 0; text < mostText && await reader.ReadAsync(ct); text += listings[^1].Description.Length)
            listings.Add(Read(reader, tree));
        return listings;
    }

    /// <summary>A seller's own, drafts with them, newest first.</summary>
    public async Task<Page> PageOfAsync(SellerId seller, string? status, (DateTimeOffset ListedAt, Guid ProductId)? after, int limit, CancellationToken ct)
    {
        await using var select = database.CreateCommand();
        var where = $"deleted_at IS NULL AND seller_id = {Parameter(select, seller.Value)}";
        if (status is not null)
            where += $" AND status = {Parameter(select, status)}";
        if (after is { } last)
            where += $" AND (listed_at, product_id) < ({Parameter(select, last.ListedAt.ToUniversalTime())}, {Parameter(select, last.ProductId)})";
        select.CommandText = $"SELECT {Columns} FROM listings WHERE {where} ORDER BY listed_at DESC, product_id DESC LIMIT {Parameter(select, limit + 1)}";
        return await PageAsync(select, await categories.TreeAsync(ct), limit, ct);
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
        var wanted = products.Select(product => (ProductId: product.ProductId ?? Guid.CreateVersion7(now), product.Text)).ToList();
        var written = await WriteDocumentsAsync(wanted, ct);

        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        var inserted = await InsertAsync(tx, seller, sellerName, wanted, written, now, ct);
        var added = wanted.Where(listing => inserted.Contains(listing.ProductId)).ToList();
        if (await VariantSql.AddAsync(tx, seller.Value, added, now, ct) is { } refusal)
            return new Created([], refusal);

        await documents.MoveAsync(tx, [.. added.Where(listing => written.ContainsKey(listing.ProductId)).Select(listing => written[listing.ProductId])], [], ct);
        var found = await LoadAsync(tx, [.. wanted.Select(listing => listing.ProductId)], ct);
        var taken = wanted.Where(listing => !inserted.Contains(listing.ProductId) && !(found.TryGetValue(listing.ProductId, out var there) && IsSame(there, seller, listing.Text)))
            .Select(listing => listing.ProductId).ToList();
        if (taken.Count > 0)
            return new Created([], new Refusal.IdsTaken(taken));

        var listings = wanted.Select(listing => found[listing.ProductId].Listing with { Attributes = Shown(listing.Text) }).ToList();
        await CommitAsync(tx, [.. listings.Where(listing => inserted.Contains(listing.ProductId) && listing.IsPublished).Select(listing => ((DomainEvent)listing.ToEvent(), listing.ProductId))], ct);
        return new Created(listings);
    }

    /// <summary>Replaces what is said of a listing, its attributes and its variants; pictures and rating stay.</summary>
    public async Task<Changed> ChangeAsync(SellerId seller, Guid productId, long? basedOn, ListingText text, string sellerName, CancellationToken ct)
    {
        while (true)
        {
            // Looked at first, so that the usual refusals leave no document behind; decided under the lock.
            if (await PeekAsync(seller, productId, ct) is not { } seen)
                return new Changed(Change.NotYours);
            if (basedOn is { } based && based != seen.Revision)
                return new Changed(Change.Stale);

            var keeps = seen.DocumentHash == text.Attributes.Hash;
            var document = keeps ? seen.DocumentId : await documents.WriteAsync(productId, text.Attributes.Values, ct);
            var overtaken = false;
            var changed = await ApplyAsync(seller, productId, basedOn, async (tx, stands) =>
            {
                if (keeps && stands.DocumentId != document)
                {
                    overtaken = true;                           // another change let go of the document that was to be kept
                    return new Changed(Change.Stale);
                }

                if ((text.Status ?? stands.Status) == ListingStatus.Published && text.Attributes.Missing.Count > 0)
                    return new Changed(Change.Refused, Refusal: new Refusal.Incomplete(text.Attributes.Missing));

                await UpdateAsync(tx, productId, text, document, sellerName, ct);
                if (!keeps)
                    await documents.MoveAsync(tx, document is { } taken ? [taken] : [], stands.DocumentId is { } left ? [left] : [], ct);
                if ((stands.HasVariantsOrSku || text.Sku is not null || text.Variants.Count > 0)
                    && await VariantSql.ReplaceAsync(tx, seller.Value, productId, text, time.GetUtcNow(), ct) is { } refusal)
                {
                    return new Changed(Change.Refused, Refusal: refusal);
                }

                return new Changed(Change.Done);
            }, ct);

            if (!overtaken)
                return changed.Listing is { } listing ? changed with { Listing = listing with { Attributes = Shown(text) } } : changed;
        }
    }

    public Task<Changed> PublishAsync(SellerId seller, Guid productId, long? basedOn, CancellationToken ct) => ApplyAsync(seller, productId, basedOn, async (tx, stands) =>
    {
        if (stands.Status == ListingStatus.Published)
            return new Changed(Change.Nothing);
        if (stands.Missing.Count > 0)
            return new Changed(Change.Refused, Refusal: new Refusal.Incomplete(stands.Missing));
        await SetStatusAsync(tx, productId, ListingStatus.Published, ct);
        return new Changed(Change.Done);
    }, ct);

    public Task<Changed> UnpublishAsync(SellerId seller, Guid productId, long? basedOn, CancellationToken ct) => ApplyAsync(seller, productId, basedOn, async (tx, stands) =>
    {
        if (stands.Status == ListingStatus.Draft)
            return new Changed(Change.Nothing);
        await SetStatusAsync(tx, productId, ListingStatus.Draft, ct);
        return new Changed(Change.Done);
    }, ct);

    public Task<Changed> DeleteAsync(SellerId seller, Guid productId, long? basedOn, CancellationToken ct) => ApplyAsync(seller, productId, basedOn, async (tx, stands) =>
    {
        var now = time.GetUtcNow();
        await using var delete = new NpgsqlCommand("UPDATE listings SET deleted_at = $2, updated_at = $2, revision = revision + 1, document_id = NULL, document_hash = NULL WHERE product_id = $1", tx.Connection, tx)
        {
            Parameters = { new() { Value = productId }, new() { Value = now } },
        };
        await delete.ExecuteNonQueryAsync(ct);
        await VariantSql.RemoveAsync(tx, productId, now, ct);
        await documents.MoveAsync(tx, [], stands.DocumentId is { } left ? [left] : [], ct);
        return new Changed(Change.Done);
    }, ct);

    /// <summary>
    /// The one way a listing that exists changes: its row is locked, the change made with a raise of the revision, and the event left, in one
    /// transaction. <paramref name="seller"/> is null for what other services tell, which then is no seller's to refuse. With
    /// <paramref name="eventId"/> a second delivery changes nothing.
    /// </summary>
    public async Task<Changed> ApplyAsync(
        SellerId? seller, Guid productId, long? basedOn, Func<NpgsqlTransaction, Standing, Task<Changed>> change, CancellationToken ct, Guid? eventId = null)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var tx = await connection.BeginTransactionAsync(ct);
        if (eventId is { } id && !await Inbox.FirstTimeAsync(tx, id, ct))
            return new Changed(Change.Nothing);

        await using var locked = new NpgsqlCommand($"{StandingOf} FOR NO KEY UPDATE", connection, tx);
        if (await StandsAsync(locked, seller, productId, ct) is not { } stands)
            return new Changed(Change.NotYours);
        if (basedOn is { } based && based != stands.Revision)
            return new Changed(Change.Stale);

        var verdict = await change(tx, stands);
        if (verdict.Verdict == Change.Nothing)
        {
            var unchanged = (await LoadAsync(tx, [productId], ct))[productId].Listing;
            await tx.CommitAsync(ct);                           // what was heard stays heard
            return verdict with { Listing = unchanged };
        }

        if (verdict.Verdict != Change.Done)
            return verdict;

        var (listing, deleted) = (await LoadAsync(tx, [productId], ct))[productId];
        DomainEvent? told = deleted ? new ProductDeleted(productId, listing.Revision, listing.SellerId)
            : listing.IsPublished ? listing.ToEvent()
            : stands.Status == ListingStatus.Published ? new ProductUnpublished(productId, listing.Revision, listing.SellerId)
            : null;
        await CommitAsync(tx, told is null ? [] : [(told, productId)], ct);
        return new Changed(Change.Done, listing);
    }

    private const string StandingOf = """
        SELECT seller_id, revision, status, document_id, document_hash, cardinality(option_names) > 0 OR sku IS NOT NULL, missing_attributes FROM listings
        WHERE product_id = $1 AND deleted_at IS NULL AND ($2::uuid IS NULL OR seller_id = $2)
        """;

    private async Task<Standing?> PeekAsync(SellerId seller, Guid productId, CancellationToken ct)
    {
        await using var select = database.CreateCommand(StandingOf);
        return await StandsAsync(select, seller, productId, ct);
    }

    private static async Task<Standing?> StandsAsync(NpgsqlCommand select, SellerId? seller, Guid productId, CancellationToken ct)
    {
        select.Parameters.Add(new() { Value = productId });
        select.Parameters.Add(new() { Value = (object?)seller?.Value ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Uuid });
        await using var row = await select.ExecuteReaderAsync(ct);
        return await row.ReadAsync(ct)
            ? new Standing(
                row.GetGuid(0), row.GetInt64(1), row.GetString(2), row.IsDBNull(3) ? null : row.GetGuid(3), row.IsDBNull(4) ? null : row.GetString(4), row.GetBoolean(5),
                row.GetFieldValue<string[]>(6))
            : null;
    }

    private async Task CommitAsync(NpgsqlTransaction tx, IReadOnlyList<(DomainEvent Event, Guid ProductId)> events, CancellationToken ct)
    {
        await Outbox.AddAsync(tx, events, ct);
        await tx.CommitAsync(ct);
        if (events.Count > 0)
            outbox.Notify();
    }

    private async Task<Dictionary<Guid, Guid>> WriteDocumentsAsync(List<(Guid ProductId, ListingText Text)> wanted, CancellationToken ct)
    {
        var withAttributes = wanted.Where(listing => listing.Text.Attributes.Hash is not null).ToList();
        if (withAttributes.Count == 0)
            return [];

        var ids = await documents.WriteAsync([.. withAttributes.Select(listing => new AttributeDocument(listing.ProductId, listing.Text.Attributes.Values))], ct);
        return withAttributes.Zip(ids).ToDictionary(pair => pair.First.ProductId, pair => pair.Second);
    }

    internal static async Task<HashSet<Guid>> InsertAsync(
        NpgsqlTransaction tx, SellerId seller, string sellerName, List<(Guid ProductId, ListingText Text)> wanted, Dictionary<Guid, Guid> written, DateTimeOffset now, CancellationToken ct)
    {
        // Ordered, so that two requests with the same ids wait for each other instead of dead-locking. A variant's id is no listing's.
        // The name as it is now and until this commits: a rename waits, and then finds these listings too.
        await using var insert = new NpgsqlCommand("""
            INSERT INTO listings (product_id, seller_id, seller_name, title, description, brand, category, price_minor, currency, image_url, listed_at, updated_at,
                                  status, sku, option_names, facets, document_id, document_hash)
            SELECT product_id, $2, coalesce((SELECT name FROM sellers WHERE seller_id = $2 FOR SHARE), $3), title, description, brand, category, price_minor, currency, image_url, $11, $11,
                   status, sku, ARRAY(SELECT jsonb_array_elements_text(option_names::jsonb)), facets::jsonb, document_id, document_hash
            FROM unnest($1, $4, $5, $6, $7, $8, $9, $10, $12, $13, $14, $15, $16, $17)
                 AS row (product_id, title, description, brand, category, price_minor, currency, image_url, status, sku, option_names, facets, document_id, document_hash)
            WHERE NOT EXISTS (SELECT 1 FROM variants WHERE variant_id = row.product_id)
            ORDER BY product_id
            ON CONFLICT (product_id) DO NOTHING
            RETURNING product_id
            """, tx.Connection, tx)
        {
            Parameters =
            {
                new() { Value = wanted.Select(listing => listing.ProductId).ToArray() },
                new() { Value = seller.Value },
                new() { Value = sellerName },
                new() { Value = wanted.Select(listing => listing.Text.Title).ToArray() },
                new() { Value = wanted.Select(listing => listing.Text.Description).ToArray() },
                new() { Value = wanted.Select(listing => listing.Text.Brand).ToArray() },
                new() { Value = wanted.Select(listing => listing.Text.Category).ToArray() },
                new() { Value = wanted.Select(listing => listing.Text.Price.Minor).ToArray() },
                new() { Value = wanted.Select(listing => listing.Text.Price.Currency).ToArray() },
                Texts(wanted.Select(listing => listing.Text.ImageUrl)),
                new() { Value = now },
                new() { Value = wanted.Select(listing => listing.Text.Status ?? ListingStatus.Published).ToArray() },
                Texts(wanted.Select(listing => listing.Text.Sku)),
                new() { Value = wanted.Select(listing => JsonSerializer.Serialize(listing.Text.OptionNames)).ToArray() },
                new() { Value = wanted.Select(listing => FacetsJson(listing.Text)).ToArray() },
                new() { Value = wanted.Select(listing => written.TryGetValue(listing.ProductId, out var document) ? document : (Guid?)null).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Uuid },
                Texts(wanted.Select(listing => listing.Text.Attributes.Hash)),
            },
        };
        var inserted = new HashSet<Guid>();
        await using (var reader = await insert.ExecuteReaderAsync(ct))
        {
            while (await reader.ReadAsync(ct))
                inserted.Add(reader.GetGuid(0));
        }

        foreach (var (productId, text) in wanted.Where(listing => inserted.Contains(listing.ProductId) && listing.Text.Attributes.Missing.Count > 0))
        {
            await using var note = new NpgsqlCommand("UPDATE listings SET missing_attributes = $2 WHERE product_id = $1", tx.Connection, tx);
            note.Parameters.Add(new() { Value = productId });
            note.Parameters.Add(new() { Value = text.Attributes.Missing.ToArray() });
            await note.ExecuteNonQueryAsync(ct);
        }

        return inserted;

        static NpgsqlParameter Texts(IEnumerable<string?> texts) => new() { Value = texts.ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text };
    }

    private async Task UpdateAsync(NpgsqlTransaction tx, Guid productId, ListingText text, Guid? document, string sellerName, CancellationToken ct)
    {
        await using var update = new NpgsqlCommand("""
            UPDATE listings SET title = $2, description = $3, brand = $4, category = $5, price_minor = $6, currency = $7, image_url = $8,
                                seller_name = coalesce((SELECT name FROM sellers WHERE sellers.seller_id = listings.seller_id FOR SHARE), $9),
                                status = coalesce($10, status), sku = $11, option_names = $12, facets = $13::jsonb, document_id = $14, document_hash = $15, missing_attributes = $16,
                                revision = revision + 1, updated_at = $17
            WHERE product_id = $1
            """, tx.Connection, tx)
        {
            Parameters =
            {
                new() { Value = productId },
                new() { Value = text.Title },
                new() { Value = text.Description },
                new() { Value = text.Brand },
                new() { Value = text.Category },
                new() { Value = text.Price.Minor },
                new() { Value = text.Price.Currency },
                new() { Value = (object?)text.ImageUrl ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text },
                new() { Value = sellerName },
                new() { Value = (object?)text.Status ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text },
                new() { Value = (object?)text.Sku ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text },
                new() { Value = text.OptionNames.ToArray() },
                new() { Value = FacetsJson(text) },
                new() { Value = (object?)document ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Uuid },
                new() { Value = (object?)text.Attributes.Hash ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text },
                new() { Value = text.Attributes.Missing.ToArray() },
                new() { Value = time.GetUtcNow() },
            },
        };
        await update.ExecuteNonQueryAsync(ct);
    }

    private async Task SetStatusAsync(NpgsqlTransaction tx, Guid productId, string status, CancellationToken ct)
    {
        await using var update = new NpgsqlCommand("UPDATE listings SET status = $2, revision = revision + 1, updated_at = $3 WHERE product_id = $1", tx.Connection, tx);
        update.Parameters.Add(new() { Value = productId });
        update.Parameters.Add(new() { Value = status });
        update.Parameters.Add(new() { Value = time.GetUtcNow() });
        await update.ExecuteNonQueryAsync(ct);
    }

    internal async Task<Dictionary<Guid, (Listing Listing, bool Deleted)>> LoadAsync(NpgsqlTransaction tx, Guid[] productIds, CancellationToken ct)
    {
        var tree = await categories.TreeAsync(ct);
        await using var select = new NpgsqlCommand($"SELECT {Columns} FROM listings WHERE product_id = ANY($1)", tx.Connection, tx) { Parameters = { new() { Value = productIds } } };
        await using var reader = await select.ExecuteReaderAsync(ct);
        var found = new Dictionary<Guid, (Listing, bool)>();
        while (await reader.ReadAsync(ct))
            found[reader.GetGuid(0)] = (Read(reader, tree), reader.GetBoolean(20));
        return found;
    }

    private static async Task<Page> PageAsync(NpgsqlCommand select, CategoryTree tree, int limit, CancellationToken ct)
    {
        await using var reader = await select.ExecuteReaderAsync(ct);
        var listings = new List<Listing>(limit);
        while (await reader.ReadAsync(ct))
        {
            if (listings.Count == limit)
                return new Page(listings, Cursor.Encode(listings[^1].ListedAt, listings[^1].ProductId));
            listings.Add(Read(reader, tree));
        }

        return new Page(listings, null);
    }

    private static string Parameter(NpgsqlCommand command, object value)
    {
        command.Parameters.Add(new() { Value = value });
        return $"${command.Parameters.Count}";
    }

    private static bool IsSame((Listing Listing, bool Deleted) there, SellerId seller, ListingText text) => there is { Deleted: false, Listing: var listing }
        && listing.SellerId == seller.Value
        && (listing.Title, listing.Description, listing.Brand, listing.Category, listing.Price, listing.Sku, listing.Status)
            == (text.Title, text.Description, text.Brand, text.Category, text.Price, text.Sku, text.Status ?? ListingStatus.Published)
        && (listing.ImageUrl == text.ImageUrl || (text.ImageUrl is null && listing.Images.Count > 0))
        && listing.DocumentHash == text.Attributes.Hash
        && listing.OptionNames.SequenceEqual(text.OptionNames)
        && listing.Variants.Select(variant => (variant.Sku, variant.Price.Minor, string.Join('\0', variant.Options.Select(option => option.Value))))
            .SequenceEqual(text.Variants.Select(variant => (variant.Sku, variant.PriceMinor, string.Join('\0', variant.Values))));

    private static IReadOnlyDictionary<string, JsonElement>? Shown(ListingText text) => text.Attributes.Hash is null ? null : text.Attributes.Values;

    private static string FacetsJson(ListingText text) => JsonSerializer.Serialize(text.Attributes.Facets, JsonSerializerOptions.Web);

    private static Listing Read(NpgsqlDataReader row, CategoryTree tree)
    {
        var currency = row.GetString(9);
        var optionNames = row.GetFieldValue<string[]>(14);
        var category = row.GetString(7);
        IReadOnlyList<string> path = tree.Find(category)?.Path ?? [category];
        IReadOnlyList<StoredVariant> variants = row.IsDBNull(21) ? [] : JsonSerializer.Deserialize<List<StoredVariant>>(row.GetString(21), JsonSerializerOptions.Web)!;
        IReadOnlyList<ListingImage> images = row.IsDBNull(22) ? [] : JsonSerializer.Deserialize<List<ListingImage>>(row.GetString(22), JsonSerializerOptions.Web)!;
        return new Listing(
            row.GetGuid(0),
            row.GetInt64(1),
            row.GetGuid(2),
            row.GetString(3),
            row.GetString(4),
            row.GetString(5),
            row.GetString(6),
            category,
            new Money(row.GetInt64(8), currency),
            row.IsDBNull(10) ? images.Select(image => image.Cover).FirstOrDefault(cover => cover is not null) : row.GetString(10),
            row.GetFieldValue<DateTimeOffset>(11),
            row.GetString(12),
            row.IsDBNull(13) ? null : row.GetString(13),
            path,
            [.. path.Select(code => tree.Find(code)?.Name ?? code)],
            row.GetString(15) is "[]" ? [] : JsonSerializer.Deserialize<List<ListingAttribute>>(row.GetString(15), JsonSerializerOptions.Web)!,
            optionNames,
            [.. variants.Select(variant => new ListingVariant(
                variant.Id, variant.Sku, [.. optionNames.Zip(variant.Values, (name, value) => new ListingAttribute(name, value))], new Money(variant.Minor, currency)))],
            images,
            row.GetInt32(18) > 0 ? new ListingRating(row.GetDouble(17), row.GetInt32(18), row.GetInt64(19)) : null)
        {
            DocumentId = row.IsDBNull(16) ? null : row.GetGuid(16),
            DocumentHash = row.IsDBNull(23) ? null : row.GetString(23),
        };
    }

    private sealed record StoredVariant(Guid Id, string Sku, IReadOnlyList<string> Values, long Minor);
}
