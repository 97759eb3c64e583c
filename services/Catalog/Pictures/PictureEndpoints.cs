using System.ComponentModel.DataAnnotations;
using System.Security.Claims;
using Marketplace.Catalog.Listings;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Catalog.Pictures;

/// <param name="ImageIds">All of the listing's pictures, the first one first.</param>
public sealed record ArrangeRequest([property: Required, MaxLength(ArrangeRequest.Most)] IReadOnlyList<string> ImageIds)
{
    public const int Most = 200;
}

/// <summary>What sellers do with pictures they have uploaded to media, and what media tells of them.</summary>
public static class PictureEndpoints
{
    public static void MapPictures(this IEndpointRouteBuilder routes)
    {
        var images = routes.MapGroup("/api/v1/products/{productId:guid}/images").RequireAuthorization(Policies.Seller).WithTags("products");
        images.MapPut("/", ArrangeAsync);
        images.MapDelete("/{imageId:regex(^[0-9a-f]{{64}}$)}", RemoveAsync);

        routes.MapEvent(ImageUploaded.Topic, OnImageUploadedAsync);
        routes.MapEvent(ImageProcessed.Topic, OnImageProcessedAsync);
        routes.MapEvent(ImageRejected.Topic, OnImageRejectedAsync);
    }

    private static async Task<Results<Ok<Listing>, NotFound, ProblemHttpResult>> ArrangeAsync(
        Guid productId, ArrangeRequest request, ClaimsPrincipal user, PictureStore pictures, HttpContext http, CancellationToken ct)
    {
        var ids = request.ImageIds.Select(id => id ?? "").ToList();     // a null in a list is not caught by the serializer
        return ListingEndpoints.Answered(await pictures.ArrangeAsync(SellerId.Of(user), productId, ids, ListingEndpoints.IfMatch(http.Request)?.Revision, ct), http);
    }

    private static async Task<Results<Ok<Listing>, NotFound, ProblemHttpResult>> RemoveAsync(
        Guid productId, string imageId, ClaimsPrincipal user, PictureStore pictures, HttpContext http, CancellationToken ct)
    {
        var changed = await pictures.RemoveAsync(SellerId.Of(user), productId, imageId, ListingEndpoints.IfMatch(http.Request)?.Revision, ct);
        return changed.Verdict == Change.Nothing ? TypedResults.NotFound() : ListingEndpoints.Answered(changed, http);
    }

    // A listing that was deleted meanwhile wants no pictures: heard, and done.
    private static async Task<Ok> OnImageUploadedAsync(ImageUploaded image, PictureStore pictures, CancellationToken ct)
    {
        await pictures.UploadedAsync(image, ct);
        return TypedResults.Ok();
    }

    private static async Task<Ok> OnImageProcessedAsync(ImageProcessed image, PictureStore pictures, CancellationToken ct)
    {
        await pictures.ProcessedAsync(image, ct);
        return TypedResults.Ok();
    }

    private static async Task<Ok> OnImageRejectedAsync(ImageRejected image, PictureStore pictures, CancellationToken ct)
    {
        await pictures.RejectedAsync(image, ct);
        return TypedResults.Ok();
    }
}
