using Elastic.Clients.Elasticsearch.QueryDsl;

namespace Marketplace.Search.Engine.Elasticsearch;

/// <summary>
/// The words of a search as a query. It is put together from terms, never parsed from text: whatever a shopper types is words. Of a
/// word's fields and readings the best counts, not their sum, and all of them count as rare as the word itself: else a rare misspelling
/// would outrank what it is a misspelling of. The numbers are those of the embedded engine.
/// </summary>
internal sealed class WordsOfAsk
{
    private const double OtherFields = 0.15;
    private const float InOrder = 0.6f;
    private const float ApartOrTogether = 0.9f;
    private const float OneEdit = 0.6f;
    private const float TwoEdits = 0.35f;
    private const int ShortestPart = 3;
    private const int Rare = 5;
    private const int FarCommoner = 20;

    private static readonly (string Field, float Weight)[] Fields =
        [(ProductIndex.Title, 4f), (ProductIndex.Brand, 3f), (ProductIndex.Shelf, 2f), (ProductIndex.Description, 1f)];

    private readonly CatalogueWords catalogue;
    private readonly Ask ask;
    private readonly Dictionary<string, string> corrections = new(StringComparer.OrdinalIgnoreCase);
    private readonly List<string> unknown = [];
    private readonly HashSet<string> matching = new(StringComparer.Ordinal);

    private WordsOfAsk(CatalogueWords catalogue, Ask ask)
    {
        (this.catalogue, this.ask) = (catalogue, ask);
        Query = Build();
    }

    /// <summary>Null when nothing can fit.</summary>
    public Query? Query { get; }

    public IReadOnlyDictionary<string, string> Corrections => corrections;

    public IReadOnlyList<string> Unknown => unknown;

    /// <summary>Everything a result may have been found by.</summary>
    public IReadOnlySet<string> Matching => matching;

    public static async Task<WordsOfAsk> ReadAsync(ElasticsearchConnection elasticsearch, Ask ask, CancellationToken ct)
    {
        var catalogue = new CatalogueWords(elasticsearch);
        if (ask.Words.Count == 0)
            return new WordsOfAsk(catalogue, ask);

        var readings = ask.Words.SelectMany(word => word.Readings).ToList();
        var joined = ask.Words.Zip(ask.Words.Skip(1)).Select(pair => Joined(pair.First, pair.Second)).OfType<string>();
        await catalogue.CountAsync(
            readings.SelectMany(reading => reading.Terms).Concat(joined), ask.Words.Count > 1 ? ask.Words.SelectMany(word => word.Readings[0].Terms) : [], ct);

        // The few words that may be misspelt. Those the catalogue has plenty of are meant as typed.
        var suspects = ask.Words.Select(word => word.Readings[0])
            .Where(typed => typed is { Terms: [var term], Edits: > 0 } && (ask.Spelling == Spelling.Near || catalogue.ProductsWith(term) < Rare)).ToList();
        var absent = suspects.Where(typed => catalogue.ProductsWith(typed.Terms[0]) == 0).ToList();
        await catalogue.LookAsync(
            [],
            absent.SelectMany(typed => Splits(typed.Terms[0])).SelectMany(parts => new[] { parts.Left, parts.Right }),
            [.. suspects.Select(typed => (typed.Written, typed.Edits)), .. absent.Where(typed => SingularOf(typed.Written) is not null).Select(typed => (SingularOf(typed.Written)!, typed.Edits))],
            ct);
        return new WordsOfAsk(catalogue, ask);
    }

    private Query? Build()
    {
        if (ask.Words.Count == 0)
            return new ConstantScoreQuery(new TermQuery(ProductIndex.Listed, true));

        var (needed, optional) = (new List<Query>(), new List<Query>());
        for (var i = 0; i < ask.Words.Count; i++)
        {
            var word = ask.Words[i];
            var readings = ReadingsOf(word, ask.Words.ElementAtOrDefault(i - 1), ask.Words.ElementAtOrDefault(i + 1));
            if (QueryOf(readings) is { } query)
                (word.Optional ? optional : needed).Add(query);
        }

        var wanted = ask.Words.Count(word => !word.Optional);
        var mustMatch = Math.Min(ask.MustMatch, wanted);
        if (needed.Count < mustMatch || needed.Count == 0)
            return null;

        if (ask.Words.Count > 1 && ask.Words.All(word => word.Readings[0].Terms.All(term => catalogue.TitlesWith(term) > 0)))
            optional.Add(PhraseOf(ask.Words));
        return new BoolQuery
        {
            Must = [new BoolQuery { Should = needed, MinimumShouldMatch = Math.Max(1, mustMatch) }],
            Should = optional.Count > 0 ? optional : null,
            Filter = [new TermQuery(ProductIndex.Listed, true)],
        };
    }

