using Marketplace.Contracts;
using Marketplace.Search.Engine;
using Microsoft.Extensions.DependencyInjection;
using Xunit;
using static Marketplace.Search.Tests.SearchFixture;

namespace Marketplace.Search.Tests.Elasticsearch;

/// <summary>The judged queries of the relevance benchmark, over a catalogue of the things they ask for: both engines put first what the other does.</summary>
public sealed class WhenBothEnginesAreAskedTheSame : IAsyncLifetime
{
    private static readonly string[] Styles = ["Nordic", "Rustic", "Copper", "Vintage"];
    private readonly SearchFixture lucene = new(SearchFixture.Lucene);
    private readonly SearchFixture elasticsearch = new(SearchFixture.Elasticsearch);
    private readonly List<string> queries = [];

    public async ValueTask InitializeAsync()
    {
        await lucene.InitializeAsync();
        await elasticsearch.InitializeAsync();
        var lines = File.ReadLines(JudgedQueries()).Where(line => line.Length > 0 && line[0] != '#').Select(line => line.Split('|', StringSplitOptions.TrimEntries)).ToList();
        queries.AddRange(lines.Select(line => line[1]));
        var things = lines.SelectMany(line => line.Skip(2)).SelectMany(list => list.Split(',', StringSplitOptions.TrimEntries)).Where(thing => thing.Length > 0 && !thing.EndsWith('…')).Distinct().Order(StringComparer.Ordinal).ToList();
        var listings = things.SelectMany((thing, number) => Styles.Select((style, place) =>
            Listed($"{style} {thing}", 100 * number + place, category: number % 3 == 0 ? "home" : "garden", description: place == 0 ? $"A {thing} for every day." : "", productId: new Guid(number, (short)place, 0, new byte[8])))).ToList();
        IndexChange[] changes = [.. listings.Select(listing => new IndexChange.Upsert(Indexing.IndexEvents.ToIndex(listing))), new IndexChange.Stock([.. listings.Where((_, number) => number % 2 == 0).Select(listing => new StockLevel(listing.ProductId, 1, 1))])];
        foreach (var engine in (SearchFixture[])[lucene, elasticsearch])
            await engine.Search.Services.GetRequiredService<ISearchEngine>().ApplyAsync(changes, TestContext.Current.CancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        await lucene.DisposeAsync();
        await elasticsearch.DisposeAsync();
    }

    [Fact]
    public async Task They_find_the_same_and_mostly_in_the_same_order()
    {
        var (sameFirst, shared, sameRelaxed, differ) = (0, 0.0, 0, new List<string>());
        foreach (var query in queries)
        {
            var (one, other) = (await lucene.FindAsync($"q={Uri.EscapeDataString(query)}&limit=10"), await elasticsearch.FindAsync($"q={Uri.EscapeDataString(query)}&limit=10"));
            var (first, second) = (one.Items.Select(product => product.Title).ToList(), other.Items.Select(product => product.Title).ToList());
            sameFirst += first.FirstOrDefault() == second.FirstOrDefault() ? 1 : 0;
            shared += first.Count == 0 ? second.Count == 0 ? 1 : 0 : first.Intersect(second).Count() / (double)first.Count;
            sameRelaxed += (one.Total, one.Relaxed?.By, one.Relaxed?.Matched) == (other.Total, other.Relaxed?.By, other.Relaxed?.Matched) ? 1 : 0;
            if (!first.SequenceEqual(second))
                differ.Add($"{query}: {one.Total} {string.Join(", ", first.Take(4))} | {other.Total} {string.Join(", ", second.Take(4))}");
        }

        // A title's length counts exactly in Elasticsearch and in steps in the embedded index, so among titles alike the first may be another one.
        Assert.True(
            sameFirst >= queries.Count * 0.9 && shared >= queries.Count * 0.95 && sameRelaxed >= queries.Count * 0.95,
            $"Of {queries.Count} queries the same product is first for {sameFirst}, the same tenths are shown for {shared:0.0}, as many are found for {sameRelaxed}.\n{string.Join('\n', differ)}");
    }

    private static string JudgedQueries()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (Path.Combine(folder.FullName, "bench", "relevance", "judged.txt") is var file && File.Exists(file))
                return file;
        }

        throw new InvalidOperationException("bench/relevance/judged.txt is not in the source tree.");
    }
}
