using System.ComponentModel.DataAnnotations;
using Marketplace.Catalog.Listings;
using Marketplace.Contracts;
using Marketplace.Hosting;

namespace Marketplace.Catalog.Indexing;

/// <param name="After">The last product of the page before; none for the first page.</param>
public sealed record IndexPageRequest(Guid? After = null, [property: Range(1, IndexPages.Largest)] int Limit = IndexPages.Largest);

/// <param name="Items">Each as its event says it.</param>
/// <param name="Next">What to ask for with the next page; null behind the last one.</param>
/// <param name="Ratings">Of those that have reviews.</param>
public sealed record IndexPage(IReadOnlyList<ProductUpserted> Items, Guid? Next, IReadOnlyList<IndexedRating> Ratings);

/// <summary>What <c>review.published</c> told last of a listing.</summary>
public sealed record IndexedRating(Guid ProductId, double Average, int Count, long Version);

/// <summary>
/// The whole shop, for an index that is built anew: by id, so that a page costs the same wherever it begins and what changes meanwhile is
/// seen once or told by its event. What shoppers do not see is not in it.
/// </summary>
public static class IndexPages
{
    public const int Largest = 1_000;

    /// <summary>A page ends early rather than be larger than a sidecar passes on: so many characters of description.</summary>
    private const int MostText = 1_000_000;

    public static void MapIndexPages(this IEndpointRouteBuilder routes) => routes.MapInternal("/internal/listings/pages").MapPost("/", PageAsync);

    private static async Task<IndexPage> PageAsync(IndexPageRequest request, ListingStore listings, CancellationToken ct)
    {
        var page = await listings.AllAsync(request.After, request.Limit, MostText, ct);
        return new IndexPage(
            [.. page.Select(listing => listing.ToEvent())],
            page.Count == 0 ? null : page[^1].ProductId,
            [.. page.SelectMany(listing => listing.Rating is { Version: > 0 } rating ? (IndexedRating[])[new(listing.ProductId, rating.Average, rating.Count, rating.Version)] : [])]);
    }
}
