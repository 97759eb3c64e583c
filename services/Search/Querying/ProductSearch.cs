using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Serialization;
using Marketplace.Hosting;
using Marketplace.Search.Engine;
using Microsoft.Extensions.Options;

namespace Marketplace.Search.Querying;

public sealed record Wish(string Words, Filters Filters, Order Order, int Limit, IReadOnlyList<string> Facets, bool Highlight);

/// <param name="Total">All results, whatever the page.</param>
public sealed record ResultPage(IReadOnlyList<FoundProduct> Items, string? Next, int Total)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<Facet>? Facets { get; init; }

    /// <summary>Present when nothing fitted as it was asked for, and less was made to do.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public Relaxed? Relaxed { get; init; }

    /// <summary>Typed words the catalogue does not have, each with the nearest it has.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyDictionary<string, string>? Corrections { get; init; }
}

/// <param name="By"><c>spelling</c>: near words were taken for typed ones that exist; <c>words</c>: not all words fit.</param>
/// <param name="Matched">So many of the words fit each result at least,</param>
/// <param name="Of">of so many.</param>
/// <param name="Ignored">Words nothing in the catalogue stands for.</param>
public sealed record Relaxed(string By, int Matched, int Of, IReadOnlyList<string> Ignored);

/// <summary>A wish becomes what an engine is asked, step by step less of it while nothing fits; and hot answers are kept.</summary>
public sealed class ProductSearch(ISearchEngine engine, SynonymFile synonyms, PopularQueries popular, IOptions<QueryOptions> options, TimeProvider time)
{
    private readonly ConcurrentDictionary<string, Hot> hot = new(StringComparer.Ordinal);

    /// <summary>Null when the cursor is not one of this search.</summary>
    public async Task<ResultPage?> FindAsync(Wish wish, string? cursor, CancellationToken ct)
    {
        var page = await AnswerAsync(wish, cursor, ct);
        if (page is { Total: > 0, Relaxed: null, Corrections: null } && string.IsNullOrEmpty(cursor) && wish.Words.Length > 0)
            popular.Count(wish.Words);
        return page;
    }

    private async Task<ResultPage?> AnswerAsync(Wish wish, string? cursor, CancellationToken ct)
    {
        var key = KeyOf(wish);
        Place? from = null;
        if (!string.IsNullOrEmpty(cursor) && (from = Place.Read(cursor, HashOf(key))) is null)
            return null;
        if (options.Value.HotQueries == 0 || from is not null)
            return await LookAsync(wish, key, from, ct);

        // What the index shows cannot be old: an answer goes with the generation it was made from.
        var state = (engine.Generation, Synonyms: synonyms.Current, Until: time.GetUtcNow() + options.Value.HotFor);
        var whole = $"{key}\n{wish.Limit}\n{wish.Highlight}\n{string.Join(',', wish.Facets)}";
        if (hot.TryGetValue(whole, out var known) && !known.Page.Value.IsFaulted && known.Generation == state.Generation && known.Synonyms == state.Synonyms && known.Until > time.GetUtcNow())
            return await known.Page.Value.WaitAsync(ct);

        if (hot.Count >= options.Value.HotQueries)
            hot.Clear();
        var fresh = new Hot(state.Generation, state.Synonyms, state.Until, new Lazy<Task<ResultPage>>(() => LookAsync(wish, key, null, CancellationToken.None)));
        hot[whole] = fresh;
        return await fresh.Page.Value.WaitAsync(ct);
    }

    private async Task<ResultPage> LookAsync(Wish wish, string key, Place? from, CancellationToken ct)
    {
        var words = QueryWords.Of(wish.Words, synonyms.Current);
        if (words.Count == 0 && !string.IsNullOrWhiteSpace(wish.Words))
            return new ResultPage([], null, 0);                 // signs without a word: nothing is what fits them

        var needed = QueryWords.MustMatch(words);
        var of = words.Count(word => !word.Optional);
        var step = from?.Step ?? new Step(Spelling.NearIfUnknown, needed);
        while (true)
        {
            var found = await engine.FindAsync(
                new Ask(words, step.MustMatch, step.Spelling, wish.Filters, wish.Facets, wish.Order, from?.Position, wish.Limit, wish.Highlight), ct);
            if (found.Total == 0 && from is null && step.Next is { } less && words.Count > 0)
            {
                step = less;
                continue;
            }

            return new ResultPage(found.Items, found.End is { } end ? Place.Write(HashOf(key), step, end) : null, found.Total)
            {
                Facets = wish.Facets.Count > 0 ? found.Facets : null,
                Corrections = found.Corrections.Count > 0 ? found.Corrections : null,
                Relaxed = found.Total == 0 ? null
                    : step.MustMatch < needed ? new Relaxed("words", step.MustMatch, of, found.Unknown)
                    : step.Spelling == Spelling.Near ? new Relaxed("spelling", step.MustMatch, of, found.Unknown)
                    : null,
            };
        }
    }

    /// <summary>What must stay the same from page to page.</summary>
    private static string KeyOf(Wish wish)
    {
        var key = new StringBuilder();
        key.Append(CultureInfo.InvariantCulture, $"{wish.Words.Trim().ToLowerInvariant()}\n{wish.Order}\n{wish.Filters.MinPrice}\n{wish.Filters.MaxPrice}\n{wish.Filters.MinRating}\n{wish.Filters.InStock}\n");
        foreach (var chosen in wish.Filters.Chosen.OrderBy(chosen => chosen.Dimension, StringComparer.Ordinal))
            key.Append(CultureInfo.InvariantCulture, $"{chosen.Dimension}={string.Join('\u001f', chosen.Values)}\n");
        return key.ToString();
    }

    private static string HashOf(string key) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key)).AsSpan(0, 8));

    private sealed record Hot(long Generation, Synonyms Synonyms, DateTimeOffset Until, Lazy<Task<ResultPage>> Page);

    /// <summary>How much of what was typed is insisted on.</summary>
    private sealed record Step(Spelling Spelling, int MustMatch)
    {
        public Step? Next => Spelling == Spelling.NearIfUnknown ? this with { Spelling = Spelling.Near } : MustMatch > 1 ? this with { MustMatch = MustMatch - 1 } : null;
    }

    /// <summary>Where a page ended and in which step, so that the next one goes on there.</summary>
    private sealed record Place(Step Step, Position Position)
    {
        public static string Write(string search, Step step, Position end) =>
            Cursor.Encode([search, (int)step.Spelling, step.MustMatch, end.Key, .. end.Before.Prepend(end.ProductId).Cast<object>()]);

        public static Place? Read(string cursor, string search)
        {
            if (!Cursor.TryDecode(cursor, out var parts) || parts is not [var of, var spelling, var must, var key, var last, .. var before] || of != search || before.Length > Position.MostBefore
                || !int.TryParse(spelling, CultureInfo.InvariantCulture, out var near) || near is not (0 or 1)
                || !int.TryParse(must, CultureInfo.InvariantCulture, out var mustMatch) || mustMatch is < 0 or > QueryWords.Most
                || !long.TryParse(key, CultureInfo.InvariantCulture, out var number) || !Guid.TryParse(last, out var productId))
                return null;

            var others = before.Select(text => Guid.TryParse(text, out var id) ? id : (Guid?)null).ToList();
            return others.Contains(null) ? null : new Place(new Step((Spelling)near, mustMatch), new Position(number, productId, [.. others.OfType<Guid>()]));
        }
    }
}
