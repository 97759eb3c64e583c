using System.Text.Json;
using Marketplace.Catalog.Listings;
using Npgsql;

namespace Marketplace.Catalog.Variants;

/// <summary>Variants and SKUs are written with their listing, in its transaction and under the lock of its row.</summary>
internal static class VariantSql
{
    /// <summary>
    /// Makes a listing's variants those of its text. One that is sent with an id, or else with a known SKU, keeps its id; the living come
    /// before the removed.
    /// </summary>
    public static async Task<Refusal?> ReplaceAsync(NpgsqlTransaction tx, Guid sellerId, Guid productId, ListingText text, DateTimeOffset now, CancellationToken ct)
    {
        var known = await KnownAsync(tx, productId, ct);
        var (variants, refusal) = Identify(text.Variants, known, () => Guid.CreateVersion7(now));
        if (refusal is not null)
            return refusal;

        await using (var remove = new NpgsqlCommand(
            "UPDATE variants SET deleted_at = $3 WHERE product_id = $1 AND deleted_at IS NULL AND variant_id <> ALL($2)", tx.Connection, tx))
        {
            remove.Parameters.Add(new() { Value = productId });
            remove.Parameters.Add(new() { Value = variants.Select(variant => variant.Id).ToArray() });
            remove.Parameters.Add(new() { Value = now });
            await remove.ExecuteNonQueryAsync(ct);
        }

        await using (var free = new NpgsqlCommand("DELETE FROM skus WHERE product_id = $1", tx.Connection, tx) { Parameters = { new() { Value = productId } } })
            await free.ExecuteNonQueryAsync(ct);
        return await WriteAsync(tx, sellerId, [(productId, text, variants)], ct);
    }

    /// <summary>Those of listings that are new.</summary>
    public static Task<Refusal?> AddAsync(NpgsqlTransaction tx, Guid sellerId, IReadOnlyList<(Guid ProductId, ListingText Text)> listings, DateTimeOffset now, CancellationToken ct) =>
        WriteAsync(tx, sellerId, [.. listings.Select(listing => (listing.ProductId, listing.Text, Fresh(listing.Text.Variants, now)))], ct);

    /// <summary>A listing is deleted: nothing of it can be bought, and its SKUs are free again.</summary>
    public static async Task RemoveAsync(NpgsqlTransaction tx, Guid productId, DateTimeOffset now, CancellationToken ct)
    {
        await using var batch = new NpgsqlBatch(tx.Connection, tx)
        {
            BatchCommands =
            {
                new("UPDATE variants SET deleted_at = $2 WHERE product_id = $1 AND deleted_at IS NULL") { Parameters = { new() { Value = productId }, new() { Value = now } } },
                new("DELETE FROM skus WHERE product_id = $1") { Parameters = { new() { Value = productId } } },
            },
        };
        await batch.ExecuteNonQueryAsync(ct);
    }

    internal static (IReadOnlyList<(Guid Id, WantedVariant Wanted)> Variants, Refusal? Refusal) Identify(
        IReadOnlyList<WantedVariant> wanted, IReadOnlyList<KnownVariant> known, Func<Guid> fresh)
    {
        if (wanted.Where(variant => variant.VariantId is { } id && known.All(one => one.Id != id)).Select(variant => variant.Sku).ToList() is { Count: > 0 } strangers)
            return ([], new Refusal.UnknownVariants(strangers));

        var taken = wanted.Select(variant => variant.VariantId).OfType<Guid>().ToHashSet();
        var variants = new List<(Guid, WantedVariant)>(wanted.Count);
        foreach (var variant in wanted)
        {
            var id = variant.VariantId
                ?? known.Where(one => one.Sku == variant.Sku && !taken.Contains(one.Id)).OrderBy(one => one.Removed).Select(one => (Guid?)one.Id).FirstOrDefault()
                ?? fresh();
            taken.Add(id);
            variants.Add((id, variant));
        }

        return (variants, null);
    }

    private static List<(Guid, WantedVariant)> Fresh(IReadOnlyList<WantedVariant> wanted, DateTimeOffset now) =>
        [.. wanted.Select(variant => (Guid.CreateVersion7(now), variant))];

