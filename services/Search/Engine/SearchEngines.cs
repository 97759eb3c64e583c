using Marketplace.Search.Engine.Lucene;
using Marketplace.Search.Indexing;
using Microsoft.Extensions.Options;

namespace Marketplace.Search.Engine;

public static class SearchEngines
{
    public static void AddSearchEngine(this IServiceCollection services) => services.AddSingleton<ISearchEngine>(provider =>
        provider.GetRequiredService<IOptions<SearchOptions>>().Value.Engine.ToLowerInvariant() switch
        {
            "lucene" => ActivatorUtilities.CreateInstance<LuceneEngine>(provider),
            var other => throw new InvalidOperationException($"There is no search engine {other}: set Search:Engine to lucene."),
        });
}
