using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Contracts;
using Xunit;
using static Marketplace.Catalog.Tests.CatalogFixture;

namespace Marketplace.Catalog.Tests;

public sealed class WhenAListingIsUnpublished(CatalogFixture shop) : IClassFixture<CatalogFixture>
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_draft_is_its_sellers_alone_and_nobody_hears_of_it()
    {
        var draft = await DraftAsync("pets-dogs");

        Assert.Equal("draft", draft.Status);
        Assert.Equal((HttpStatusCode.NotFound, HttpStatusCode.NotFound, HttpStatusCode.OK), (
            await StatusAsync(shop.AsNobody, $"/api/v1/products/{draft.ProductId}"),
            await StatusAsync(shop.AsClara, $"/api/v1/seller/products/{draft.ProductId}"),
            await StatusAsync(shop.AsBruno, $"/api/v1/seller/products/{draft.ProductId}")));
        Assert.DoesNotContain((await PageAsync(shop.AsNobody, "/api/v1/products?category=pets&limit=100")).Items, product => product.ProductId == draft.ProductId);
        Assert.DoesNotContain((await PageAsync(shop.AsNobody, $"/api/v1/products?seller={shop.Bruno}&limit=100")).Items, product => product.ProductId == draft.ProductId);
        Assert.Contains((await PageAsync(shop.AsBruno, "/api/v1/seller/products?limit=100")).Items, product => product.ProductId == draft.ProductId);
        Assert.DoesNotContain((await PageAsync(shop.AsBruno, "/api/v1/seller/products?status=published&limit=100")).Items, product => product.ProductId == draft.ProductId);
        Assert.Empty(await PricedAsync(draft.ProductId, forSeller: false));
        Assert.Equal([draft.ProductId], await PricedAsync(draft.ProductId, forSeller: true));
        Assert.Empty(await ToldAsync(draft.ProductId));
    }

    [Fact]
    public async Task Publishing_and_taking_back_are_told_with_a_growing_revision_and_a_repeat_is_not()
    {
        var draft = await DraftAsync("pets");
        var publication = new Uri($"/api/v1/products/{draft.ProductId}/publication", UriKind.Relative);

        using var changed = await DocumentShop.PutAsync(shop.AsBruno, draft.ProductId, Lamp("Still a draft", category: "pets"), "\"1\"");
        foreach (var _ in new[] { 1, 2 })
        {
            using var published = await shop.AsBruno.PutAsync(publication, null, Ct);
            Assert.Equal((HttpStatusCode.OK, "\"3\""), (published.StatusCode, published.Headers.ETag!.ToString()));
        }

        Assert.Equal(HttpStatusCode.OK, await StatusAsync(shop.AsNobody, $"/api/v1/products/{draft.ProductId}"));
        foreach (var _ in new[] { 1, 2 })
        {
            using var unpublished = await shop.AsBruno.DeleteAsync(publication, Ct);
            Assert.Equal((HttpStatusCode.OK, "\"4\""), (unpublished.StatusCode, unpublished.Headers.ETag!.ToString()));
        }

        Assert.Equal(HttpStatusCode.NotFound, await StatusAsync(shop.AsNobody, $"/api/v1/products/{draft.ProductId}"));
        Assert.Empty(await PricedAsync(draft.ProductId, forSeller: false));
        (await shop.AsBruno.PutAsync(publication, null, Ct)).EnsureSuccessStatusCode();
        (await shop.AsBruno.DeleteAsync(new Uri($"/api/v1/products/{draft.ProductId}", UriKind.Relative), Ct)).EnsureSuccessStatusCode();

        Assert.Equal(HttpStatusCode.OK, changed.StatusCode);
        Assert.Equal(["upserted 3", "unpublished 4", "upserted 5", "deleted 6"], await ToldAsync(draft.ProductId));
    }

    [Fact]
    public async Task The_status_sent_with_a_change_counts_too()
    {
        var lamp = await ListAsync(shop.AsBruno);

        using var taken = await DocumentShop.PutAsync(shop.AsBruno, lamp.ProductId, new { title = "Lamp", category = "lighting", price = Money.Gbp(1), status = "draft" }, "\"1\"");
        using var kept = await DocumentShop.PutAsync(shop.AsBruno, lamp.ProductId, Lamp("Another"), "\"2\"");

        Assert.Equal("draft", (await kept.Content.ReadFromJsonAsync<Product>(Ct))!.Status);
        Assert.Equal(["upserted 1", "unpublished 2"], await ToldAsync(lamp.ProductId));
    }

    [Fact]
    public async Task A_draft_may_lack_what_a_published_listing_needs()
    {
        using var created = await shop.AsBruno.PostAsJsonAsync("/api/v1/products", new { title = "Phone", category = "electronics-phones", price = Money.Gbp(1), status = "draft" }, Ct);
        var draft = (await created.Content.ReadFromJsonAsync<Product>(Ct))!;

        foreach (var refused in new[]
        {
            await shop.AsBruno.PutAsync(new Uri($"/api/v1/products/{draft.ProductId}/publication", UriKind.Relative), null, Ct),
            await DocumentShop.PutAsync(shop.AsBruno, draft.ProductId, new { title = "Phone", category = "electronics-phones", price = Money.Gbp(1), status = "published" }),
        })
        {
            var problem = await AssertProblemAsync(refused, HttpStatusCode.UnprocessableEntity, "/problems/validation");
            Assert.Equal(["attributes.screen-size"], problem.GetProperty("errors").EnumerateObject().Select(error => error.Name));
        }

        Assert.Empty(await ToldAsync(draft.ProductId));
    }

    [Fact]
    public async Task It_needs_no_revision_but_keeps_to_one_that_is_given()
    {
        var lamp = await ListAsync(shop.AsBruno);
        using var request = new HttpRequestMessage(HttpMethod.Delete, new Uri($"/api/v1/products/{lamp.ProductId}/publication", UriKind.Relative));
        request.Headers.TryAddWithoutValidation("If-Match", "\"7\"");

        await AssertProblemAsync(await shop.AsBruno.SendAsync(request, Ct), HttpStatusCode.PreconditionFailed);

        Assert.Equal(HttpStatusCode.OK, await StatusAsync(shop.AsNobody, $"/api/v1/products/{lamp.ProductId}"));
    }

    [Fact]
    public async Task Search_does_not_read_drafts()
    {
        var draft = await DraftAsync("toys");

        using var reply = await shop.Catalog.AsNeighbour("search").PostAsJsonAsync("/internal/listings/pages", new { }, Ct);

        Assert.DoesNotContain((await reply.Content.ReadFromJsonAsync<JsonElement>(Ct)).List("items"), item => item.Id() == draft.ProductId);
    }

    private async Task<Product> DraftAsync(string category)
    {
        using var reply = await shop.AsBruno.PostAsJsonAsync("/api/v1/products", new { title = "Draft", category, price = Money.Gbp(100), status = "draft" }, Ct);
        Assert.Equal(HttpStatusCode.Created, reply.StatusCode);
        return (await reply.Content.ReadFromJsonAsync<Product>(Ct))!;
    }

    private async Task<IEnumerable<string>> ToldAsync(Guid productId) =>
        (await shop.Catalog.EventsAsync<ProductUpserted>()).Where(@event => @event.ProductId == productId).Select(@event => ("upserted", @event.Revision))
        .Concat((await shop.Catalog.EventsAsync<ProductUnpublished>()).Where(@event => @event.ProductId == productId).Select(@event => ("unpublished", @event.Revision)))
        .Concat((await shop.Catalog.EventsAsync<ProductDeleted>()).Where(@event => @event.ProductId == productId).Select(@event => ("deleted", @event.Revision)))
        .OrderBy(told => told.Revision).Select(told => $"{told.Item1} {told.Revision}");

    private async Task<IEnumerable<Guid>> PricedAsync(Guid productId, bool forSeller)
    {
        using var reply = await shop.Catalog.AsNeighbour("inventory").PostAsJsonAsync("/internal/prices", new { productIds = new[] { productId }, forSeller }, Ct);
        return (await reply.Content.ReadFromJsonAsync<JsonElement>(Ct)).List("products").Select(product => product.Id());
    }

    private static async Task<HttpStatusCode> StatusAsync(HttpClient client, string path)
    {
        using var reply = await client.GetAsync(new Uri(path, UriKind.Relative), Ct);
        return reply.StatusCode;
    }

    private static async Task<ProductPage> PageAsync(HttpClient client, string path) => (await client.GetFromJsonAsync<ProductPage>(path, Ct))!;
}
