using System.ComponentModel.DataAnnotations;

namespace Marketplace.Search.Indexing;

public sealed class SearchOptions
{
    /// <summary>Which engine holds the index: <c>lucene</c>, embedded, one replica; or <c>elasticsearch</c>, see <see cref="Engine.Elasticsearch.ElasticsearchOptions"/>.</summary>
    public string Engine { get; set; } = "lucene";

    /// <summary>Relative to the app's folder. Without it: <c>search</c> under MARKETPLACE_DATA, else under <c>.local</c> at the repository's root.</summary>
    public string? IndexFolder { get; set; }

    /// <summary>How long a start waits for another process to let go of the index (a restart overlaps a little).</summary>
    public TimeSpan LockPatience { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Changes written and committed together. Whoever sent one waits for its commit.</summary>
    [Range(1, 10_000)]
    public int BatchSize { get; set; } = 2_000;

    /// <summary>An index that was never filled to the end (a new machine, a deleted folder, a kill halfway) is filled from the catalogue without being asked.</summary>
    public bool RebuildWhenEmpty { get; set; } = true;

    public string FolderUnder(string contentRoot, string? dataFolder) => Path.GetFullPath(
        !string.IsNullOrEmpty(IndexFolder) ? Path.Combine(contentRoot, IndexFolder)
        : !string.IsNullOrEmpty(dataFolder) ? Path.Combine(dataFolder, "search")
        : Path.Combine(contentRoot, "..", "..", ".local", "search"));
}
