using Elastic.Clients.Elasticsearch;
using Elastic.Clients.Elasticsearch.Aggregations;
using Elastic.Clients.Elasticsearch.Core.Search;
using Elastic.Clients.Elasticsearch.QueryDsl;

namespace Marketplace.Search.Engine.Elasticsearch;

/// <summary>
/// Titles and categories in which every typed word begins some word: titles that begin as typed first, then what is in stock and sells.
/// When there are none, one letter of each word may be wrong. The index holds every beginning of every word as a term.
/// </summary>
internal sealed class TitleCompletions(ElasticsearchConnection elasticsearch)
{
    private const int MostWords = 8;
    private const int MostCategories = 1_000;
    private const int MostExpansions = 100;
    private const int Enough = 4;                               // titles looked at for each one wanted: many products share a title
    private const string Categories = "categories";

    private volatile Shelves shelves = new(-1, []);

    private sealed record Shelves(long Generation, IReadOnlyList<(string Label, string Value, IReadOnlyList<string> Words)> Labels);

    /// <param name="generation">Shelves are looked up once for each.</param>
    public async Task<IReadOnlyList<Completion>> CompleteAsync(string typed, int most, long generation, CancellationToken ct)
    {
        var beginnings = ProductText.BeginningsOf(typed, MostWords).Distinct(StringComparer.Ordinal).ToList();
        if (beginnings.Count == 0)
            return [];

        var labels = await LabelsAsync(generation, ct);
        List<Completion> exact = [.. await TitlesAsync(beginnings, most, edits: 0, ct), .. Fitting(labels, beginnings, 0)];
        return exact.Count > 0 ? exact : [.. await TitlesAsync(beginnings, most, edits: 1, ct), .. Fitting(labels, beginnings, 1)];
    }

    private static IEnumerable<Completion> Fitting(IReadOnlyList<(string Label, string Value, IReadOnlyList<string> Words)> labels, IReadOnlyList<string> beginnings, int edits) =>
        labels.Where(category => Beginnings.Fit(category.Words, beginnings, edits)).Select(category => new Completion(category.Label, "category", category.Value));

    private async Task<IEnumerable<Completion>> TitlesAsync(IReadOnlyList<string> beginnings, int most, int edits, CancellationToken ct)
    {
        var found = elasticsearch.Checked(await elasticsearch.Client.SearchAsync<FoundDocument>(
            new SearchRequest(elasticsearch.Options.Index)
            {
                Query = new BoolQuery
                {
                    Filter = [new TermQuery(ProductIndex.Listed, true), .. beginnings.Select(word => Begins(ProductIndex.Beginnings, word, edits))],
                    Should = [new ConstantScoreQuery(Begins(ProductIndex.FirstBeginning, beginnings[0], edits))],   // the first word typed stands first in the title
                },
                Sort =
                [
                    new SortOptions { Score = new ScoreSort { Order = SortOrder.Desc } },
                    new FieldSort(ProductIndex.InStock) { Order = SortOrder.Desc },
                    new FieldSort(ProductIndex.Sold) { Order = SortOrder.Desc },
                    new FieldSort(ProductIndex.Id) { Order = SortOrder.Desc },
                ],
                Size = most * Enough,
                TrackTotalHits = false,
                Source = new SourceFilter { Includes = new[] { ProductIndex.Id, ProductIndex.Shown } },
            },
            ct));
        return found.Hits.Select(hit => hit.Source!.Shown!.Title).Distinct(StringComparer.OrdinalIgnoreCase).Take(most).Select(title => new Completion(title, "title"));
    }

    private static Query Begins(string field, string typed, int edits) => edits == 0 || typed.Length < Beginnings.ShortestWithTypo || typed.Any(char.IsAsciiDigit)
        ? new TermQuery(field, typed)
        : new FuzzyQuery(field, typed) { Fuzziness = edits, PrefixLength = 0, MaxExpansions = MostExpansions, Transpositions = true };

    /// <summary>Of the shelves that hold something, the fullest first.</summary>
    private async Task<IReadOnlyList<(string Label, string Value, IReadOnlyList<string> Words)>> LabelsAsync(long generation, CancellationToken ct)
    {
        if (shelves is { } known && known.Generation == generation)
            return known.Labels;

        var found = elasticsearch.Checked(await elasticsearch.Client.SearchAsync<FoundDocument>(
            new SearchRequest(elasticsearch.Options.Index)
            {
                Query = new TermQuery(ProductIndex.Listed, true),
                Size = 0,
                TrackTotalHits = false,
                Aggregations = new Dictionary<string, Aggregation> { [Categories] = new TermsAggregation { Field = ProductIndex.CategoryFacet, Size = MostCategories } },
            },
            ct));
        var labels = (found.Aggregations?.GetStringTerms(Categories)?.Buckets ?? [])
            .Select(bucket => FacetTerm.Read(bucket.Key.Value!.ToString()!))
            .DistinctBy(term => term.Value)
            .Select(term => (term.Label, term.Value, ProductText.BeginningsOf(term.Label, MostWords)))
            .ToList();
        shelves = new Shelves(generation, labels);
        return labels;
    }
}
