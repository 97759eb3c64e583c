using System.Net;
using System.Text.Json;
using Xunit;
using static Marketplace.Search.Tests.SearchFixture;

namespace Marketplace.Search.Tests;

public sealed class WhenShoppersSearchWithLucene(WhenShoppersSearchWithLucene.Shop shop) : WhenShoppersSearch(shop), IClassFixture<WhenShoppersSearchWithLucene.Shop>
{
    public sealed class Shop() : AStockedShop(SearchFixture.Lucene);
}

public abstract class WhenShoppersSearch(WhenShoppersSearch.AStockedShop shop)
{
    private readonly SearchFixture search = shop.Search;

    [Fact]
    public async Task A_word_in_the_title_outranks_one_in_the_description()
    {
        Assert.Equal(["Crystal vase", "Flower pot"], await search.TitlesAsync("q=vase"));
    }

    [Fact]
    public async Task Brand_and_category_are_found_too()
    {
        Assert.Equal(["Café chair"], await search.TitlesAsync("q=sitwell"));
        Assert.Contains("Café chair", await search.TitlesAsync("q=furniture"));
    }

    [Theory]
    [InlineData("VASES"), InlineData("Vase's"), InlineData("crystal vase"), InlineData("vase crystal")]
    public async Task Case_number_and_order_of_words_do_not_matter(string typed) =>
        Assert.Equal("Crystal vase", (await search.TitlesAsync($"q={Uri.EscapeDataString(typed)}"))[0]);

    [Theory]
    [InlineData("cafe"), InlineData("CAFÉ")]
    public async Task Accents_do_not_matter(string typed) =>
        Assert.Equal(["Café chair"], await search.TitlesAsync($"q={Uri.EscapeDataString(typed)}"));

    [Theory]
    [InlineData("lampp", true), InlineData("lmap", true), InlineData("lxxp", false)]        // 3 to 5 letters: one edit (a swap is one)
    [InlineData("cristall", true), InlineData("chrystel", true), InlineData("kristalle", false)] // longer: two
    [InlineData("tw", false), InlineData("tv", true)]                                        // two letters: none
    public async Task Typos_are_forgiven_by_length(string typed, bool found)
    {
        var titles = await search.TitlesAsync($"q={typed}");

        Assert.Equal(found, titles.Exists(title => title is "Desk lamp" or "Crystal vase" or "TV stand"));
    }

    [Fact]
    public async Task Of_a_word_that_exists_near_ones_are_not_meant() =>
        Assert.Equal(["Desk lamp", "Floor lamp"], (await search.TitlesAsync("q=lamp")).Order());

    [Fact]
    public async Task Unless_nothing_else_fits_which_the_answer_says()
    {
        var page = await search.FindAsync("q=damp+lamp");       // no damp lamps; but lamp is near damp

        Assert.Equal("spelling", page.Relaxed?.By);
        Assert.NotEmpty(page.Items);
    }

    [Fact]
    public async Task A_word_nobody_has_is_taken_for_the_nearest_and_the_answer_says_so()
    {
        var page = await search.FindAsync("q=cristal+vase");

        Assert.Equal("Crystal vase", page.Items[0].Title);
        Assert.Equal("crystal", page.Corrections!["cristal"]);
        Assert.Null(page.Relaxed);
        Assert.Null((await search.FindAsync("q=crystal+vase")).Corrections);
    }

    [Fact]
    public async Task A_code_is_meant_as_typed()
    {
        Assert.Equal(["Heart holder 85123A"], await search.TitlesAsync("q=85123a"));
        Assert.Empty(await search.TitlesAsync("q=85124a"));
    }

    [Fact]
    public async Task All_of_two_words_must_fit_but_one_odd_word_of_four_may_not()
    {
        Assert.Equal(["Crystal vase"], await search.TitlesAsync("q=crystal+vase"));
        Assert.Equal(["Heart holder 85123A"], await search.TitlesAsync("q=heart+holder+85123a+telephone"));
    }

