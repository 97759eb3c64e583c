using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Marketplace.Contracts;
using Xunit;
using static Marketplace.Catalog.Tests.CatalogFixture;
using static Marketplace.Catalog.Tests.DocumentShop;

namespace Marketplace.Catalog.Tests.Attributes;

public sealed class WhenAListingHasAttributes(DocumentShop shop) : IClassFixture<DocumentShop>
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task They_are_shown_as_given_and_told_in_words()
    {
        var listed = await PostAsync(shop.AsBruno, Phone(attributes: new Dictionary<string, object> { ["screen-size"] = 6.10m, ["colour"] = "RED", ["waterproof"] = true, ["model"] = "X-1" }));

        var shown = await shop.ShownAsync(listed.Id());

        Assert.Equal("""{"colour":"red","model":"X-1","screen-size":6.1,"waterproof":true}""", Sorted(shown.GetProperty("attributes")));
        Assert.Equal(Sorted(listed.GetProperty("attributes")), Sorted(shown.GetProperty("attributes")));
        Assert.Equal(["colour red", "screen-size 6.1 in", "waterproof yes"], shown.Pairs("facets").Order());
        Assert.Equal(["electronics", "electronics-phones"], shown.List("categoryPath").Select(code => code.GetString()));
        var told = Assert.Single(await shop.Catalog.EventsAsync<ProductUpserted>(), @event => @event.ProductId == listed.Id());
        Assert.Equal(["colour red", "screen-size 6.1 in", "waterproof yes"], told.Attributes!.Select(attribute => $"{attribute.Name} {attribute.Value}").Order());
        Assert.Equal(["electronics", "electronics-phones"], told.CategoryPath!);
        Assert.Equal(["Electronics", "Phones"], told.CategoryNames!);
    }

    public static TheoryData<string, string, string> Refused() => new()
    {
        { "electronics-phones", """{"screen-size":"large"}""", "attributes.screen-size" },
        { "electronics-phones", """{"screen-size":true}""", "attributes.screen-size" },
        { "electronics-phones", """{"screen-size":-6.1}""", "attributes.screen-size" },
        { "electronics-phones", """{"screen-size":21}""", "attributes.screen-size" },
        { "electronics-phones", """{"screen-size":1e400}""", "attributes.screen-size" },
        { "electronics-phones", """{"screen-size":6.1,"waterproof":"yes"}""", "attributes.waterproof" },
        { "electronics-phones", """{"screen-size":6.1,"waterproof":1}""", "attributes.waterproof" },
        { "electronics-phones", """{"screen-size":6.1,"colour":"infrared"}""", "attributes.colour" },
        { "electronics-phones", """{"screen-size":6.1,"colour":["red"]}""", "attributes.colour" },
        { "electronics-phones", """{"screen-size":6.1,"model":{"name":"X"}}""", "attributes.model" },
        { "electronics-phones", """{"screen-size":6.1,"model":""}""", "attributes.model" },
        { "electronics-phones", """{"screen-size":6.1,"model":"X\u0000"}""", "attributes.model" },
        { "electronics-phones", """{"screen-size":6.1,"horsepower":3}""", "attributes.horsepower" },
        { "electronics-phones", """{"screen-size":6.1,"Colour":"red"}""", "attributes.Colour" },
        { "electronics-phones", "{}", "attributes.screen-size" },
        { "electronics-phones", "null", "attributes.screen-size" },
        { "lighting", """{"screen-size":6.1}""", "attributes.screen-size" },
        { "books", """{"colour":"red"}""", "attributes.colour" },
    };

    [Theory, MemberData(nameof(Refused))]
    public async Task What_the_category_does_not_allow_is_refused_by_name_and_nothing_is_stored(string category, string attributes, string field)
    {
        var before = await CountsAsync();

        using var body = new StringContent($$"""{"title":"Phone","category":"{{category}}","price":{"minor":100,"currency":"GBP"},"attributes":{{attributes}}}""", Encoding.UTF8, "application/json");
        var problem = await AssertProblemAsync(await shop.AsBruno.PostAsync(new Uri("/api/v1/products", UriKind.Relative), body, Ct), HttpStatusCode.UnprocessableEntity, "/problems/validation");

        Assert.Equal([field], problem.GetProperty("errors").EnumerateObject().Select(error => error.Name));
        Assert.Equal(before, await CountsAsync());
    }

    [Fact]
    public async Task One_bad_listing_of_many_stores_none_of_them()
    {
        var before = await CountsAsync();

        using var reply = await shop.AsBruno.PostAsJsonAsync("/api/v1/products/bulk", new { products = new[] { Phone("Good"), Phone("Bad", new { colour = "infrared" }) } }, Ct);

        var problem = await AssertProblemAsync(reply, HttpStatusCode.UnprocessableEntity);
        Assert.Equal(["products[1].attributes.colour", "products[1].attributes.screen-size"], problem.GetProperty("errors").EnumerateObject().Select(error => error.Name).Order());
        Assert.Equal(before, await CountsAsync());
    }

    [Fact]
    public async Task Many_at_once_keep_theirs_apart_and_a_repeat_changes_nothing()
    {
        var sizes = Enumerable.Range(0, 120).Select(number => (Id: Guid.CreateVersion7(), Size: 4 + (number / 100m))).ToList();
        var products = sizes.Select(phone => Phone($"Phone {phone.Size}", new Dictionary<string, object> { ["screen-size"] = phone.Size }, productId: phone.Id)).ToList();

        for (var time = 0; time < 2; time++)
        {
            using var reply = await shop.AsBruno.PostAsJsonAsync("/api/v1/products/bulk", new { products }, Ct);
            Assert.Equal(HttpStatusCode.OK, reply.StatusCode);
        }

        foreach (var (id, size) in sizes.Where((_, place) => place % 40 == 0))
            Assert.Equal(size, (await shop.ShownAsync(id)).GetProperty("attributes").GetProperty("screen-size").GetDecimal());
        Assert.Equal(120, (await shop.Catalog.EventsAsync<ProductUpserted>()).Count(@event => sizes.Any(phone => phone.Id == @event.ProductId)));
    }

    [Fact]
    public async Task A_change_replaces_them_whole()
    {
        var listed = await PostAsync(shop.AsBruno, Phone(attributes: new Dictionary<string, object> { ["screen-size"] = 6.1, ["colour"] = "red" }));

        using var changed = await PutAsync(shop.AsBruno, listed.Id(), Phone(attributes: new Dictionary<string, object> { ["screen-size"] = 5 }), "\"1\"");
        using var moved = await PutAsync(shop.AsBruno, listed.Id(), Phone(category: "books", attributes: new { author = "Ada Marsh" }), "\"2\"");

        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.OK), (changed.StatusCode, moved.StatusCode));
        Assert.Equal("""{"screen-size":5}""", Sorted((await changed.Content.ReadFromJsonAsync<JsonElement>(Ct)).GetProperty("attributes")));
        Assert.Equal("""{"author":"Ada Marsh"}""", Sorted((await shop.ShownAsync(listed.Id())).GetProperty("attributes")));
    }

    [Fact]
    public async Task Categories_tell_their_own_and_those_from_above()
    {
        var categories = (await shop.AsNobody.GetFromJsonAsync<JsonElement>("/api/v1/categories", Ct)).List("items").ToDictionary(category => category.Text("category"));

        var laptops = categories["electronics-laptops"];
        Assert.Equal(["electronics", "electronics-computers", "electronics-laptops"], laptops.List("path").Select(code => code.GetString()));
        Assert.Equal("electronics-computers", laptops.Text("parent"));
        Assert.Superset(
            new HashSet<string> { "colour", "wireless", "interface", "screen-size", "memory" }, laptops.List("attributes").Select(attribute => attribute.Text("name")).ToHashSet());
        Assert.DoesNotContain(categories["electronics"].List("attributes"), attribute => attribute.Text("name") == "screen-size");
        var screen = laptops.List("attributes").Single(attribute => attribute.Text("name") == "screen-size");
        Assert.Equal(("number", "in", 5m, 25m, true, true), (
            screen.Text("type"), screen.Text("unit"), screen.GetProperty("min").GetDecimal(), screen.GetProperty("max").GetDecimal(),
            screen.GetProperty("required").GetBoolean(), screen.GetProperty("facet").GetBoolean()));
        Assert.InRange(categories.Count, 50, 100);
        Assert.All(categories.Values, category => Assert.Equal(category.Text("category"), category.List("path")[^1].GetString()));
    }

    private async Task<(long, long, long)> CountsAsync() => (
        await shop.Catalog.ScalarAsync<long>("SELECT count(*) FROM listings"), await shop.LedgerAsync(), await shop.Catalog.ScalarAsync<long>("SELECT count(*) FROM outbox"));

    private static string Sorted(JsonElement attributes) =>
        $"{{{string.Join(',', attributes.EnumerateObject().OrderBy(one => one.Name, StringComparer.Ordinal).Select(one => $"\"{one.Name}\":{one.Value.GetRawText()}"))}}}";
}
