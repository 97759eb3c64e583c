using System.Globalization;
using Elastic.Clients.Elasticsearch;
using Elastic.Clients.Elasticsearch.Core.Search;
using Elastic.Clients.Elasticsearch.QueryDsl;

namespace Marketplace.Search.Engine.Elasticsearch;

/// <summary>One search: what its words mean, then the page, its facets and its total in one request.</summary>
internal sealed class ProductFinder(ElasticsearchConnection elasticsearch, TimeProvider time)
{
    /// <summary>
    /// How much signals may do: a best seller gains a third at most, a star 3 %, and what is sold out loses a tenth, so that words decide
    /// first. Rounded, because the last bits depend on the order in which parts were added up, and are no merit.
    /// </summary>
    private const string Signals =
        "double boost = 1 + Math.min(0.33, 0.03 * Math.log(1 + doc['sold'].value / params.now) / Math.log(2)); " +
        "if (doc['ratings'].value > 0) { boost += 0.03 * (doc['rating'].value - 3) } " +
        "if (!doc['in_stock'].value) { boost *= 0.9 } " +
        "return Math.round(_score * boost * 1024) / 1024.0;";

    private static readonly string[] Shown = [ProductIndex.Id, ProductIndex.Shown, ProductIndex.InStock, ProductIndex.Rating, ProductIndex.Ratings];

    public async Task<Found> FindAsync(Ask ask, CancellationToken ct)
    {
        var words = await WordsOfAsk.ReadAsync(elasticsearch, ask, ct);
        var filters = new FiltersAndFacets(ask);
        if (words.Query is null)
            return new Found([], 0, null, ask.Counted.Count > 0 ? filters.Nothing() : [], words.Corrections, words.Unknown);

        var query = ask.Order == Order.Relevance ? Ranked(words.Query, SalesWeight.At(time.GetUtcNow())) : words.Query;
        var counting = ask.Counted.Count > 0;
        var after = ask.After is { } position ? await PlaceOfAsync(position, ask, query, ct) : null;
        var request = new SearchRequest(elasticsearch.Options.Index)
        {
            // Facets count what fails one filter, so with them filters come after the query.
            Query = counting || filters.Filter is null ? query : new BoolQuery { Must = [query], Filter = [filters.Filter] },
            PostFilter = counting ? filters.Filter : null,
            Aggregations = counting ? filters.Aggregations() : null,
            Sort = Sort(ask.Order),
            SearchAfter = after,
            Size = ask.Limit + 1,
            TrackTotalHits = true,
            Source = new SourceFilter { Includes = ask.Highlight ? [.. Shown, ProductIndex.ShownText] : Shown },
            Preference = Preference(ask),
        };
        var found = elasticsearch.Checked(await elasticsearch.Client.SearchAsync<FoundDocument>(request, ct));
        var hits = found.Hits.ToList();
        var more = hits.Count > ask.Limit;
        var page = more ? hits[..ask.Limit] : hits;
        var items = page.ConvertAll(hit => Read(hit.Source!, ask.Highlight ? words.Matching : null));
        return new Found(
            items, (int)Math.Min(int.MaxValue, found.Total), more ? EndOf(ask.Order, page[^1], items) : null, counting ? FiltersAndFacets.Read(found.Aggregations) : [], words.Corrections, words.Unknown);
    }

    private static FunctionScoreQuery Ranked(Query words, double now) => new()
    {
        Query = words,
        Functions = [new ScriptScoreFunction(new Script { Source = Signals, Params = new Dictionary<string, object> { ["now"] = now } })],
        BoostMode = FunctionBoostMode.Replace,
    };

    private static List<SortOptions> Sort(Order order) =>
    [
        order switch
        {
            Order.Cheapest => new FieldSort(ProductIndex.Price) { Order = SortOrder.Asc },
            Order.Dearest => new FieldSort(ProductIndex.Price) { Order = SortOrder.Desc },
            Order.Newest => new FieldSort(ProductIndex.ListedAt) { Order = SortOrder.Desc },
            Order.BestRated => new FieldSort(ProductIndex.RatingRank) { Order = SortOrder.Desc },
            Order.BestSelling => new FieldSort(ProductIndex.Sold) { Order = SortOrder.Desc },
            _ => new SortOptions { Score = new ScoreSort { Order = SortOrder.Desc } },
        },
        new FieldSort(ProductIndex.Id) { Order = SortOrder.Asc },
    ];

    /// <summary>
    /// By relevance a page ended at a product, not at a number: all numbers move a little with every listing that comes or goes. So the
    /// next page begins behind where that product stands now; when it is gone, behind the one before it.
    /// </summary>
    private async Task<List<FieldValue>> PlaceOfAsync(Position position, Ask ask, Query query, CancellationToken ct)
    {
        var then = KeyFrom(ask.Order, position.Key);
        if (ask.Order != Order.Relevance)
            return [then, ProductParts.NameOf(position.ProductId)];

        var last = position.Before.Prepend(position.ProductId).Select(ProductParts.NameOf).ToList();
        var found = elasticsearch.Checked(await elasticsearch.Client.SearchAsync<FoundDocument>(
            new SearchRequest(elasticsearch.Options.Index)
            {
                Query = query,
                PostFilter = new IdsQuery { Values = last.ToArray() },
                Sort = Sort(Order.Relevance),
                Size = last.Count,
                TrackTotalHits = false,
                Source = false,
                Preference = Preference(ask),
            },
            ct));
        var nearest = found.Hits.OrderBy(hit => last.IndexOf(hit.Id!)).FirstOrDefault();
        return nearest is null ? [then, last[0]] : [.. nearest.Sort!];
    }

    private static FieldValue KeyFrom(Order order, long key) => order switch
    {
        Order.Relevance or Order.BestSelling => BitConverter.Int64BitsToDouble(key),
        _ => key,
    };

    private static Position EndOf(Order order, Hit<FoundDocument> last, List<FoundProduct> items)
    {
        var key = last.Sort!.First();
        return new Position(
            order is Order.Relevance or Order.BestSelling ? BitConverter.DoubleToInt64Bits(NumberOf(key)) : NumberOfLong(key),
            items[^1].ProductId,
            [.. Enumerable.Reverse(items).Skip(1).Take(Position.MostBefore).Select(product => product.ProductId)]);
    }

    private static double NumberOf(FieldValue value) => Convert.ToDouble(value.Value, CultureInfo.InvariantCulture);

    private static long NumberOfLong(FieldValue value) => Convert.ToInt64(value.Value, CultureInfo.InvariantCulture);

    private static FoundProduct Read(FoundDocument document, IReadOnlySet<string>? highlighted)
    {
        var product = document.ToProduct();
        return highlighted is null ? product : product with { Highlight = Highlighting.Of(product.Title, document.Description ?? "", highlighted) };
    }

    /// <summary>Pages of a search come from the same copies of the shards: copies differ a little in what they still hold of deleted documents.</summary>
    private static string Preference(Ask ask)
    {
        var hash = 17u;
        foreach (var letter in ask.Words.SelectMany(word => word.Typed))
            hash = hash * 31 + char.ToLowerInvariant(letter);   // the same in every replica
        return $"page{hash % 1000}";
    }
}
