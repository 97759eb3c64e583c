using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Contracts;
using Marketplace.TestKit;
using Xunit;
using static Marketplace.Catalog.Tests.CatalogFixture;

namespace Marketplace.Catalog.Tests;

public sealed class WhenASellerLists(CatalogFixture shop) : IClassFixture<CatalogFixture>
{
    [Fact]
    public async Task The_listing_is_public_under_its_shops_name_and_announced_once()
    {
        var reply = await shop.AsBruno.PostAsJsonAsync("/api/v1/products", Lamp("Reading lamp"));
        var listed = (await reply.Content.ReadFromJsonAsync<Product>())!;

        Assert.Equal(HttpStatusCode.Created, reply.StatusCode);
        Assert.Equal("\"1\"", reply.Headers.ETag!.ToString());
        Assert.Equal($"/api/v1/products/{listed.ProductId}", reply.Headers.Location!.ToString());

        var shown = await shop.AsNobody.GetFromJsonAsync<Product>($"/api/v1/products/{listed.ProductId}");
        Assert.Equal(listed, shown);
        Assert.Equal(("Bruno's Lamps", Money.Gbp(1299), 1L), (shown!.SellerName, shown.Price, shown.Revision));

        var announced = Assert.Single(await shop.Catalog.EventsAsync<ProductUpserted>(), @event => @event.ProductId == listed.ProductId);
        Assert.Equal((listed.Title, listed.ListedAt, 1L, shop.Bruno), (announced.Title, announced.ListedAt, announced.Revision, announced.SellerId));
    }

    [Fact]
    public async Task Its_sku_is_announced_and_so_is_another_one()
    {
        var lamp = new { title = "Lamp with a name", category = "lighting", price = new { minor = 100, currency = "GBP" }, sku = "LMP-1" };
        var listed = (await (await shop.AsBruno.PostAsJsonAsync("/api/v1/products", lamp)).Content.ReadFromJsonAsync<Product>())!;
        (await PutAsync(shop.AsBruno, listed.ProductId, lamp with { sku = "LMP-2" }, "\"1\"")).EnsureSuccessStatusCode();

        Assert.Equal(["LMP-1", "LMP-2"], (await shop.Catalog.EventsAsync<ProductUpserted>()).Where(@event => @event.ProductId == listed.ProductId).OrderBy(@event => @event.Revision).Select(@event => @event.Sku));
    }

    [Fact]
    public async Task A_change_needs_the_revision_it_is_based_on()
    {
        var bruno = shop.AsBruno;
        var lamp = await ListAsync(bruno);

        await AssertProblemAsync(await PutAsync(bruno, lamp.ProductId, Lamp("Without"), null), HttpStatusCode.PreconditionRequired);
        var changed = await PutAsync(bruno, lamp.ProductId, Lamp("Silver lamp", 999), "\"1\"");
        await AssertProblemAsync(await PutAsync(bruno, lamp.ProductId, Lamp("Late lamp"), "\"1\""), HttpStatusCode.PreconditionFailed);
        await AssertProblemAsync(await PutAsync(bruno, lamp.ProductId, Lamp("Odd lamp"), "\"somebody's\""), HttpStatusCode.PreconditionFailed);
        await AssertProblemAsync(await PutAsync(bruno, lamp.ProductId, Lamp("Odd lamp"), "no quotes"), HttpStatusCode.PreconditionFailed);

        Assert.Equal(HttpStatusCode.OK, changed.StatusCode);
        Assert.Equal("\"2\"", changed.Headers.ETag!.ToString());
        var shown = await shop.AsNobody.GetFromJsonAsync<Product>($"/api/v1/products/{lamp.ProductId}");
        Assert.Equal(("Silver lamp", Money.Gbp(999), 2L, lamp.ListedAt), (shown!.Title, shown.Price, shown.Revision, shown.ListedAt));
    }

