using Marketplace.Hosting;
using Marketplace.Search.Engine;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Search.Querying;

/// <param name="Suggestions">The texts of <paramref name="Items"/>.</param>
public sealed record SuggestionList(IReadOnlyList<string> Suggestions, IReadOnlyList<Completion> Items);

public static class SearchEndpoints
{
    private const int LongestQuery = 200;
    private const int LargestPage = 100;
    private const int MostValues = 20;
    private const int MostFilters = 20;
    private const string SharedBriefly = "public, max-age=1";

    public static void MapSearch(this IEndpointRouteBuilder routes)
    {
        var search = routes.MapGroup("/api/v1").WithTags("search");
        search.MapGet("/search", FindAsync);
        search.MapGet("/suggestions", SuggestAsync);

        var synonyms = routes.MapGroup("/api/v1/operations/search/synonyms").RequireAuthorization(Policies.Operator).WithTags("operations");
        synonyms.MapGet("/", (SynonymFile file) => TypedResults.Ok(SynonymStatus.Of(file.Current)));
        synonyms.MapPost("/reload", (SynonymFile file) => TypedResults.Ok(SynonymStatus.Of(file.Reload())));
    }

    private static async Task<Results<Ok<ResultPage>, ProblemHttpResult>> FindAsync(
        ProductSearch search, HttpRequest request, HttpResponse response, string? q, string[]? category, string[]? brand, Guid[]? seller, long? minPrice, long? maxPrice, double? minRating,
        bool? inStock, string? sort, string? facets, bool? highlight, string? cursor, int? limit, CancellationToken ct)
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
        if (minRating is not (null or >= 0 and <= 5))
            errors.Add(("minRating", "Ratings go from 1 to 5."));
        if (PageSize.IsWrong(limit, LargestPage, out var why))
            errors.Add(("limit", why));
        var order = OrderOf(sort);
        if (order is null)
            errors.Add(("sort", "Sort by relevance, price, -price, rating, newest or bestselling."));
        var counted = CountedBy(facets);
        if (counted is null)
            errors.Add(("facets", "Facets are category, brand, seller, price, rating, inStock, attr.<name>, separated by commas; or all."));

        var chosen = new List<Chosen>();
        Choose(Facets.Category, category);
        Choose(Facets.Brand, brand);
        Choose(Facets.Seller, seller?.Select(one => one.ToString()));
        foreach (var (name, values) in request.Query.Where(parameter => parameter.Key.StartsWith(Facets.AttributePrefix, StringComparison.OrdinalIgnoreCase)))
            Choose(name.ToLowerInvariant(), values.OfType<string>());
        if (chosen.Count > MostFilters)
            errors.Add((chosen[MostFilters].Dimension, $"At most {MostFilters} filters at a time."));
        if (errors.Count > 0)
            return Problems.Validation([.. errors]);

        var wish = new Wish(
            q ?? "", new Filters(chosen, minPrice, maxPrice, minRating is > 0 ? minRating : null, inStock ?? false), order!.Value, limit ?? 20, counted!, highlight ?? false);
        if (await search.FindAsync(wish, cursor, ct) is not { } page)
            return Problems.Validation(("cursor", "This is not a cursor of this search."));

        response.Headers.CacheControl = SharedBriefly;
        return TypedResults.Ok(page);

        void Choose(string dimension, IEnumerable<string>? values)
        {
            var wanted = (values ?? []).Where(value => value.Length > 0).Distinct(StringComparer.OrdinalIgnoreCase).ToList();
            if (wanted.Count > MostValues)
                errors.Add((dimension, $"At most {MostValues} values at a time."));
            else if (wanted.Count > 0)
                chosen.Add(new Chosen(dimension, wanted));
        }
    }

    private static async Task<Results<Ok<SuggestionList>, ProblemHttpResult>> SuggestAsync(Suggestions suggestions, HttpResponse response, string? q, CancellationToken ct)
    {
        if (q?.Length > LongestQuery)
            return Problems.Validation(("q", $"A search has at most {LongestQuery} characters."));

        response.Headers.CacheControl = SharedBriefly;
        var items = await suggestions.OfAsync(q ?? "", ct);
        return TypedResults.Ok(new SuggestionList([.. items.Select(item => item.Text)], items));
    }

    private static Order? OrderOf(string? sort) => sort switch
    {
        null or "" or "relevance" => Order.Relevance,
        "price" => Order.Cheapest,
        "-price" => Order.Dearest,
        "rating" => Order.BestRated,
        "newest" => Order.Newest,
        "bestselling" => Order.BestSelling,
        _ => null,
    };

    private static string[]? CountedBy(string? facets)
    {
        var names = (facets ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
            .Select(name => name.StartsWith(Facets.AttributePrefix, StringComparison.OrdinalIgnoreCase) ? name.ToLowerInvariant() : name)   // as in a filter
            .Distinct(StringComparer.Ordinal).ToArray();
        return names.Length <= MostFilters && names.All(name =>
            name is Facets.All or Facets.Category or Facets.Brand or Facets.Seller or Facets.Price or Facets.Rating or Facets.Stock
            || name.StartsWith(Facets.AttributePrefix, StringComparison.Ordinal)) ? names : null;
    }
}

/// <param name="Faults">Lines left out, each with its number and what is wrong.</param>
public sealed record SynonymStatus(int Lines, IReadOnlyList<string> Faults)
{
    public static SynonymStatus Of(Synonyms synonyms) => new(synonyms.Lines, synonyms.Faults);
}
