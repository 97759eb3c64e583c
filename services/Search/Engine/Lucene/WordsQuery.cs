using Lucene.Net.Index;
using Lucene.Net.Search;

namespace Marketplace.Search.Engine.Lucene;

/// <summary>
/// The words of a search as a query. It is put together from terms, never parsed from text: whatever a shopper types is words. Of a
/// word's fields and readings the best counts, not their sum, and all of them count as rare as the word itself: else a rare misspelling
/// would outrank what it is a misspelling of.
/// </summary>
internal sealed class WordsQuery
{
    private const float OtherFields = 0.15f;
    private const float InOrder = 0.6f;
    private const float ApartOrTogether = 0.9f;
    private const float OneEdit = 0.6f;
    private const float TwoEdits = 0.35f;
    private const int ShortestPart = 3;
    private const int Rare = 5;
    private const int FarCommoner = 20;

    private static readonly (string Field, float Weight)[] Fields =
    [
        (ProductDocument.Title, 4f), (ProductDocument.Brand, 3f), (ProductDocument.Shelf, 2f), (ProductDocument.Description, 1f),
    ];

    private readonly IndexWords index;
    private readonly NearWords near;
    private readonly Spelling spelling;
    private readonly Dictionary<string, int> known = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> corrections = new(StringComparer.OrdinalIgnoreCase);
    private readonly List<string> unknown = [];
    private readonly HashSet<string> matching = new(StringComparer.Ordinal);

    public WordsQuery(IndexWords index, NearWords near, Ask ask)
    {
        (this.index, this.near, spelling) = (index, near, ask.Spelling);
        Query = Build(ask);
    }

    public Query Query { get; }

    public IReadOnlyDictionary<string, string> Corrections => corrections;

    public IReadOnlyList<string> Unknown => unknown;

    /// <summary>Everything a result may have been found by.</summary>
    public IReadOnlySet<string> Matching => matching;

    private Query Build(Ask ask)
    {
        if (ask.Words.Count == 0)
            return new TermQuery(new Term(ProductDocument.Kind, ProductDocument.Product));

        var needed = new BooleanQuery();
        var query = new BooleanQuery();
        for (var i = 0; i < ask.Words.Count; i++)
        {
            var word = ask.Words[i];
            var readings = ReadingsOf(word, ask.Words.ElementAtOrDefault(i - 1), ask.Words.ElementAtOrDefault(i + 1));
            (word.Optional ? query : needed).Add(QueryOf(readings), Occur.SHOULD);
        }

        if (needed.Clauses.Count > 0)
        {
            needed.MinimumNumberShouldMatch = Math.Min(ask.MustMatch, needed.Clauses.Count);
            query.Add(needed, Occur.MUST);
        }

        if (ask.Words.Count > 1 && ask.Words.All(word => word.Readings[0].Terms.All(term => TitlesWith(term) > 0)))
            query.Add(PhraseOf(ask.Words), Occur.SHOULD);
        return query;
    }

    private List<Reading> ReadingsOf(WantedWord word, WantedWord? before, WantedWord? behind)
    {
        var readings = word.Readings.Where(reading => reading.Terms.All(term => ProductsWith(term) > 0)).ToList();
        if (word.Readings[0] is not { Terms: [var term], Weight: var weight } typed)
            return readings;

        if (Join(before, term) is { } withLeft && ProductsWith(withLeft) > 0)
            readings.Add(new Reading([withLeft], weight));
        if (behind?.Readings[0].Terms is [var right] && ProductsWith(term + right) > 0)
            readings.Add(new Reading([term + right], weight));

        var exact = ProductsWith(term);
        if (typed.Edits > 0 && (spelling == Spelling.Near || exact < Rare))
        {
            var nearby = near.Of(index, typed.Written, typed.Edits);
            if (exact == 0 && nearby is not [{ Edits: 1 }, ..] && SingularOf(typed.Written) is { } singular)
                nearby = [.. nearby.Concat(near.Of(index, singular, typed.Edits)).OrderBy(other => other.Edits)];
            foreach (var other in nearby.Where(other => other.Term != term))
            {
                var meant = spelling == Spelling.Near || exact == 0 || exact < Rare && other.Edits == 1 && other.Products >= Math.Max(FarCommoner, exact * FarCommoner);
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

    private Query QueryOf(List<Reading> readings)
    {
        var rarity = Math.Max(1, readings.Select(reading => reading.Terms.Min(ProductsWith)).DefaultIfEmpty(1).Max());
        var best = new DisjunctionMaxQuery(OtherFields);
        foreach (var reading in readings)
        {
            matching.UnionWith(reading.Terms);
            if (reading.Terms is [var single])
            {
                AddTo(best, single, reading.Weight, rarity);
                continue;
            }

            var together = new BooleanQuery();
            foreach (var term in reading.Terms)
            {
                var either = new DisjunctionMaxQuery(OtherFields);
                AddTo(either, term, reading.Weight / reading.Terms.Count, rarity);
                together.Add(either, Occur.MUST);
            }

            best.Add(together);
        }

        return best;
    }

    private void AddTo(DisjunctionMaxQuery best, string term, float weight, int rarity)
    {
        foreach (var (field, fieldWeight) in Fields)
        {
            if (index.QueryOf(field, term, fieldWeight * weight, rarity) is { } query)
                best.Add(query);
        }
    }

    private static PhraseQuery PhraseOf(IReadOnlyList<WantedWord> words)
    {
        var phrase = new PhraseQuery { Slop = 1, Boost = InOrder };
        foreach (var word in words)
        {
            foreach (var term in word.Readings[0].Terms)
                phrase.Add(new Term(ProductDocument.Title, term));
        }

        return phrase;
    }

    private static string? Join(WantedWord? before, string term) => before?.Readings[0].Terms is [var left] ? left + term : null;

    /// <summary>Two words of the catalogue that were typed as one; of several ways the one of the commoner words.</summary>
    private string[]? SplitOf(string term)
    {
        string[]? best = null;
        var most = 0;
        for (var at = ShortestPart; at <= term.Length - ShortestPart; at++)
        {
            var (left, right) = (term[..at], term[at..]);
            var products = Math.Min(TitlesWith(left), TitlesWith(right));
            if (products > most)
                (best, most) = ([left, right], products);
        }

        return best;
    }

    /// <summary>A misspelt plural may be several letters away from the one in the catalogue.</summary>
    private static string? SingularOf(string word) => word switch
    {
        { Length: > 5 } when word.EndsWith("ies", StringComparison.Ordinal) => word[..^3] + "y",
        { Length: > 5 } when word.EndsWith("es", StringComparison.Ordinal) => word[..^2],
        { Length: > 4 } when word.EndsWith('s') => word[..^1],
        _ => null,
    };

    private int TitlesWith(string term) => index.ProductsWith(ProductDocument.Title, term);

    private int ProductsWith(string term)
    {
        if (known.TryGetValue(term, out var products))
            return products;
        foreach (var (field, _) in Fields)
            products = Math.Max(products, index.ProductsWith(field, term));
        return known[term] = products;
    }
}
