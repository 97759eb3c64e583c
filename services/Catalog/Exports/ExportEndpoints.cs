using System.Security.Claims;
using Marketplace.Hosting;

namespace Marketplace.Catalog.Exports;

public static class ExportEndpoints
{
    public static void MapExports(this IEndpointRouteBuilder routes) =>
        routes.MapGet("/api/v1/seller/products.csv", WriteAsync).RequireAuthorization(Policies.Seller).WithTags("imports").Produces<string>(StatusCodes.Status200OK, "text/csv");

    /// <summary>Begins at once and goes on as long as the seller reads. Where it cannot go on, the connection is cut: a short file is never taken for a whole one.</summary>
    private static async Task WriteAsync(CatalogueExport export, ClaimsPrincipal user, HttpResponse response, TimeProvider time, CancellationToken ct)
    {
        response.ContentType = "text/csv; charset=utf-8";
        response.Headers.CacheControl = "private, no-store";
        response.Headers.ContentDisposition = $"attachment; filename=\"products-{time.GetUtcNow():yyyy-MM-dd}.csv\"";
        await export.WriteAsync(SellerId.Of(user), response.Body, ct);
    }
}
