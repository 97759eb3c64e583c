using System.Runtime.CompilerServices;
using Lucene.Net.Index;
using Lucene.Net.Search;
using Lucene.Net.Util;

namespace Marketplace.Search.Engine.Lucene;

/// <summary>
/// What a search looks at for every product it meets, as arrays by document of one segment. A segment never changes, so they are made
/// once: when it is written or merged, before a search sees it.
/// </summary>
internal sealed class SegmentColumns
{
    private SegmentColumns(int size)
    {
        (Slot, Price, ListedAt, FacetStart) = (new int[size], new long[size], new long[size], new int[size + 1]);
        Facet = [];
    }

    /// <summary>-1 for what is not a product.</summary>
    public int[] Slot { get; }

    public long[] Price { get; }

    public long[] ListedAt { get; }

    /// <summary>The facet values of a document are <see cref="Facet"/> from here to the next document's start.</summary>
    public int[] FacetStart { get; }

    public int[] Facet { get; private set; }

    public static SegmentColumns Of(AtomicReader segment, Products products, FacetValues values)
    {
        var columns = new SegmentColumns(segment.MaxDoc);
        var keys = segment.GetBinaryDocValues(ProductDocument.Key);
        var kinds = segment.GetNumericDocValues(ProductDocument.KindNumber);
        var prices = segment.GetNumericDocValues(ProductDocument.Price);
        var ages = segment.GetNumericDocValues(ProductDocument.ListedAt);
        var facets = segment.GetSortedSetDocValues(ProductDocument.FacetTerms);
        var numbers = facets is null ? [] : NumbersOf(facets, values);
        var all = new List<int>(segment.MaxDoc * 4);
        var key = new BytesRef();
        for (var document = 0; document < segment.MaxDoc; document++)
        {
            columns.FacetStart[document] = all.Count;
            columns.Slot[document] = -1;
            if (keys is null || kinds is null || kinds.Get(document) != ProductDocument.ProductKind)
                continue;

            keys.Get(document, key);
            columns.Slot[document] = products.Of(ProductDocument.IdFrom(key)).Slot;
            columns.Price[document] = prices.Get(document);
            columns.ListedAt[document] = ages.Get(document);
            if (facets is null)
                continue;

            facets.SetDocument(document);
            for (long ord; (ord = facets.NextOrd()) != SortedSetDocValues.NO_MORE_ORDS;)
            {
                var number = numbers[ord];
                if (all.IndexOf(number, columns.FacetStart[document]) < 0)
                    all.Add(number);
            }
        }

        columns.FacetStart[segment.MaxDoc] = all.Count;
        columns.Facet = [.. all];
        return columns;
    }

    private static int[] NumbersOf(SortedSetDocValues facets, FacetValues values)
    {
        var numbers = new int[facets.ValueCount];
        var term = new BytesRef();
        for (var ord = 0; ord < numbers.Length; ord++)
        {
            facets.LookupOrd(ord, term);
            numbers[ord] = values.Add(term.Utf8ToString());
        }

        return numbers;
    }
}

/// <summary>What is kept in memory of the segments in use; that of a merged-away segment goes with it.</summary>
internal sealed class SegmentCache(Products products, FacetValues values, Vocabulary vocabulary)
{
    private readonly ConditionalWeakTable<object, SegmentColumns> columns = [];
    private readonly ConditionalWeakTable<object, SegmentWords> words = [];
    private readonly ConditionalWeakTable<IndexReader, CollectionStatistics?[]> statistics = [];

    public SegmentColumns Of(AtomicReader segment) => columns.GetValue(segment.CoreCacheKey, _ => SegmentColumns.Of(segment, products, values));

    public SegmentWords WordsOf(AtomicReader segment) => words.GetValue(segment.CoreCacheKey, _ => SegmentWords.Of(segment, vocabulary));

    public CollectionStatistics StatisticsOf(IndexSearcher searcher, int field)
    {
        var known = statistics.GetValue(searcher.IndexReader, _ => new CollectionStatistics?[SegmentWords.Fields.Length]);
        return known[field] ??= searcher.CollectionStatistics(SegmentWords.Fields[field]);
    }

    public void Warm(IndexReader reader)
    {
        foreach (var leaf in reader.Leaves)
        {
            Of(leaf.AtomicReader);
            WordsOf(leaf.AtomicReader);
        }
    }
}

/// <summary>The words of all segments of one search, to be disposed of at its end.</summary>
/// <param name="texts">No newer than the reader: what is remembered of these words counts until the texts change after that.</param>
internal sealed class IndexWords(IndexReader reader, SegmentCache segments, long texts) : IDisposable
{
    public long Texts => texts;

    private readonly List<(SegmentWords Segment, SegmentWords.Reader Reader)> lent = [];
    private readonly SegmentWords[] words = [.. reader.Leaves.Select(leaf => segments.WordsOf(leaf.AtomicReader))];

    public int ProductsWith(string field, string word)
    {
        var (which, products) = (SegmentWords.IndexOf(field), 0);
        foreach (var segment in words)
            products += segment.ProductsWith(which, word);
        return products;
    }

    /// <summary>Null when nothing has the word in this field. It counts as rare as is said.</summary>
    public WordQuery? QueryOf(string field, string word, float boost, int rarity) =>
        ProductsWith(field, word) > 0 ? new WordQuery(this, field, word, rarity) { Boost = boost } : null;

    public CollectionStatistics StatisticsOf(IndexSearcher searcher, int field) => segments.StatisticsOf(searcher, field);

    /// <summary>Documents of a segment that have the word; null without any.</summary>
    public DocsEnum? With(AtomicReaderContext leaf, int field, string word, IBits live)
    {
        if (words[leaf.Ord].ProductsWith(field, word) == 0)
            return null;

        var reader = words[leaf.Ord].Take(leaf.AtomicReader, field);
        lent.Add((words[leaf.Ord], reader));
        return reader.With(word, live, DocsFlags.FREQS);
    }

    public void Dispose() => lent.ForEach(one => one.Segment.GiveBack(one.Reader));
}
