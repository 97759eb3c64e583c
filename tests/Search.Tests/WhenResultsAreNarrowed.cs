using System.Net;
using System.Text.Json;
using Xunit;
using static Marketplace.Search.Tests.SearchFixture;

namespace Marketplace.Search.Tests;

public sealed class WhenResultsAreNarrowedWithLucene(WhenResultsAreNarrowedWithLucene.Shop shop) : WhenResultsAreNarrowed(shop), IClassFixture<WhenResultsAreNarrowedWithLucene.Shop>
{
    public sealed class Shop() : AShopWithShelves(SearchFixture.Lucene);
}

/// <summary>Filters, what they leave, and what the facets count.</summary>
public abstract class WhenResultsAreNarrowed(WhenResultsAreNarrowed.AShopWithShelves shop)
{
    private readonly SearchFixture search = shop.Search;

    [Fact]
    public async Task A_category_holds_what_is_below_it()
    {
        Assert.Equal(["Blue shirt", "Red dress", "Red shirt", "Red shoes"], await SortedAsync("category=clothing"));
        Assert.Equal(["Blue shirt", "Red shirt"], await SortedAsync("category=shirts"));
        Assert.Equal(["Blue shirt", "Red shirt", "Red vase"], await SortedAsync("category=shirts&category=homeware"));
        Assert.Empty(await SortedAsync("category=nowhere"));
    }

    [Fact]
    public async Task A_seller_a_brand_or_an_attribute_narrows()
    {
        Assert.Equal(["Red dress", "Red shirt"], await SortedAsync($"seller={shop.Ada}"));
        Assert.Equal(["Blue shirt", "Red shirt"], await SortedAsync("brand=sitwell"));
        Assert.Equal(["Red dress", "Red shirt", "Red shoes", "Red vase"], await SortedAsync("attr.colour=red"));
        Assert.Equal(["Red shirt"], await SortedAsync("attr.colour=RED&attr.size=M&q=shirt"));
        Assert.Equal(["Blue shirt", "Red dress", "Red shirt"], await SortedAsync("attr.size=M&attr.size=S&category=clothing&sort=price"));
        Assert.Empty(await SortedAsync("attr.size=M&attr.colour=green"));
    }

    [Fact]
    public async Task A_measure_narrows_and_is_counted_in_the_words_shoppers_read()
    {
        var page = await search.FindAsync("facets=attr.screen-size,attr.washable");

        Assert.Equal("6.1 in 1", page.Count("attr.screen-size"));
        Assert.Equal("yes 1", page.Count("attr.washable"));
        Assert.Equal(["Red dress"], await SortedAsync("attr.screen-size=6.1%20in&attr.washable=YES"));
        Assert.Empty(await SortedAsync("attr.screen-size=6.1"));
    }

    [Fact]
    public async Task A_price_range_has_both_its_ends()
    {
        Assert.Equal(["Blue shirt", "Red shirt"], await SortedAsync("minPrice=2000&maxPrice=2500"));
        Assert.Equal(["Red vase"], await SortedAsync("maxPrice=999"));
    }

    [Fact]
    public async Task Attributes_are_words_too()
    {
        Assert.Equal(["Red dress"], await SortedAsync("q=linen"));
        Assert.Equal("Red dress", (await search.TitlesAsync("q=linnen+dress"))[0]);
    }

    [Fact]
    public async Task Facets_count_what_the_words_find()
    {
        var page = await search.FindAsync("q=shirt&facets=category,brand,attr.colour");

        Assert.Equal("clothing 2, shirts 2", page.Count("category"));
        Assert.Equal("sitwell 2", page.Count("brand"));
        Assert.Equal("blue 1, red 1", page.Count("attr.colour"));
        Assert.Equal(["brand", "category", "attr.colour"], page.Facets!.Select(facet => facet.Name));
    }

    [Fact]
    public async Task An_attribute_is_counted_whatever_the_case_it_is_asked_for_in() =>
        Assert.Equal("blue 1, red 1", (await search.FindAsync("q=shirt&facets=Attr.Colour")).Count("attr.colour"));

