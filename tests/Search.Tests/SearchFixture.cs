using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Contracts;
using Marketplace.Search.Tests.Elasticsearch;
using Marketplace.TestKit;
using Microsoft.Extensions.DependencyInjection;
using Xunit;

namespace Marketplace.Search.Tests;

public sealed record FoundText(string? Title, string? Description);

public sealed record FoundProduct(
    Guid ProductId, string Title, string Brand, string Category, Money Price, string? ImageUrl, Guid SellerId, string SellerName, bool InStock, double? Rating = null, int Ratings = 0, FoundText? Highlight = null);

public sealed record FoundCount(string Value, string Label, int Count, long? From = null, long? To = null);

public sealed record FoundFacet(string Name, IReadOnlyList<FoundCount> Values);

public sealed record FoundLess(string By, int Matched, int Of, IReadOnlyList<string> Ignored);

public sealed record FoundPage(
    IReadOnlyList<FoundProduct> Items, string? Next, int Total = 0, IReadOnlyList<FoundFacet>? Facets = null, FoundLess? Relaxed = null, IReadOnlyDictionary<string, string>? Corrections = null)
{
    /// <summary>Value and count of a facet, as <c>red 2, blue 1</c>.</summary>
    public string Count(string facet) =>
        string.Join(", ", Facets!.SingleOrDefault(one => one.Name == facet)?.Values.Select(value => $"{value.Value} {value.Count}") ?? []);
}

/// <summary>A search service of its own on a folder of its own, with the engine named. The classes of tests are abstract: one heir each for every engine.</summary>
public sealed class SearchFixture(string engine) : IAsyncLifetime
{
    public const string Lucene = "lucene";
    public const string Elasticsearch = "elasticsearch";

    private AnElasticsearch? elasticsearch;

    public string Folder { get; } = Directory.CreateTempSubdirectory("search-tests-").FullName;

    public ServiceUnderTest<Program> Search { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        if (engine == Elasticsearch)
            elasticsearch = await AnElasticsearch.OfOnesOwnAsync();
        Search = await StartAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await Search.DisposeAsync();
        if (elasticsearch is not null)
            await elasticsearch.DisposeAsync();
        await Eventually.Async(
            () =>
            {
                try
                {
                    Directory.Delete(Folder, recursive: true);
                    return true;
                }
                catch (IOException)   // once in many runs a file appeared while the folder was being emptied, as of a merge that was just given up
                {
                    return false;
                }
            },
            "the index's folder is gone");
    }

    public Task<ServiceUnderTest<Program>> StartAsync(params (string Key, string Value)[] settings) => StartAsync(null, settings);

    public Task<ServiceUnderTest<Program>> StartAsync(Action<IServiceCollection>? replace, params (string Key, string Value)[] settings)
    {
        var all = new Dictionary<string, string?> { ["Search:Engine"] = engine, ["Search:IndexFolder"] = Folder, ["Search:RebuildWhenEmpty"] = "false", ["Search:HotPrefixAfter"] = "1000000", ["Search:LockPatience"] = "00:00:00.300" };
        foreach (var (key, value) in elasticsearch?.Settings ?? [])
            all[key] = value;
        foreach (var (key, value) in settings)
            all[key] = value;
        return ServiceUnderTest<Program>.StartAsync(calls: ["catalog", "inventory"], settings: all, replace: replace);
    }

    public async Task RestartAsync()
    {
        await Search.DisposeAsync();
        Search = await StartAsync();
    }

    public async Task DeliverAsync(params DomainEvent[] events)
    {
        foreach (var @event in events)
            (await Search.DeliverAsync(@event)).EnsureSuccessStatusCode();
    }

    public async Task<FoundPage> FindAsync(string query) =>
        (await Search.As(null).GetFromJsonAsync<FoundPage>($"/api/v1/search?{query}"))!;

    public async Task<List<string>> TitlesAsync(string query) => [.. (await FindAsync(query)).Items.Select(product => product.Title)];

    public async Task<List<string>> SuggestAsync(string typed) =>
        [.. (await Search.As(null).GetFromJsonAsync<JsonElement>($"/api/v1/suggestions?q={Uri.EscapeDataString(typed)}"))
            .GetProperty("suggestions").EnumerateArray().Select(suggestion => suggestion.GetString()!)];

    public static ProductUpserted Listed(
        string title, long minor = 1000, string category = "homeware", string brand = "Acme", string description = "", long revision = 1, Guid? productId = null, int minutesAgo = 0,
        Guid? sellerId = null, string[]? path = null, params (string Name, string Value)[] attributes) =>
        new(productId ?? Guid.CreateVersion7(), revision, sellerId ?? Guid.CreateVersion7(), "Bruno's Lamps", title, description, brand, category, Money.Gbp(minor), null,
            new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero).AddMinutes(-minutesAgo), path, [.. attributes.Select(attribute => new ListingAttribute(attribute.Name, attribute.Value))]);

    public static OrderConfirmed Bought(Guid productId, int quantity = 1, Guid? orderId = null, int daysAgo = 0) => new(
        orderId ?? Guid.CreateVersion7(), 1, Guid.CreateVersion7(), Guid.CreateVersion7(), Money.Gbp(1000), [new OrderedLine(productId, Guid.CreateVersion7(), "A thing", quantity, Money.Gbp(1000))], [],
        new PostalAddress("Ada", "1 High Street", null, "London", "N1 1AA", "GB"), new OrderContact("ada@example.com", "Ada"))
    {
        OccurredAt = DateTimeOffset.UtcNow.AddDays(-daysAgo),
    };

    public static InventoryUpdated Stock(Guid productId, int available, long version = 1) => new([new StockLevel(productId, available, version)]);
}
