using Elastic.Clients.Elasticsearch;
using Elastic.Clients.Elasticsearch.Aggregations;
using Elastic.Clients.Elasticsearch.Core.Search;
using Elastic.Clients.Elasticsearch.QueryDsl;

namespace Marketplace.Search.Engine.Elasticsearch;

/// <summary>A word of the catalogue near to a typed one.</summary>
/// <param name="Term">As it stands in the index.</param>
/// <param name="Products">About how many have it.</param>
internal sealed record NearWord(string Term, string Written, int Edits, int Products);

/// <summary>
/// What the catalogue knows of the words of one search. What a query means depends on it (see <see cref="WordsOfAsk"/>), so it is asked
/// first: how many products have each word; and of those hardly anything has, which ones are near.
/// </summary>
internal sealed class CatalogueWords(ElasticsearchConnection elasticsearch)
{
    public const int MostNear = 12;
    private const int NearLookedAt = 50;
    private const string Counts = "counts";
    private const string InTitles = "t:";
    private const string Anywhere = "w:";

    private readonly Dictionary<string, int> counts = new(StringComparer.Ordinal);
    private readonly Dictionary<(string Word, int Edits), IReadOnlyList<NearWord>> near = [];

    /// <summary>Products that are listed.</summary>
    public long All { get; private set; }

    public int ProductsWith(string term) => counts.GetValueOrDefault(Anywhere + term);

    public int TitlesWith(string term) => counts.GetValueOrDefault(InTitles + term);

    /// <summary>Nearest first, then the commonest; without the word itself.</summary>
    public IReadOnlyList<NearWord> NearTo(string written, int edits) => near.GetValueOrDefault((written, edits), []);

    public async Task CountAsync(IEnumerable<string> anywhere, IEnumerable<string> inTitles, CancellationToken ct) =>
        await LookAsync(anywhere, inTitles, [], ct);

    /// <summary>One request for all of them.</summary>
    public async Task LookAsync(IEnumerable<string> anywhere, IEnumerable<string> inTitles, IReadOnlyCollection<(string Written, int Edits)> misspelt, CancellationToken ct)
    {
        var filters = new Dictionary<string, Query>(StringComparer.Ordinal);
        foreach (var term in anywhere)
            filters.TryAdd(Anywhere + term, new TermQuery(ProductIndex.Words, term));
        foreach (var term in inTitles)
            filters.TryAdd(InTitles + term, new TermQuery(ProductIndex.Title, term));
        var suggesters = misspelt.Distinct().Index().ToDictionary(word => $"{word.Index}", word => new FieldSuggester
        {
            Text = word.Item.Written,
            Term = new TermSuggester(ProductIndex.Spelling)
            {
                // Every one of the words so near, however common the typed one is: which of them are meant is decided here, alike for all engines.
                SuggestMode = SuggestMode.Always,
                MaxEdits = word.Item.Edits,
                PrefixLength = 0,
                MinWordLength = 1,
                MinDocFreq = 0,
                MaxTermFreq = 1_000_000_000,
                MaxInspections = 10,
                Size = NearLookedAt,
                ShardSize = NearLookedAt,
                Analyzer = "whitespace",
            },
        });
        if (filters.Count == 0 && suggesters.Count == 0)
            return;

        var found = elasticsearch.Checked(await elasticsearch.Client.SearchAsync<FoundDocument>(
            new SearchRequest(elasticsearch.Options.Index)
            {
                Query = new BoolQuery { Filter = [new TermQuery(ProductIndex.Listed, true)] },
                Size = 0,
                TrackTotalHits = true,
                Aggregations = filters.Count > 0 ? new Dictionary<string, Aggregation> { [Counts] = new FiltersAggregation { Filters = filters } } : null,
                Suggest = suggesters.Count > 0 ? new Suggester { Suggesters = suggesters } : null,
            },
            ct));
        All = found.Total;
        foreach (var bucket in found.Aggregations?.GetFilters(Counts)?.Buckets ?? [])
            counts[bucket.Key!] = (int)bucket.DocCount;
        foreach (var (number, word) in misspelt.Distinct().Index())
        {
            near[word] = [.. NearIn(found.Suggest?.GetTerm($"{number}") ?? [], word.Written, word.Edits)];
            foreach (var other in near[word])
                counts.TryAdd(Anywhere + other.Term, other.Products);
        }
    }

    private static IEnumerable<NearWord> NearIn(IEnumerable<TermSuggest> suggested, string written, int edits) => suggested
        .SelectMany(one => one.Options)
        .Where(option => !option.Text.Any(char.IsAsciiDigit))
        .Select(option => new NearWord(ProductText.TermOf(option.Text), option.Text, Beginnings.Distance(option.Text, written, wholeWord: true), (int)option.Freq))
        .Where(word => word.Products > 0 && word.Edits > 0 && word.Edits <= edits)
        .OrderBy(word => word.Edits)
        .ThenByDescending(word => word.Written[0] == written[0])
        .ThenByDescending(word => word.Products)
        .DistinctBy(word => word.Term)
        .Take(MostNear);
}
