using Marketplace.Hosting;
using Microsoft.Net.Http.Headers;

namespace Marketplace.Media.Renditions;

/// <summary>The origin behind browsers and CDNs: an address always answers the same bytes, so that nobody need ask twice.</summary>
public static class RenditionEndpoints
{
    private const string Forever = "public, max-age=31536000, immutable";

    public static void MapRenditions(this IEndpointRouteBuilder routes) => routes
        .MapMethods("/api/v1/media/{imageId:regex(^[0-9a-f]{{64}}$)}/{file:regex(^(200|800|2000)\\.(webp|jpg)$)}", [HttpMethods.Get, HttpMethods.Head], GiveAsync)
        .AllowAnonymous()
        .AddEndpointFilter<Outage>()
        .Produces(StatusCodes.Status200OK, contentType: "image/webp", additionalContentTypes: "image/jpeg")
        .Produces(StatusCodes.Status206PartialContent, contentType: "image/webp", additionalContentTypes: "image/jpeg")
        .Produces(StatusCodes.Status304NotModified)
        .ProducesProblem(StatusCodes.Status404NotFound)
        .ProducesProblem(StatusCodes.Status416RangeNotSatisfiable)
        .WithSummary("A picture fitted into a square of 200, 800 or 2000 pixels, as WebP or JPEG.")
        .WithTags("media");

    private static async Task<IResult> GiveAsync(string imageId, string file, HttpResponse response, ServedPictures pictures, CancellationToken ct)
    {
        var dot = file.IndexOf('.', StringComparison.Ordinal);
        var box = int.Parse(file.AsSpan(0, dot), System.Globalization.CultureInfo.InvariantCulture);
        if (await pictures.FindAsync(imageId, box, file[(dot + 1)..], ct) is not { } picture)
            return Problems.Of(StatusCodes.Status404NotFound, "not-found", "There is no such picture.");

        response.OnStarting(static state =>
        {
            var response = (HttpResponse)state;
            response.Headers.CacheControl = response.StatusCode < 400 ? Forever : "no-store";   // a part that is not there is not so for ever
            return Task.CompletedTask;
        }, response);
        response.Headers.XContentTypeOptions = "nosniff";
        return TypedResults.Bytes(picture.Bytes, picture.ContentType, enableRangeProcessing: true, entityTag: new EntityTagHeaderValue($"\"{picture.Hash[..32]}\""));
    }
}
