using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;
using System.Threading.Channels;
using Elastic.Clients.Elasticsearch;
using Elastic.Clients.Elasticsearch.Core.Bulk;
using Elastic.Clients.Elasticsearch.Core.Search;
using Elastic.Transport;
using Marketplace.Contracts;
using Marketplace.Search.Indexing;

namespace Marketplace.Search.Engine.Elasticsearch;

/// <summary>What a document says of itself after a change, for those who depend on it.</summary>
internal sealed record AfterWrite(string Id, string? Listing, long StockVersion, int Available, double Sold)
{
    public static readonly string[] Fields = [ProductIndex.Listing, ProductIndex.StockVersion, ProductIndex.Available, ProductIndex.OwnSold];

    /// <param name="source">Null when there is none, still: nothing was worth making one for.</param>
    public static AfterWrite Of(string id, IReadOnlyDictionary<string, object>? source) => source is null
        ? new(id, null, -1, 0, 0)
        : new(id, Text(source, ProductIndex.Listing), (long)Number(source, ProductIndex.StockVersion), (int)Number(source, ProductIndex.Available), Number(source, ProductIndex.OwnSold));

    private static string? Text(IReadOnlyDictionary<string, object> source, string field) => source.TryGetValue(field, out var value) ? value?.ToString() : null;

    private static double Number(IReadOnlyDictionary<string, object> source, string field) =>
        double.Parse(Convert.ToString(source[field], CultureInfo.InvariantCulture)!, CultureInfo.InvariantCulture);
}

/// <summary>One change of one document, how much text goes with it, and what is to be written because of it.</summary>
/// <param name="Then">Asks for the document as it is afterwards, changed or not.</param>
internal sealed record ProductWrite(IBulkOperation Operation, int Bytes, Func<AfterWrite, IEnumerable<ProductWrite>>? Then = null)
{
    public static ProductWrite Listing(IndexedListing listing, bool reread) => Text(
        listing.ProductId, reread ? listing.Revision : listing.Revision - 1, ProductParts.Listing(listing), [.. (listing.Variants ?? []).Select(variant => ProductParts.NameOf(variant.VariantId))]);

    /// <summary>What the listing says, or that it is gone; and to each variant whose it is.</summary>
    public static ProductWrite Text(Guid productId, long most, Dictionary<string, object?> parts, IReadOnlyList<string> variants)
    {
        var id = ProductParts.NameOf(productId);
        var values = new Dictionary<string, object> { ["by"] = ProductIndex.Revision, ["most"] = most, ["text"] = true, ["parts"] = parts };
        return Of(id, ProductParts.WriteNewer, values, 400 + parts.Values.OfType<string>().Sum(Encoding.UTF8.GetByteCount), variants.Count == 0 ? null : _ => variants.Select(variant => Belongs(variant, id)));
    }

    public static ProductWrite Stock(StockLevel level) => Newer(level.ProductId, ProductIndex.StockVersion, level.Version, ProductParts.Stock(level));

    public static ProductWrite Rating(IndexChange.Rating rating) => Newer(rating.ProductId, ProductIndex.RatingVersion, rating.Version, ProductParts.Rating(rating));

    /// <summary>Stock or ratings. Of a variant they count for its listing, as soon as it is known whose it is.</summary>
    public static ProductWrite Newer(Guid productId, string by, long version, Dictionary<string, object?> parts) => Of(
        ProductParts.NameOf(productId), ProductParts.WriteNewer, new Dictionary<string, object> { ["by"] = by, ["most"] = version - 1, ["text"] = false, ["parts"] = parts }, 400, ToListing);

    public static ProductWrite Sales(Guid productId, IReadOnlyList<(Guid OrderId, double Weight)> sales, TimeSpan kept) => Of(
        ProductParts.NameOf(productId),
        ProductParts.CountSales,
        new Dictionary<string, object>
        {
            ["kept"] = (long)kept.TotalMilliseconds,
            ["sales"] = sales.Select(sale => new Dictionary<string, object> { ["order"] = ShortNameOf(sale.OrderId), ["weight"] = sale.Weight }).ToList(),
        },
        400 + 60 * sales.Count,
        ToListing);

    public static ProductWrite Carried(Guid productId, Dictionary<string, object?> parts, int bytes) =>
        Of(ProductParts.NameOf(productId), ProductParts.Carry, new Dictionary<string, object> { ["parts"] = parts }, 400 + bytes, ToListing);

    private static ProductWrite Belongs(string variant, string listing) =>
        Of(variant, ProductParts.BelongTo, new Dictionary<string, object> { ["listing"] = listing }, 400, ToListing);

