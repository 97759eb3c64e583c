using System.Diagnostics.Metrics;
using Elastic.Clients.Elasticsearch.IndexManagement;
using Elastic.Transport;
using Marketplace.Hosting;
using Marketplace.Search.Indexing;
using Microsoft.Extensions.Options;

namespace Marketplace.Search.Engine.Elasticsearch;

/// <summary>
/// An Elasticsearch that several replicas of this service share. While it does not answer the service runs on: searches and events are told
/// to come again, and /readyz says why.
/// </summary>
public sealed partial class ElasticsearchEngine : ISearchEngine
{
    private static readonly TimeSpan BetweenTries = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestBetweenTries = TimeSpan.FromSeconds(15);

    private readonly IOptions<SearchOptions> search;
    private readonly IOptions<ElasticsearchOptions> options;
    private readonly SecretStore secrets;
    private readonly TimeProvider time;
    private readonly ILogger log;
    private readonly string me = Guid.NewGuid().ToString("N");
    private readonly CancellationTokenSource stopping = new();
    private readonly TaskCompletionSource<Parts> opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Meter meter = new(IndexFeed.MeterName);
    private ElasticsearchConnection? connection;
    private Task opening = Task.CompletedTask;
    private string waitingFor = "Elasticsearch was not asked yet";
    private long changes;
    private bool filled;

    public ElasticsearchEngine(IOptions<SearchOptions> search, IOptions<ElasticsearchOptions> options, SecretStore secrets, TimeProvider time, ILogger<ElasticsearchEngine> log)
    {
        (this.search, this.options, this.secrets, this.time, this.log) = (search, options, secrets, time, log);
        meter.CreateObservableGauge("search.elasticsearch.up", () => opened.Task.IsCompletedSuccessfully && opened.Task.Result.Connection.Answers ? 1 : 0, description: "1 while Elasticsearch answers.");
    }

    private sealed record Parts(ElasticsearchConnection Connection, ProductWriter Writer, ProductFinder Finder, TitleCompletions Completions);

    /// <summary>
    /// Other replicas change the index too, and nobody tells this one. So it also goes up with every second: what is remembered of an
    /// answer is a second old at most.
    /// </summary>
    public long Generation => Interlocked.Read(ref changes) + time.GetUtcNow().ToUnixTimeSeconds();

    /// <summary>Null when Elasticsearch answers, else why not.</summary>
    public async Task<string?> LookAsync(CancellationToken ct)
    {
        if (!opened.Task.IsCompletedSuccessfully)
            return waitingFor;

        var known = opened.Task.Result.Connection;
        known.Answers = (await known.Client.Indices.ExistsAsync(new ExistsRequest(known.Options.Index), ct)).Exists;
        return known.Answers ? null : $"Elasticsearch at {known.Address} does not answer";
    }

