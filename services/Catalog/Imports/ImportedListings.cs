using System.Text.Json;
using Marketplace.Catalog.Attributes;
using Marketplace.Catalog.Categories;
using Marketplace.Catalog.Listings;
using Marketplace.Catalog.Variants;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Catalog.Imports;

/// <summary>Another request got in between; the same once more finds how things stand now.</summary>
public sealed class OvertakenException(string message) : Exception(message);

/// <summary>
/// Rows of a file become listings, many with few statements. A row finds its listing by its SKU (or the product id); what it says
/// is laid over what is there; what is then as before is not touched: no revision, no event.
/// </summary>
public sealed class ImportedListings(ListingStore listings, CategoryStore categories, AttributeDocuments documents, TimeProvider time)
{
    public async Task<Stored> StoreAsync(NpgsqlTransaction tx, SellerId seller, string sellerName, IReadOnlyList<ImportedRow> rows, CancellationToken ct)
    {
        var stored = Stored.Nothing;
        foreach (var wave in Waves(rows))
        {
            var some = await StoreOnceEachAsync(tx, seller, sellerName, wave, ct);
            stored = new Stored(
                stored.Created + some.Created, stored.Updated + some.Updated, stored.Unchanged + some.Unchanged, stored.Failed + some.Failed, [.. stored.Errors, .. some.Errors]);
        }

        return stored;
    }

    // Of two rows with one key the later counts last, as if they had come in two files.
    private static List<List<ImportedRow>> Waves(IReadOnlyList<ImportedRow> rows)
    {
        var waves = new List<List<ImportedRow>> { new(rows.Count) };
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var row in rows)
        {
            if (!seen.Add(row.ProductId is { } id ? $"id {id}" : $"sku {row.Sku}") | (row is { ProductId: not null, Sku.Length: > 0 } && !seen.Add($"sku {row.Sku}")))
            {
                seen = new HashSet<string>(StringComparer.Ordinal) { row.ProductId is { } again ? $"id {again}" : $"sku {row.Sku}", $"sku {row.Sku}" };
                waves.Add([]);
            }

            waves[^1].Add(row);
        }

