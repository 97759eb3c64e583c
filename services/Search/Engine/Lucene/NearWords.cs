using System.Collections.Concurrent;

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
    public IReadOnlyList<NearWord> Of(IndexWords words, string word, int edits)
    {
        var generation = words.Texts;
        if (remembered.TryGetValue((word, edits), out var known) && known.Generation == generation)
            return known.Words;

        var found = Look(words, word, edits);
        if (remembered.Count >= MostRemembered)
            remembered.Clear();
        remembered[(word, edits)] = (generation, found);
        return found;
    }

    private IReadOnlyList<NearWord> Look(IndexWords words, string word, int edits) =>
        [.. index.Vocabulary.Near(word, edits)
            .Where(near => !near.Word.Any(char.IsAsciiDigit))
            .Select(near => new NearWord(ProductText.TermOf(near.Word), near.Word, near.Edits, words.ProductsWith(ProductDocument.Spelling, near.Word)))
            .Where(near => near.Products > 0)
            .OrderBy(near => near.Edits)
            .ThenByDescending(near => near.Written[0] == word[0])
            .ThenByDescending(near => near.Products)
            .DistinctBy(near => near.Term)
            .Take(MostWords)];
}