    [Fact]
    public async Task Counts_respect_the_other_filters_and_ignore_their_own()
    {
        var page = await search.FindAsync("attr.colour=red&category=clothing&facets=all");

        Assert.Equal(3, page.Total);
        Assert.Equal("red 3, blue 1", page.Count("attr.colour"));       // within clothing, whatever the colour
        Assert.Equal("clothing 3, dresses 1, homeware 1, shirts 1, shoes 1", page.Count("category"));   // red, on whatever shelf
        Assert.Equal("m 2", page.Count("attr.size"));                   // red clothing only
        Assert.Equal("sitwell 1", page.Count("brand"));
    }

    [Fact]
    public async Task Price_rating_and_stock_are_counted_in_steps()
    {
        var page = await search.FindAsync("category=clothing&inStock=true&maxPrice=2499&facets=price,rating,inStock");

        Assert.Equal(["Red shirt"], page.Items.Select(product => product.Title));
        Assert.Equal("2000-5000 2", page.Count("price"));               // what is in stock, at any price
        Assert.Equal((2000, 5000), (page.Facets![1].Values[0].From, page.Facets[1].Values[0].To));
        Assert.Equal("true 1", page.Count("inStock"));                  // what is cheap, in stock or not: one of it is
        Assert.Equal("", page.Count("rating"));
    }

    [Fact]
    public async Task What_a_facet_says_is_what_its_filter_finds()
    {
        var page = await search.FindAsync("q=red&facets=all");

        foreach (var facet in page.Facets!.Where(facet => facet.Name is not ("price" or "rating")))
        {
            foreach (var value in facet.Values)
                Assert.Equal(value.Count, (await search.FindAsync($"q=red&{facet.Name}={Uri.EscapeDataString(value.Value)}")).Total);
        }

        foreach (var step in page.Facets!.Single(facet => facet.Name == "price").Values)
            Assert.Equal(step.Count, (await search.FindAsync($"q=red&minPrice={step.From}{(step.To is { } to ? $"&maxPrice={to - 1}" : "")}")).Total);
    }

    [Fact]
    public async Task A_seller_is_counted_by_id_and_shown_by_name()
    {
        var sellers = (await search.FindAsync("facets=seller")).Facets!.Single().Values;

        Assert.Equal(shop.Ada.ToString(), sellers[0].Value);
        Assert.Equal(("Bruno's Lamps", 2), (sellers[0].Label, sellers[0].Count));
    }

    [Fact]
    public async Task Without_being_asked_nothing_is_counted() => Assert.Null((await search.FindAsync("q=shirt")).Facets);

    [Fact]
    public async Task The_words_that_fit_are_marked_and_html_in_a_listing_stays_text()
    {
        var found = Assert.Single((await search.FindAsync("q=shirts+blue&highlight=true")).Items);

        Assert.Equal("<em>Blue</em> <em>shirt</em>", found.Highlight!.Title);
        Assert.Equal("A &lt;b&gt;<em>blue</em>&lt;/b&gt; one &amp; &quot;good&quot; for <em>shirts</em>’ friends", found.Highlight.Description);
        Assert.Null(Assert.Single((await search.FindAsync("q=shirts+blue")).Items).Highlight);
    }

    [Fact]
    public async Task Of_a_long_description_the_part_with_the_word_is_shown()
    {
        var found = Assert.Single((await search.FindAsync("q=needle&highlight=true")).Items);

        Assert.Null(found.Highlight!.Title);
        Assert.Contains("<em>needle</em>", found.Highlight.Description!, StringComparison.Ordinal);
        Assert.StartsWith("…", found.Highlight.Description!, StringComparison.Ordinal);
        Assert.EndsWith("…", found.Highlight.Description!, StringComparison.Ordinal);
        Assert.InRange(found.Highlight.Description!.Length, 50, 220);
    }

    [Fact]
    public async Task A_misspelt_word_marks_the_right_one() =>
        Assert.Equal("<em>Blue</em> <em>shirt</em>", (await search.FindAsync("q=shrit+blue&highlight=true")).Items[0].Highlight!.Title);