    /// <summary>Returns at once; what cannot be had yet is waited for behind.</summary>
    public async Task OpenAsync(CancellationToken ct)
    {
        var address = await secrets.GetAsync("elasticsearch-url", ct);
        if (!Uri.TryCreate(address, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https"))
            throw new InvalidOperationException("The secret elasticsearch-url is no address such as https://elasticsearch:9200.");

        AuthorizationHeader? credentials = options.Value.Credentials switch
        {
            "password" => new BasicAuthentication(await secrets.GetAsync("elasticsearch-user", ct), await secrets.GetAsync("elasticsearch-password", ct)),
            "api-key" => new ApiKey(await secrets.GetAsync("elasticsearch-api-key", ct)),
            _ => ElasticsearchConnection.CredentialsIn(uri),
        };
        connection = new ElasticsearchConnection(uri, credentials, options.Value);
        if (!await TryOpenAsync(connection, ct))
            opening = KeepTryingAsync(connection);
    }

    public async Task ApplyAsync(IReadOnlyList<IndexChange> changes, CancellationToken ct) => await Ready().Writer.ApplyAsync(changes, ct);

    public async ValueTask<Found> FindAsync(Ask ask, CancellationToken ct) => await Ready().Finder.FindAsync(ask, ct);

    public async ValueTask<IReadOnlyList<Completion>> CompleteAsync(string typed, int most, CancellationToken ct) =>
        await Ready().Completions.CompleteAsync(typed, most, Generation, ct);

    /// <summary>Waits for Elasticsearch: without it nobody knows.</summary>
    public async ValueTask<bool> NeedsFillingAsync(CancellationToken ct)
    {
        var parts = await opened.Task.WaitAsync(ct);
        return !filled && !(filled = (await parts.Connection.IndicesAsync(ct)).Any(index => index is { Serving: true, Filled: true }));
    }

    public async Task<IIndexRebuild> BeginRebuildAsync(CancellationToken ct)
    {
        var parts = await opened.Task.WaitAsync(ct);
        return await ElasticsearchRebuild.BeginAsync(parts.Connection, parts.Writer, time, log, me, ct);
    }

    public async ValueTask DisposeAsync()
    {
        await stopping.CancelAsync();
        await opening;
        if (opened.Task.IsCompletedSuccessfully)
            await opened.Task.Result.Writer.DisposeAsync();
        connection?.Dispose();
        meter.Dispose();
        stopping.Dispose();
    }

    private Parts Ready() => opened.Task.IsCompletedSuccessfully ? opened.Task.Result : throw new ElasticsearchAwayException(waitingFor);

    private async Task KeepTryingAsync(ElasticsearchConnection connection)
    {
        var pause = BetweenTries;
        try
        {
            do
            {
                await Task.Delay(pause, stopping.Token);
                pause = pause * 2 < LongestBetweenTries ? pause * 2 : LongestBetweenTries;
            }
            while (!await TryOpenAsync(connection, stopping.Token));
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            return;
        }
    }

    private async Task<bool> TryOpenAsync(ElasticsearchConnection connection, CancellationToken ct)
    {
        try
        {
            var index = await ServingAsync(connection, ct);
            var writer = new ProductWriter(connection, search.Value.BatchSize, time, log, () => Interlocked.Increment(ref changes), one => LiftAbandonedBlockAsync(connection, one));
            opened.TrySetResult(new Parts(connection, writer, new ProductFinder(connection, time), new TitleCompletions(connection)));
            LogOpened(connection.Address, index.Name);
            return true;
        }
        catch (Exception wrong) when (wrong is ElasticsearchAwayException or InvalidOperationException)     // refused, too: credentials can be put right while we wait
        {
            waitingFor = wrong.Message;
            LogWaiting(wrong.Message);
            return false;
        }
    }

    /// <summary>The index behind the alias; the first one is made here, empty, by whichever replica comes first.</summary>
    private async Task<KnownIndex> ServingAsync(ElasticsearchConnection connection, CancellationToken ct)
    {
        while (true)
        {
            var indices = await connection.IndicesAsync(ct);
            if (indices.SingleOrDefault(index => index.Serving) is { } serving)
            {
                await LiftAbandonedBlockAsync(connection, ct);
                return serving;
            }

            var first = ProductIndex.NameOf(connection.Options.Index, indices.Select(index => index.Number).DefaultIfEmpty(0).Max() + 1);
            var meta = new Dictionary<string, object> { [ProductIndex.FormatKey] = ProductIndex.Format, [ProductIndex.FilledKey] = "no" };
            var created = await connection.Client.Indices.CreateAsync(ProductIndex.Create(first, connection.Options, meta, serving: true), ct);
            if (created.ElasticsearchServerError?.Error?.Type != ProductIndex.ExistsAlready)
                connection.Checked(created);
        }
    }

    /// <summary>A rebuild that died while it handed over has left the serving index without writes.</summary>
    private async Task LiftAbandonedBlockAsync(ElasticsearchConnection connection, CancellationToken ct)
    {
        var indices = await connection.IndicesAsync(ct);
        if (indices.SingleOrDefault(index => index is { Serving: true, Blocked: true }) is not { } serving || indices.Any(index => ElasticsearchRebuild.Alive(index, connection.Options, time)))
            return;

        await ElasticsearchRebuild.LiftBlockAsync(connection, serving.Name, ct);
        LogLifted(serving.Name);
    }

    [LoggerMessage(LogLevel.Information, "Searching in Elasticsearch at {Address}, index {Index}")]
    private partial void LogOpened(string address, string index);

    [LoggerMessage(LogLevel.Warning, "Waiting for Elasticsearch, searches are answered 503 meanwhile: {Reason}")]
    private partial void LogWaiting(string reason);

    [LoggerMessage(LogLevel.Warning, "A rebuild died while it handed over: index {Index} takes writes again")]
    private partial void LogLifted(string index);
}
