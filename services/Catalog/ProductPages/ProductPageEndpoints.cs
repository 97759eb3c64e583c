using Marketplace.Catalog.Attributes;
using Marketplace.Catalog.Listings;
using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Catalog.ProductPages;

public static class ProductPageEndpoints
{
    /// <summary>Rows of this lane are written by a trigger on <c>listings</c>: no change of one, whoever makes it, leaves its page on the shelf.</summary>
    public const string Lane = "product-pages";

    // A price seen here is checked again at checkout; a second is enough to take a rush off this service.
    private const string SharedBriefly = "public, max-age=1";

    public static IServiceCollection AddProductPages(this IServiceCollection services) => services
        .AddSingleton<IPageShelf, StateStoreShelf>()
        .AddSingleton<PageReads>()
        .AddSingleton<DatabaseWatch>()
        .AddHostedService(provider => provider.GetRequiredService<DatabaseWatch>())
        .AddOutboxLane(Lane, (provider, message, ct) => provider.GetRequiredService<IPageShelf>().WithdrawAsync(message.AggregateId, ct));

    public static void MapProductPages(this IEndpointRouteBuilder routes) =>
        routes.MapGet("/api/v1/products/{productId:guid}", GetAsync).WithTags("products").Produces<Listing>();

    private static async Task<Results<FileContentHttpResult, NotFound, StatusCodeHttpResult>> GetAsync(
        Guid productId, PageReads pages, DatabaseWatch database, Degradation degradation, HttpContext http, CancellationToken ct)
    {
        if (database.Away)
            degradation.Tell(http, "database");
        var read = await pages.OfAsync(productId, ct);
        if (read.WithoutCache)
            degradation.Tell(http, "cache");
        if (read.Page is not { } page)
            return TypedResults.NotFound();

        http.Response.Headers.CacheControl = SharedBriefly;
        if (read.WithoutDocuments)
        {
            degradation.Tell(http, AttributeDocuments.StoreName);
            return TypedResults.Bytes(page.Json, "application/json; charset=utf-8");
        }

        http.Response.Headers.ETag = page.ETag;
        return http.Request.GetTypedHeaders().IfNoneMatch.Any(tag => tag.Tag.Value is "*" || tag.Tag.Value == page.ETag)
            ? TypedResults.StatusCode(StatusCodes.Status304NotModified)
            : TypedResults.Bytes(page.Json, "application/json; charset=utf-8");
    }
}
