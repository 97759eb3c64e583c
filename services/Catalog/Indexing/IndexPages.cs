using System.ComponentModel.DataAnnotations;
using Marketplace.Catalog.Listings;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Npgsql;

namespace Marketplace.Catalog.Indexing;

/// <param name="After">The last product of the page before; none for the first page.</param>
public sealed record IndexPageRequest(Guid? After = null, [property: Range(1, IndexPages.Largest)] int Limit = IndexPages.Largest);

/// <param name="Items">Each as its event says it.</param>
/// <param name="Next">What to ask for with the next page; null behind the last one.</param>
public sealed record IndexPage(IReadOnlyList<ProductUpserted> Items, Guid? Next);

/// <summary>
/// The whole shop, for an index that is built anew: by id, so that a page costs the same wherever it begins and what changes meanwhile is
/// seen once or told by its event. What shoppers do not see is not in it.
/// </summary>
public static class IndexPages
{
    public const int Largest = 1_000;

    /// <summary>A page ends early rather than be larger than a sidecar passes on: so many characters of description.</summary>
    private const int MostText = 1_000_000;

    public static void MapIndexPages(this IEndpointRouteBuilder routes) => routes.MapInternal("/internal/listings/pages").MapPost("/", PageAsync);

    private static async Task<IndexPage> PageAsync(IndexPageRequest request, NpgsqlDataSource database, CancellationToken ct)
    {
        await using var select = database.CreateCommand("""
            SELECT product_id, revision, seller_id, seller_name, title, description, brand, category, price_minor, currency, image_url, listed_at
            FROM listings WHERE product_id > $1 AND deleted_at IS NULL
            ORDER BY product_id LIMIT $2
            """);
        select.Parameters.Add(new() { Value = request.After ?? Guid.Empty });
        select.Parameters.Add(new() { Value = request.Limit });
        await using var reader = await select.ExecuteReaderAsync(ct);
        var items = new List<ProductUpserted>(request.Limit);
        for (var text = 0; text < MostText && await reader.ReadAsync(ct); text += items[^1].Description.Length)
            items.Add(Read(reader).ToEvent());

        return new IndexPage(items, items.Count == 0 ? null : items[^1].ProductId);
    }

    private static Listing Read(NpgsqlDataReader row) => new(
        row.GetGuid(0), row.GetInt64(1), row.GetGuid(2), row.GetString(3), row.GetString(4), row.GetString(5), row.GetString(6), row.GetString(7),
        new Money(row.GetInt64(8), row.GetString(9)), row.IsDBNull(10) ? null : row.GetString(10), row.GetFieldValue<DateTimeOffset>(11));
}
