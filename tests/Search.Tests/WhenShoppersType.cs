using System.Collections.Concurrent;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Contracts;
using Marketplace.Search.Querying;
using Marketplace.TestKit;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Xunit;
using static Marketplace.Search.Tests.SearchFixture;

namespace Marketplace.Search.Tests;

public sealed class WhenShoppersTypeWithLucene() : WhenShoppersType(SearchFixture.Lucene);

/// <summary>Suggestions while typing.</summary>
public abstract class WhenShoppersType(string engine) : IAsyncLifetime
{
    private readonly SearchFixture search = new(engine);
    private readonly Guid lamp = Guid.CreateVersion7();

    public async ValueTask InitializeAsync()
    {
        await search.InitializeAsync();
        await search.DeliverAsync(
            Listed("Brass lamp", category: "lighting", productId: lamp), Listed("Brass lantern", category: "lighting"), Listed("Old brass bell"), Listed("Light bulb", category: "lighting"));
    }

    public ValueTask DisposeAsync() => search.DisposeAsync();

    [Theory]
    [InlineData("brss", "Brass lamp"), InlineData("lmap", "Brass lamp"), InlineData("brass lanyern", "Brass lantern"), InlineData("blub", "Light bulb"), InlineData("lihgti", "lighting")]
    public async Task One_wrong_letter_is_forgiven(string typed, string suggested) => Assert.Contains(suggested, await search.SuggestAsync(typed));

    [Fact]
    public async Task Two_letters_are_taken_as_typed() => Assert.Empty(await search.SuggestAsync("xr"));

    [Fact]
    public async Task What_begins_as_typed_comes_before_what_has_it_inside()
    {
        await search.DeliverAsync(Bought(lamp, 3));

        Assert.Equal(["Brass lamp", "Brass lantern", "Old brass bell"], await search.SuggestAsync("bra"));
    }

    [Fact]
    public async Task Categories_are_suggested_as_such_and_only_while_they_hold_something()
    {
        var items = (await search.Search.As(null).GetFromJsonAsync<JsonElement>("/api/v1/suggestions?q=light")).GetProperty("items").EnumerateArray()
            .Select(item => (item.GetProperty("text").GetString(), item.GetProperty("kind").GetString())).ToList();
        Assert.Equal([("Light bulb", "title"), ("lighting", "category")], items);

        var seat = Listed("Garden seat", category: "outdoors");
        await search.DeliverAsync(seat);
        Assert.Equal(["outdoors"], await search.SuggestAsync("outd"));
        await search.DeliverAsync(new ProductDeleted(seat.ProductId, 2, seat.SellerId));
        Assert.Empty(await search.SuggestAsync("outd"));
    }

    [Fact]
    public async Task What_many_search_for_is_suggested_and_what_one_searched_for_is_not()
    {
        for (var i = 0; i < 3; i++)
            await search.FindAsync("q=lamp+brass");
        Assert.DoesNotContain("lamp brass", await search.SuggestAsync("lam"));

        for (var i = 0; i < 3; i++)
            await search.FindAsync($"q=Lamp++Brass&limit={i + 1}");
        await Eventually.Async(async () => (await search.SuggestAsync("lam")).FirstOrDefault() == "lamp brass", "a popular query is suggested");
        Assert.Contains("lamp brass", await search.SuggestAsync("lpm"));
    }

    [Theory]
    [InlineData("brass xyzzy"), InlineData("brass <script>"), InlineData("brass@example.com")]
    public async Task A_search_that_found_nothing_or_is_no_words_is_suggested_to_nobody(string typed)
    {
        for (var i = 0; i < 10; i++)
            await search.FindAsync($"q={Uri.EscapeDataString(typed)}");

        Assert.All(await search.SuggestAsync("brass"), suggestion => Assert.StartsWith("Brass", suggestion.Replace("Old brass", "Brass", StringComparison.Ordinal), StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_hot_beginning_is_kept_for_an_hour_and_survives_a_restart_in_the_shared_cache()
    {
        var (clock, shared) = (new FakeTimeProvider(DateTimeOffset.UtcNow), new InMemory());
        await search.Search.DisposeAsync();
        await using (var first = await StartAsync())
        {
            for (var i = 0; i < 4; i++)
                Assert.Contains("Brass lamp", await SuggestAsync(first, "bra"));
            (await first.DeliverAsync(Listed("Brand new lamp"))).EnsureSuccessStatusCode();
            Assert.DoesNotContain("Brand new lamp", await SuggestAsync(first, "bra"));
            Assert.Contains("Brand new lamp", await SuggestAsync(first, "bran"));
        }

        Assert.Contains(shared.Values, kept => kept.Key.EndsWith(":bra", StringComparison.Ordinal) && kept.Value.Keep == TimeSpan.FromHours(1));
        await using var second = await StartAsync();
        for (var i = 0; i < 4; i++)
            await SuggestAsync(second, "bra");
        Assert.DoesNotContain("Brand new lamp", await SuggestAsync(second, "bra"));

        clock.Advance(TimeSpan.FromHours(1));
        Assert.Contains("Brand new lamp", await SuggestAsync(second, "bra"));

        Task<ServiceUnderTest<Program>> StartAsync() => search.StartAsync(
            services => services.AddSingleton<TimeProvider>(clock).AddSingleton<ISharedCache>(shared), ("Search:HotPrefixAfter", "2"));
    }

    [Fact]
    public async Task Popular_queries_survive_a_restart()
    {
        var shared = new InMemory();
        await search.Search.DisposeAsync();
        await using (var first = await search.StartAsync(services => services.AddSingleton<ISharedCache>(shared)))
        {
            for (var i = 0; i < 5; i++)
                await first.As(null).GetAsync($"/api/v1/search?q=lantern+brass&limit={i + 1}");
        }

        await using var second = await search.StartAsync(services => services.AddSingleton<ISharedCache>(shared));
        await Eventually.Async(async () => (await SuggestAsync(second, "lant")).FirstOrDefault() == "lantern brass", "it is suggested again");
    }

    private static async Task<List<string>> SuggestAsync(ServiceUnderTest<Program> service, string typed) =>
        [.. (await service.As(null).GetFromJsonAsync<JsonElement>($"/api/v1/suggestions?q={typed}")).GetProperty("suggestions").EnumerateArray().Select(suggestion => suggestion.GetString()!)];

    private sealed class InMemory : ISharedCache
    {
        public ConcurrentDictionary<string, (string Json, TimeSpan Keep)> Values { get; } = new();

        public Task<Kept<T>> ReadAsync<T>(string key, CancellationToken ct)
            where T : class => Task.FromResult(new Kept<T>(true, Values.TryGetValue(key, out var kept) ? JsonSerializer.Deserialize<T>(kept.Json) : null));

        public Task WriteAsync<T>(string key, T value, TimeSpan keep, CancellationToken ct)
            where T : class
        {
            Values[key] = (JsonSerializer.Serialize(value), keep);
            return Task.CompletedTask;
        }
    }
}
