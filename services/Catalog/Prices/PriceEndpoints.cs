using System.ComponentModel.DataAnnotations;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Npgsql;

namespace Marketplace.Catalog.Prices;

/// <param name="ForSeller">Also what is not published: its seller may stock it before.</param>
public sealed record PricesRequest([property: Required, MaxLength(500)] IReadOnlyList<Guid> ProductIds, bool ForSeller = false);

/// <param name="Title">Of a variant with its options: Cotton shirt (M, red).</param>
/// <param name="ListingId">The listing it is shown on: its own id unless it is a variant.</param>
public sealed record PricedProduct(Guid ProductId, Guid SellerId, string Title, Money Price, long Revision, Guid ListingId);

public sealed record PricesReply(IReadOnlyList<PricedProduct> Products);

/// <summary>
/// What cart, checkout and inventory ask: one query for a whole order. What cannot be bought is absent from the reply: unknown, deleted and
/// unpublished products, and a listing with variants, of which only those are sold.
/// </summary>
public static class PriceEndpoints
{
    public static void MapPrices(this IEndpointRouteBuilder routes) => routes.MapInternal("/internal/prices").MapPost("/", PriceAsync);

    private static async Task<PricesReply> PriceAsync(PricesRequest request, NpgsqlDataSource database, CancellationToken ct)
    {
        await using var select = database.CreateCommand("""
            SELECT product_id, seller_id, title, price_minor, currency, revision, product_id FROM listings
            WHERE product_id = ANY($1) AND deleted_at IS NULL AND (status = 'published' OR $2) AND cardinality(option_names) = 0
            UNION ALL
            SELECT variant_id, seller_id, title || ' (' || array_to_string(option_values, ', ') || ')', v.price_minor, currency, revision, product_id
            FROM variants v JOIN listings l USING (product_id)
            WHERE variant_id = ANY($1) AND v.deleted_at IS NULL AND l.deleted_at IS NULL AND (status = 'published' OR $2)
            """);
        select.Parameters.Add(new() { Value = request.ProductIds as Guid[] ?? [.. request.ProductIds] });
        select.Parameters.Add(new() { Value = request.ForSeller });
        await using var reader = await select.ExecuteReaderAsync(ct);
        var products = new List<PricedProduct>(request.ProductIds.Count);
        while (await reader.ReadAsync(ct))
        {
            products.Add(new PricedProduct(
                reader.GetGuid(0), reader.GetGuid(1), reader.GetString(2), new Money(reader.GetInt64(3), reader.GetString(4)), reader.GetInt64(5), reader.GetGuid(6)));
        }

        return new PricesReply(products);
    }
}
