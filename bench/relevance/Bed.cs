using Marketplace.Search;
using Marketplace.Search.Engine;
using Marketplace.Search.Querying;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Marketplace.Bench;

/// <summary>Search in process, on an index in a temporary folder: the service without its routes.</summary>
public sealed class Bed : IAsyncDisposable
{
    private readonly IHost host;

    private Bed(IHost host, string folder) => (this.host, Folder) = (host, folder);

    public string Folder { get; }

    public ISearchEngine Engine => host.Services.GetRequiredService<ISearchEngine>();

    public ProductSearch Search => host.Services.GetRequiredService<ProductSearch>();

    public Suggestions Suggestions => host.Services.GetRequiredService<Suggestions>();

    /// <param name="hotQueries">Answers kept in memory: 0 to measure the engine.</param>
    public static async Task<Bed> StartAsync(int hotQueries = 0)
    {
        var folder = Directory.CreateTempSubdirectory("search-bench-").FullName;
        var builder = Host.CreateApplicationBuilder(new HostApplicationBuilderSettings { ContentRootPath = AppContext.BaseDirectory, DisableDefaults = true });
        builder.Configuration.AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["Search:IndexFolder"] = folder,
            ["Search:HotQueries"] = $"{hotQueries}",
            ["Search:SynonymsFile"] = SynonymsFile(),
        });
        builder.Logging.SetMinimumLevel(LogLevel.Warning);
        builder.Services.AddProductSearch();
        var bed = new Bed(builder.Build(), folder);
        await bed.Engine.OpenAsync(CancellationToken.None);
        return bed;
    }

    /// <summary>Writes the listings as a rebuild does.</summary>
    public async Task FillAsync(IEnumerable<IndexedListing> listings, Action<int>? progress = null)
    {
        var read = 0;
        var rebuild = await Engine.BeginRebuildAsync(CancellationToken.None);
        foreach (var some in listings.Chunk(1_000))
        {
            await rebuild.AddAsync(some, [], [], CancellationToken.None);
            progress?.Invoke(read += some.Length);
        }

        await rebuild.CompleteAsync(CancellationToken.None);
    }

    public async Task<ResultPage> FindAsync(string words, int limit = 10) =>
        (await Search.FindAsync(new Wish(words, Filters.None, Order.Relevance, limit, [], Highlight: false), null, CancellationToken.None))!;

    public async ValueTask DisposeAsync()
    {
        await Engine.DisposeAsync();
        host.Dispose();
        Directory.Delete(Folder, recursive: true);
    }

    /// <summary>The one the service is shipped with, wherever this was built.</summary>
    private static string SynonymsFile()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            var file = Path.Combine(folder.FullName, "services", "Search", "synonyms.txt");
            if (File.Exists(file))
                return file;
        }

        throw new InvalidOperationException("The benchmark runs inside the source tree: it uses the service's synonyms.");
    }
}
