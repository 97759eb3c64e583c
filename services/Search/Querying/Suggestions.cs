using System.Collections.Concurrent;
using Marketplace.Search.Engine;
using Microsoft.Extensions.Options;

namespace Marketplace.Search.Querying;

/// <summary>
/// What a shopper may be about to type: what others search for, titles, shelves. Beginnings that many type are answered from memory for
/// up to an hour, and from the shared cache after a restart: what is new or gone shows there later than in searches.
/// </summary>
public sealed class Suggestions(ISearchEngine engine, PopularQueries popular, ISharedCache shared, IOptions<QueryOptions> options, TimeProvider time)
{
    private const int Most = 10;
    private const int MostQueries = 3;
    private const int MostCategories = 2;
    private const int MostWords = 8;
    private const int LongestHot = 20;
    private const int MostRemembered = 20_000;
    private readonly ConcurrentDictionary<string, Hot> hot = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, int> asked = new(StringComparer.Ordinal);

    public sealed record Hot(DateTimeOffset MadeAt, IReadOnlyList<Completion> Items);

    public async Task<IReadOnlyList<Completion>> OfAsync(string typed, CancellationToken ct)
    {
        var beginnings = ProductText.BeginningsOf(typed, MostWords);
        if (beginnings.Count == 0)
            return [];

        var key = string.Join(' ', beginnings);
        if (hot.TryGetValue(key, out var known) && IsFresh(known))
            return known.Items;
        if (!IsHot(key))
            return await LookAsync(typed, beginnings, ct);

        if ((await shared.ReadAsync<Hot>(KeyOf(key), ct)).Value is { } kept && IsFresh(kept))
        {
            Remember(key, kept);
            return kept.Items;
        }

        var made = new Hot(time.GetUtcNow(), await LookAsync(typed, beginnings, ct));
        Remember(key, made);
        await shared.WriteAsync(KeyOf(key), made, options.Value.HotPrefixesFor, ct);
        return made.Items;
    }

    private async Task<IReadOnlyList<Completion>> LookAsync(string typed, IReadOnlyList<string> beginnings, CancellationToken ct)
    {
        var found = await engine.CompleteAsync(typed, Most, ct);
        var queries = popular.Beginning(beginnings, 0, MostQueries);
        if (queries.Count == 0 && !found.Any(item => Beginnings.Fit(ProductText.BeginningsOf(item.Text, MostWords), beginnings, 0)))
            queries = popular.Beginning(beginnings, 1, MostQueries);

        var categories = found.Where(item => item.Kind == "category").Take(MostCategories).ToList();
        var titles = found.Where(item => item.Kind == "title").ToList();
        queries = [.. queries.Where(query => !titles.Exists(title => string.Equals(title.Text, query.Text, StringComparison.OrdinalIgnoreCase)))];
        return [.. queries.Concat(titles.Take(Most - queries.Count - categories.Count)).Concat(categories).DistinctBy(item => item.Text.ToLowerInvariant())];
    }

    private bool IsFresh(Hot one) => time.GetUtcNow() - one.MadeAt < options.Value.HotPrefixesFor;

    private bool IsHot(string key)
    {
        if (key.Length > LongestHot)
            return false;
        if (asked.Count >= MostRemembered)
            asked.Clear();
        return asked.AddOrUpdate(key, 1, (_, times) => times + 1) > options.Value.HotPrefixAfter;
    }

    private void Remember(string key, Hot made)
    {
        if (hot.Count >= MostRemembered)
            hot.Clear();
        hot[key] = made;
    }

    private static string KeyOf(string prefix) => $"suggestions:{prefix}";
}