    private static IEnumerable<ProductWrite> ToListing(AfterWrite variant)
    {
        if (variant.Listing is { } listing && (variant.StockVersion >= 0 || variant.Sold > 0))
        {
            yield return Of(
                listing,
                ProductParts.CountVariant,
                new Dictionary<string, object> { ["id"] = variant.Id, ["version"] = variant.StockVersion, ["available"] = variant.Available, ["sold"] = variant.Sold },
                400,
                null);
        }
    }

    private static ProductWrite Of(string id, string script, Dictionary<string, object> values, int bytes, Func<AfterWrite, IEnumerable<ProductWrite>>? then) => new(
        new BulkUpdateOperation<Dictionary<string, object?>, Dictionary<string, object?>>(id)
        {
            Script = new Script { Source = script, Params = values },
            ScriptedUpsert = true,
            Upsert = ProductParts.Blank(Guid.ParseExact(id, "N")),
            RetryOnConflict = 5,
            Source = then is null ? false : new SourceFilter { Includes = AfterWrite.Fields },
        },
        bytes,
        then);

    /// <summary>Half of an id, folded: a product that sells well remembers thousands of them.</summary>
    private static string ShortNameOf(Guid id)
    {
        Span<byte> bytes = stackalloc byte[16];
        id.TryWriteBytes(bytes, bigEndian: true, out _);
        for (var i = 0; i < 8; i++)
            bytes[i] ^= bytes[i + 8];
        return Convert.ToBase64String(bytes[..8]).TrimEnd('=');
    }
}