    [Theory]
    [InlineData("facets=price;drop", "facets"), InlineData("minRating=6", "minRating"), InlineData("minRating=-1", "minRating"), InlineData("minRating=NaN", "minRating"), InlineData("sort=rating desc", "sort"),
     InlineData("attr.a=1&attr.b=1&attr.c=1&attr.d=1&attr.e=1&attr.f=1&attr.g=1&attr.h=1&attr.i=1&attr.j=1&attr.k=1&attr.l=1&attr.m=1&attr.n=1&attr.o=1&attr.p=1&attr.q=1&attr.r=1&attr.s=1&attr.t=1&attr.u=1", "attr.u")]
    [InlineData("limit=0", "limit"), InlineData("limit=-5", "limit"), InlineData("limit=101", "limit"), InlineData("limit=1000000000", "limit")]
    public async Task What_makes_no_sense_is_refused_by_field(string query, string field)
    {
        var reply = await search.Search.As(null).GetAsync($"/api/v1/search?{query}");

        Assert.Equal(HttpStatusCode.UnprocessableEntity, reply.StatusCode);
        Assert.True(JsonDocument.Parse(await reply.Content.ReadAsStringAsync()).RootElement.GetProperty("errors").TryGetProperty(field, out _));
    }

    [Theory]
    [InlineData("seller=nobody", "seller"), InlineData("minPrice=cheap", "minPrice"), InlineData("limit=99999999999999", "limit"), InlineData("inStock=perhaps", "inStock")]
    public async Task What_cannot_be_read_is_refused_by_field(string query, string field)
    {
        var reply = await search.Search.As(null).GetAsync($"/api/v1/search?{query}");

        Assert.InRange((int)reply.StatusCode, 400, 422);
        Assert.Contains(field, await reply.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("q=%20%09%0a"), InlineData("attr.=x"), InlineData("attr.%00=%1f"), InlineData("q=%00%01%1b%7f%c2%85"), InlineData("q=%ff%fe"), InlineData("q=%22unbalanced+%28quotes"), InlineData("q=*:*&facets=all&highlight=true"), InlineData("q=%3F*&sort=price"), InlineData("category=%00"), InlineData("category=")]
    public async Task What_is_odd_gets_a_sane_answer(string query) =>
        Assert.Equal(HttpStatusCode.OK, (await search.Search.As(null).GetAsync($"/api/v1/search?{query}")).StatusCode);

    [Fact]
    public async Task Five_thousand_characters_are_too_many_for_a_search_and_for_a_suggestion()
    {
        foreach (var path in (string[])["search", "suggestions"])
        {
            var reply = await search.Search.As(null).GetAsync($"/api/v1/{path}?q={new string('x', 5_000)}");
            Assert.Equal(HttpStatusCode.UnprocessableEntity, reply.StatusCode);
            Assert.Contains("\"q\"", await reply.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Signs_without_a_word_find_nothing()
    {
        Assert.Empty(await search.TitlesAsync("q=*:*"));
        Assert.Empty(await search.TitlesAsync("q=%22%22"));
        Assert.NotEmpty(await search.TitlesAsync("q=%20"));
    }

    private async Task<List<string>> SortedAsync(string query) => [.. (await search.TitlesAsync($"{query}&limit=100")).Order()];

    public abstract class AShopWithShelves(string engine) : IAsyncLifetime
    {
        public SearchFixture Search { get; } = new(engine);

        public Guid Ada { get; } = Guid.CreateVersion7();

        public async ValueTask InitializeAsync()
        {
            await Search.InitializeAsync();
            var shirt = Listed("Red shirt", 2000, "shirts", "Sitwell", sellerId: Ada, path: ["clothing", "shirts"], attributes: [("Colour", "Red"), ("Size", "M")]);
            var dress = Listed("Red dress", 4900, "dresses", "", sellerId: Ada, path: ["clothing", "dresses"], attributes: [("Colour", "red"), ("Size", "M"), ("Fabric", "Linen"), ("screen-size", "6.1 in"), ("washable", "yes")]);
            await Search.DeliverAsync(
                shirt, dress, Stock(shirt.ProductId, 3), Stock(dress.ProductId, 1),
                Listed("Blue shirt", 2500, "shirts", "SITWELL", "A <b>blue</b> one & \"good\" for shirts’ friends", path: ["clothing", "shirts"], attributes: [("colour", "Blue"), ("size", "S")]),
                Listed("Red shoes", 8900, "shoes", "", path: ["clothing", "shoes"], attributes: [("colour", "red")]),
                Listed("Red vase", 900, "homeware", "", $"{string.Concat(Enumerable.Repeat("Much hay and straw. ", 40))}One needle. {string.Concat(Enumerable.Repeat("More hay and straw. ", 40))}", attributes: [("colour", "red")]));
        }

        public ValueTask DisposeAsync() => Search.DisposeAsync();
    }
}
