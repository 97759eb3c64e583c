using System.Collections.Concurrent;
using Marketplace.Search.Engine;
using Microsoft.Extensions.Options;

namespace Marketplace.Search.Querying;

/// <summary>
/// What shoppers search for, to suggest it to others. Only queries that found something as typed, only letters, digits and a few signs, and
/// only once several searches asked the same: what one person typed is nobody else's business. An asking halves its weight every week.
/// </summary>
public sealed class PopularQueries(IOptions<QueryOptions> options, TimeProvider time)
{
    private const int MostRemembered = 10_000;
    private const int MostSuggested = 2_000;
    private const int MostWords = 12;
    private const int Longest = 60;
    private static readonly TimeSpan HalfLife = TimeSpan.FromDays(7);
    private static readonly DateTimeOffset Epoch = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private readonly ConcurrentDictionary<string, Asked> asked = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, IReadOnlyList<string>> wordsOf = new(StringComparer.Ordinal);
    private volatile (string Query, IReadOnlyList<string> Words)[] popular = [];
    private long popularAt;

    /// <summary>Goes up with every asking.</summary>
    public long Version { get; private set; }

    /// <param name="Weight">Askings, each weighing more the later it was; see <see cref="Now"/>.</param>
    public sealed record Asked(string Query, int Times, double Weight);

    public void Count(string typed)
    {
        var query = string.Join(' ', typed.ToLowerInvariant().Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
        if (query.Length is < 3 or > Longest || !query.All(letter => char.IsLetterOrDigit(letter) || letter is ' ' or '-' or '\'' or '&'))
            return;

        asked.AddOrUpdate(query, _ => new Asked(query, 1, Now()), (_, known) => known with { Times = known.Times + 1, Weight = known.Weight + Now() });
        Version++;
        if (asked.Count > MostRemembered)
        {
            foreach (var light in asked.Values.OrderBy(known => known.Weight).Take(MostRemembered / 2))
                asked.TryRemove(light.Query, out _);
        }
    }

    /// <summary>Queries some word of which begins with each typed one, the most asked first.</summary>
    public IReadOnlyList<Completion> Beginning(IReadOnlyList<string> typed, int edits, int most) =>
        [.. Popular().Where(known => Beginnings.Fit(known.Words, typed, edits)).Take(most).Select(known => new Completion(known.Query, "query"))];

    public IReadOnlyList<Asked> All() => [.. asked.Values];

    public void Restore(IEnumerable<Asked> before)
    {
        foreach (var known in before.Take(MostRemembered))
            asked.AddOrUpdate(known.Query, known, (_, since) => since with { Times = since.Times + known.Times, Weight = since.Weight + known.Weight });
    }

    private double Now() => Math.Pow(2, (time.GetUtcNow() - Epoch) / HalfLife);

    /// <summary>Sorted once a second at most, and by nobody who waits for it: not for every letter somebody types.</summary>
    private (string Query, IReadOnlyList<string> Words)[] Popular()
    {
        var second = time.GetUtcNow().ToUnixTimeSeconds();
        if (Interlocked.Exchange(ref popularAt, second) != second)
            ThreadPool.UnsafeQueueUserWorkItem(_ => Sort(), null);
        return popular;
    }

    private void Sort()
    {
        if (wordsOf.Count > MostRemembered)
            wordsOf.Clear();
        popular = [.. asked.Values.Where(known => known.Times >= options.Value.PopularAfter).OrderByDescending(known => known.Weight).Take(MostSuggested)
            .Select(known => (known.Query, wordsOf.GetOrAdd(known.Query, query => ProductText.BeginningsOf(query, MostWords))))];
    }
}

/// <summary>Keeps them in the shared cache: every minute, and when the service stops.</summary>
public sealed class PopularQueriesKeeper(PopularQueries popular, ISharedCache cache, TimeProvider time) : BackgroundService
{
    private const string Key = "popular-queries";
    private static readonly TimeSpan Keep = TimeSpan.FromDays(30);
    private static readonly TimeSpan Between = TimeSpan.FromMinutes(1);
    private long saved;
    private bool restored;

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        await SaveAsync(cancellationToken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await RestoreAsync(stoppingToken);
        using var minute = new PeriodicTimer(Between, time);
        try
        {
            while (await minute.WaitForNextTickAsync(stoppingToken))
                await SaveAsync(stoppingToken);
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            return;
        }
    }

    private async Task RestoreAsync(CancellationToken ct)
    {
        var kept = await cache.ReadAsync<PopularQueries.Asked[]>(Key, ct);
        restored = kept.Answered;
        popular.Restore(kept.Value ?? []);
    }

    private async Task SaveAsync(CancellationToken ct)
    {
        if (!restored)
            await RestoreAsync(ct);                             // or what was kept would be written over by the little of a start
        if (!restored || popular.Version == saved)
            return;

        saved = popular.Version;
        await cache.WriteAsync(Key, popular.All().ToArray(), Keep, ct);
    }
}
