using System.Globalization;
using System.Runtime.CompilerServices;
using Elastic.Clients.Elasticsearch;
using Elastic.Clients.Elasticsearch.Core.Search;
using Elastic.Clients.Elasticsearch.IndexManagement;
using Elastic.Clients.Elasticsearch.QueryDsl;
using Marketplace.Contracts;
using StoredDocument = System.Collections.Generic.Dictionary<string, System.Text.Json.JsonElement>;

namespace Marketplace.Search.Engine.Elasticsearch;

/// <summary>
/// Fills a new index behind the one that serves, and puts it in its place. Events go to the serving one all the while, from every replica;
/// what they changed is carried over in rounds, each shorter than the one before, the last while the old index takes no writes for a
/// moment (whoever writes then tries again and finds the new one). Left at any point before the switch it has harmed nothing: the next
/// rebuild removes what it left.
/// </summary>
internal sealed partial class ElasticsearchRebuild : IIndexRebuild
{
    private const int PageSize = 1_000;
    private const int FewEnough = 500;
    private const int MostRounds = 5;

    /// <summary>How far clocks of the cluster's nodes and ours may differ. What is carried over twice is carried over once.</summary>
    private static readonly TimeSpan ClockSkew = TimeSpan.FromMinutes(1);

    private readonly ElasticsearchConnection elasticsearch;
    private readonly ProductWriter writer;
    private readonly TimeProvider time;
    private readonly ILogger log;
    private readonly string from;
    private readonly string to;
    private readonly string me;
    private readonly Dictionary<Guid, long> before = [];        // what was listed at the beginning, and its revision
    private readonly HashSet<Guid> settled = [];                // shown by the catalogue, or changed by an event since
    private readonly List<Guid> ahead = [];                     // of which the serving index knows a newer revision than the catalogue showed
    private DateTimeOffset began;
    private DateTimeOffset heard;

    private ElasticsearchRebuild(ElasticsearchConnection elasticsearch, ProductWriter writer, TimeProvider time, ILogger log, string me, string from, string to)
    {
        (this.elasticsearch, this.writer, this.time, this.log, this.me, this.from, this.to) = (elasticsearch, writer, time, log, me, from, to);
        began = heard = time.GetUtcNow();
    }

    private ElasticsearchOptions Options => elasticsearch.Options;

    /// <param name="me">This process, which does one rebuild at a time: what is left of an earlier one of its own is nobody's any more.</param>
    public static async Task<IIndexRebuild> BeginAsync(ElasticsearchConnection elasticsearch, ProductWriter writer, TimeProvider time, ILogger log, string me, CancellationToken ct)
    {
        var indices = await elasticsearch.IndicesAsync(ct);
        var serving = indices.Single(index => index.Serving);
        foreach (var left in indices.Where(index => !index.Serving))
        {
            if (left.RebuiltBy != me && Alive(left, elasticsearch.Options, time))
                throw new RebuildElsewhereException(left.RebuiltAt + elasticsearch.Options.RebuildLease);
            elasticsearch.Checked(await elasticsearch.Client.Indices.DeleteAsync(new DeleteIndexRequest(left.Name) { IgnoreUnavailable = true }, ct));
        }

        var next = ProductIndex.NameOf(elasticsearch.Options.Index, indices.Max(index => index.Number) + 1);
        var rebuild = new ElasticsearchRebuild(elasticsearch, writer, time, log, me, serving.Name, next);
        var created = await elasticsearch.Client.Indices.CreateAsync(ProductIndex.Create(next, elasticsearch.Options, rebuild.Meta(filled: false), serving: false), ct);
        if (created.ElasticsearchServerError?.Error?.Type == ProductIndex.ExistsAlready)
            throw new RebuildElsewhereException(time.GetUtcNow() + elasticsearch.Options.RebuildLease);     // another replica was a moment earlier
        elasticsearch.Checked(created);
        rebuild.LogBegan(next, serving.Name);
        await rebuild.CarrySignalsAsync(ct);
        return rebuild;
    }

    /// <summary>Whether somebody may still be filling it.</summary>
    public static bool Alive(KnownIndex index, ElasticsearchOptions options, TimeProvider time) =>
        index is { Serving: false, RebuiltBy: not null } && time.GetUtcNow() - index.RebuiltAt < options.RebuildLease;

    public async Task AddAsync(IReadOnlyList<IndexedListing> listings, IReadOnlyList<StockLevel> levels, IReadOnlyList<IndexChange.Rating> ratings, CancellationToken ct)
    {
        await KeepLeaseAsync(ct);
        await writer.WriteAsync(to, [.. listings.Select(listing => ProductWrite.Listing(listing, reread: true)), .. levels.Select(ProductWrite.Stock), .. ratings.Select(ProductWrite.Rating)], ct);
        settled.UnionWith(listings.Select(listing => listing.ProductId));
        ahead.AddRange(listings.Where(listing => before.TryGetValue(listing.ProductId, out var revision) && revision > listing.Revision).Select(listing => listing.ProductId));
    }

