namespace Marketplace.Catalog.Categories;

public sealed record CategoryList(IReadOnlyList<Category> Items, string? Next = null);

public static class CategoryEndpoints
{
    public static void MapCategories(this IEndpointRouteBuilder routes) =>
        routes.MapGet("/api/v1/categories", ListAsync).WithTags("categories");

    private static async Task<CategoryList> ListAsync(CategoryStore categories, HttpResponse response, CancellationToken ct)
    {
        response.Headers.CacheControl = "public, max-age=60";
        return new CategoryList((await categories.TreeAsync(ct)).All);
    }
}
