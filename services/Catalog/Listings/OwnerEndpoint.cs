using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;
using Npgsql;

namespace Marketplace.Catalog.Listings;

public sealed record ListingOwner(Guid ProductId, Guid SellerId);

/// <summary>Whose listing it is, drafts and unpublished ones included: what media asks before it takes a picture for it.</summary>
public static class OwnerEndpoint
{
    public static void MapOwners(this IEndpointRouteBuilder routes) => routes.MapInternal("/internal/listings").MapGet("/{productId:guid}/owner", OwnerAsync);

    private static async Task<Results<Ok<ListingOwner>, ProblemHttpResult>> OwnerAsync(Guid productId, NpgsqlDataSource database, CancellationToken ct)
    {
        await using var select = database.CreateCommand("SELECT seller_id FROM listings WHERE product_id = $1 AND deleted_at IS NULL");
        select.Parameters.Add(new() { Value = productId });
        return await select.ExecuteScalarAsync(ct) is Guid seller
            ? TypedResults.Ok(new ListingOwner(productId, seller))
            : Problems.Of(StatusCodes.Status404NotFound, "not-found", "There is no such product.");
    }
}
