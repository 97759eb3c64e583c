using Marketplace.Contracts;
using Marketplace.Hosting;
using Npgsql;

namespace Marketplace.Catalog.Ratings;

/// <summary>What all reviews of a listing say together. It is shown with the listing and is no change of it: no seller's edit meets a new revision for it.</summary>
public static class RatingEvents
{
    public static void MapRatings(this IEndpointRouteBuilder routes) => routes.MapEvent(ReviewPublished.Topic, OnReviewPublishedAsync);

    private static async Task<IResult> OnReviewPublishedAsync(ReviewPublished review, NpgsqlDataSource database, CancellationToken ct)
    {
        if (review.Count < 0 || (review.Count > 0 && review.Average is not (>= 1 and <= 5)))
            return Delivery.Drop();

        // The version is all the memory there need be: the same again, or an older one, changes nothing.
        await using var update = database.CreateCommand("""
            UPDATE listings SET rating_average = $2, rating_count = $3, rating_version = $4
            WHERE product_id = $1 AND deleted_at IS NULL AND rating_version < $4
            """);
        update.Parameters.Add(new() { Value = review.ProductId });
        update.Parameters.Add(new() { Value = review.Average });
        update.Parameters.Add(new() { Value = review.Count });
        update.Parameters.Add(new() { Value = review.Version });
        await update.ExecuteNonQueryAsync(ct);
        return TypedResults.Ok();
    }
}