    [Fact]
    public async Task Of_two_changes_at_once_one_wins()
    {
        var bruno = shop.AsBruno;
        var lamp = await ListAsync(bruno);

        var replies = await Task.WhenAll(Enumerable.Range(1, 4).Select(number => PutAsync(bruno, lamp.ProductId, Lamp($"Lamp {number}"), "\"1\"")));

        Assert.Single(replies, reply => reply.StatusCode == HttpStatusCode.OK);
        Assert.Equal(3, replies.Count(reply => reply.StatusCode == HttpStatusCode.PreconditionFailed));
        Assert.Equal([1L, 2L], (await shop.Catalog.EventsAsync<ProductUpserted>()).Where(@event => @event.ProductId == lamp.ProductId).Select(@event => @event.Revision));
    }

    [Fact]
    public async Task A_deleted_listing_is_gone_everywhere_and_its_id_stays_taken()
    {
        var bruno = shop.AsBruno;
        var lamp = await ListAsync(bruno);

        var deleted = await bruno.DeleteAsync($"/api/v1/products/{lamp.ProductId}");

        Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
        await AssertProblemAsync(await shop.AsNobody.GetAsync($"/api/v1/products/{lamp.ProductId}"), HttpStatusCode.NotFound);
        await AssertProblemAsync(await bruno.DeleteAsync($"/api/v1/products/{lamp.ProductId}"), HttpStatusCode.NotFound);
        await AssertProblemAsync(await PutAsync(bruno, lamp.ProductId, Lamp(), "*"), HttpStatusCode.NotFound);
        await AssertProblemAsync(await bruno.PostAsJsonAsync("/api/v1/products", Lamp(productId: lamp.ProductId)), HttpStatusCode.Conflict, "/problems/product-id-taken");
        var gone = Assert.Single(await shop.Catalog.EventsAsync<ProductDeleted>(), @event => @event.ProductId == lamp.ProductId);
        Assert.Equal(2, gone.Revision);
    }

    [Fact]
    public async Task Somebody_elses_listing_answers_404_to_every_action_and_is_unchanged()
    {
        var lamp = await ListAsync(shop.AsBruno);
        var clara = shop.AsClara;

        await AssertProblemAsync(await PutAsync(clara, lamp.ProductId, Lamp("Mine now", 1), "\"1\""), HttpStatusCode.NotFound);
        await AssertProblemAsync(await PutAsync(clara, lamp.ProductId, Lamp("Mine now", 1), "*"), HttpStatusCode.NotFound);
        await AssertProblemAsync(await clara.DeleteAsync($"/api/v1/products/{lamp.ProductId}"), HttpStatusCode.NotFound);
        var own = await clara.GetFromJsonAsync<ProductPage>("/api/v1/seller/products?limit=100");

        Assert.DoesNotContain(own!.Items, product => product.SellerId != shop.Clara);
        Assert.Equal(lamp, await shop.AsNobody.GetFromJsonAsync<Product>($"/api/v1/products/{lamp.ProductId}"));
    }

    [Theory]
    [InlineData("PUT", "/api/v1/products/{id}"), InlineData("DELETE", "/api/v1/products/{id}")]
    [InlineData("PUT", "/api/v1/products/{id}/publication"), InlineData("DELETE", "/api/v1/products/{id}/publication")]
    [InlineData("PUT", "/api/v1/products/{id}/images"), InlineData("DELETE", "/api/v1/products/{id}/images/{image}")]
    [InlineData("GET", "/api/v1/seller/products/{id}")]
    public async Task No_route_reaches_another_sellers_listing(string method, string route)
    {
        foreach (var draft in new[] { false, true })
        {
            var lamp = await ListAsync(shop.AsBruno);
            if (draft)
                (await shop.AsBruno.DeleteAsync($"/api/v1/products/{lamp.ProductId}/publication")).EnsureSuccessStatusCode();
            var before = await shop.AsBruno.GetStringAsync($"/api/v1/seller/products/{lamp.ProductId}");
            var path = route.Replace("{id}", $"{lamp.ProductId}", StringComparison.Ordinal).Replace("{image}", new string('a', 64), StringComparison.Ordinal);

            foreach (var (client, status) in new[]
            {
                (shop.AsClara, HttpStatusCode.NotFound),
                (shop.Catalog.As(TestTokens.Buyer(Guid.CreateVersion7())), HttpStatusCode.Forbidden),
                (shop.Catalog.As(TestTokens.Guest(Guid.CreateVersion7())), HttpStatusCode.Forbidden),
                (shop.AsNobody, HttpStatusCode.Unauthorized),
            })
            {
                using var request = new HttpRequestMessage(new HttpMethod(method), path);
                request.Headers.TryAddWithoutValidation("If-Match", "*");
                if (method == "PUT")
                    request.Content = JsonContent.Create(path.EndsWith("/images", StringComparison.Ordinal) ? new { imageIds = Array.Empty<string>() } : Lamp("Mine now"));
                await AssertProblemAsync(await client.SendAsync(request), status);
            }

            Assert.Equal(before, await shop.AsBruno.GetStringAsync($"/api/v1/seller/products/{lamp.ProductId}"));
        }
    }