    private List<Reading> ReadingsOf(WantedWord word, WantedWord? before, WantedWord? behind)
    {
        var readings = word.Readings.Where(reading => reading.Terms.All(term => catalogue.ProductsWith(term) > 0)).ToList();
        if (word.Readings[0] is not { Terms: [var term], Weight: var weight } typed)
            return readings;

        if (before is not null && Joined(before, word) is { } withLeft && catalogue.ProductsWith(withLeft) > 0)
            readings.Add(new Reading([withLeft], weight));
        if (behind is not null && Joined(word, behind) is { } withRight && catalogue.ProductsWith(withRight) > 0)
            readings.Add(new Reading([withRight], weight));

        var exact = catalogue.ProductsWith(term);
        if (typed.Edits > 0 && (ask.Spelling == Spelling.Near || exact < Rare))
        {
            var nearby = catalogue.NearTo(typed.Written, typed.Edits);
            if (exact == 0 && nearby is not [{ Edits: 1 }, ..] && SingularOf(typed.Written) is { } singular)
                nearby = [.. nearby.Concat(catalogue.NearTo(singular, typed.Edits)).OrderBy(other => other.Edits).Take(CatalogueWords.MostNear)];    // Elasticsearch has a limit for clauses
            foreach (var other in nearby.Where(other => other.Term != term))
            {
                var meant = ask.Spelling == Spelling.Near || exact == 0 || other.Edits == 1 && other.Products >= Math.Max(FarCommoner, exact * FarCommoner);
                if (meant)
                    readings.Add(new Reading([other.Term], weight * (other.Edits == 1 ? OneEdit : TwoEdits)));
            }

            if (exact == 0 && nearby is [var nearest, ..])
                corrections[word.Typed] = nearest.Written;
            if (exact == 0 && SplitOf(term) is { } parts)
                readings.Add(new Reading(parts, weight * ApartOrTogether));
        }

        if (readings.Count == 0 && !word.Optional)
            unknown.Add(word.Typed);
        return readings;
    }

    private Query? QueryOf(List<Reading> readings)
    {
        if (readings.Count == 0)
            return null;

        var rarity = RarityOf(readings.Max(reading => reading.Terms.Min(CountOf)));
        var best = new List<Query>();
        foreach (var reading in readings)
        {
            matching.UnionWith(reading.Terms);
            if (reading.Terms is [var single])
                best.AddRange(AnyField(single, reading.Weight * rarity));
            else
                best.Add(new BoolQuery { Must = [.. reading.Terms.Select(term => (Query)new DisMaxQuery([.. AnyField(term, reading.Weight / reading.Terms.Count * rarity)]) { TieBreaker = OtherFields })] });
        }

        return new DisMaxQuery(best) { TieBreaker = OtherFields };
    }

    private static IEnumerable<Query> AnyField(string term, float weight) => Fields.Select(field => (Query)new TermQuery(field.Field, term) { Boost = field.Weight * weight });

    private MatchPhraseQuery PhraseOf(IReadOnlyList<WantedWord> words)
    {
        var terms = words.SelectMany(word => word.Readings[0].Terms).ToList();
        return new MatchPhraseQuery(ProductIndex.Title, string.Join(' ', terms)) { Slop = 1, Boost = InOrder * terms.Average(term => RarityOf(catalogue.TitlesWith(term))) };    // it scores each of them
    }

    private int CountOf(string term) => Math.Max(1, Math.Max(catalogue.ProductsWith(term), catalogue.TitlesWith(term)));

    /// <summary>As BM25 measures it.</summary>
    private float RarityOf(int products) => (float)Math.Log(1 + (Math.Max(catalogue.All, products) - products + 0.5) / (products + 0.5));

    private static string? Joined(WantedWord left, WantedWord right) =>
        left.Readings[0].Terms is [var first] && right.Readings[0].Terms is [var second] ? first + second : null;

    private static IEnumerable<(string Left, string Right)> Splits(string term)
    {
        for (var at = ShortestPart; at <= term.Length - ShortestPart; at++)
            yield return (term[..at], term[at..]);
    }

    /// <summary>Two words of the catalogue that were typed as one; of several ways the one of the commoner words.</summary>
    private string[]? SplitOf(string term) => Splits(term)
        .Select(parts => (Parts: (string[])[parts.Left, parts.Right], Products: Math.Min(catalogue.TitlesWith(parts.Left), catalogue.TitlesWith(parts.Right))))
        .Where(split => split.Products > 0)
        .OrderByDescending(split => split.Products)
        .FirstOrDefault().Parts;

    /// <summary>A misspelt plural may be several letters away from the one in the catalogue.</summary>
    private static string? SingularOf(string word) => word switch
    {
        { Length: > 5 } when word.EndsWith("ies", StringComparison.Ordinal) => word[..^3] + "y",
        { Length: > 5 } when word.EndsWith("es", StringComparison.Ordinal) => word[..^2],
        { Length: > 4 } when word.EndsWith('s') => word[..^1],
        _ => null,
    };
}
