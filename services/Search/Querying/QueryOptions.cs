using System.ComponentModel.DataAnnotations;

namespace Marketplace.Search.Querying;

/// <summary>Bound to <c>Search</c>, like the options of the index.</summary>
public sealed class QueryOptions
{
    /// <summary>Relative to the app's folder. See <see cref="Synonyms"/> for what is in it.</summary>
    public string SynonymsFile { get; set; } = "synonyms.txt";

    public TimeSpan SynonymsLookedAtEvery { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>Answers kept in memory. Each holds until the index changes, and never longer than <see cref="HotFor"/>; 0 keeps none.</summary>
    [Range(0, 100_000)]
    public int HotQueries { get; set; } = 2_000;

    public TimeSpan HotFor { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>A beginning typed more often than this is hot: its suggestions are kept for <see cref="HotPrefixesFor"/>.</summary>
    [Range(0, 1_000_000)]
    public int HotPrefixAfter { get; set; } = 20;

    public TimeSpan HotPrefixesFor { get; set; } = TimeSpan.FromHours(1);

    /// <summary>A query is suggested to others once it was asked so often.</summary>
    [Range(1, 1_000_000)]
    public int PopularAfter { get; set; } = 5;
}