    [Fact]
    public async Task Shoppers_and_strangers_cannot_list()
    {
        await AssertProblemAsync(await shop.AsNobody.PostAsJsonAsync("/api/v1/products", Lamp()), HttpStatusCode.Unauthorized);
        await AssertProblemAsync(await shop.Catalog.As(TestTokens.Buyer(Guid.CreateVersion7())).PostAsJsonAsync("/api/v1/products", Lamp()), HttpStatusCode.Forbidden);
        await AssertProblemAsync(await shop.Catalog.As(TestTokens.Guest(Guid.CreateVersion7())).GetAsync("/api/v1/seller/products"), HttpStatusCode.Forbidden);
    }

    public static TheoryData<string, string> Refused() => new()
    {
        { """{"title":"Lamp","category":"lighting","price":{"minor":0,"currency":"GBP"}}""", "price.minor" },
        { """{"title":"Lamp","category":"lighting","price":{"minor":-1,"currency":"GBP"}}""", "price.minor" },
        { """{"title":"Lamp","category":"lighting","price":{"minor":100000001,"currency":"GBP"}}""", "price.minor" },
        { """{"title":"Lamp","category":"lighting","price":{"minor":100,"currency":"USD"}}""", "price.currency" },
        { """{"title":"Lamp","category":"lighting","price":{"minor":100}}""", "price.currency" },
        { """{"title":"Lamp","category":"lighting"}""", "price.minor" },
        { """{"title":"   ","category":"lighting","price":{"minor":100,"currency":"GBP"}}""", "title" },
        { """{"title":"Lamp\u0000","category":"lighting","price":{"minor":100,"currency":"GBP"}}""", "title" },
        { """{"title":"Lamp\nof two lines","category":"lighting","price":{"minor":100,"currency":"GBP"}}""", "title" },
        { """{"title":"Lamp","brand":"\u001b[31m","category":"lighting","price":{"minor":100,"currency":"GBP"}}""", "brand" },
        { """{"title":"Lamp","description":"It shines.\u0007","category":"lighting","price":{"minor":100,"currency":"GBP"}}""", "description" },
        { """{"title":"Lamp","sku":"A\tB","category":"lighting","price":{"minor":100,"currency":"GBP"}}""", "sku" },
        { $$$"""{"title":"{{{new string('x', 10_000)}}}","category":"lighting","price":{"minor":100,"currency":"GBP"}}""", "title" },
        { """{"title":"Lamp","productId":"00000000-0000-0000-0000-000000000000","category":"lighting","price":{"minor":100,"currency":"GBP"}}""", "productId" },
        { """{"title":"Shirt","category":"clothing","variants":[{"sku":"A","options":[{"name":"size","value":"M"}],"price":{"minor":-1,"currency":"GBP"}}]}""", "variants[0].price.minor" },
        { """{"title":"Shirt","category":"clothing","variants":[{"sku":"A","options":[{"name":"size","value":"M"}]}]}""", "variants[0].price.minor" },
        { """{"title":"Shirt","category":"clothing","variants":[null]}""", "optionNames" },
        { """{"title":"Lamp","status":"sold","category":"lighting","price":{"minor":100,"currency":"GBP"}}""", "status" },
        { """{"title":"Lamp","category":"no such shelf","price":{"minor":100,"currency":"GBP"}}""", "category" },
        { """{"title":"Lamp","category":"lighting","price":{"minor":100,"currency":"GBP"},"imageUrl":"javascript:alert(1)"}""", "imageUrl" },
        { """{"title":"Lamp","category":"lighting","price":{"minor":100,"currency":"GBP"},"imageUrl":"//elsewhere.example/x"}""", "imageUrl" },
    };

