using System.Collections.Concurrent;
using Lucene.Net.Index;
using Lucene.Net.Util;
using Lucene.Net.Util.Automaton;

namespace Marketplace.Search.Engine.Lucene;

/// <summary>A word of the catalogue near to a typed one.</summary>
/// <param name="Term">As it stands in the index.</param>
/// <param name="Products">Documents that have it.</param>
internal sealed record NearWord(string Term, string Written, int Edits, int Products);

/// <summary>Words of titles, brands and shelves within some edits of a typed one; a swap of neighbours is one edit. Remembered while the words of the catalogue stay the same.</summary>
internal sealed class NearWords(LuceneIndex index)
{
    private const int MostRemembered = 20_000;
    private const int MostWords = 12;
    private readonly ConcurrentDictionary<(string Word, int Edits), (long Generation, IReadOnlyList<NearWord> Words)> remembered = new();

    /// <summary>Nearest first, then the commonest; without the word itself.</summary>
    public IReadOnlyList<NearWord> Of(IndexReader reader, string word, int edits)
    {
        var generation = index.TextGeneration;
        if (remembered.TryGetValue((word, edits), out var known) && known.Generation == generation)
            return known.Words;

        var words = Look(reader, word, edits);
        if (remembered.Count >= MostRemembered)
            remembered.Clear();
        remembered[(word, edits)] = (generation, words);
        return words;
    }

    private static IReadOnlyList<NearWord> Look(IndexReader reader, string word, int edits)
    {
        var automaton = new CompiledAutomaton(new LevenshteinAutomata(word, withTranspositions: true).ToAutomaton(edits), finite: true, simplify: false);
        var found = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var leaf in reader.Leaves)
        {
            if (leaf.AtomicReader.GetTerms(ProductDocument.Spelling) is not { } terms)
                continue;
            var matching = automaton.GetTermsEnum(terms);
            while (matching.MoveNext())
            {
                var term = matching.Term.Utf8ToString();
                found[term] = found.GetValueOrDefault(term) + matching.DocFreq;
            }
        }

        found.Remove(word);
        return [.. found
            .Where(term => !term.Key.Any(char.IsAsciiDigit))
            .Select(term => new NearWord(ProductText.TermOf(term.Key), term.Key, Distance(word, term.Key), term.Value))
            .OrderBy(near => near.Edits)
            .ThenByDescending(near => near.Written[0] == word[0])
            .ThenByDescending(near => near.Products)
            .DistinctBy(near => near.Term)
            .Take(MostWords)];
    }

    private static int Distance(string one, string other)
    {
        var (before, last, next) = (new int[other.Length + 1], new int[other.Length + 1], new int[other.Length + 1]);
        for (var j = 0; j <= other.Length; j++)
            last[j] = j;
        for (var i = 1; i <= one.Length; i++)
        {
            next[0] = i;
            for (var j = 1; j <= other.Length; j++)
            {
                next[j] = Math.Min(Math.Min(last[j], next[j - 1]) + 1, last[j - 1] + (one[i - 1] == other[j - 1] ? 0 : 1));
                if (i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1])
                    next[j] = Math.Min(next[j], before[j - 2] + 1);
            }

            (before, last, next) = (last, next, before);
        }

        return last[other.Length];
    }
}
