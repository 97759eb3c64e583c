using Marketplace.Catalog.Listings;
using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;
using Npgsql;

namespace Marketplace.Catalog.Sellers;

/// <param name="Published">How many listings shoppers see.</param>
public sealed record Shop(Guid SellerId, long Published, IReadOnlyList<Listing> Items, string? Next);

/// <summary>A seller's shelf as shoppers see it; who the seller is, identity tells.</summary>
public static class ShopEndpoints
{
    private const int LargestPage = 100;

    public static void MapShops(this IEndpointRouteBuilder routes) => routes.MapGet("/api/v1/sellers/{sellerId:guid}/listings", ShowAsync).WithTags("products");

    private static async Task<Results<Ok<Shop>, ProblemHttpResult>> ShowAsync(
        Guid sellerId, ListingStore listings, NpgsqlDataSource database, HttpResponse response, string? cursor, int? limit, CancellationToken ct)
    {
        if (!ListingEndpoints.TryReadCursor(cursor, out var after))
            return Problems.Validation(("cursor", "This is not a cursor of this list."));
        if (PageSize.Wrong(limit, LargestPage) is { } wrong)
            return wrong;

        await using var count = database.CreateCommand("SELECT count(*) FROM listings WHERE seller_id = $1 AND deleted_at IS NULL AND status = 'published'");
        count.Parameters.Add(new() { Value = sellerId });
        var published = (long)(await count.ExecuteScalarAsync(ct))!;
        var page = await listings.PageAsync(null, sellerId, after, limit ?? 20, ct);
        response.Headers.CacheControl = "public, max-age=1";
        return TypedResults.Ok(new Shop(sellerId, published, page.Items, page.Next));
    }
}
