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
}
