using Lucene.Net.Index;
using Lucene.Net.Search;
using Lucene.Net.Util;

namespace Marketplace.Search.Engine.Lucene;

/// <summary>
/// Titles and categories in which every typed word begins some word: titles that begin as typed first, then what is in stock and sells.
/// When there are none, one letter of each word may be wrong.
/// </summary>
internal sealed class TitleCompletion(LuceneIndex index, IndexSearcher searcher)
{
    private const int MostWords = 8;
    private const int MostWordsOfOne = 40;
    private const int Enough = 4;                               // titles looked at for each one wanted: many products share a title

    private readonly IndexWords words = new(searcher.IndexReader, index.Segments, index.TextGeneration);

    public IReadOnlyList<Completion> Complete(string typed, int most)
    {
        var beginnings = ProductText.BeginningsOf(typed, MostWords).Distinct(StringComparer.Ordinal).ToList();
        if (beginnings.Count == 0)
            return [];

        List<Completion> exact = [.. Titles(beginnings, Words, most), .. Categories(beginnings, 0)];
        return exact.Count > 0 ? exact : [.. Titles(beginnings, Near, most), .. Categories(beginnings, 1)];
    }

    private IEnumerable<Completion> Categories(IReadOnlyList<string> beginnings, int edits) =>
        index.Values.Categories
            .Where(category => Beginnings.Fit(category.Words, beginnings, edits))
            .Select(category => category.Value)
            .Select(value => (value.Label, value.Value, Products: searcher.Search(new TermQuery(new Term(ProductDocument.Category, value.Value)), 1).TotalHits))   // without deleted ones
            .Where(category => category.Products > 0)
            .OrderByDescending(category => category.Products)
            .Select(category => new Completion(category.Label, "category", category.Value));

    private List<Completion> Titles(IReadOnlyList<string> beginnings, Func<string, IReadOnlyList<string>> waysOf, int most)
    {
        var query = new BooleanQuery();
        var ways = beginnings.Select(waysOf).ToList();
        foreach (var some in ways)
        {
            if (AnyOf(some) is not { } any)
                return [];
            query.Add(any, Occur.MUST);
        }

        // The first word typed stands first in the title.
        if (AnyOf(ways[0].Select(way => ProductText.AtStart + way)) is { } first)
            query.Add(new ConstantScoreQuery(first), Occur.SHOULD);
        var best = new CompletionCollector(index, most * Enough);
        searcher.Search(query, best);

        var leaves = searcher.IndexReader.Leaves;
        var bytes = new BytesRef();
        var titles = new List<string>();
        foreach (var document in best.Top())
        {
            var leaf = leaves[ReaderUtil.SubIndex(document, leaves)];
            leaf.AtomicReader.GetBinaryDocValues(ProductDocument.Result).Get(document - leaf.DocBase, bytes);
            titles.Add(ProductDocument.Read(bytes).Title);
        }

        return [.. titles.Distinct(StringComparer.OrdinalIgnoreCase).Take(most).Select(title => new Completion(title, "title"))];
    }

    /// <summary>A short beginning is a term of its own; of a longer one all words it begins.</summary>
    private IReadOnlyList<string> Words(string beginning) =>
        beginning.Length <= ProductText.LongestPrefix ? [beginning] : index.Vocabulary.Beginning(beginning, 0);

    /// <summary>Null when no product has any of them.</summary>
    private Query? AnyOf(IEnumerable<string> ways)
    {
        var any = new BooleanQuery(disableCoord: true);
        foreach (var way in ways.Select(way => (Word: way, Products: words.ProductsWith(ProductDocument.Beginnings, way))).Where(way => way.Products > 0).OrderByDescending(way => way.Products).Take(MostWordsOfOne))
            any.Add(words.QueryOf(ProductDocument.Beginnings, way.Word, boost: 0, rarity: 1), Occur.SHOULD);
        return any.Clauses.Count switch { 0 => null, 1 => any.Clauses[0].Query, _ => any };
    }

    private IReadOnlyList<string> Near(string beginning) =>
        beginning.Length < Beginnings.ShortestWithTypo || beginning.Any(char.IsAsciiDigit) ? [beginning] : index.Vocabulary.Beginning(beginning, 1);

    private sealed class CompletionCollector(LuceneIndex index, int most) : ICollector
    {
        private readonly PriorityQueue<int, (bool AtStart, bool InStock, double Sold, UInt128 Key)> best = new(most + 1);
        private readonly Products.Columns signals = index.Products.Current;
        private SegmentColumns segment = null!;
        private Scorer scorer = null!;
        private int docBase;

        public bool AcceptsDocsOutOfOrder => true;

        public void SetScorer(Scorer scorer) => this.scorer = scorer;

        public void SetNextReader(AtomicReaderContext context) => (segment, docBase) = (index.Segments.Of(context.AtomicReader), context.DocBase);

        public void Collect(int doc)
        {
            var slot = segment.Slot[doc];
            if (slot < 0 || slot >= signals.Key.Length)
                return;

            var rank = (scorer.GetScore() > 0, signals.Available[slot] > 0, signals.Sold[slot], signals.Key[slot]);
            if (best.Count < most)
                best.Enqueue(docBase + doc, rank);
            else if (best.TryPeek(out _, out var worst) && rank.CompareTo(worst) > 0)
                best.EnqueueDequeue(docBase + doc, rank);
        }

        public List<int> Top()
        {
            var top = new List<int>(best.Count);
            while (best.TryDequeue(out var next, out _))
                top.Add(next);
            top.Reverse();
            return top;
        }
    }
}
