using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Search.Querying;

public sealed record SuggestionList(IReadOnlyList<string> Suggestions);

public static class SearchEndpoints
{
    private const int LongestQuery = 200;
    private const int LargestPage = 100;
    private const string SharedBriefly = "public, max-age=1";

    public static void MapSearch(this IEndpointRouteBuilder routes)
    {
        var search = routes.MapGroup("/api/v1").WithTags("search");
        search.MapGet("/search", Find);
        search.MapGet("/suggestions", Suggest);
    }

    private static Results<Ok<ResultPage>, ProblemHttpResult> Find(
        ProductSearch search, HttpResponse response, string? q, string? category, long? minPrice, long? maxPrice, bool? inStock, string? sort, string? cursor, int? limit)
    {
        var errors = new List<(string, string)>();
        if (q?.Length > LongestQuery)
            errors.Add(("q", $"A search has at most {LongestQuery} characters."));
        if (minPrice < 0)
            errors.Add(("minPrice", "A price is not negative; it is in pence."));
        if (maxPrice < 0)
            errors.Add(("maxPrice", "A price is not negative; it is in pence."));
        if (minPrice > maxPrice)
            errors.Add(("maxPrice", "The highest price is below the lowest."));
        if (OrderOf(sort) is not { } order)
            return Problems.Validation([.. errors, ("sort", "Sort by relevance, price, -price or newest.")]);
        if (errors.Count > 0)
            return Problems.Validation([.. errors]);

        var wish = new Wish(q ?? "", string.IsNullOrEmpty(category) ? null : category, minPrice, maxPrice, inStock ?? false, order, Math.Clamp(limit ?? 20, 1, LargestPage));
        if (search.Find(wish, cursor) is not { } page)
            return Problems.Validation(("cursor", "This is not a cursor of this search."));

        response.Headers.CacheControl = SharedBriefly;
        return TypedResults.Ok(page);
    }

    private static Results<Ok<SuggestionList>, ProblemHttpResult> Suggest(ProductSearch search, HttpResponse response, string? q)
    {
        if (q?.Length > LongestQuery)
            return Problems.Validation(("q", $"A search has at most {LongestQuery} characters."));

        response.Headers.CacheControl = SharedBriefly;
        return TypedResults.Ok(new SuggestionList(search.Suggest(q ?? "")));
    }

    private static Order? OrderOf(string? sort) => sort switch
    {
        null or "" or "relevance" => Order.Relevance,
        "price" => Order.Cheapest,
        "-price" => Order.Dearest,
        "newest" => Order.Newest,
        _ => null,
    };
}
