using System.ComponentModel.DataAnnotations;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Npgsql;

namespace Marketplace.Catalog.Prices;

public sealed record PricesRequest([property: Required, MaxLength(500)] IReadOnlyList<Guid> ProductIds);

public sealed record PricedProduct(Guid ProductId, Guid SellerId, string Title, Money Price, long Revision);

public sealed record PricesReply(IReadOnlyList<PricedProduct> Products);

/// <summary>What cart, checkout and inventory ask: one query for a whole order. Unknown and deleted products are absent from the reply.</summary>
public static class PriceEndpoints
{
    public static void MapPrices(this IEndpointRouteBuilder routes) => routes.MapInternal("/internal/prices").MapPost("/", PriceAsync);

    private static async Task<PricesReply> PriceAsync(PricesRequest request, NpgsqlDataSource database, CancellationToken ct)
    {
        await using var select = database.CreateCommand("""
            SELECT product_id, seller_id, title, price_minor, currency, revision FROM listings
            WHERE product_id = ANY($1) AND deleted_at IS NULL
            """);
        select.Parameters.Add(new() { Value = request.ProductIds as Guid[] ?? [.. request.ProductIds] });
        await using var reader = await select.ExecuteReaderAsync(ct);
        var products = new List<PricedProduct>(request.ProductIds.Count);
        while (await reader.ReadAsync(ct))
        {
            products.Add(new PricedProduct(
                reader.GetGuid(0), reader.GetGuid(1), reader.GetString(2), new Money(reader.GetInt64(3), reader.GetString(4)), reader.GetInt64(5)));
        }

        return new PricesReply(products);
    }
}
