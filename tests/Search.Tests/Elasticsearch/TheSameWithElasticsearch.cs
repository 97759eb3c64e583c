using Xunit;

namespace Marketplace.Search.Tests.Elasticsearch;

// What shoppers notice does not depend on the engine: each class of tests has an heir for this one.

public sealed class WhenAListingHasVariantsWithElasticsearch() : WhenAListingHasVariants(SearchFixture.Elasticsearch);

public sealed class WhenResultsAreNarrowedWithElasticsearch(WhenResultsAreNarrowedWithElasticsearch.Shop shop) : WhenResultsAreNarrowed(shop), IClassFixture<WhenResultsAreNarrowedWithElasticsearch.Shop>
{
    public sealed class Shop() : AShopWithShelves(SearchFixture.Elasticsearch);
}

public sealed class WhenShoppersSearchWithElasticsearch(WhenShoppersSearchWithElasticsearch.Shop shop) : WhenShoppersSearch(shop), IClassFixture<WhenShoppersSearchWithElasticsearch.Shop>
{
    public sealed class Shop() : AStockedShop(SearchFixture.Elasticsearch);
}

public sealed class WhenShoppersTypeWithElasticsearch() : WhenShoppersType(SearchFixture.Elasticsearch);

public sealed class WhenSignalsChangeWithElasticsearch() : WhenSignalsChange(SearchFixture.Elasticsearch);

public sealed class WhenTheCatalogueChangesWithElasticsearch() : WhenTheCatalogueChanges(SearchFixture.Elasticsearch);

public sealed class WhenTheIndexChangesBetweenPagesWithElasticsearch() : WhenTheIndexChangesBetweenPages(SearchFixture.Elasticsearch);

public sealed class WhenTheIndexIsRebuiltWithElasticsearch() : WhenTheIndexIsRebuilt(SearchFixture.Elasticsearch);

public sealed class WhenWordsMeanMoreWithElasticsearch() : WhenWordsMeanMore(SearchFixture.Elasticsearch);
