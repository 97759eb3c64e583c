using System.Text.Json;
using System.Threading.Channels;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Marketplace.Search.Clients;
using Marketplace.Search.Engine;
using Marketplace.Search.Engine.Elasticsearch;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Extensions.Options;

namespace Marketplace.Search.Indexing;

public sealed record RebuildStatus(string State, int Read, int Removed, DateTimeOffset? StartedAt, DateTimeOffset? EndedAt, string? Error)
{
    public static RebuildStatus Never { get; } = new("never", 0, 0, null, null, null);
}

/// <summary>
/// Reads the whole catalogue and writes every product again, while searches go on and events arrive (see <see cref="IIndexRebuild"/>).
/// </summary>
public sealed partial class Rebuild(ISearchEngine engine, IServiceScopeFactory scopes, IOptions<SearchOptions> options, TimeProvider time, ILogger<Rebuild> log) : BackgroundService
{
    private const int PagesAhead = 20;
    private static readonly TimeSpan BetweenFillings = TimeSpan.FromSeconds(15);
    private readonly SemaphoreSlim wanted = new(0, 1);
    private int running;

    public RebuildStatus Status { get; private set; } = RebuildStatus.Never;

    /// <summary>False when one is under way already.</summary>
    public bool TryStart()
    {
        if (Interlocked.CompareExchange(ref running, 1, 0) == 1)
            return false;

        Status = new RebuildStatus("running", 0, 0, time.GetUtcNow(), null, null);
        wanted.Release();
        return true;
    }

