using Lucene.Net.Index;
using Lucene.Net.Search;
using Lucene.Net.Util;
using Marketplace.Contracts;
using Marketplace.Search.Indexing;
using Microsoft.Extensions.Options;

namespace Marketplace.Search.Engine.Lucene;

/// <summary>The embedded engine: a Lucene index in a folder that one process uses at a time. A folder of one's own: see <see cref="SearchOptions"/>.</summary>
public sealed class LuceneEngine : ISearchEngine
{
    private readonly LuceneIndex index;
    private readonly NearWords near;

    public LuceneEngine(IOptions<SearchOptions> options, IHostEnvironment environment, IConfiguration configuration, TimeProvider time, ILogger<LuceneEngine> log)
        : this(options.Value, options.Value.FolderUnder(environment.ContentRootPath, configuration["MARKETPLACE_DATA"]), time, log)
    {
    }

    public LuceneEngine(SearchOptions options, string folder, TimeProvider time, ILogger log)
    {
        index = new LuceneIndex(options, folder, time, log);
        near = new NearWords(index);
        this.time = time;
    }

    private readonly TimeProvider time;

    public long Generation => index.Generation;

    public Task OpenAsync(CancellationToken ct) => index.OpenAsync(ct);

    public Task ApplyAsync(IReadOnlyList<IndexChange> changes, CancellationToken ct) => index.ApplyAsync(changes, ct);

    public ValueTask<Found> FindAsync(Ask ask, CancellationToken ct)
    {
        var texts = index.TextGeneration;                       // before the searcher is taken: an older one must not be remembered as the newest
        return ValueTask.FromResult(index.Read(searcher => Find(searcher, texts, ask, ct)));
    }

    public ValueTask<IReadOnlyList<Completion>> CompleteAsync(string typed, int most, CancellationToken ct) =>
        ValueTask.FromResult(index.Read(searcher =>
        {
            using var words = new IndexWords(searcher.IndexReader, index.Segments, index.TextGeneration);
            return new TitleCompletion(index, searcher, words).Complete(typed, most);
        }));

    public ValueTask<bool> NeedsFillingAsync(CancellationToken ct) => ValueTask.FromResult(!index.Filled);

    public Task<IIndexRebuild> BeginRebuildAsync(CancellationToken ct) => Task.FromResult<IIndexRebuild>(new InPlace(index));

    public ValueTask DisposeAsync() => index.DisposeAsync();

    private Found Find(IndexSearcher searcher, long texts, Ask ask, CancellationToken ct)
    {
        index.Segments.Warm(searcher.IndexReader);              // all values have their numbers before counting begins
        using var indexed = new IndexWords(searcher.IndexReader, index.Segments, texts);
        var words = new WordsQuery(indexed, near, ask);
        var filters = new ProductFilters(ask, index.Values);
        if (filters.NothingFits && ask.Counted.Count == 0)
            return new Found([], 0, null, [], words.Corrections, words.Unknown);

        var ranking = new Ranking(ask.Order, index.Products.Current, SalesWeight.At(time.GetUtcNow()));
        var after = ask.After is { } position ? NowAt(searcher, words.Query, ranking, ask.Order, position) : (Rank?)null;
        var results = new ResultCollector(index, ranking, filters, ask.Limit + 1, after, ask.Order == Order.Relevance, ct);
        searcher.Search(words.Query, results);

        var top = results.Top();
        var more = top.Count > ask.Limit;
        var page = more ? top[..ask.Limit] : top;
        var items = page.ConvertAll(hit => Read(searcher, hit, ranking.Columns, ask.Highlight ? words.Matching : null));
        return new Found(
            items, results.Total, more ? EndOf(page, items) : null, filters.Facets(results.Counts), words.Corrections, words.Unknown);
    }

