using System.Collections.Concurrent;
using Lucene.Net.Index;
using Lucene.Net.Search;
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

    /// <summary>Of each field: plenty for what is searched at a time. One search of many misspelt words borrows hundreds.</summary>
    private const int MostKept = 64;

    private readonly Dictionary<string, Entry>[] words;
    private readonly int[] kept = new int[Fields.Length];
    private readonly ConcurrentBag<Reader>[] free = [.. Fields.Select(_ => new ConcurrentBag<Reader>())];

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

    /// <summary>What reads which documents have a word of a field. To be given back: Lucene allocates tens of kilobytes for each.</summary>
    /// <param name="segment">The same segment as it is opened now.</param>
    public Reader Take(AtomicReader segment, int field)
    {
        if (!free[field].TryTake(out var one))
            return new Reader(segment, field, words[field]);

        Interlocked.Decrement(ref kept[field]);
        return one;
    }

    public void GiveBack(Reader reader)
    {
        if (Interlocked.Increment(ref kept[reader.Field]) <= MostKept)
            free[reader.Field].Add(reader);
        else
            Interlocked.Decrement(ref kept[reader.Field]);
    }

    internal sealed class Reader(AtomicReader segment, int number, Dictionary<string, Entry> words)
    {
        private readonly TermsEnum? terms = segment.GetTerms(Fields[number])?.GetEnumerator();
        private DocsEnum? documents;

        public int Field => number;

        /// <summary>Null when none has it. Good until the next is asked for.</summary>
        public DocsEnum? With(string word, IBits live, DocsFlags flags)
        {
            if (terms is null || !words.TryGetValue(word, out var entry))
                return null;

            var text = new BytesRef(word);
            if (entry.State is { } known)
                terms.SeekExact(text, known);
            else if (terms.SeekExact(text))
                entry.State = terms.GetTermState();
            else
                return null;
            return documents = terms.Docs(live, documents, flags);
        }
    }
}
