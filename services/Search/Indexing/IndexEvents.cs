using Marketplace.Contracts;
using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Search.Indexing;

/// <summary>
/// What the index listens to. No inbox: each product carries the revision and the stock version it was indexed from, and an event that
/// is not newer changes nothing.
/// </summary>
public static class IndexEvents
{
    public static void MapIndexEvents(this IEndpointRouteBuilder routes)
    {
        routes.MapEvent(ProductUpserted.Topic, OnProductUpsertedAsync);
        routes.MapEvent(ProductDeleted.Topic, OnProductDeletedAsync);
        routes.MapEvent(InventoryUpdated.Topic, OnInventoryUpdatedAsync);
    }

    private static async Task<Ok> OnProductUpsertedAsync(ProductUpserted product, ProductIndex index, CancellationToken ct)
    {
        await index.ApplyAsync(
            new IndexChange.Upsert(new IndexedListing(
                product.ProductId, product.Revision, product.SellerId, product.SellerName, product.Title, product.Description, product.Brand, product.Category,
                product.Price, product.ImageUrl, product.ListedAt)),
            ct);
        return TypedResults.Ok();
    }

    private static async Task<Ok> OnProductDeletedAsync(ProductDeleted product, ProductIndex index, CancellationToken ct)
    {
        await index.ApplyAsync(new IndexChange.Remove(product.ProductId, product.Revision), ct);
        return TypedResults.Ok();
    }

    private static async Task<Ok> OnInventoryUpdatedAsync(InventoryUpdated inventory, ProductIndex index, CancellationToken ct)
    {
        await index.ApplyAsync(new IndexChange.Stock(inventory.Levels), ct);
        return TypedResults.Ok();
    }
}