    public async Task<int> CompleteAsync(CancellationToken ct)
    {
        foreach (var some in ahead.Chunk(PageSize))
            await CarryAsync(new TermsQuery(ProductIndex.Id, some.Select(productId => (FieldValue)ProductParts.NameOf(productId)).ToArray()), evenIfUnchanged: true, ct);

        var since = began;
        for (var round = 1; round <= MostRounds; round++)
        {
            var started = time.GetUtcNow();
            var carried = await CarryAsync(TouchedSince(since - ClockSkew), evenIfUnchanged: false, ct);
            since = started;
            if (carried < FewEnough)
                break;
        }

        var indices = await elasticsearch.IndicesAsync(ct);
        if (indices.SingleOrDefault(index => index.Name == to)?.RebuiltBy != me || indices.SingleOrDefault(index => index.Serving)?.Name != from)
            throw new InvalidOperationException($"Another rebuild took over from this one, which was not heard of for {Options.RebuildLease}; the index stays as it is.");

        var switched = false;
        // Answered when no write is under way any more, which a setting alone would not be.
        elasticsearch.Checked(await elasticsearch.Client.Indices.AddBlockAsync(new AddBlockRequest(from, IndicesBlockOptions.Write), ct));
        try
        {
            await CarryAsync(TouchedSince(since - ClockSkew), evenIfUnchanged: false, ct);
            elasticsearch.Checked(await elasticsearch.Client.Indices.PutSettingsAsync(
                new PutIndicesSettingsRequest(to, new IndexSettings { RefreshInterval = new Duration("1s") }), ct));
            elasticsearch.Checked(await elasticsearch.Client.Indices.RefreshAsync(new RefreshRequest(to), ct));
            elasticsearch.Checked(await elasticsearch.Client.Indices.PutMappingAsync(new PutMappingRequest(to) { Meta = Meta(filled: true) }, ct));
            elasticsearch.Checked(await elasticsearch.Client.Indices.UpdateAliasesAsync(
                new UpdateAliasesRequest
                {
                    Actions =
                    [
                        new IndexUpdateAliasesAction { Remove = new RemoveAction { Index = from, Alias = Options.Index, MustExist = true } },
                        new IndexUpdateAliasesAction { Add = new AddAction { Index = to, Alias = Options.Index } },
                    ],
                },
                ct));
            switched = true;
        }
        finally
        {
            if (!switched)
                await LiftBlockAsync(elasticsearch, from, CancellationToken.None);
        }

        elasticsearch.Checked(await elasticsearch.Client.Indices.DeleteAsync(new DeleteIndexRequest(from) { IgnoreUnavailable = true }, ct));
        LogSwitched(to);
        return before.Keys.Count(productId => !settled.Contains(productId));
    }

    private Dictionary<string, object> Meta(bool filled) => new()
    {
        [ProductIndex.FormatKey] = ProductIndex.Format,
        [ProductIndex.FilledKey] = filled ? "yes" : "no",
        [ProductIndex.RebuiltByKey] = me,
        [ProductIndex.RebuiltAtKey] = heard.ToUnixTimeMilliseconds().ToString(CultureInfo.InvariantCulture),
    };

    private async Task KeepLeaseAsync(CancellationToken ct)
    {
        if (time.GetUtcNow() - heard < Options.RebuildLease / 8)
            return;

        heard = time.GetUtcNow();
        elasticsearch.Checked(await elasticsearch.Client.Indices.PutMappingAsync(new PutMappingRequest(to) { Meta = Meta(filled: false) }, ct));
    }

    public static async Task LiftBlockAsync(ElasticsearchConnection elasticsearch, string index, CancellationToken ct) =>
        elasticsearch.Checked(await elasticsearch.Client.Indices.PutSettingsAsync(new PutIndicesSettingsRequest(index, new IndexSettings { Blocks = new IndexSettingBlocks { Write = false } }), ct));

    private static NumberRangeQuery TouchedSince(DateTimeOffset time) => new(ProductIndex.Touched) { Gte = time.ToUnixTimeMilliseconds() };

