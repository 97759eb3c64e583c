using System.Globalization;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;
using Npgsql;

namespace Marketplace.Catalog.Prices;

/// <param name="From">Since when shoppers were asked this price; until the next entry's.</param>
public sealed record PriceEntry(Money Price, DateTimeOffset From);

/// <param name="LowestOf30Days">
/// When the newest change lowered the price: the lowest of the 30 days before that, which is what a reduction must be compared with in the
/// EU (directive 98/6/EC, article 6a). Null when the price has not been reduced, or was raised since.
/// </param>
/// <param name="ReducedAt">When it was lowered.</param>
public sealed record PriceHistory(IReadOnlyList<PriceEntry> Items, string? Next, Money? LowestOf30Days, DateTimeOffset? ReducedAt);

public static class PriceHistoryEndpoints
{
    private const int LargestPage = 100;

    public static void MapPriceHistory(this IEndpointRouteBuilder routes) =>
        routes.MapGet("/api/v1/products/{productId:guid}/prices", ShowAsync).WithTags("products");

    /// <summary>Of a published listing or one of its variants, newest first.</summary>
    private static async Task<Results<Ok<PriceHistory>, NotFound, ProblemHttpResult>> ShowAsync(
        Guid productId, NpgsqlDataSource database, HttpResponse response, string? cursor, int? limit, CancellationToken ct)
    {
        var before = long.MaxValue;
        if (!string.IsNullOrEmpty(cursor) && !(Cursor.TryDecode(cursor, out var parts) && parts is [var entry] && long.TryParse(entry, NumberStyles.None, CultureInfo.InvariantCulture, out before)))
            return Problems.Validation(("cursor", "This is not a cursor of this list."));
        if (PageSize.Wrong(limit, LargestPage) is { } wrong)
            return wrong;

        await using var connection = await database.OpenConnectionAsync(ct);
        if (!await IsShownAsync(connection, productId, ct))
            return TypedResults.NotFound();

        var (items, next) = await PageAsync(connection, productId, before, limit ?? 20, ct);
        var reduced = await ReductionAsync(connection, productId, ct);
        response.Headers.CacheControl = "public, max-age=1";
        return TypedResults.Ok(new PriceHistory(items, next, reduced?.Lowest, reduced?.At));
    }

    private static async Task<bool> IsShownAsync(NpgsqlConnection connection, Guid productId, CancellationToken ct)
    {
        await using var select = new NpgsqlCommand("""
            SELECT 1 FROM listings WHERE product_id = $1 AND deleted_at IS NULL AND status = 'published'
            UNION ALL
            SELECT 1 FROM variants v JOIN listings l USING (product_id) WHERE v.variant_id = $1 AND v.deleted_at IS NULL AND l.deleted_at IS NULL AND l.status = 'published'
            """, connection)
        { Parameters = { new() { Value = productId } } };
        return await select.ExecuteScalarAsync(ct) is not null;
    }

    private static async Task<(IReadOnlyList<PriceEntry> Items, string? Next)> PageAsync(NpgsqlConnection connection, Guid productId, long before, int limit, CancellationToken ct)
    {
        await using var select = new NpgsqlCommand(
            "SELECT entry, price_minor, currency, since FROM price_history WHERE product_id = $1 AND entry < $2 ORDER BY entry DESC LIMIT $3", connection)
        {
            Parameters = { new() { Value = productId }, new() { Value = before }, new() { Value = limit + 1 } },
        };
        await using var reader = await select.ExecuteReaderAsync(ct);
        var items = new List<PriceEntry>(limit);
        while (await reader.ReadAsync(ct))
        {
            if (items.Count == limit)
                return (items, Cursor.Encode(before));
            before = reader.GetInt64(0);
            items.Add(new PriceEntry(new Money(reader.GetInt64(1), reader.GetString(2)), reader.GetFieldValue<DateTimeOffset>(3)));
        }

        return (items, null);
    }

    // A price counts for the 30 days when it held in them, so the one that was in force as they began counts too.
    private static async Task<(Money Lowest, DateTimeOffset At)?> ReductionAsync(NpgsqlConnection connection, Guid productId, CancellationToken ct)
    {
        await using var select = new NpgsqlCommand("""
            WITH newest AS (
                SELECT entry, price_minor, currency, since FROM price_history WHERE product_id = $1 ORDER BY entry DESC LIMIT 1
            ), earlier AS (
                SELECT h.entry, h.price_minor, h.since, lead(h.since) OVER (ORDER BY h.entry) AS until
                FROM price_history h, newest n WHERE h.product_id = $1 AND h.currency = n.currency
            )
            SELECT min(e.price_minor), n.currency, n.since, n.price_minor,
                   (SELECT price_minor FROM price_history WHERE product_id = $1 AND entry < n.entry ORDER BY entry DESC LIMIT 1)
            FROM newest n JOIN earlier e ON e.entry < n.entry AND e.until > n.since - interval '30 days'
            GROUP BY n.entry, n.currency, n.since, n.price_minor
            """, connection)
        { Parameters = { new() { Value = productId } } };
        await using var reader = await select.ExecuteReaderAsync(ct);
        if (!await reader.ReadAsync(ct) || reader.GetInt64(3) >= reader.GetInt64(4))
            return null;
        return (new Money(reader.GetInt64(0), reader.GetString(1)), reader.GetFieldValue<DateTimeOffset>(2));
    }
}
