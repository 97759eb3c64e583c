using Marketplace.Contracts;
using Marketplace.Hosting;
using Marketplace.Search.Engine;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Search.Indexing;

/// <summary>
/// What the index listens to. No inbox: each product carries the revision and the versions it was indexed from, and an event that is not
/// newer changes nothing; an order that was counted is known by its id. Answered when the change is durable and searches see it.
/// </summary>
public static class IndexEvents
{
    public static void MapIndexEvents(this IEndpointRouteBuilder routes)
    {
        routes.MapEvent(ProductUpserted.Topic, OnProductsUpsertedAsync).InBatches(ProductUpserted.Topic);   // an import is thousands
        routes.MapEvent(ProductUnpublished.Topic, OnProductUnpublishedAsync);
        routes.MapEvent(ProductDeleted.Topic, OnProductDeletedAsync);
        routes.MapEvent(InventoryUpdated.Topic, OnInventoryUpdatedAsync);
        routes.MapEvent(OrderConfirmed.Topic, OnOrderConfirmedAsync);
        routes.MapEvent(ReviewPublished.Topic, OnReviewPublishedAsync);
    }

    private static async Task<IResult> OnProductsUpsertedAsync(HttpRequest request, IndexFeed feed, CancellationToken ct)
    {
        var products = await BulkDelivery.ReadAsync<ProductUpserted>(request, ct);
        var again = await feed.TakeAsync(products.Events, [.. products.Events.Select(product => new IndexChange.Upsert(ToIndex(product)))], ct);
        return products.Done(again);
    }

    private static Task<Ok> OnProductUnpublishedAsync(ProductUnpublished product, IndexFeed feed, CancellationToken ct) =>
        feed.TakeAsync(product, new IndexChange.Withdraw(product.ProductId, product.Revision), ct);

    private static Task<Ok> OnProductDeletedAsync(ProductDeleted product, IndexFeed feed, CancellationToken ct) =>
        feed.TakeAsync(product, new IndexChange.Remove(product.ProductId, product.Revision), ct);

    private static Task<Ok> OnInventoryUpdatedAsync(InventoryUpdated inventory, IndexFeed feed, CancellationToken ct) =>
        feed.TakeAsync(inventory, new IndexChange.Stock(inventory.Levels), ct);

    private static Task<Ok> OnOrderConfirmedAsync(OrderConfirmed order, IndexFeed feed, TimeProvider time, CancellationToken ct) => feed.TakeAsync(
        order,
        new IndexChange.Sale(
            order.OrderId, order.OccurredAt == default || order.OccurredAt > time.GetUtcNow() ? time.GetUtcNow() : order.OccurredAt, [.. order.Lines.Select(line => (line.ProductId, line.Quantity))]),
        ct);

    private static Task<Ok> OnReviewPublishedAsync(ReviewPublished review, IndexFeed feed, CancellationToken ct) =>
        feed.TakeAsync(review, new IndexChange.Rating(review.ProductId, review.Average, review.Count, review.Version), ct);

    internal static IndexedListing ToIndex(ProductUpserted product) => new(
        product.ProductId, product.Revision, product.SellerId, product.SellerName, product.Title, product.Description, product.Brand, product.Category, product.Price, product.ImageUrl,
        product.ListedAt, product.CategoryPath, product.Attributes?.Select(ToIndex).ToList(), product.Variants?.Select(ToIndex).ToList(), product.CategoryNames, product.Sku);

    private static IndexedAttribute ToIndex(ListingAttribute attribute) => new(attribute.Name, attribute.Value);

    private static IndexedVariant ToIndex(ListingVariant variant) => new(variant.VariantId, variant.Sku, [.. variant.Options.Select(ToIndex)]);
}