    [Fact]
    public async Task When_nothing_has_all_words_some_are_let_go_and_the_answer_says_so()
    {
        var page = await search.FindAsync("q=crystal+telephone");

        Assert.Equal(["Crystal vase"], page.Items.Select(product => product.Title));
        Assert.Equal(("words", 1, 2), (page.Relaxed!.By, page.Relaxed.Matched, page.Relaxed.Of));
        Assert.Equal(["telephone"], page.Relaxed.Ignored);
        Assert.Equal(["telephone"], (await search.FindAsync("q=crystal+telephone+for+the")).Relaxed!.Ignored);   // nobody misses the little ones
        Assert.Null((await search.FindAsync("q=crystal+vase")).Relaxed);
        Assert.Null((await search.FindAsync("q=telephone")).Relaxed);
        Assert.Empty((await search.FindAsync("q=crystal+telephone&minPrice=99999999")).Items);      // filters are meant
    }

    [Fact]
    public async Task A_relaxed_search_has_pages_too()
    {
        var first = await search.FindAsync("q=mug+telephone&limit=5");
        var second = await search.FindAsync($"q=mug+telephone&limit=100&cursor={first.Next}");

        Assert.Equal((12, 5, 7), (first.Total, first.Items.Count, second.Items.Count));
        Assert.Equal(12, first.Items.Concat(second.Items).Select(product => product.ProductId).Distinct().Count());
    }

    [Fact]
    public async Task Little_words_hide_nothing() =>
        Assert.Equal(["Crystal vase"], (await search.TitlesAsync("q=a+crystal+vase+for+the+of")));

    [Theory]
    [InlineData("number of mugs", "Mug number 1"), InlineData("cafes chairs", "Café chair"), InlineData("heartholder", "Heart holder 85123A"), InlineData("heart-holder", "Heart holder 85123A"), InlineData("t v stand tvstand", "TV stand")]
    public async Task Plurals_and_words_typed_as_one_or_two_are_found(string typed, string title) =>
        Assert.Contains(title, await search.TitlesAsync($"q={Uri.EscapeDataString(typed)}&limit=100"));

    [Fact]
    public async Task Category_price_and_stock_narrow_the_results()
    {
        Assert.Equal(["Desk lamp", "Floor lamp"], (await search.TitlesAsync("q=lamp&category=lighting&sort=price")));
        Assert.Equal(["Floor lamp"], await search.TitlesAsync("category=lighting&minPrice=2001"));
        Assert.Equal(["Desk lamp"], await search.TitlesAsync("category=lighting&maxPrice=2000"));
        Assert.Equal(["Desk lamp"], await search.TitlesAsync("category=lighting&minPrice=2000&maxPrice=2000"));
        Assert.Equal(["Floor lamp"], await search.TitlesAsync("category=lighting&inStock=true"));
        Assert.All((await search.FindAsync("q=floor")).Items, product => Assert.True(product.InStock));
        Assert.All((await search.FindAsync("q=desk")).Items, product => Assert.False(product.InStock));
    }

    [Fact]
    public async Task Sorted_by_price_either_way_or_by_age()
    {
        var cheap = (await search.FindAsync("sort=price&limit=100")).Items.Select(product => product.Price.Minor).ToList();
        var dear = (await search.FindAsync("sort=-price&limit=100")).Items.Select(product => product.Price.Minor).ToList();
        var newest = await search.TitlesAsync("sort=newest&limit=2");

        Assert.Equal(cheap.Order(), cheap);
        Assert.Equal(dear.OrderDescending(), dear);
        Assert.Equal(cheap.Count, dear.Count);
        Assert.Equal(["Desk lamp", "Floor lamp"], newest);
    }

    [Theory]
    [InlineData("sort=price"), InlineData("sort=-price"), InlineData("sort=newest"), InlineData("sort=relevance"), InlineData("q=mug"), InlineData("q=mug&sort=price&inStock=true")]
    public async Task Pages_show_everything_once(string query)
    {
        var all = (await search.FindAsync($"{query}&limit=100")).Items.Select(product => product.ProductId).ToList();
        var seen = new List<Guid>();
        string? cursor = null;
        do
        {
            var page = await search.FindAsync($"{query}&limit=3&cursor={cursor}");
            seen.AddRange(page.Items.Select(product => product.ProductId));
            cursor = page.Next;
        }
        while (cursor is not null);

        Assert.NotEmpty(seen);
        Assert.Equal(all, seen);
        Assert.Equal(seen.Count, seen.Distinct().Count());
    }