    /// <summary>
    /// By relevance a page ended at a product, not at a number: all numbers move a little with every listing that comes or goes. So the
    /// next page begins behind where that product stands now; when it is gone, behind the one before it.
    /// </summary>
    private Rank NowAt(IndexSearcher searcher, Query query, Ranking ranking, Order order, Position position)
    {
        var then = new Rank(position.Key, Products.KeyOf(position.ProductId));
        if (order != Order.Relevance)
            return then;

        foreach (var productId in position.Before.Prepend(position.ProductId))
        {
            var one = new BooleanQuery { { query, Occur.MUST }, { new TermQuery(ProductDocument.TermOf(productId)) { Boost = 0 }, Occur.MUST } };
            var found = new ResultCollector(index, ranking, ProductFilters.None, 1, null, scored: true, CancellationToken.None);
            searcher.Search(one, found);
            if (found.Top() is [var now])
                return now.Rank;
        }

        return then;
    }

    private static Position EndOf(List<RankedDocument> page, List<FoundProduct> items) =>
        new(page[^1].Rank.Key, items[^1].ProductId, [.. Enumerable.Reverse(items).Skip(1).Take(Position.MostBefore).Select(product => product.ProductId)]);

    private static FoundProduct Read(IndexSearcher searcher, RankedDocument hit, Products.Columns signals, IReadOnlySet<string>? highlighted)
    {
        var leaves = searcher.IndexReader.Leaves;
        var leaf = leaves[ReaderUtil.SubIndex(hit.Document, leaves)];
        var bytes = new BytesRef();
        leaf.AtomicReader.GetBinaryDocValues(ProductDocument.Result).Get(hit.Document - leaf.DocBase, bytes);
        var product = ProductDocument.Read(bytes) with
        {
            InStock = signals.Available[hit.Slot] > 0,
            Rating = signals.Ratings[hit.Slot] > 0 ? Math.Round(signals.Rating[hit.Slot], 2) : null,
            Ratings = signals.Ratings[hit.Slot],
        };
        if (highlighted is null)
            return product;

        leaf.AtomicReader.GetBinaryDocValues(ProductDocument.Text).Get(hit.Document - leaf.DocBase, bytes);
        return product with { Highlight = Highlighting.Of(product.Title, bytes.Utf8ToString(), highlighted) };
    }

    /// <summary>Writes over what is there: a page of the catalogue is older than an event that came meanwhile, and the revision says so.</summary>
    private sealed class InPlace(LuceneIndex index) : IIndexRebuild
    {
        private const int ListingsACommit = 20_000;
        private readonly List<(Guid ProductId, long Revision)> before = [.. index.Products.All.Where(product => product.State.Listed).Select(product => (product.Id, product.State.Revision))];
        private readonly HashSet<Guid> shown = [];
        private readonly List<IndexChange> gathered = [];
        private Task writing = Task.CompletedTask;

        /// <summary>Many pages in one commit: each leaves segments behind, and merging those is most of the work of small ones.</summary>
        public async Task AddAsync(IReadOnlyList<IndexedListing> listings, IReadOnlyList<StockLevel> levels, IReadOnlyList<IndexChange.Rating> ratings, CancellationToken ct)
        {
            gathered.AddRange(listings.Select(listing => new IndexChange.Upsert(listing, Reread: true)));
            gathered.Add(new IndexChange.Stock(levels));
            gathered.AddRange(ratings);
            shown.UnionWith(listings.Select(listing => listing.ProductId));
            if (gathered.Count >= ListingsACommit)
                await WriteAsync(ct);
        }

        /// <summary>Returns when what was gathered before is written: the next pages are read while these are.</summary>
        private async Task WriteAsync(CancellationToken ct)
        {
            await writing;
            writing = index.ApplyAsync([.. gathered], ct);
            gathered.Clear();
        }

        public async Task<int> CompleteAsync(CancellationToken ct)
        {
            await WriteAsync(ct);
            await writing;
            var stale = before.Where(known => !shown.Contains(known.ProductId) && index.Products.StateOf(known.ProductId).Revision == known.Revision).ToList();
            await index.ApplyAsync([.. stale.Select(known => new IndexChange.Withdraw(known.ProductId, known.Revision))], ct);
            await index.FilledAsync(ct);
            return stale.Count;
        }
    }
}
