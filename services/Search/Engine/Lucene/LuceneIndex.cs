using System.Threading.Channels;
using Lucene.Net.Index;
using Lucene.Net.Search;
using Lucene.Net.Search.Similarities;
using Lucene.Net.Store;
using Lucene.Net.Util;
using Marketplace.Search.Indexing;
using Directory = System.IO.Directory;

namespace Marketplace.Search.Engine.Lucene;

/// <summary>
/// The Lucene index and the only one who writes to it. A change is done when it is committed to disk: only then is its event acknowledged,
/// so a killed process has lost nothing that would not be delivered again. What is committed is visible to the next search.
/// </summary>
internal sealed partial class LuceneIndex(SearchOptions options, string folder, TimeProvider time, ILogger log) : IAsyncDisposable
{
    /// <summary>Goes up when documents change their shape: an index of another format is put aside and built anew.</summary>
    private const string Format = "8";
    private const string FormatKey = "format";
    private const string FilledKey = "filled";
    private const int WorthSharing = 2_000;

    /// <summary>How long an order is remembered as counted: far longer than a broker delivers again.</summary>
    private static readonly TimeSpan OrderMemory = TimeSpan.FromDays(3);
    private static readonly TimeSpan BetweenForgetting = TimeSpan.FromHours(1);

    private readonly Channel<(IReadOnlyList<IndexChange> Changes, TaskCompletionSource Done)> changes =
        Channel.CreateBounded<(IReadOnlyList<IndexChange>, TaskCompletionSource)>(new BoundedChannelOptions(10_000) { SingleReader = true });

    private readonly Dictionary<Guid, long> counted = [];       // orders within OrderMemory and when, in ticks; the writer's own
    private DateTimeOffset forgotten;
    private long generation;
    private long textGeneration;
    private FileStream? ours;
    private FSDirectory? directory;
    private IndexWriter? writer;
    private SearcherManager? searchers;
    private Task writing = Task.CompletedTask;

    public string Folder { get; } = folder;

    public Products Products { get; } = new();

    public FacetValues Values { get; } = new();

    public SegmentCache Segments => field ??= new SegmentCache(Products, Values, Vocabulary);

    public Vocabulary Vocabulary { get; } = new();

    public long Generation => Volatile.Read(ref generation);

    /// <summary>Goes up when words may have come or gone: not with stock, ratings and sales.</summary>
    public long TextGeneration => Volatile.Read(ref textGeneration);

    public bool Filled { get; private set; }

    public async Task OpenAsync(CancellationToken ct)
    {
        Directory.CreateDirectory(Folder);
        ours = await LockAsync(ct);
        try
        {
            Open();
        }
        catch (Exception unreadable) when (unreadable is CorruptIndexException or IndexFormatTooOldException or IndexFormatTooNewException or InvalidDataException or EndOfStreamException)
        {
            // It is a replica: what cannot be read is put aside, not repaired, and the catalogue fills a new one.
            Close();
            var aside = $"{IndexPath}.unreadable-{DateTime.UtcNow:yyyyMMddHHmmss}";
            Directory.Move(IndexPath, aside);
            LogPutAside(aside, unreadable.Message);
            Open();
        }

        writing = Task.Factory.StartNew(WriteAsync, CancellationToken.None, TaskCreationOptions.None, TaskScheduler.Default).Unwrap();
        LogOpened(Folder, Products.Listed);
    }

