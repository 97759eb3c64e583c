using System.Text.Json;
using Marketplace.Catalog.Listings;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Npgsql;
using NpgsqlTypes;

namespace Marketplace.Catalog.Pictures;

/// <summary>
/// Pictures of listings as media tells of them, in whatever order its news arrive, and as their seller arranges them. Every change that
/// shows raises the listing's revision.
/// </summary>
public sealed class PictureStore(ListingStore listings, TimeProvider time)
{
    /// <summary>A new picture goes last. One that its seller removed comes back only when it was uploaded after that.</summary>
    public Task<Changed> UploadedAsync(ImageUploaded image, CancellationToken ct) => listings.ApplyAsync(null, image.ProductId, null, async (tx, stands) =>
        stands.SellerId == image.SellerId && await ExecuteAsync(tx, """
            INSERT INTO listing_images AS i (product_id, image_id, status, place)
            SELECT $1, $2, 'processing', coalesce(max(place) + 1, 0) FROM listing_images WHERE product_id = $1
            ON CONFLICT (product_id, image_id) DO UPDATE SET removed_at = NULL, place = excluded.place WHERE i.removed_at < $3
            """, ct, image.ProductId, image.ImageId, image.OccurredAt.ToUniversalTime()) > 0
            ? await RaisedAsync(tx, image.ProductId, ct)
            : new Changed(Change.Nothing), ct, image.EventId);

    /// <summary>A picture that has its sizes is fine, whatever was said of it before or is said later.</summary>
    public Task<Changed> ProcessedAsync(ImageProcessed image, CancellationToken ct)
    {
        var renditions = image.Renditions.Select(one => new ListingRendition(one.Box, one.Format, one.Width, one.Height, one.Url));
        return listings.ApplyAsync(null, image.ProductId, null, (tx, _) => NewsAsync(tx, image.ProductId, """
            INSERT INTO listing_images AS i (product_id, image_id, status, renditions, place)
            SELECT $1, $2, 'ready', $3::jsonb, coalesce(max(place) + 1, 0) FROM listing_images WHERE product_id = $1
            ON CONFLICT (product_id, image_id) DO UPDATE SET status = 'ready', reason = NULL, renditions = excluded.renditions WHERE i.status <> 'ready'
            RETURNING removed_at IS NULL
            """, ct, image.ProductId, image.ImageId, JsonSerializer.Serialize(renditions, JsonSerializerOptions.Web)), ct, image.EventId);
    }

    public Task<Changed> RejectedAsync(ImageRejected image, CancellationToken ct) => listings.ApplyAsync(null, image.ProductId, null, (tx, _) => NewsAsync(tx, image.ProductId, """
        INSERT INTO listing_images AS i (product_id, image_id, status, reason, place)
        SELECT $1, $2, 'rejected', $3, coalesce(max(place) + 1, 0) FROM listing_images WHERE product_id = $1
        ON CONFLICT (product_id, image_id) DO UPDATE SET status = 'rejected', reason = excluded.reason WHERE i.status = 'processing'
        RETURNING removed_at IS NULL
        """, ct, image.ProductId, image.ImageId, image.Reason), ct, image.EventId);

    /// <summary>Nothing when the listing has no such picture.</summary>
    public Task<Changed> RemoveAsync(SellerId seller, Guid productId, string imageId, long? basedOn, CancellationToken ct) => listings.ApplyAsync(seller, productId, basedOn, async (tx, _) =>
        await ExecuteAsync(
            tx, "UPDATE listing_images SET removed_at = $3 WHERE product_id = $1 AND image_id = $2 AND removed_at IS NULL", ct, productId, imageId, time.GetUtcNow()) > 0
            ? await RaisedAsync(tx, productId, ct)
            : new Changed(Change.Nothing), ct);

    /// <summary>All pictures of the listing in another order.</summary>
    public Task<Changed> ArrangeAsync(SellerId seller, Guid productId, IReadOnlyList<string> imageIds, long? basedOn, CancellationToken ct) => listings.ApplyAsync(seller, productId, basedOn, async (tx, _) =>
    {
        var there = new List<string>();
        await using (var select = new NpgsqlCommand(
            "SELECT image_id FROM listing_images WHERE product_id = $1 AND removed_at IS NULL ORDER BY place, image_id", tx.Connection, tx)
        { Parameters = { new() { Value = productId } } })
        {
            await using var reader = await select.ExecuteReaderAsync(ct);
            while (await reader.ReadAsync(ct))
                there.Add(reader.GetString(0));
        }

        if (there.SequenceEqual(imageIds, StringComparer.Ordinal))
            return new Changed(Change.Nothing);
        if (!there.Order(StringComparer.Ordinal).SequenceEqual(imageIds.Order(StringComparer.Ordinal), StringComparer.Ordinal))
            return new Changed(Change.Refused, Refusal: new Refusal.OtherPictures());

        await ExecuteAsync(tx, """
            UPDATE listing_images i SET place = wanted.place FROM unnest($2::text[]) WITH ORDINALITY AS wanted (image_id, place)
            WHERE i.product_id = $1 AND i.image_id = wanted.image_id
            """, ct, productId, imageIds.ToArray());
        return await RaisedAsync(tx, productId, ct);
    }, ct);

    // What became of a picture that its seller removed is kept, in case they bring it back, and shows nowhere.
    private async Task<Changed> NewsAsync(NpgsqlTransaction tx, Guid productId, string sql, CancellationToken ct, params object[] values)
    {
        await using var command = Command(tx, sql, values);
        return await command.ExecuteScalarAsync(ct) is true ? await RaisedAsync(tx, productId, ct) : new Changed(Change.Nothing);
    }

    private async Task<Changed> RaisedAsync(NpgsqlTransaction tx, Guid productId, CancellationToken ct)
    {
        await ExecuteAsync(tx, "UPDATE listings SET revision = revision + 1, updated_at = $2 WHERE product_id = $1", ct, productId, time.GetUtcNow());
        return new Changed(Change.Done);
    }

    private static async Task<int> ExecuteAsync(NpgsqlTransaction tx, string sql, CancellationToken ct, params object[] values)
    {
        await using var command = Command(tx, sql, values);
        return await command.ExecuteNonQueryAsync(ct);
    }

    private static NpgsqlCommand Command(NpgsqlTransaction tx, string sql, object[] values)
    {
        var command = new NpgsqlCommand(sql, tx.Connection, tx);
        foreach (var value in values)
            command.Parameters.Add(value is string text ? new() { Value = text, NpgsqlDbType = NpgsqlDbType.Text } : new() { Value = value });
        return command;
    }
}
