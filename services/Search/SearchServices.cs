using Marketplace.Hosting;
using Marketplace.Search.Engine;
using Marketplace.Search.Engine.Elasticsearch;
using Marketplace.Search.Engine.Lucene;
using Marketplace.Search.Indexing;
using Marketplace.Search.Querying;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;

namespace Marketplace.Search;

public static class SearchServices
{
    /// <summary>Everything between a query and its answer, without routes, events and neighbours: what a benchmark can run by itself.</summary>
    public static void AddProductSearch(this IServiceCollection services)
    {
        services.TryAddSingleton(TimeProvider.System);
        services.AddOptions<SearchOptions>().BindConfiguration("Search").ValidateDataAnnotations().ValidateOnStart();
        services.AddOptions<QueryOptions>().BindConfiguration("Search").ValidateDataAnnotations().ValidateOnStart();
        services.AddOptions<ElasticsearchOptions>().BindConfiguration("Search:Elasticsearch").ValidateDataAnnotations().ValidateOnStart();
        services.AddSingleton(Engine);
        services.AddSingleton(provider => new ReadinessCheck(
            "engine", async ct => provider.GetRequiredService<ISearchEngine>() is ElasticsearchEngine elasticsearch ? await elasticsearch.LookAsync(ct) : null));
        services.AddSingleton<SynonymFile>();
        services.TryAddSingleton<ISharedCache, NothingShared>();
        services.AddSingleton<PopularQueries>();
        services.AddSingleton<ProductSearch>();
        services.AddSingleton<Suggestions>();
    }

    private static ISearchEngine Engine(IServiceProvider provider) => provider.GetRequiredService<IOptions<SearchOptions>>().Value.Engine.ToLowerInvariant() switch
    {
        "lucene" => ActivatorUtilities.CreateInstance<LuceneEngine>(provider),
        "elasticsearch" => ActivatorUtilities.CreateInstance<ElasticsearchEngine>(provider),
        var other => throw new InvalidOperationException($"There is no search engine {other}: set Search:Engine to lucene or elasticsearch."),
    };
}