        return waves;
    }

    private async Task<Stored> StoreOnceEachAsync(NpgsqlTransaction tx, SellerId seller, string sellerName, List<ImportedRow> rows, CancellationToken ct)
    {
        var tree = await categories.TreeAsync(ct);
        var owners = await OwnersAsync(tx, seller, rows, ct);
        var standing = await LockAsync(
            tx, seller, [.. owners.Values.Select(owner => owner.ProductId).Concat(rows.SelectMany(row => (Guid?[])[row.ProductId, Id(row.VariantOf)]).OfType<Guid>()).Distinct()], ct);
        var (drafts, errors) = Group(rows, owners, standing);
        await KnowValuesAsync(drafts, tree, ct);
        foreach (var draft in drafts)
        {
            draft.Check(tree);
            RefuseTaken(draft, owners);
        }

        var now = time.GetUtcNow();
        now = now.AddTicks(-(now.Ticks % TimeSpan.TicksPerMicrosecond));    // as the column keeps it
        var wanted = drafts.Where(draft => draft.Text is not null && draft.Changes).ToList();
        await WriteAsync(tx, seller, sellerName, wanted, now, ct);

        errors.AddRange(drafts.SelectMany(draft => draft.Errors));
        var (created, updated, unchanged) = (0, 0, 0);
        foreach (var draft in drafts.Where(draft => draft.Text is not null))
        {
            var counted = draft.Count();
            (created, updated, unchanged) = (created + counted.Created, updated + counted.Updated, unchanged + counted.Unchanged);
        }

        return new Stored(created, updated, unchanged, rows.Count - created - updated - unchanged, errors);
    }

    /// <summary>Which listings the SKUs belong to that the rows name.</summary>
    private static async Task<Dictionary<string, Owner>> OwnersAsync(NpgsqlTransaction tx, SellerId seller, List<ImportedRow> rows, CancellationToken ct)
    {
        await using var select = new NpgsqlCommand("SELECT sku, product_id, variant_id FROM skus WHERE seller_id = $1 AND sku = ANY($2)", tx.Connection, tx)
        {
            Parameters = { new() { Value = seller.Value }, new() { Value = rows.SelectMany(row => (string[])[row.Sku, row.VariantOf]).Where(sku => sku.Length > 0).Distinct().ToArray() } },
        };
        await using var reader = await select.ExecuteReaderAsync(ct);
        var owners = new Dictionary<string, Owner>(StringComparer.Ordinal);
        while (await reader.ReadAsync(ct))
            owners[reader.GetString(0)] = new Owner(reader.GetGuid(1), reader.IsDBNull(2) ? null : reader.GetGuid(2));
        return owners;
    }

    /// <summary>The seller's own, locked in the order of their ids: whoever locks several does it so.</summary>
    private async Task<Dictionary<Guid, StandingListing>> LockAsync(NpgsqlTransaction tx, SellerId seller, Guid[] productIds, CancellationToken ct)
    {
        var standing = new Dictionary<Guid, StandingListing>();
        if (productIds.Length == 0)
            return standing;

        var own = new Dictionary<Guid, (string? ImageUrl, string? Hash, string[] Missing)>();
        await using (var select = new NpgsqlCommand("""
            SELECT product_id, image_url, document_hash, missing_attributes FROM listings
            WHERE product_id = ANY($1) AND seller_id = $2 AND deleted_at IS NULL ORDER BY product_id FOR NO KEY UPDATE
            """, tx.Connection, tx) { Parameters = { new() { Value = productIds }, new() { Value = seller.Value } } })
        {
            await using var reader = await select.ExecuteReaderAsync(ct);
            while (await reader.ReadAsync(ct))
                own[reader.GetGuid(0)] = (reader.IsDBNull(1) ? null : reader.GetString(1), reader.IsDBNull(2) ? null : reader.GetString(2), reader.GetFieldValue<string[]>(3));
        }

        foreach (var (id, (listing, _)) in await listings.LoadAsync(tx, [.. own.Keys], ct))
            standing[id] = new StandingListing(listing, own[id].ImageUrl, own[id].Hash, own[id].Missing);
        return standing;
    }

    /// <summary>Rows of one listing together, in the order of the file.</summary>
    private static (List<ListingDraft> Drafts, List<RowError> Errors) Group(
        List<ImportedRow> rows, Dictionary<string, Owner> owners, Dictionary<Guid, StandingListing> standing)
    {
        var groups = new Dictionary<string, (StandingListing? There, List<ImportedRow> Rows)>(StringComparer.Ordinal);
        var fresh = rows.Where(row => row.VariantOf.Length == 0 && row.ProductId is null && !owners.ContainsKey(row.Sku)).Select(row => row.Sku).ToHashSet(StringComparer.Ordinal);
        var errors = new List<RowError>();
        foreach (var row in rows)
        {
            var isVariant = row.VariantOf.Length > 0;
            var sku = isVariant ? row.VariantOf : row.Sku;
            if (isVariant && row.Sku.Length == 0)
                Wrong(row, ImportColumns.Sku, "A variant needs a SKU of its own.");
            else if (isVariant && row.Sku == row.VariantOf)
                Wrong(row, ImportColumns.VariantOf, "A listing is no variant of itself.");
            else if (isVariant && row.ProductId is not null)
                Wrong(row, ImportColumns.ProductId, "A variant is found by its SKU: leave this empty.");
            else if (row.ProductId is { } id)
            {
                if (standing.TryGetValue(id, out var named))
                    Add($"{id}", named, row);
                else
                    Wrong(row, ImportColumns.ProductId, "There is no such listing of yours.");
            }
            else if (owners.TryGetValue(sku, out var owner) && standing.TryGetValue(owner.ProductId, out var there))
            {
                if (owner.VariantId is null)
                    Add($"{owner.ProductId}", there, row);
                else
                    Wrong(row, isVariant ? ImportColumns.VariantOf : ImportColumns.Sku, "This SKU is a variant's. A row about a variant names its listing in variantOf, and a variant has none of its own.");
            }
            else if (isVariant && Id(sku) is { } listingId && standing.TryGetValue(listingId, out var byId))
                Add($"{listingId}", byId, row);
            else if (!isVariant || fresh.Contains(sku))
                Add($"new {sku}", null, row);
            else
                Wrong(row, ImportColumns.VariantOf, "There is no listing with this SKU, neither in your catalogue nor before this row.");
        }

        return ([.. groups.Values.Select(group => new ListingDraft(group.There, group.Rows))], errors);

        void Add(string key, StandingListing? there, ImportedRow row)
        {
            if (!groups.TryGetValue(key, out var group))
                groups[key] = group = (there, []);
            group.Rows.Add(row);
        }

        void Wrong(ImportedRow row, string column, string message) => errors.Add(new RowError(row.Number, row.Line, column, message));
    }

    private async Task KnowValuesAsync(List<ListingDraft> drafts, CategoryTree tree, CancellationToken ct)
    {
        var needy = drafts.Where(draft => draft.There is { } there && ListingDraft.NeedsValues(there, draft.Rows, tree)).ToList();
        if (needy.Count == 0)
            return;
        var found = await documents.ReadAsync([.. needy.Select(draft => draft.There!.Listing.DocumentId!.Value)], ct)
            ?? throw new HttpRequestException("The document store does not answer: attributes cannot be laid over those there are.");
        foreach (var draft in needy)
            draft.Know(found[draft.There!.Listing.DocumentId!.Value]);
    }

    /// <summary>A SKU that is another listing's.</summary>
    private static void RefuseTaken(ListingDraft draft, Dictionary<string, Owner> owners)
    {
        if (draft.Text is null)
            return;
        foreach (var row in draft.Rows)
        {
            if (row.Sku.Length > 0 && owners.TryGetValue(row.Sku, out var owner)
                && (owner.ProductId != draft.There?.Listing.ProductId || (owner.VariantId is null) != (row.VariantOf.Length == 0)))
                draft.Wrong(row, ImportColumns.Sku, "Another listing or variant of yours has this SKU.");
        }

        if (draft.Errors.Count > 0)
            draft.BlameTheOthers();
    }

    private async Task WriteAsync(NpgsqlTransaction tx, SellerId seller, string sellerName, List<ListingDraft> drafts, DateTimeOffset now, CancellationToken ct)
    {
        if (drafts.Count == 0)
            return;

        var fresh = drafts.Where(draft => draft.IsNew).Select(draft => (ProductId: Guid.CreateVersion7(now), Text: draft.Text!)).ToList();
        var changed = drafts.Where(draft => !draft.IsNew).Select(draft => (There: draft.There!, Text: draft.Text!, draft.VariantsChange)).ToList();

        // Documents first, then the rows that point at them; those of a transaction that fails are swept up later.
        var anew = changed.Where(one => one.Text.Attributes.Hash != one.There.DocumentHash).ToList();
        var texts = fresh.Concat(anew.Select(one => (one.There.Listing.ProductId, one.Text))).Where(one => one.Text.Attributes.Hash is not null).ToList();
        var written = texts.Count == 0 ? [] : texts.Zip(await documents.WriteAsync([.. texts.Select(one => new AttributeDocument(one.ProductId, one.Text.Attributes.Values))], ct))
            .ToDictionary(pair => pair.First.ProductId, pair => pair.Second);

        if (fresh.Count > 0)
        {
            await ListingStore.InsertAsync(tx, seller, sellerName, fresh, written, now, ct);
            Expect(await VariantSql.AddAsync(tx, seller.Value, fresh, now, ct));
        }

        if (changed.Count > 0)
            await UpdateAsync(tx, sellerName, changed, written, now, ct);
        foreach (var (there, text, variants) in changed)
        {
            if (variants)
                Expect(await VariantSql.ReplaceAsync(tx, seller.Value, there.Listing.ProductId, text, now, ct));
        }

        await documents.MoveAsync(tx, [.. written.Values], [.. anew.Select(one => one.There.Listing.DocumentId).OfType<Guid>()], ct);
        var stand = await listings.LoadAsync(tx, [.. fresh.Select(one => one.ProductId), .. changed.Select(one => one.There.Listing.ProductId)], ct);
        var were = changed.ToDictionary(one => one.There.Listing.ProductId, one => one.There.Listing.IsPublished);
        await Outbox.AddAsync(tx, [.. stand.Values.Select(one => one.Listing)
            .Select(listing => (Event: listing.IsPublished ? listing.ToEvent()
                : were.GetValueOrDefault(listing.ProductId) ? (DomainEvent?)new ProductUnpublished(listing.ProductId, listing.Revision, listing.SellerId)
                : null, listing.ProductId))
            .Where(told => told.Event is not null).Select(told => (told.Event!, told.ProductId))], ct);
    }

    // Which SKUs are taken was seen before the locks; what was taken since is seen by the next try.
    private static void Expect(Refusal? refusal)
    {
        if (refusal is not null)
            throw new OvertakenException($"Another request took what this import was about to take ({refusal.GetType().Name}).");
    }

    private static async Task UpdateAsync(
        NpgsqlTransaction tx, string sellerName, List<(StandingListing There, ListingText Text, bool Variants)> changed, Dictionary<Guid, Guid> written, DateTimeOffset now, CancellationToken ct)
    {
        await using var update = new NpgsqlCommand("""
            UPDATE listings SET title = row.title, description = row.description, brand = row.brand, category = row.category, price_minor = row.price_minor, image_url = row.image_url,
                                status = row.status, sku = row.sku, option_names = ARRAY(SELECT jsonb_array_elements_text(row.option_names::jsonb)), facets = row.facets::jsonb,
                                document_id = row.document_id, document_hash = row.document_hash,
                                missing_attributes = ARRAY(SELECT jsonb_array_elements_text(row.missing::jsonb)),
                                seller_name = $15, revision = revision + 1, updated_at = $16
            FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
                 AS row (product_id, title, description, brand, category, price_minor, image_url, status, sku, option_names, facets, document_id, document_hash, missing)
            WHERE listings.product_id = row.product_id
            """, tx.Connection, tx)
        {
            Parameters =
            {
                new() { Value = changed.Select(one => one.There.Listing.ProductId).ToArray() },
                new() { Value = changed.Select(one => one.Text.Title).ToArray() },
                new() { Value = changed.Select(one => one.Text.Description).ToArray() },
                new() { Value = changed.Select(one => one.Text.Brand).ToArray() },
                new() { Value = changed.Select(one => one.Text.Category).ToArray() },
                new() { Value = changed.Select(one => one.Text.Price.Minor).ToArray() },
                Texts(changed.Select(one => one.Text.ImageUrl)),
                new() { Value = changed.Select(one => one.Text.Status ?? one.There.Listing.Status).ToArray() },
                Texts(changed.Select(one => one.Text.Sku)),
                new() { Value = changed.Select(one => JsonSerializer.Serialize(one.Text.OptionNames)).ToArray() },
                new() { Value = changed.Select(one => JsonSerializer.Serialize(one.Text.Attributes.Facets, JsonSerializerOptions.Web)).ToArray() },
                new()
                {
                    Value = changed.Select(one => one.Text.Attributes.Hash == one.There.DocumentHash ? one.There.Listing.DocumentId
                        : written.TryGetValue(one.There.Listing.ProductId, out var document) ? document : (Guid?)null).ToArray(),
                    NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Uuid,
                },
                Texts(changed.Select(one => one.Text.Attributes.Hash)),
                new() { Value = changed.Select(one => JsonSerializer.Serialize(one.Text.Attributes.Missing)).ToArray() },
                new() { Value = sellerName },
                new() { Value = now },
            },
        };
        await update.ExecuteNonQueryAsync(ct);

        static NpgsqlParameter Texts(IEnumerable<string?> texts) => new() { Value = texts.ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text };
    }

    private static Guid? Id(string text) => Guid.TryParse(text, out var id) ? id : null;

    private readonly record struct Owner(Guid ProductId, Guid? VariantId);
}