    private static async Task<List<KnownVariant>> KnownAsync(NpgsqlTransaction tx, Guid productId, CancellationToken ct)
    {
        await using var select = new NpgsqlCommand("SELECT variant_id, sku, deleted_at IS NOT NULL FROM variants WHERE product_id = $1 ORDER BY deleted_at DESC NULLS FIRST", tx.Connection, tx)
        {
            Parameters = { new() { Value = productId } },
        };
        await using var reader = await select.ExecuteReaderAsync(ct);
        var known = new List<KnownVariant>();
        while (await reader.ReadAsync(ct))
            known.Add(new KnownVariant(reader.GetGuid(0), reader.GetString(1), reader.GetBoolean(2)));
        return known;
    }

    private static async Task<Refusal?> WriteAsync(
        NpgsqlTransaction tx, Guid sellerId, IReadOnlyList<(Guid ProductId, ListingText Text, IReadOnlyList<(Guid Id, WantedVariant Wanted)> Variants)> listings, CancellationToken ct)
    {
        var rows = listings.SelectMany(listing => listing.Variants.Select((variant, place) => (listing.ProductId, variant.Id, variant.Wanted, Place: (short)place))).ToArray();
        if (rows.Length > 0)
        {
            await using var upsert = new NpgsqlCommand("""
                INSERT INTO variants (variant_id, product_id, sku, option_values, price_minor, place)
                SELECT variant_id, product_id, sku, ARRAY(SELECT jsonb_array_elements_text(option_values::jsonb)), price_minor, place
                FROM unnest($1, $2, $3, $4, $5, $6) AS row (variant_id, product_id, sku, option_values, price_minor, place)
                ON CONFLICT (variant_id) DO UPDATE SET sku = excluded.sku, option_values = excluded.option_values, price_minor = excluded.price_minor,
                                                       place = excluded.place, deleted_at = NULL
                """, tx.Connection, tx)
            {
                Parameters =
                {
                    new() { Value = rows.Select(row => row.Id).ToArray() },
                    new() { Value = rows.Select(row => row.ProductId).ToArray() },
                    new() { Value = rows.Select(row => row.Wanted.Sku).ToArray() },
                    new() { Value = rows.Select(row => JsonSerializer.Serialize(row.Wanted.Values)).ToArray() },
                    new() { Value = rows.Select(row => row.Wanted.PriceMinor).ToArray() },
                    new() { Value = rows.Select(row => row.Place).ToArray() },
                },
            };
            await upsert.ExecuteNonQueryAsync(ct);
        }

        var skus = listings.Where(listing => listing.Text.Sku is not null).Select(listing => (Sku: listing.Text.Sku!, listing.ProductId, VariantId: (Guid?)null))
            .Concat(rows.Select(row => (row.Wanted.Sku, row.ProductId, VariantId: (Guid?)row.Id)))
            .OrderBy(sku => sku.Sku, StringComparer.Ordinal).ToArray();
        if (skus.Length == 0)
            return null;

        // In order, so that two requests with the same SKUs wait for each other instead of dead-locking.
        await using var claim = new NpgsqlCommand("""
            INSERT INTO skus (seller_id, sku, product_id, variant_id)
            SELECT $1, sku, product_id, variant_id FROM unnest($2, $3, $4) WITH ORDINALITY AS row (sku, product_id, variant_id, place) ORDER BY place
            ON CONFLICT DO NOTHING
            RETURNING sku
            """, tx.Connection, tx)
        {
            Parameters =
            {
                new() { Value = sellerId },
                new() { Value = skus.Select(sku => sku.Sku).ToArray() },
                new() { Value = skus.Select(sku => sku.ProductId).ToArray() },
                new() { Value = skus.Select(sku => sku.VariantId).ToArray() },
            },
        };
        var free = new List<string>();
        await using var reader = await claim.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            free.Add(reader.GetString(0));
        return free.Count == skus.Length
            ? null
            : new Refusal.SkusTaken([.. skus.GroupBy(sku => sku.Sku, StringComparer.Ordinal).Where(same => same.Count() > 1 || !free.Contains(same.Key)).Select(same => same.Key)]);
    }

    internal readonly record struct KnownVariant(Guid Id, string Sku, bool Removed);
}
