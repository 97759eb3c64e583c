using Marketplace.Contracts;
using Marketplace.Hosting;
using Marketplace.Search.Clients;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Extensions.Options;

namespace Marketplace.Search.Indexing;

public sealed record RebuildStatus(string State, int Read, int Removed, DateTimeOffset? StartedAt, DateTimeOffset? EndedAt, string? Error)
{
    public static RebuildStatus Never { get; } = new("never", 0, 0, null, null, null);
}

/// <summary>
/// Reads the whole catalogue and writes every product again, while searches go on and events arrive: a page is older than an event that
/// came meanwhile, and the revision says so. What the catalogue no longer shows, and no event has touched since, is removed.
/// </summary>
public sealed partial class Rebuild(ProductIndex index, IServiceScopeFactory scopes, IOptions<SearchOptions> options, TimeProvider time, ILogger<Rebuild> log) : BackgroundService
{
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
        var filling = options.Value.RebuildWhenEmpty && index.IsEmpty && TryStart();
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
        var before = index.Listed();
        try
        {
            var shown = await ReadCatalogueAsync(ct);
            var removed = await RemoveStaleAsync(before, shown, ct);
            Status = Status with { State = "done", Removed = removed, EndedAt = time.GetUtcNow() };
            LogDone(shown.Count, removed);
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

    private async Task<HashSet<Guid>> ReadCatalogueAsync(CancellationToken ct)
    {
        await using var scope = scopes.CreateAsyncScope();
        var catalog = scope.ServiceProvider.GetRequiredService<CatalogClient>();
        var inventory = scope.ServiceProvider.GetRequiredService<InventoryClient>();
        var shown = new HashSet<Guid>();
        string? cursor = null;
        do
        {
            var page = await PatientlyAsync(() => catalog.PageAsync(cursor, ct), ct);
            await Task.WhenAll(page.Items.Select(product => index.ApplyAsync(
                new IndexChange.Upsert(
                    new IndexedListing(
                        product.ProductId, product.Revision, product.SellerId, product.SellerName, product.Title, product.Description, product.Brand, product.Category,
                        product.Price, product.ImageUrl, product.ListedAt),
                    Reread: true),
                ct)));
            await AskForStockAsync(inventory, page.Items.Select(product => product.ProductId), ct);
            shown.UnionWith(page.Items.Select(product => product.ProductId));
            Status = Status with { Read = shown.Count };
            cursor = page.Next;
        }
        while (cursor is not null);
        return shown;
    }

    /// <summary>Only what no event ever told: version 0, so that the first event outranks it.</summary>
    private async Task AskForStockAsync(InventoryClient inventory, IEnumerable<Guid> productIds, CancellationToken ct)
    {
        var unknown = productIds.Where(productId => index.StateOf(productId).StockVersion < 0).ToList();
        var levels = new StockLevel[unknown.Count];
        await Parallel.ForAsync(0, unknown.Count, new ParallelOptions { MaxDegreeOfParallelism = 4, CancellationToken = ct }, async (i, one) =>
            levels[i] = new StockLevel(unknown[i], await PatientlyAsync(() => inventory.AvailableAsync(unknown[i], one), one), 0));
        if (levels.Length > 0)
            await index.ApplyAsync(new IndexChange.Stock(levels), ct);
    }

    private async Task<int> RemoveStaleAsync(IReadOnlyList<(Guid ProductId, ProductState State)> before, HashSet<Guid> shown, CancellationToken ct)
    {
        var stale = before.Where(known => !shown.Contains(known.ProductId) && index.StateOf(known.ProductId).Revision == known.State.Revision).ToList();
        await Task.WhenAll(stale.Select(known => index.ApplyAsync(new IndexChange.Remove(known.ProductId, known.State.Revision), ct)));
        return stale.Count;
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
            catch (Exception away) when (away is HttpRequestException or TaskCanceledException && attempt < 8 && !ct.IsCancellationRequested)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(Math.Min(250 * Math.Pow(2, attempt), 8000)), time, ct);
            }
        }
    }

    [LoggerMessage(LogLevel.Information, "Index rebuilt from the catalogue: {Read} products, {Removed} removed")]
    private partial void LogDone(int read, int removed);

    [LoggerMessage(LogLevel.Warning, "The index was not rebuilt, a neighbour does not answer ({Reason})")]
    private partial void LogFailed(string reason);

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
