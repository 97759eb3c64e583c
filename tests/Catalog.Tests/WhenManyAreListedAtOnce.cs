using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Contracts;
using Xunit;
using static Marketplace.Catalog.Tests.CatalogFixture;

namespace Marketplace.Catalog.Tests;

public sealed class WhenManyAreListedAtOnce(CatalogFixture shop) : IClassFixture<CatalogFixture>
{
    private sealed record Reply(IReadOnlyList<Listed> Products);

    private sealed record Listed(Guid ProductId, long Revision);

    [Fact]
    public async Task Five_hundred_go_in_together_each_with_its_event()
    {
        var ids = Enumerable.Range(0, 500).Select(_ => Guid.CreateVersion7()).ToArray();

        var reply = await ListAsync(ids.Select(id => Lamp(productId: id)));

        Assert.Equal(HttpStatusCode.OK, reply.StatusCode);
        Assert.Equal(ids.Select(id => new Listed(id, 1)), (await reply.Content.ReadFromJsonAsync<Reply>())!.Products);
        Assert.Equal(500, (await shop.Catalog.EventsAsync<ProductUpserted>()).Count(@event => ids.Contains(@event.ProductId)));
    }

    [Fact]
    public async Task A_repeat_after_a_lost_reply_changes_and_announces_nothing()
    {
        var ids = Enumerable.Range(0, 3).Select(_ => Guid.CreateVersion7()).ToArray();
        await ListAsync(ids.Select(id => Lamp(productId: id)));

        var repeat = await ListAsync(ids.Append(Guid.CreateVersion7()).Select(id => Lamp(productId: id)));

        Assert.Equal(4, (await repeat.Content.ReadFromJsonAsync<Reply>())!.Products.Count(product => product.Revision == 1));
        Assert.Equal(3, (await shop.Catalog.EventsAsync<ProductUpserted>()).Count(@event => ids.Contains(@event.ProductId)));
    }

    [Fact]
    public async Task An_id_that_stands_for_something_else_stops_all_of_them()
    {
        var (brunos, fresh) = (Guid.CreateVersion7(), Guid.CreateVersion7());
        await ListAsync([Lamp(productId: brunos)]);

        var other = await ListAsync([Lamp(productId: fresh), Lamp("Another title", productId: brunos)]);
        var theft = await shop.AsClara.PostAsJsonAsync("/api/v1/products/bulk", new { products = new[] { Lamp(productId: brunos) } });

        var problem = await AssertProblemAsync(other, HttpStatusCode.Conflict, "/problems/product-id-taken");
        Assert.Equal(brunos, problem.GetProperty("productIds")[0].GetGuid());
        await AssertProblemAsync(theft, HttpStatusCode.Conflict);
        await AssertProblemAsync(await shop.AsNobody.GetAsync($"/api/v1/products/{fresh}"), HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task One_bad_product_is_named_and_none_goes_in()
    {
        var good = Guid.CreateVersion7();

        var problem = await AssertProblemAsync(
            await ListAsync([Lamp(productId: good), Lamp(minor: 0), Lamp(category: "nowhere"), Lamp(title: new string('x', 201))]), HttpStatusCode.UnprocessableEntity);

        // Attributes are judged first, so the too long title comes alone; without it the other two are named together.
        Assert.Equal("products[3].title", problem.GetProperty("errors").EnumerateObject().Single().Name);
        problem = await AssertProblemAsync(await ListAsync([Lamp(productId: good), Lamp(minor: 0), Lamp(category: "nowhere")]), HttpStatusCode.UnprocessableEntity);
        Assert.Equal(["products[1].price.minor", "products[2].category"], problem.GetProperty("errors").EnumerateObject().Select(field => field.Name));
        await AssertProblemAsync(await shop.AsNobody.GetAsync($"/api/v1/products/{good}"), HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task Too_many_none_twice_the_same_or_a_hole_are_refused()
    {
        var twice = Guid.CreateVersion7();

        await AssertProblemAsync(await ListAsync(Enumerable.Range(0, 501).Select(_ => Lamp())), HttpStatusCode.UnprocessableEntity);
        await AssertProblemAsync(await ListAsync([]), HttpStatusCode.UnprocessableEntity);
        await AssertProblemAsync(await ListAsync([Lamp(productId: twice), Lamp(productId: twice)]), HttpStatusCode.UnprocessableEntity);
        await AssertProblemAsync(await ListAsync([Lamp(), null!]), HttpStatusCode.UnprocessableEntity);
    }

    private Task<HttpResponseMessage> ListAsync(IEnumerable<object> products) => shop.AsBruno.PostAsJsonAsync("/api/v1/products/bulk", new { products });
}
