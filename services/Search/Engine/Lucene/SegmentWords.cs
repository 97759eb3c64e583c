using Lucene.Net.Index;
using Lucene.Net.Util;

namespace Marketplace.Search.Engine.Lucene;

/// <summary>
/// Which words a segment has in which field, and in how many products. Looking a term up on disk costs more than finding the products that
/// have it, a search asks for dozens, most segments have none of them, and a segment never changes.
/// </summary>
internal sealed class SegmentWords
{
    public static readonly string[] Fields =
        [ProductDocument.Title, ProductDocument.Brand, ProductDocument.Shelf, ProductDocument.Description, ProductDocument.Spelling, ProductDocument.Beginnings];

    private readonly Dictionary<string, Entry>[] words;

    private SegmentWords(Dictionary<string, Entry>[] words) => this.words = words;

    public sealed class Entry(int products)
    {
        public int Products { get; } = products;

        /// <summary>Where the term is, once it was looked up.</summary>
        public volatile TermState? State;
    }

    public static SegmentWords Of(AtomicReader segment, Vocabulary vocabulary)
    {
        var words = new Dictionary<string, Entry>[Fields.Length];
        for (var field = 0; field < Fields.Length; field++)
        {
            words[field] = new Dictionary<string, Entry>(StringComparer.Ordinal);
            if (segment.GetTerms(Fields[field]) is not { } terms)
                continue;
            var each = terms.GetEnumerator();
            while (each.MoveNext())
                words[field][each.Term.Utf8ToString()] = new Entry(each.DocFreq);
        }

        vocabulary.Add(words[IndexOf(ProductDocument.Spelling)].Keys);
        return new SegmentWords(words);
    }

    public static int IndexOf(string field) => Array.IndexOf(Fields, field);

    public int ProductsWith(int field, string word) => words[field].TryGetValue(word, out var entry) ? entry.Products : 0;

    /// <param name="segment">The same segment as it is opened now.</param>
    /// <returns>Null when it does not have the word.</returns>
    public TermState? StateOf(AtomicReader segment, int field, string word)
    {
        if (!words[field].TryGetValue(word, out var entry))
            return null;
        if (entry.State is { } known)
            return known;

        var terms = segment.GetTerms(Fields[field]).GetEnumerator();
        return terms.SeekExact(new BytesRef(word)) ? entry.State = terms.GetTermState() : null;
    }
}
