using System.Collections.Concurrent;
using System.Threading.Channels;
using Lucene.Net.Analysis;
using Lucene.Net.Analysis.Miscellaneous;
using Lucene.Net.Index;
using Lucene.Net.Search;
using Lucene.Net.Search.Similarities;
using Lucene.Net.Store;
using Lucene.Net.Util;
using Marketplace.Contracts;
using Microsoft.Extensions.Options;
using Directory = System.IO.Directory;

namespace Marketplace.Search.Indexing;

/// <summary>A change to the index. Changes of any number of events are written and committed together.</summary>
public abstract record IndexChange
{
    public sealed record Upsert(IndexedListing Listing, bool Reread = false) : IndexChange;

    public sealed record Remove(Guid ProductId, long Revision) : IndexChange;

    public sealed record Stock(IReadOnlyList<StockLevel> Levels) : IndexChange;
}

/// <summary>
/// The Lucene index and the only one who writes to it. A change is done when it is committed to disk: only then is its event acknowledged,
/// so a killed process has lost nothing that would not be delivered again. What is committed is visible to the next search.
/// </summary>
public sealed partial class ProductIndex(
    IOptions<SearchOptions> options, IHostEnvironment environment, IConfiguration configuration, ILogger<ProductIndex> log) : IAsyncDisposable
{
    /// <summary>Goes up when documents change their shape: an index of another format is put aside and built anew.</summary>
    private const string Format = "1";
    private const string FormatKey = "format";

    private readonly Channel<(IndexChange Change, TaskCompletionSource Done)> changes =
        Channel.CreateBounded<(IndexChange, TaskCompletionSource)>(new BoundedChannelOptions(10_000) { SingleReader = true });

    private readonly ConcurrentDictionary<Guid, ProductState> states = new();
    private FileStream? ours;
    private FSDirectory? directory;
    private IndexWriter? writer;
    private SearcherManager? searchers;
    private Task writing = Task.CompletedTask;

    public string Folder { get; } = options.Value.FolderUnder(environment.ContentRootPath, configuration["MARKETPLACE_DATA"]);

    public bool IsEmpty => states.IsEmpty;

    public ProductState StateOf(Guid productId) => states.GetValueOrDefault(productId, ProductState.Unknown);

    /// <summary>Every listed product, for a rebuild to find those the catalogue no longer has.</summary>
    public IReadOnlyList<(Guid ProductId, ProductState State)> Listed() =>
        [.. states.Where(known => known.Value.Listed).Select(known => (known.Key, known.Value))];

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
        LogOpened(Folder, states.Count(known => known.Value.Listed));
    }

    /// <summary>Returns when the change is on disk.</summary>
    public async Task ApplyAsync(IndexChange change, CancellationToken ct)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await changes.Writer.WriteAsync((change, done), ct);
        await done.Task.WaitAsync(ct);
    }

    /// <summary>The index as of the last commit, for as long as the function takes.</summary>
    public T Read<T>(Func<IndexSearcher, T> read)
    {
        var manager = searchers ?? throw new InvalidOperationException("The index is not open.");
        var searcher = manager.Acquire();
        try
        {
            searcher.Similarity = Similarity;
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

    private static Similarity Similarity { get; } = new BM25Similarity();

    private string IndexPath => Path.Combine(Folder, "index");

    private async Task WriteAsync()
    {
        var batch = new List<(IndexChange Change, TaskCompletionSource Done)>();
        while (await changes.Reader.WaitToReadAsync())
        {
            // Whatever came while the last commit was under way goes into the next one.
            batch.Clear();
            while (batch.Count < options.Value.BatchSize && changes.Reader.TryRead(out var next))
                batch.Add(next);
            try
            {
                Write(batch.Select(item => item.Change));
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

    private void Write(IEnumerable<IndexChange> batch)
    {
        var next = new Dictionary<Guid, ProductState>();
        foreach (var change in batch)
        {
            switch (change)
            {
                case IndexChange.Upsert(var listing, var reread):
                    if ((reread ? Of(listing.ProductId).Reread(listing.Revision) : Of(listing.ProductId).Upserted(listing.Revision)) is { } upserted)
                    {
                        writer!.UpdateDocument(ProductDocument.TermOf(listing.ProductId), ProductDocument.Of(listing));
                        next[listing.ProductId] = upserted;
                    }

                    break;
                case IndexChange.Remove(var productId, var revision):
                    if (Of(productId).Removed(revision) is { } removed)
                    {
                        writer!.UpdateDocument(ProductDocument.TermOf(productId), ProductDocument.Deleted(productId, revision));
                        next[productId] = removed;
                    }

                    break;
                case IndexChange.Stock(var levels):
                    foreach (var level in levels)
                    {
                        if (Of(level.ProductId).Stocked(level.Version, level.Available) is { } stocked)
                            next[level.ProductId] = stocked;
                    }

                    break;
            }
        }

        if (next.Count == 0)
            return;

        // Stock last and once: a batch often holds several levels of one product.
        foreach (var (productId, state) in next)
        {
            if (state.StockVersion != StateOf(productId).StockVersion)
                writer!.UpdateDocument(ProductDocument.StockTermOf(productId), ProductDocument.Stock(productId, state.StockVersion, state.Available));
        }

        Commit();
        foreach (var (productId, state) in next)
            states[productId] = state;
        searchers!.MaybeRefreshBlocking();

        ProductState Of(Guid productId) => next.TryGetValue(productId, out var pending) ? pending : StateOf(productId);
    }

    private void Commit()
    {
        writer!.SetCommitData(new Dictionary<string, string> { [FormatKey] = Format });
        writer.Commit();
    }

    private void Open()
    {
        Directory.CreateDirectory(IndexPath);
        directory = FSDirectory.Open(new DirectoryInfo(IndexPath), NoLockFactory.GetNoLockFactory());   // our own lock outside is the stricter one
        writer = new IndexWriter(directory, new IndexWriterConfig(ProductText.Version, Analyzer())
        {
            OpenMode = OpenMode.CREATE_OR_APPEND,
            Similarity = Similarity,
            RAMBufferSizeMB = 32,
        });
        if (DirectoryReader.IndexExists(directory) && writer.NumDocs > 0 && !(writer.CommitData.TryGetValue(FormatKey, out var format) && format == Format))
            throw new InvalidDataException($"The index has format {format ?? "?"}, this version writes {Format}.");

        Commit();
        searchers = new SearcherManager(writer, applyAllDeletes: true, searcherFactory: null);
        LoadStates();
    }

    private static PerFieldAnalyzerWrapper Analyzer() =>
        new(ProductText.Words, new Dictionary<string, Analyzer> { [ProductDocument.Beginnings] = ProductText.Beginnings });

    private void LoadStates()
    {
        states.Clear();
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
        var keys = segment.GetSortedDocValues(ProductDocument.Key);
        var kinds = segment.GetNumericDocValues(ProductDocument.KindNumber);
        var revisions = segment.GetNumericDocValues(ProductDocument.Revision);
        var versions = segment.GetNumericDocValues(ProductDocument.StockVersion);
        var available = segment.GetNumericDocValues(ProductDocument.Available);
        var key = new BytesRef();
        for (var document = 0; document < segment.MaxDoc; document++)
        {
            if (live is not null && !live.Get(document))
                continue;

            keys.Get(document, key);
            var productId = Guid.ParseExact(key.Utf8ToString(), "N");
            var state = StateOf(productId);
            states[productId] = kinds.Get(document) switch
            {
                ProductDocument.ProductKind => state with { Revision = revisions.Get(document) },
                ProductDocument.DeletedKind => state with { Revision = revisions.Get(document), Deleted = true },
                _ => state with { StockVersion = versions.Get(document), Available = (int)available.Get(document) },
            };
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
        var deadline = Environment.TickCount64 + options.Value.LockPatience.TotalMilliseconds;
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
