using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Contracts;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Search.Tests;

public sealed record Found(Guid ProductId, string Title, string Brand, string Category, Money Price, string? ImageUrl, Guid SellerId, string SellerName, bool InStock);

public sealed record FoundPage(IReadOnlyList<Found> Items, string? Next);

/// <summary>A search service of its own on a folder of its own.</summary>
public sealed class SearchFixture : IAsyncLifetime
{
    public string Folder { get; } = Directory.CreateTempSubdirectory("search-tests-").FullName;

    public ServiceUnderTest<Program> Search { get; private set; } = null!;

    public async ValueTask InitializeAsync() => Search = await StartAsync();

    public async ValueTask DisposeAsync()
    {
        await Search.DisposeAsync();
        Directory.Delete(Folder, recursive: true);
    }

    public Task<ServiceUnderTest<Program>> StartAsync(params (string Key, string Value)[] settings)
    {
        var all = new Dictionary<string, string?> { ["Search:IndexFolder"] = Folder, ["Search:RebuildWhenEmpty"] = "false", ["Search:LockPatience"] = "00:00:00.300" };
        foreach (var (key, value) in settings)
            all[key] = value;
        return ServiceUnderTest<Program>.StartAsync(calls: ["catalog", "inventory"], settings: all);
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
        string title, long minor = 1000, string category = "homeware", string brand = "Acme", string description = "", long revision = 1, Guid? productId = null, int minutesAgo = 0) =>
        new(productId ?? Guid.CreateVersion7(), revision, Guid.CreateVersion7(), "Bruno's Lamps", title, description, brand, category, Money.Gbp(minor), null,
            new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero).AddMinutes(-minutesAgo));

    public static InventoryUpdated Stock(Guid productId, int available, long version = 1) => new([new StockLevel(productId, available, version)]);
}
