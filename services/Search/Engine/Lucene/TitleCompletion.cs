using Lucene.Net.Index;
using Lucene.Net.Search;
using Lucene.Net.Util;
using Lucene.Net.Util.Automaton;

namespace Marketplace.Search.Engine.Lucene;

/// <summary>
/// Titles and categories in which every typed word begins some word: titles that begin as typed first, then what is in stock and sells.
/// When there are none, one letter of each word may be wrong.
/// </summary>
internal sealed class TitleCompletion(LuceneIndex index, IndexSearcher searcher)
{
    private const int MostWords = 8;
    private const int MostNear = 30;
    private const int Enough = 4;                               // titles looked at for each one wanted: many products share a title

    public IReadOnlyList<Completion> Complete(string typed, int most)
    {
        var beginnings = ProductText.BeginningsOf(typed, MostWords).Distinct(StringComparer.Ordinal).ToList();
        if (beginnings.Count == 0)
            return [];

        List<Completion> exact = [.. Titles(beginnings.ConvertAll(beginning => (IReadOnlyList<string>)[beginning]), most), .. Categories(beginnings, 0)];
        return exact.Count > 0 ? exact : [.. Titles(beginnings.ConvertAll(Near), most), .. Categories(beginnings, 1)];
    }

    private IEnumerable<Completion> Categories(IReadOnlyList<string> beginnings, int edits) =>
        index.Values.Categories
            .Where(category => Beginnings.Fit(category.Words, beginnings, edits))
            .Select(category => category.Value)
            .Select(value => (value.Label, Products: searcher.IndexReader.DocFreq(new Term(ProductDocument.Category, value.Value))))
            .Where(category => category.Products > 0)
            .OrderByDescending(category => category.Products)
            .Select(category => new Completion(category.Label, "category"));

    private List<Completion> Titles(IReadOnlyList<IReadOnlyList<string>> beginnings, int most)
    {
        var query = new BooleanQuery();
        foreach (var ways in beginnings)
        {
            if (ways.Count == 0)
                return [];
            query.Add(AnyOf(ways), Occur.MUST);
        }

        query.Add(new ConstantScoreQuery(AnyOf([.. beginnings[0].Select(way => ProductText.AtStart + way)])), Occur.SHOULD);
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

    private static Query AnyOf(IReadOnlyList<string> ways)
    {
        if (ways is [var only])
            return Silent(only);
        var any = new BooleanQuery(disableCoord: true);
        foreach (var way in ways)
            any.Add(Silent(way), Occur.SHOULD);
        return any;
    }

    private static TermQuery Silent(string beginning) => new(new Term(ProductDocument.Beginnings, beginning)) { Boost = 0 };

    private IReadOnlyList<string> Near(string beginning)
    {
        if (beginning.Length < Beginnings.ShortestWithTypo || beginning.Any(char.IsAsciiDigit))
            return [beginning];

        var automaton = new CompiledAutomaton(new LevenshteinAutomata(beginning, withTranspositions: true).ToAutomaton(1), finite: true, simplify: false);
        var found = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var leaf in searcher.IndexReader.Leaves)
        {
            if (leaf.AtomicReader.GetTerms(ProductDocument.Beginnings) is not { } terms)
                continue;
            var matching = automaton.GetTermsEnum(terms);
            while (matching.MoveNext())
            {
                var term = matching.Term.Utf8ToString();
                if (term[0] != ProductText.AtStart)
                    found[term] = found.GetValueOrDefault(term) + matching.DocFreq;
            }
        }

        return [.. found.OrderByDescending(term => term.Value).Take(MostNear).Select(term => term.Key)];
    }

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