    [Theory]
    [InlineData("'; DROP TABLE products; --"), InlineData("title:vase"), InlineData("vase AND (NOT"), InlineData("*:*"), InlineData("va*"), InlineData("\"vase"), InlineData("vase~99^^^"),
     InlineData("[* TO *]"), InlineData("/.*/"), InlineData("\\"), InlineData("\0"), InlineData("😀"), InlineData("   "), InlineData("<script>alert(1)</script>")]
    public async Task Whatever_is_typed_is_only_words(string typed)
    {
        var before = (await search.FindAsync("limit=100")).Items.Count;

        var reply = await search.Search.As(null).GetAsync($"/api/v1/search?q={Uri.EscapeDataString(typed)}");
        var suggestions = await search.Search.As(null).GetAsync($"/api/v1/suggestions?q={Uri.EscapeDataString(typed)}");

        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.OK), (reply.StatusCode, suggestions.StatusCode));
        Assert.Equal(before, (await search.FindAsync("limit=100")).Items.Count);
    }

    [Theory]
    [InlineData("sort=colour", "sort"), InlineData("minPrice=-1", "minPrice"), InlineData("minPrice=5&maxPrice=4", "maxPrice"), InlineData("cursor=nonsense", "cursor"),
     InlineData("sort=price&cursor=WyJOZXdlc3QiLCIxIiwiIl0", "cursor")]
    public async Task A_wish_that_makes_no_sense_is_refused_by_field(string query, string field)
    {
        var reply = await search.Search.As(null).GetAsync($"/api/v1/search?{query}");

        Assert.Equal(HttpStatusCode.UnprocessableEntity, reply.StatusCode);
        Assert.True(JsonDocument.Parse(await reply.Content.ReadAsStringAsync()).RootElement.GetProperty("errors").TryGetProperty(field, out _));
    }

    [Fact]
    public async Task A_very_long_query_is_refused() =>
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await search.Search.As(null).GetAsync($"/api/v1/search?q={new string('x', 201)}")).StatusCode);

    [Fact]
    public async Task Suggestions_complete_what_is_typed()
    {
        Assert.Equal(["Crystal vase"], await search.SuggestAsync("cry"));
        Assert.Equal(["Crystal vase"], await search.SuggestAsync("vase cr"));
        Assert.Equal("Heart holder 85123A", (await search.SuggestAsync("hea"))[0]);
        Assert.Equal(["Café chair"], await search.SuggestAsync("cafe ch"));
        Assert.Equal(10, (await search.SuggestAsync("m")).Count);
        Assert.Empty(await search.SuggestAsync("zzz"));
        Assert.Empty(await search.SuggestAsync(""));
    }

    [Fact]
    public async Task The_same_title_is_suggested_once() =>
        Assert.Single(await search.SuggestAsync("twin"));

    public abstract class AStockedShop(string engine) : IAsyncLifetime
    {
        public SearchFixture Search { get; } = new(engine);

        public async ValueTask InitializeAsync()
        {
            await Search.InitializeAsync();
            var floor = Listed("Floor lamp", 5000, "lighting", minutesAgo: 1);
            var mugs = Enumerable.Range(1, 12).Select(number => Listed($"Mug number {number}", 300 + number % 3, "kitchen", "Potter", minutesAgo: 20 + number % 2)).ToArray();
            await Search.DeliverAsync(
            [
                Listed("Desk lamp", 2000, "lighting"), floor,
                Listed("Damp trap", minutesAgo: 5), Listed("Crystal vase", 3500, minutesAgo: 6), Listed("Flower pot", 800, description: "Also good as a vase.", minutesAgo: 7),
                Listed("Café chair", 4900, "furniture", "Sitwell", minutesAgo: 8), Listed("TV stand", 9900, "furniture", minutesAgo: 9), Listed("Heart holder 85123A", 255, minutesAgo: 10),
                Listed("Twin set", 100, minutesAgo: 11), Listed("Twin set", 200, minutesAgo: 12),
                .. mugs, Stock(floor.ProductId, 4), .. mugs.Take(7).Select(mug => Stock(mug.ProductId, 1)),
            ]);
        }

        public ValueTask DisposeAsync() => Search.DisposeAsync();
    }
}
