using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Xunit;
using static Marketplace.Catalog.Tests.CatalogFixture;

namespace Marketplace.Catalog.Tests;

public sealed class WhenNeighboursAskForPrices(CatalogFixture shop) : IClassFixture<CatalogFixture>
{
    [Fact]
    public async Task One_call_prices_a_whole_order_and_leaves_out_what_is_not_for_sale()
    {
        var (lamp, chair, deleted) = (await ListAsync(shop.AsBruno, minor: 1299), await ListAsync(shop.AsClara, "Chair", 4999, "furniture"), await ListAsync(shop.AsBruno));
        await shop.AsBruno.DeleteAsync($"/api/v1/products/{deleted.ProductId}");

        var priced = (await PricesAsync(lamp.ProductId, chair.ProductId, deleted.ProductId, Guid.CreateVersion7()))
            .ToDictionary(product => product.GetProperty("productId").GetGuid());

        Assert.Equal(2, priced.Count);
        Assert.Equal(1299, priced[lamp.ProductId].GetProperty("price").GetProperty("minor").GetInt64());
        Assert.Equal((shop.Clara, "Chair", 1L), (
            priced[chair.ProductId].GetProperty("sellerId").GetGuid(), priced[chair.ProductId].GetProperty("title").GetString(), priced[chair.ProductId].GetProperty("revision").GetInt64()));
    }

    [Fact]
    public async Task A_changed_price_counts_at_once()
    {
        var lamp = await ListAsync(shop.AsBruno, minor: 1000);
        using var request = new HttpRequestMessage(HttpMethod.Put, $"/api/v1/products/{lamp.ProductId}") { Content = JsonContent.Create(Lamp(minor: 900)) };
        request.Headers.TryAddWithoutValidation("If-Match", "\"1\"");
        (await shop.AsBruno.SendAsync(request)).EnsureSuccessStatusCode();

        Assert.Equal(900, (await PricesAsync(lamp.ProductId)).Single().GetProperty("price").GetProperty("minor").GetInt64());
    }

    [Fact]
    public async Task Shoppers_have_no_way_in()
    {
        await AssertProblemAsync(await shop.AsBruno.PostAsJsonAsync("/internal/prices", new { productIds = Array.Empty<Guid>() }), HttpStatusCode.Unauthorized);
        await AssertProblemAsync(await shop.Catalog.AsNeighbour().PostAsJsonAsync("/internal/prices", new { productIds = Enumerable.Range(0, 501).Select(_ => Guid.CreateVersion7()) }), HttpStatusCode.UnprocessableEntity);
    }

    private async Task<List<JsonElement>> PricesAsync(params Guid[] productIds)
    {
        var reply = await shop.Catalog.AsNeighbour().PostAsJsonAsync("/internal/prices", new { productIds });
        reply.EnsureSuccessStatusCode();
        return [.. (await reply.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("products").EnumerateArray()];
    }
}