    [Theory, MemberData(nameof(Refused))]
    public async Task What_cannot_be_sold_is_refused_by_field(string body, string field)
    {
        var before = await shop.Catalog.ScalarAsync<long>("SELECT count(*) FROM listings");

        var problem = await AssertProblemAsync(await PostAsync(shop.AsBruno, "/api/v1/products", body), HttpStatusCode.UnprocessableEntity, "/problems/validation");

        Assert.True(problem.GetProperty("errors").TryGetProperty(field, out _), problem.ToString());
        Assert.Equal(before, await shop.Catalog.ScalarAsync<long>("SELECT count(*) FROM listings"));
    }

    [Theory]
    [InlineData("""{"title":"Lamp","category":"lighting","price":{"minor":1.5,"currency":"GBP"}}""")]
    [InlineData("""{"title":"Lamp","category":"lighting","price":{"minor":99999999999999999999,"currency":"GBP"}}""")]
    [InlineData("""{"title":null,"category":"lighting","price":{"minor":100,"currency":"GBP"}}""")]
    [InlineData("""{"title":"\ud800","category":"lighting","price":{"minor":100,"currency":"GBP"}}""")]
    public async Task What_cannot_be_read_gets_400(string body) =>
        await AssertProblemAsync(await PostAsync(shop.AsBruno, "/api/v1/products", body), HttpStatusCode.BadRequest);

    [Fact]
    public async Task Quotes_and_sql_in_a_title_are_just_a_title()
    {
        const string title = "Robert'); DROP TABLE listings;-- \"<script>";

        var lamp = await ListAsync(shop.AsBruno, title);

        Assert.Equal(title, (await shop.AsNobody.GetFromJsonAsync<Product>($"/api/v1/products/{lamp.ProductId}"))!.Title);
    }

    [Fact]
    public async Task When_identity_is_away_the_account_name_stands_in_until_it_is_back()
    {
        await using var alone = await ServiceUnderTest<Program>.StartAsync("catalog", calls: ["identity"]);
        var dora = Guid.CreateVersion7();
        alone.Neighbour("identity").On(HttpMethod.Get, $"/api/v1/sellers/{dora}", _ => FakeReply.Broken);
        var seller = alone.As(TestTokens.Seller(Guid.CreateVersion7(), dora, "Dora"));

        var first = await ListAsync(seller);
        alone.Neighbour("identity").On(HttpMethod.Get, $"/api/v1/sellers/{dora}", new { displayName = "Dora's Doors" });
        var second = await ListAsync(seller);

        Assert.Equal(("Dora", "Dora's Doors"), (first.SellerName, second.SellerName));
    }

    private static async Task<HttpResponseMessage> PutAsync(HttpClient seller, Guid productId, object body, string? ifMatch)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, $"/api/v1/products/{productId}") { Content = JsonContent.Create(body) };
        if (ifMatch is not null)
            request.Headers.TryAddWithoutValidation("If-Match", ifMatch);
        return await seller.SendAsync(request);
    }

    private static async Task<HttpResponseMessage> PostAsync(HttpClient seller, string path, string json)
    {
        using var body = new StringContent(json, System.Text.Encoding.UTF8, "application/json");
        return await seller.PostAsync(path, body);
    }
}