/// <summary>
/// Writes what arrives in batches: whatever came while the last bulk request was under way goes into the next one, and whoever sent a
/// change waits until searches see it. An item that fails is tried again by itself; one that cannot succeed fails its own event only.
/// </summary>
internal sealed partial class ProductWriter : IAsyncDisposable
{
    /// <summary>How long an order is remembered as counted: far longer than a broker delivers again.</summary>
    private static readonly TimeSpan OrderMemory = TimeSpan.FromDays(3);
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);

    private readonly ElasticsearchConnection elasticsearch;
    private readonly int batchSize;
    private readonly TimeProvider time;
    private readonly ILogger log;
    private readonly Action applied;
    private readonly Func<CancellationToken, Task> blocked;
    private readonly CancellationTokenSource stopping = new();
    private readonly Meter meter = new(IndexFeed.MeterName);
    private readonly Counter<long> retries;
    private readonly Channel<Waiting> waiting = Channel.CreateBounded<Waiting>(new BoundedChannelOptions(10_000) { SingleReader = true });
    private readonly Task writing;

    /// <param name="applied">Called when searches see a batch.</param>
    /// <param name="blocked">Called when the index has taken no writes for a while.</param>
    public ProductWriter(ElasticsearchConnection elasticsearch, int batchSize, TimeProvider time, ILogger log, Action applied, Func<CancellationToken, Task> blocked)
    {
        (this.elasticsearch, this.batchSize, this.time, this.log, this.applied, this.blocked) = (elasticsearch, batchSize, time, log, applied, blocked);
        retries = meter.CreateCounter<long>("search.elasticsearch.retries", "{item}", "Changes that Elasticsearch did not take at first.");
        writing = Task.Run(WriteAsync);
    }

    /// <summary>A caller's changes; done when all of them are.</summary>
    private sealed class Waiting(IReadOnlyList<IndexChange> changes)
    {
        public IReadOnlyList<IndexChange> Changes { get; } = changes;

        public TaskCompletionSource Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        /// <summary>By the number of the change.</summary>
        public Dictionary<int, Exception> Faults { get; } = [];

        public void End()
        {
            if (Faults.Count == 0)
                Done.TrySetResult();
            else if (Faults.Count == Changes.Count)
                Done.TrySetException(Faults.Values.First());
            else
                Done.TrySetException(new SomeNotAppliedException(Faults.Keys.ToHashSet(), Faults.Values.First()));
        }
    }

    /// <summary>A change, and whose it is.</summary>
    private readonly record struct Owner(Waiting One, int Change)
    {
        public void Failed(Exception fault) => One.Faults.TryAdd(Change, fault);
    }

    public async Task ApplyAsync(IReadOnlyList<IndexChange> changes, CancellationToken ct)
    {
        var one = new Waiting(changes);
        await waiting.Writer.WriteAsync(one, ct);
        await one.Done.Task.WaitAsync(ct);
    }

    public async ValueTask DisposeAsync()
    {
        waiting.Writer.TryComplete();
        await stopping.CancelAsync();
        await writing;
        stopping.Dispose();
        meter.Dispose();
    }

    /// <summary>To an index by its own name, for a rebuild; not refreshed. All or an exception.</summary>
    public async Task WriteAsync(string index, IReadOnlyList<ProductWrite> writes, CancellationToken ct)
    {
        Exception? first = null;
        await SendAsync(index, writes, refresh: false, (_, fault) => first ??= fault, ct);
        if (first is not null)
            throw first;
    }

    private async Task WriteAsync()
    {
        var batch = new List<Waiting>();
        while (await waiting.Reader.WaitToReadAsync())
        {
            batch.Clear();
            for (var size = 0; size < batchSize && waiting.Reader.TryRead(out var next); size += Math.Max(1, next.Changes.Count))
                batch.Add(next);

            var (writes, owners) = WritesOf(batch);
            try
            {
                await SendAsync(elasticsearch.Options.Index, writes, refresh: true, (item, fault) => owners[item].ForEach(owner => owner.Failed(fault)), stopping.Token);
            }
            catch (Exception fault)                             // told to everyone who waits: their events are delivered again
            {
                owners.ForEach(some => some.ForEach(owner => owner.Failed(fault)));
            }

            applied();
            batch.ForEach(one => one.End());
        }
    }

    /// <summary>In the order they came; the sales of a product together, since each writes its whole document again.</summary>
    private static (List<ProductWrite> Writes, List<List<Owner>> Owners) WritesOf(List<Waiting> batch)
    {
        var (writes, owners) = (new List<ProductWrite>(), new List<List<Owner>>());
        var sales = new Dictionary<Guid, (List<(Guid OrderId, double Weight)> Sales, List<Owner> Owners)>();
        foreach (var one in batch)
        {
            foreach (var (number, change) in one.Changes.Index())
            {
                var owner = new Owner(one, number);
                switch (change)
                {
                    case IndexChange.Upsert(var listing, var reread):
                        Add(owner, ProductWrite.Listing(listing, reread));
                        break;
                    case IndexChange.Remove(var productId, var revision):
                        Add(owner, ProductWrite.Text(productId, revision, ProductParts.Away(revision, deleted: true), []));
                        break;
                    case IndexChange.Withdraw(var productId, var revision):
                        Add(owner, ProductWrite.Text(productId, revision, ProductParts.Away(revision, deleted: false), []));
                        break;
                    case IndexChange.Stock(var levels):
                        foreach (var level in levels)
                            Add(owner, ProductWrite.Stock(level));
                        break;
                    case IndexChange.Rating rating:
                        Add(owner, ProductWrite.Rating(rating));
                        break;
                    case IndexChange.Sale(var orderId, var at, var lines):
                        foreach (var line in lines.GroupBy(line => line.ProductId))
                        {
                            if (!sales.TryGetValue(line.Key, out var known))
                                sales[line.Key] = known = ([], []);
                            known.Sales.Add((orderId, line.Sum(sold => Math.Clamp(sold.Quantity, 0, 99)) * SalesWeight.At(at)));
                            known.Owners.Add(owner);
                        }

                        break;
                }
            }
        }

        foreach (var (productId, sold) in sales)
        {
            writes.Add(ProductWrite.Sales(productId, sold.Sales, OrderMemory));
            owners.Add(sold.Owners);
        }

        return (writes, owners);

        void Add(Owner owner, ProductWrite write)
        {
            writes.Add(write);
            owners.Add([owner]);
        }
    }

    /// <param name="failed">Called with an item's number and why it will not be written.</param>
    private async Task SendAsync(string index, IReadOnlyList<ProductWrite> writes, bool refresh, Action<int, Exception> failed, CancellationToken ct)
    {
        // What follows from a change is written after it, on behalf of the same item: a process that dies in between has not
        // acknowledged the change, and told again it changes nothing but is followed again.
        var (round, items) = (writes, (IReadOnlyList<int>)[.. Enumerable.Range(0, writes.Count)]);
        while (round.Count > 0)
        {
            var (next, nextItems) = (new List<ProductWrite>(), new List<int>());
            for (var from = 0; from < round.Count;)
            {
                var to = from;
                for (var bytes = 0; to < round.Count && (to == from || bytes + round[to].Bytes <= elasticsearch.Options.BytesOfBulk); to++)
                    bytes += round[to].Bytes;
                await SendBulkAsync(index, round, [.. Enumerable.Range(from, to - from)], refresh, (item, fault) => failed(items[item], fault), Follow, ct);
                from = to;
            }

            (round, items) = (next, nextItems);

            void Follow(int item, AfterWrite document)
            {
                foreach (var write in round[item].Then!(document))
                {
                    next.Add(write);
                    nextItems.Add(items[item]);
                }
            }
        }
    }

    private async Task SendBulkAsync(
        string index, IReadOnlyList<ProductWrite> writes, List<int> items, bool refresh, Action<int, Exception> failed, Action<int, AfterWrite> written, CancellationToken ct)
    {
        var started = time.GetTimestamp();
        var pause = FirstPause;
        for (var attempt = 1; ; attempt++)
        {
            var (again, why, isBlocked) = await TryBulkAsync(index, writes, items, refresh, failed, written, ct);
            if (again.Count == 0)
                return;

            if (time.GetElapsedTime(started) > elasticsearch.Options.WritePatience)
            {
                LogGivenUp(again.Count, why);
                var away = new ElasticsearchAwayException($"Elasticsearch at {elasticsearch.Address} did not take a change ({why}).");
                again.ForEach(item => failed(item, away));
                return;
            }

            retries.Add(again.Count);
            LogAgain(again.Count, why);
            if (isBlocked && attempt % 4 == 0)
                await blocked(ct);
            items = again;
            await Task.Delay(pause * (0.75 + 0.5 * Random.Shared.NextDouble()), time, ct);
            pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
        }
    }

    private async Task<(List<int> Again, string Why, bool Blocked)> TryBulkAsync(
        string index, IReadOnlyList<ProductWrite> writes, List<int> items, bool refresh, Action<int, Exception> failed, Action<int, AfterWrite> written, CancellationToken ct)
    {
        var response = await elasticsearch.Client.BulkAsync(
            new BulkRequest(index)
            {
                Operations = new BulkOperationsCollection(items.Select(item => writes[item].Operation)),
                Refresh = refresh ? Refresh.True : null,
                RequireAlias = index == elasticsearch.Options.Index ? true : null,      // or a bulk to a missing alias would make an index of its name
                RequestConfiguration = new RequestConfiguration { RequestTimeout = elasticsearch.Options.WriteTimeout },
            },
            ct);
        ct.ThrowIfCancellationRequested();
        var call = response.ApiCallDetails;
        elasticsearch.Answers = !ElasticsearchConnection.IsTransient(call.HttpStatusCode);
        if (!call.HasSuccessfulStatusCode)
        {
            var reason = response.ElasticsearchServerError?.Error?.Reason ?? call.OriginalException?.Message ?? "no answer";
            if (ElasticsearchConnection.IsTransient(call.HttpStatusCode))
                return (items, $"{call.HttpStatusCode}: {reason}", false);
            var refused = new InvalidOperationException($"Elasticsearch refused a bulk request with {call.HttpStatusCode}: {reason}");
            items.ForEach(item => failed(item, refused));
            return ([], "", false);
        }

        var (again, why, isBlocked) = (new List<int>(), "", false);
        foreach (var (number, item) in response.Items.Index())
        {
            if (item.Status is >= 200 and < 300)
            {
                if (writes[items[number]].Then is not null)
                    written(items[number], AfterWrite.Of(item.Id!, item.Get?.Source));
                continue;
            }

            var reason = $"{item.Status} {item.Error?.Type}: {item.Error?.Reason}";
            if (IsTransient(item) || index == elasticsearch.Options.Index && item.Error?.Type == "index_not_found_exception")
            {
                again.Add(items[number]);
                (why, isBlocked) = (reason, isBlocked || item.Error?.Type == "cluster_block_exception");
            }
            else
            {
                LogRefused(item.Id, reason);
                failed(items[number], new InvalidOperationException($"Elasticsearch refused a change of {item.Id} ({reason})."));
            }
        }

        return (again, why, isBlocked);
    }

    /// <summary>Another replica wrote the document at the same time, it is too busy, or a rebuild is handing over: the alias is about to point elsewhere.</summary>
    private static bool IsTransient(ResponseItem item) =>
        ElasticsearchConnection.IsTransient(item.Status) || item.Status == 409 || item.Error?.Type is "cluster_block_exception" or "index_closed_exception";

    [LoggerMessage(LogLevel.Information, "Elasticsearch did not take {Count} changes yet ({Reason})")]
    private partial void LogAgain(int count, string reason);

    [LoggerMessage(LogLevel.Error, "{Count} changes could not be written to Elasticsearch ({Reason}); their events will be delivered again")]
    private partial void LogGivenUp(int count, string reason);

    [LoggerMessage(LogLevel.Error, "Elasticsearch refused a change of product {ProductId} for good ({Reason})")]
    private partial void LogRefused(string? productId, string reason);
}