    /// <summary>
    /// Stock, ratings and sales, which no catalogue can tell; of listings that they are known, at which revision, and as yet out of the
    /// shop: what the catalogue does not show stays so.
    /// </summary>
    private async Task CarrySignalsAsync(CancellationToken ct)
    {
        await foreach (var page in ReadAsync(new MatchAllQuery(), [ProductIndex.Id, ProductIndex.Listed, ProductIndex.Deleted, ProductIndex.Revision, .. ProductIndex.OfSignals], ct))
        {
            var writes = new List<ProductWrite>();
            foreach (var (productId, document) in page)
            {
                if (document[ProductIndex.Listed].GetBoolean())
                    before[productId] = document[ProductIndex.Revision].GetInt64();
                var parts = Only(document, ProductIndex.OfSignals);
                (parts[ProductIndex.Deleted], parts[ProductIndex.Revision]) = (document[ProductIndex.Deleted], document[ProductIndex.Revision]);
                writes.Add(ProductWrite.Carried(productId, parts, BytesOf(document)));
            }

            await KeepLeaseAsync(ct);
            await writer.WriteAsync(to, writes, ct);
        }
    }

    /// <returns>How many documents.</returns>
    private async Task<int> CarryAsync(Query which, bool evenIfUnchanged, CancellationToken ct)
    {
        var carried = 0;
        await foreach (var page in ReadAsync(which, [ProductIndex.Id, .. ProductIndex.OfText, .. ProductIndex.OfSignals], ct))
        {
            var writes = new List<ProductWrite>();
            foreach (var (productId, document) in page)
            {
                writes.Add(ProductWrite.Newer(productId, ProductIndex.StockVersion, document[ProductIndex.StockVersion].GetInt64(), Only(document, ProductIndex.OfStock)));
                writes.Add(ProductWrite.Newer(productId, ProductIndex.RatingVersion, document[ProductIndex.RatingVersion].GetInt64(), Only(document, ProductIndex.OfRating)));
                writes.Add(ProductWrite.Carried(productId, Only(document, ProductIndex.OfSales), BytesOf(document)));
                var revision = document[ProductIndex.Revision].GetInt64();
                var listed = document[ProductIndex.Listed].GetBoolean();
                if (revision == 0 || !evenIfUnchanged && listed && before.TryGetValue(productId, out var then) && then == revision)
                    continue;

                settled.Add(productId);
                var text = ProductIndex.OfText.ToDictionary(field => field, field => document.TryGetValue(field, out var value) ? (object?)value : null);
                writes.Add(ProductWrite.Text(productId, revision, text, [.. document[ProductIndex.Variants].EnumerateArray().Select(variant => variant.GetString()!)]));
            }

            await KeepLeaseAsync(ct);
            await writer.WriteAsync(to, writes, ct);
            carried += page.Count;
        }

        return carried;
    }

    private static Dictionary<string, object?> Only(StoredDocument document, string[] fields) =>
        fields.Where(document.ContainsKey).ToDictionary(field => field, field => (object?)document[field]);

    private static int BytesOf(StoredDocument document) => document.TryGetValue(ProductIndex.Orders, out var orders) ? orders.GetRawText().Length : 0;

    /// <summary>What the serving index has, in the order of ids, so that a page begins where the last one ended whatever is written meanwhile.</summary>
    private async IAsyncEnumerable<List<(Guid ProductId, StoredDocument Document)>> ReadAsync(
        Query which, string[] fields, [EnumeratorCancellation] CancellationToken ct)
    {
        elasticsearch.Checked(await elasticsearch.Client.Indices.RefreshAsync(new RefreshRequest(from), ct));
        string? last = null;
        while (true)
        {
            var found = elasticsearch.Checked(await elasticsearch.Client.SearchAsync<StoredDocument>(
                new SearchRequest(from)
                {
                    Query = which,
                    Sort = [new FieldSort(ProductIndex.Id) { Order = SortOrder.Asc }],
                    SearchAfter = last is null ? null : [last],
                    Size = PageSize,
                    Source = new SourceFilter { Includes = fields },
                    TrackTotalHits = false,
                    RequestConfiguration = new Elastic.Transport.RequestConfiguration { RequestTimeout = Options.WriteTimeout },
                },
                ct));
            if (found.Hits.Count == 0)
                yield break;

            var page = found.Hits.Select(hit => (ProductId: Guid.ParseExact(hit.Id!, "N"), Document: hit.Source!)).ToList();
            yield return page;
            if (page.Count < PageSize)
                yield break;
            last = ProductParts.NameOf(page[^1].ProductId);
        }
    }

    [LoggerMessage(LogLevel.Information, "Filling {Next} while {Serving} serves")]
    private partial void LogBegan(string next, string serving);

    [LoggerMessage(LogLevel.Information, "{Index} serves from now on")]
    private partial void LogSwitched(string index);
}

/// <summary>One rebuild at a time, whatever the number of replicas.</summary>
public sealed class RebuildElsewhereException(DateTimeOffset until)
    : InvalidOperationException($"Another replica is rebuilding the index; if it is gone, its rebuild is given up at {until:HH:mm:ss} UTC.");