    /// <summary>Returns when the changes are on disk.</summary>
    public async Task ApplyAsync(IReadOnlyList<IndexChange> wanted, CancellationToken ct)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await changes.Writer.WriteAsync((wanted, done), ct);
        await done.Task.WaitAsync(ct);
    }

    /// <summary>From here on a start finds the index whole and fills it no more.</summary>
    public async Task FilledAsync(CancellationToken ct)
    {
        Filled = true;
        await ApplyAsync([], ct);
    }

    /// <summary>The index as of the last commit, for as long as the function takes.</summary>
    public T Read<T>(Func<IndexSearcher, T> read)
    {
        var manager = searchers ?? throw new InvalidOperationException("The index is not open.");
        var searcher = manager.Acquire();
        try
        {
            return read(searcher);
        }
        finally
        {
            manager.Release(searcher);
        }
    }

    public async ValueTask DisposeAsync()
    {
        changes.Writer.TryComplete();
        await writing;
        Close();
        if (ours is not null)
            await ours.DisposeAsync();
    }

    private static Similarity Similarity { get; } = new FieldSimilarity();

    private string IndexPath => Path.Combine(Folder, "index");

    private async Task WriteAsync()
    {
        var batch = new List<(IReadOnlyList<IndexChange> Changes, TaskCompletionSource Done)>();
        while (await changes.Reader.WaitToReadAsync())
        {
            // Whatever came while the last commit was under way goes into the next one.
            batch.Clear();
            for (var size = 0; size < options.BatchSize && changes.Reader.TryRead(out var next); size += next.Changes.Count)
                batch.Add(next);
            try
            {
                Write(batch.SelectMany(item => item.Changes));
                batch.ForEach(item => item.Done.TrySetResult());
            }
            catch (Exception fault)                             // told to everyone who waits: their events are delivered again
            {
                LogWriteFailed(fault, batch.Count);
                batch.ForEach(item => item.Done.TrySetException(fault));
                Reopen();
            }
        }
    }

    /// <summary>Of many changes to a product the outcome is written, once.</summary>
    private void Write(IEnumerable<IndexChange> batch)
    {
        var next = new Dictionary<Guid, ProductState>();
        var texts = new Dictionary<Guid, IndexedListing>();
        var orders = new Dictionary<Guid, long>();
        foreach (var change in batch)
        {
            switch (change)
            {
                case IndexChange.Upsert(var listing, var reread):
                    if (Take(listing.ProductId, reread ? Of(listing.ProductId).Reread(listing.Revision) : Of(listing.ProductId).Upserted(listing.Revision)))
                        texts[listing.ProductId] = listing;
                    break;
                case IndexChange.Remove(var productId, var revision):
                    if (Take(productId, Of(productId).Removed(revision)))
                        texts.Remove(productId);
                    break;
                case IndexChange.Withdraw(var productId, var revision):
                    if (Take(productId, Of(productId).WithdrawnAt(revision)))
                        texts.Remove(productId);
                    break;
                case IndexChange.Stock(var levels):
                    foreach (var level in levels)
                        Take(level.ProductId, Of(level.ProductId).Stocked(level.Version, level.Available));
                    break;
                case IndexChange.Rating(var productId, var average, var count, var version):
                    Take(productId, Of(productId).Rated(version, average, count));
                    break;
                case IndexChange.Sale(var orderId, var at, var lines):
                    if (!counted.ContainsKey(orderId) && orders.TryAdd(orderId, time.GetUtcNow().UtcTicks))
                    {
                        foreach (var (productId, quantity) in lines)
                            Take(Products.ListingOf(productId), Of(Products.ListingOf(productId)).SoldMore(Math.Clamp(quantity, 0, 99) * SalesWeight.At(at)));
                    }

                    break;
            }
        }

        // One document each, so that their order does not matter and both cores can analyse text. Of few it is not worth it: every thread
        // leaves a segment behind.
        if (texts.Count < WorthSharing)
        {
            foreach (var (productId, state) in next)
                Write(productId, Products.StateOf(productId), state, texts.GetValueOrDefault(productId));
        }
        else
        {
            Parallel.ForEach(next, Several, changed => Write(changed.Key, Products.StateOf(changed.Key), changed.Value, texts.GetValueOrDefault(changed.Key)));
        }

        foreach (var (orderId, at) in orders)
            writer!.AddDocument(ProductDocument.Order(orderId, at));
        ForgetOldOrders();

        Commit();
        foreach (var (productId, state) in next)
            Products.Set(productId, state);
        foreach (var (productId, text) in texts)
            Products.SetVariants(productId, text.Variants?.Select(variant => variant.VariantId) ?? []);
        foreach (var (orderId, at) in orders)
            counted[orderId] = at;
        searchers!.MaybeRefreshBlocking();
        if (texts.Count > 0)
            Interlocked.Increment(ref textGeneration);
        Interlocked.Increment(ref generation);

        ProductState Of(Guid productId) => next.TryGetValue(productId, out var pending) ? pending : Products.StateOf(productId);

        bool Take(Guid productId, ProductState? changed)
        {
            if (changed is not null)
                next[productId] = changed;
            return changed is not null;
        }
    }

    private static ParallelOptions Several { get; } = new() { MaxDegreeOfParallelism = Math.Min(4, Environment.ProcessorCount) };

    private void Write(Guid productId, ProductState before, ProductState after, IndexedListing? text)
    {
        var away = (after.Deleted, after.Withdrawn, after.Revision);
        if ((after.Deleted || after.Withdrawn) && away != (before.Deleted, before.Withdrawn, before.Revision))
            writer!.UpdateDocument(ProductDocument.TermOf(productId), ProductDocument.Away(productId, after), ProductDocument.Analyzer);
        else if (text is not null && before.Revision == 0)
            writer!.AddDocument(ProductDocument.Of(text), ProductDocument.Analyzer);
        else if (text is not null)
            writer!.UpdateDocument(ProductDocument.TermOf(productId), ProductDocument.Of(text), ProductDocument.Analyzer);

        var signals = after with { Revision = before.Revision, Deleted = before.Deleted, Withdrawn = before.Withdrawn };
        if (signals == before)
            return;
        if (before == ProductState.Unknown with { Revision = before.Revision, Deleted = before.Deleted, Withdrawn = before.Withdrawn })
            writer!.AddDocument(ProductDocument.Signals(productId, after));
        else
            writer!.UpdateDocument(ProductDocument.SignalsTermOf(productId), ProductDocument.Signals(productId, after));
    }

    private void ForgetOldOrders()
    {
        var now = time.GetUtcNow();
        if (now - forgotten < BetweenForgetting)
            return;

        forgotten = now;
        var old = (now - OrderMemory).UtcTicks;
        writer!.DeleteDocuments(NumericRangeQuery.NewInt64Range(ProductDocument.CountedAt, null, old, true, true));
        foreach (var (orderId, at) in counted)
        {
            if (at <= old)
                counted.Remove(orderId);
        }
    }

    private void Commit()
    {
        writer!.SetCommitData(new Dictionary<string, string> { [FormatKey] = Format, [FilledKey] = Filled ? "yes" : "no" });
        writer.Commit();
    }

    private void Open()
    {
        Products.Clear();                                       // before a reader is warmed: its columns hold slots
        counted.Clear();
        Vocabulary.Clear();
        Directory.CreateDirectory(IndexPath);
        directory = FSDirectory.Open(new DirectoryInfo(IndexPath), NoLockFactory.GetNoLockFactory());   // our own lock outside is the stricter one
        writer = new IndexWriter(directory, new IndexWriterConfig(ProductText.Version, ProductDocument.Analyzer)
        {
            OpenMode = OpenMode.CREATE_OR_APPEND,
            Similarity = Similarity,
            RAMBufferSizeMB = 64,
            MergePolicy = new TieredMergePolicy { SegmentsPerTier = 6, MaxMergeAtOnce = 6, FloorSegmentMB = 0.25 },   // searches pay for every segment, events for every merge
            MergedSegmentWarmer = new Warmer(Segments),
        });
        if (DirectoryReader.IndexExists(directory) && writer.NumDocs > 0 && !(writer.CommitData.TryGetValue(FormatKey, out var format) && format == Format))
            throw new InvalidDataException($"The index has format {format ?? "?"}, this version writes {Format}.");

        Filled = writer.CommitData.TryGetValue(FilledKey, out var filled) && filled == "yes";
        Commit();
        searchers = new SearcherManager(writer, applyAllDeletes: true, new WarmSearchers(Segments));
        LoadStates();
        Interlocked.Increment(ref generation);
        Interlocked.Increment(ref textGeneration);
    }

    private void LoadStates()
    {
        Read(searcher =>
        {
            foreach (var leaf in searcher.IndexReader.Leaves)
                LoadStates(leaf.AtomicReader);
            return true;
        });
    }

    private void LoadStates(AtomicReader segment)
    {
        var live = segment.LiveDocs;
        var keys = segment.GetBinaryDocValues(ProductDocument.Key);
        var kinds = segment.GetNumericDocValues(ProductDocument.KindNumber);
        var orders = segment.GetNumericDocValues(ProductDocument.CountedAt);
        var numbers = Numbers.Of(segment);
        var variants = segment.GetBinaryDocValues(ProductDocument.Variants);
        var key = new BytesRef();
        for (var document = 0; document < segment.MaxDoc; document++)
        {
            if (live is not null && !live.Get(document))
                continue;

            keys.Get(document, key);
            var id = ProductDocument.IdFrom(key);
            var kind = kinds.Get(document);
            if (kind == ProductDocument.OrderKind)
                counted[id] = orders!.Get(document);
            else
                Products.Set(id, numbers.Read(document, kind, Products.StateOf(id)));
            if (kind == ProductDocument.ProductKind && variants is not null)
            {
                variants.Get(document, key);
                Products.SetVariants(id, ProductDocument.IdsFrom(key));
            }
        }
    }

    private void Reopen()
    {
        try
        {
            Close();
            Open();
        }
        catch (Exception still)                                 // the next batch fails, is answered so, and tries again
        {
            LogReopenFailed(still);
        }
    }

    /// <summary>Without a commit: what was not acknowledged comes again.</summary>
    private void Close()
    {
        searchers?.Dispose();
        try
        {
            writer?.Rollback();
        }
        catch (Exception broken) when (broken is ObjectDisposedException or IOException)
        {
            LogCloseFailed(broken.Message);
        }

        directory?.Dispose();
        (searchers, writer, directory) = (null, null, null);
    }

    private async Task<FileStream> LockAsync(CancellationToken ct)
    {
        var deadline = Environment.TickCount64 + options.LockPatience.TotalMilliseconds;
        for (var waiting = false; ; waiting = true)
        {
            try
            {
                // The system gives it back when the process ends, however it ends; the file itself means nothing.
                return new FileStream(Path.Combine(Folder, "search.lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException) when (Environment.TickCount64 < deadline)
            {
                if (!waiting)
                    LogWaiting(Folder);
                await Task.Delay(100, ct);
            }
            catch (IOException held)
            {
                throw new InvalidOperationException(
                    $"Another search process uses the index in {Folder}. The embedded engine allows one replica: stop the other, or give this one a folder of its own (Search:IndexFolder).", held);
            }
        }
    }

    private sealed record Numbers(
        NumericDocValues? Revision, NumericDocValues? StockVersion, NumericDocValues? Available, NumericDocValues? RatingVersion, NumericDocValues? Rating, NumericDocValues? Ratings, NumericDocValues? Sold)
    {
        public static Numbers Of(AtomicReader segment) => new(
            segment.GetNumericDocValues(ProductDocument.Revision), segment.GetNumericDocValues(ProductDocument.StockVersion), segment.GetNumericDocValues(ProductDocument.Available),
            segment.GetNumericDocValues(ProductDocument.RatingVersion), segment.GetNumericDocValues(ProductDocument.Rating), segment.GetNumericDocValues(ProductDocument.Ratings),
            segment.GetNumericDocValues(ProductDocument.Sold));

        public ProductState Read(int document, long kind, ProductState known) => kind switch
        {
            ProductDocument.ProductKind => known with { Revision = Revision!.Get(document) },
            ProductDocument.DeletedKind => known with { Revision = Revision!.Get(document), Deleted = true },
            ProductDocument.WithdrawnKind => known with { Revision = Revision!.Get(document), Withdrawn = true },
            _ => known with
            {
                StockVersion = StockVersion!.Get(document),
                Available = (int)Available!.Get(document),
                RatingVersion = RatingVersion!.Get(document),
                Rating = BitConverter.Int64BitsToDouble(Rating!.Get(document)),
                Ratings = (int)Ratings!.Get(document),
                Sold = BitConverter.Int64BitsToDouble(Sold!.Get(document)),
            },
        };
    }

    private sealed class Warmer(SegmentCache segments) : IndexWriter.IndexReaderWarmer
    {
        public override void Warm(AtomicReader reader)
        {
            segments.Of(reader);
            segments.WordsOf(reader);
        }
    }

    private sealed class WarmSearchers(SegmentCache segments) : SearcherFactory
    {
        public override IndexSearcher NewSearcher(IndexReader reader)
        {
            segments.Warm(reader);
            return new IndexSearcher(reader) { Similarity = Similarity };
        }
    }

    /// <summary>A word twice in a title says little more than once; a short title that has it says more than a long one.</summary>
    private sealed class FieldSimilarity : PerFieldSimilarityWrapper
    {
        private static readonly BM25Similarity Names = new(0.4f, 0.6f);
        private static readonly BM25Similarity Prose = new(1.2f, 0.75f);

        public override Similarity Get(string name) => name == ProductDocument.Description ? Prose : Names;
    }

    [LoggerMessage(LogLevel.Information, "Search index in {Folder}: {Count} products")]
    private partial void LogOpened(string folder, int count);

    [LoggerMessage(LogLevel.Information, "Waiting for another process to let go of the index in {Folder}")]
    private partial void LogWaiting(string folder);

    [LoggerMessage(LogLevel.Warning, "The index cannot be used ({Reason}); it lies in {Aside} now and a new one is built")]
    private partial void LogPutAside(string aside, string reason);

    [LoggerMessage(LogLevel.Error, "{Count} changes could not be written to the index; they will be delivered again")]
    private partial void LogWriteFailed(Exception fault, int count);

    [LoggerMessage(LogLevel.Error, "The index cannot be opened again")]
    private partial void LogReopenFailed(Exception fault);

    [LoggerMessage(LogLevel.Warning, "The index did not close cleanly ({Reason})")]
    private partial void LogCloseFailed(string reason);
}
