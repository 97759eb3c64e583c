using Marketplace.Catalog.Pictures;
using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;
using Npgsql;

namespace Marketplace.Catalog.Listings;

/// <param name="Images">Pictures it has, and the most it may have: media takes no more.</param>
public sealed record ListingOwner(Guid ProductId, Guid SellerId, int Images, int MostImages);

/// <summary>Whose listing it is, drafts and unpublished ones included: what media asks before it takes a picture for it.</summary>
public static class OwnerEndpoint
{
    public static void MapOwners(this IEndpointRouteBuilder routes) => routes.MapInternal("/internal/listings", "media").MapGet("/{productId:guid}/owner", OwnerAsync);

    private static async Task<Results<Ok<ListingOwner>, ProblemHttpResult>> OwnerAsync(Guid productId, NpgsqlDataSource database, CancellationToken ct)
    {
        await using var select = database.CreateCommand("""
            SELECT seller_id, (SELECT count(*) FROM listing_images i WHERE i.product_id = l.product_id AND removed_at IS NULL)::integer
            FROM listings l WHERE product_id = $1 AND deleted_at IS NULL
            """);
        select.Parameters.Add(new() { Value = productId });
        await using var row = await select.ExecuteReaderAsync(ct);
        return await row.ReadAsync(ct)
            ? TypedResults.Ok(new ListingOwner(productId, row.GetGuid(0), row.GetInt32(1), ListingImage.MostOnAListing))
            : Problems.Of(StatusCodes.Status404NotFound, "not-found", "There is no such product.");
    }
}
