using System.Text.Json.Serialization;
using Marketplace.Contracts;

namespace Marketplace.Search.Engine;

public enum Order
{
    Relevance,
    Cheapest,
    Dearest,
    BestRated,
    Newest,
    BestSelling,
}

/// <summary>How far a word may be from what is in the index.</summary>
public enum Spelling
{
    /// <summary>Words that are rare in the catalogue, or not in it at all, also stand for near ones that are common.</summary>
    NearIfUnknown,

    /// <summary>Every word also stands for near ones.</summary>
    Near,
}

/// <summary>One way to read what was typed: all of these words together.</summary>
/// <param name="Terms">As they stand in the index (see ProductText).</param>
/// <param name="Weight">1 as typed; less for a synonym.</param>
/// <param name="Written">A single word with its ending, which misspellings are compared by.</param>
/// <param name="Edits">How many letters a misspelling may be off; 0 for what is meant as typed.</param>
public sealed record Reading(IReadOnlyList<string> Terms, float Weight, string Written = "", int Edits = 0);

/// <summary>One thing asked for. Any of its readings will do.</summary>
/// <param name="Typed">As the shopper typed it.</param>
/// <param name="Optional">Counts for the order of results, never against a result: little words.</param>
public sealed record WantedWord(string Typed, IReadOnlyList<Reading> Readings, bool Optional = false);

/// <summary>Any of the values of one dimension: <see cref="Facets.Category"/> with everything below it, a seller, an attribute.</summary>
public sealed record Chosen(string Dimension, IReadOnlyList<string> Values);

/// <param name="MinPrice">Minor units; both ends belong to the range.</param>
/// <param name="MinRating">1 to 5.</param>
public sealed record Filters(IReadOnlyList<Chosen> Chosen, long? MinPrice = null, long? MaxPrice = null, double? MinRating = null, bool InStock = false)
{
    public static Filters None { get; } = new([]);
}

/// <summary>Names of what results can be counted by. Attributes have theirs behind <see cref="AttributePrefix"/>.</summary>
public static class Facets
{
    public const string Category = "category";
    public const string Brand = "brand";
    public const string Seller = "seller";
    public const string Price = "price";
    public const string Rating = "rating";
    public const string Stock = "inStock";
    public const string AttributePrefix = "attr.";
    public const string All = "all";
    public const int MostValues = 50;

    /// <summary>Lower ends of the price ranges, in minor units.</summary>
    public static IReadOnlyList<long> PriceSteps { get; } = [0, 500, 1_000, 2_000, 5_000, 10_000, 50_000];

    public static IReadOnlyList<int> RatingSteps { get; } = [4, 3, 2, 1];
}

/// <summary>Where a page ended. The engine knows what the key means.</summary>
/// <param name="Before">The products before the last one, nearest first: where to go on when the last one is gone.</param>
public sealed record Position(long Key, Guid ProductId, IReadOnlyList<Guid> Before)
{
    public const int MostBefore = 2;
}

/// <param name="Words">None: every product.</param>
/// <param name="MustMatch">So many of the words that are not optional.</param>
/// <param name="Counted">Facets to count; none costs nothing. Each ignores its own filter.</param>
/// <param name="After">Results behind this one only.</param>
public sealed record Ask(
    IReadOnlyList<WantedWord> Words, int MustMatch, Spelling Spelling, Filters Filters, IReadOnlyCollection<string> Counted, Order Order, Position? After, int Limit, bool Highlight = false);

/// <param name="Total">All that fit, whatever the page.</param>
/// <param name="End">Where the page ended, when there is more.</param>
/// <param name="Corrections">Typed words that were not in the index, with the nearest that was.</param>
/// <param name="Unknown">Typed words nothing stands for.</param>
public sealed record Found(
    IReadOnlyList<FoundProduct> Items, int Total, Position? End, IReadOnlyList<Facet> Facets, IReadOnlyDictionary<string, string> Corrections, IReadOnlyList<string> Unknown);

/// <summary>A result as shoppers get it.</summary>
public sealed record FoundProduct(
    Guid ProductId, string Title, string Brand, string Category, Money Price, string? ImageUrl, Guid SellerId, string SellerName, bool InStock)
{
    /// <summary>1 to 5; null without reviews.</summary>
    public double? Rating { get; init; }

    public int Ratings { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public Highlight? Highlight { get; init; }
}

/// <summary>HTML: the words that fit stand in <c>em</c>, everything else is escaped. Null where none of them occurs.</summary>
public sealed record Highlight(string? Title, string? Description);

/// <summary>What the results fall into. Counts respect every filter but this facet's own.</summary>
public sealed record Facet(string Name, IReadOnlyList<FacetCount> Values);

/// <param name="Value">What to filter by.</param>
/// <param name="Label">What to show.</param>
/// <param name="From">Of a price range, minor units; the end does not belong to it.</param>
public sealed record FacetCount(
    string Value,
    string Label,
    int Count,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] long? From = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] long? To = null);

/// <param name="Kind">title, category or query.</param>
/// <param name="Category">Of a category its code: what to filter by.</param>
public sealed record Completion(string Text, string Kind, [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Category = null);
