using Lucene.Net.Index;
using Lucene.Net.Search;

namespace Marketplace.Search.Engine.Lucene;

/// <summary>Lower is better; products of the same key are told apart by their id, or pages would overlap.</summary>
internal readonly record struct Rank(long Key, UInt128 Product) : IComparable<Rank>
{
    public int CompareTo(Rank other) => Key != other.Key ? Key.CompareTo(other.Key) : Product.CompareTo(other.Product);
}

internal readonly record struct RankedDocument(Rank Rank, int Document, int Slot);

/// <summary>What makes a product stand before another.</summary>
/// <param name="now">Weight of a unit sold now.</param>
internal sealed class Ranking(Order order, Products.Columns columns, double now)
{
    // How much signals may do: a best seller gains a third at most, so that words decide first.
    private const float PerDoubling = 0.03f;
    private const float MostForSales = 0.33f;
    private const float PerStar = 0.03f;
    private const float SoldOut = 0.9f;

    public Products.Columns Columns => columns;

    public long KeyOf(SegmentColumns segment, int document, int slot, float score) => order switch
    {
        Order.Cheapest => segment.Price[document],
        Order.Dearest => -segment.Price[document],
        Order.Newest => -segment.ListedAt[document],
        Order.BestRated => -(((long)MathF.Round(columns.Rating[slot] * 100) << 32) + columns.Ratings[slot]),
        Order.BestSelling => -BitConverter.DoubleToInt64Bits(columns.Sold[slot]),
        // Positive floats order as their bits do. The last bits depend on the order in which parts were added up, and are no merit.
        _ => -(BitConverter.SingleToInt32Bits(score * BoostOf(slot)) >> 5),
    };

    /// <summary>Around 1.</summary>
    public float BoostOf(int slot)
    {
        var boost = 1 + Math.Min(MostForSales, PerDoubling * DoublingsOf(1 + columns.Sold[slot] / now));
        if (columns.Ratings[slot] > 0)
            boost += PerStar * (columns.Rating[slot] - 3);
        return columns.Available[slot] > 0 ? boost : boost * SoldOut;
    }

    /// <summary>log2, straight between the powers: once for every product met.</summary>
    private static float DoublingsOf(double value)
    {
        var bits = BitConverter.DoubleToInt64Bits(value);
        return (bits >> 52) - 1023 + (bits & 0xF_FFFF_FFFF_FFFF) / (float)(1L << 52);
    }
}

/// <summary>
/// One pass over what the words find: which of it fits the filters, what the facets count, which are the best. Who fails one filter only
/// still counts in that filter's facet.
/// </summary>
internal sealed class ResultCollector(LuceneIndex index, Ranking ranking, ProductFilters filters, int most, Rank? after, bool scored, CancellationToken ct) : ICollector
{
    private const int Patience = 4096;
    private readonly PriorityQueue<RankedDocument, Rank> best = new(most + 1, Comparer<Rank>.Create((one, other) => other.CompareTo(one)));
    private readonly Products.Columns signals = ranking.Columns;
    private SegmentColumns segment = null!;
    private Scorer? scorer;
    private int docBase;
    private int met;

    public FacetCounts Counts { get; } = filters.NewCounts();

    public int Total { get; private set; }

    public bool AcceptsDocsOutOfOrder => false;

    public void SetScorer(Scorer scorer) => this.scorer = scorer;

    public void SetNextReader(AtomicReaderContext context) => (segment, docBase) = (index.Segments.Of(context.AtomicReader), context.DocBase);

    public void Collect(int doc)
    {
        if (++met % Patience == 0)
            ct.ThrowIfCancellationRequested();

        var slot = segment.Slot[doc];
        if (slot < 0 || slot >= signals.Key.Length)
            return;

        var failed = filters.FailedBy(segment, doc, slot, signals);
        if (failed == ProductFilters.Several)
            return;

        filters.Count(Counts, segment, doc, slot, signals, failed);
        if (failed != ProductFilters.NoneFailed)
            return;

        Total++;
        var rank = new Rank(ranking.KeyOf(segment, doc, slot, scored ? scorer!.GetScore() : 0), signals.Key[slot]);
        if (after is { } end && rank.CompareTo(end) <= 0)
            return;
        if (best.Count < most)
            best.Enqueue(new RankedDocument(rank, docBase + doc, slot), rank);
        else if (best.TryPeek(out _, out var worst) && rank.CompareTo(worst) < 0)
            best.EnqueueDequeue(new RankedDocument(rank, docBase + doc, slot), rank);
    }

    /// <summary>Best first.</summary>
    public List<RankedDocument> Top()
    {
        var top = new List<RankedDocument>(best.Count);
        while (best.TryDequeue(out var next, out _))
            top.Add(next);
        top.Reverse();
        return top;
    }
}