    public override void Dispose()
    {
        wanted.Dispose();
        base.Dispose();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var filling = options.Value.RebuildWhenEmpty && await engine.NeedsFillingAsync(stoppingToken) && TryStart();
        try
        {
            while (true)
            {
                await wanted.WaitAsync(stoppingToken);
                await RunAsync(stoppingToken);
                // Half full is not empty: a first filling that broke off would not be made up for by the next start.
                while (filling && Status.State == "failed")
                {
                    await Task.Delay(BetweenFillings, time, stoppingToken);
                    if (!await engine.NeedsFillingAsync(stoppingToken))
                        break;                                  // another replica did it
                    await RunAsync(stoppingToken);
                }

                filling = false;
                Interlocked.Exchange(ref running, 0);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            return;                                             // the host stops; an unfinished rebuild has harmed nothing
        }
    }

    private async Task RunAsync(CancellationToken ct)
    {
        try
        {
            var index = await engine.BeginRebuildAsync(ct);
            await ReadCatalogueAsync(index, ct);
            var removed = await index.CompleteAsync(ct);
            Status = Status with { State = "done", Removed = removed, EndedAt = time.GetUtcNow() };
            LogDone(Status.Read, removed);
        }
        catch (Exception engineAway) when (engineAway is ElasticsearchAwayException or RebuildElsewhereException)
        {
            Status = Status with { State = "failed", EndedAt = time.GetUtcNow(), Error = engineAway.Message };
            LogNotNow(engineAway.Message);
        }
        catch (Exception away) when (away is HttpRequestException or TaskCanceledException && !ct.IsCancellationRequested)
        {
            Status = Status with { State = "failed", EndedAt = time.GetUtcNow(), Error = "The catalogue or inventory does not answer." };
            LogFailed(away.Message);
        }
        catch (Exception fault) when (!ct.IsCancellationRequested)   // shown to the operator, who may start another
        {
            Status = Status with { State = "failed", EndedAt = time.GetUtcNow(), Error = fault.GetType().Name };
            LogBroken(fault);
        }
    }

    /// <summary>While a page is written, the stock of the next one is asked for and the one behind it is on its way.</summary>
    private async Task ReadCatalogueAsync(IIndexRebuild index, CancellationToken ct)
    {
        var pages = Channel.CreateBounded<Page>(PagesAhead);
        using var broken = CancellationTokenSource.CreateLinkedTokenSource(ct);
        var reading = ReadAsync(pages.Writer, broken.Token);
        try
        {
            var read = 0;
            await foreach (var page in pages.Reader.ReadAllAsync(ct))
            {
                await index.AddAsync(page.Listings, page.Levels, page.Ratings, ct);
                Status = Status with { Read = read += page.Listings.Count };
            }
        }
        finally
        {
            await broken.CancelAsync();                         // of no use after a failure, and at its end otherwise
        }

        await reading;
    }

    private async Task ReadAsync(ChannelWriter<Page> pages, CancellationToken ct)
    {
        try
        {
            await using var scope = scopes.CreateAsyncScope();
            var catalog = scope.ServiceProvider.GetRequiredService<ICatalogClient>();
            var inventory = scope.ServiceProvider.GetRequiredService<IInventoryClient>();
            for (var next = PatientlyAsync(() => catalog.PageAsync(new PageRequest(null), ct), ct); ;)
            {
                var page = await next;
                if (page.Next is { } last)
                    next = PatientlyAsync(() => catalog.PageAsync(new PageRequest(last), ct), ct);
                IndexedListing[] listings = [.. page.Items.Select(IndexEvents.ToIndex)];
                var levels = new List<StockLevel>(listings.Length);
                foreach (var some in listings.SelectMany(listing => listing.SoldAs()).Chunk(IInventoryClient.Most))
                    levels.AddRange((await PatientlyAsync(() => inventory.LevelsAsync(new LevelsRequest(some), ct), ct)).Levels);
                await pages.WriteAsync(new Page(listings, levels, [.. (page.Ratings ?? []).Select(rating => new IndexChange.Rating(rating.ProductId, rating.Average, rating.Count, rating.Version))]), ct);
                if (page.Next is null)
                    break;
            }

            pages.Complete();
        }
        catch (Exception fault)                                 // for who reads the other end
        {
            pages.Complete(fault);
        }
    }

    /// <summary>A system that is starting up needs a moment; half a minute without an answer ends the rebuild.</summary>
    private async Task<T> PatientlyAsync<T>(Func<Task<T>> ask, CancellationToken ct)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await ask();
            }
            catch (Exception away) when (away is HttpRequestException { InnerException: not JsonException } or TaskCanceledException && attempt < 8 && !ct.IsCancellationRequested)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(Math.Min(250 * Math.Pow(2, attempt), 8000)), time, ct);
            }
        }
    }

    private sealed record Page(IReadOnlyList<IndexedListing> Listings, IReadOnlyList<StockLevel> Levels, IReadOnlyList<IndexChange.Rating> Ratings);

    [LoggerMessage(LogLevel.Information, "Index rebuilt from the catalogue: {Read} products, {Removed} removed")]
    private partial void LogDone(int read, int removed);

    [LoggerMessage(LogLevel.Warning, "The index was not rebuilt, a neighbour does not answer ({Reason})")]
    private partial void LogFailed(string reason);

    [LoggerMessage(LogLevel.Warning, "The index was not rebuilt ({Reason})")]
    private partial void LogNotNow(string reason);

    [LoggerMessage(LogLevel.Error, "The index was not rebuilt")]
    private partial void LogBroken(Exception fault);
}

public static class RebuildEndpoints
{
    public static void MapRebuild(this IEndpointRouteBuilder routes)
    {
        var rebuild = routes.MapGroup("/api/v1/operations/search/rebuild").RequireAuthorization(Policies.Operator).WithTags("operations");
        rebuild.MapPost("/", Start);
        rebuild.MapGet("/", (Rebuild rebuild) => TypedResults.Ok(rebuild.Status));
    }

    private static Results<Accepted<RebuildStatus>, ProblemHttpResult> Start(Rebuild rebuild) => rebuild.TryStart()
        ? TypedResults.Accepted("/api/v1/operations/search/rebuild", rebuild.Status)
        : Problems.Of(StatusCodes.Status409Conflict, "rebuild-running", "A rebuild is under way already.");
}
