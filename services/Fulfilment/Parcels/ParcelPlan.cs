using Marketplace.Contracts;

namespace Marketplace.Fulfilment.Parcels;

public sealed record PlannedParcel(Guid SellerId, string Warehouse, IReadOnlyList<ShippedLine> Lines);

/// <summary>Who sends what from where. No I/O.</summary>
public static class ParcelPlan
{
    /// <summary>One parcel per warehouse and seller. Null: the allocations do not cover the lines, and nothing can be planned from them.</summary>
    public static IReadOnlyList<PlannedParcel>? Of(OrderConfirmed order)
    {
        var products = order.Lines.GroupBy(line => line.ProductId)
            .ToDictionary(lines => lines.Key, lines => (lines.First().SellerId, lines.First().Title, Ordered: lines.Sum(line => line.Quantity)));
        var allocated = order.Allocations.Where(allocation => allocation.Quantity > 0).GroupBy(allocation => allocation.ProductId).ToDictionary(a => a.Key, a => a.Sum(x => x.Quantity));
        if (products.Count == 0 || allocated.Count != products.Count || products.Any(product => allocated.GetValueOrDefault(product.Key) != product.Value.Ordered))
            return null;

        return [.. order.Allocations
            .Where(allocation => allocation.Quantity > 0)
            .GroupBy(allocation => (products[allocation.ProductId].SellerId, allocation.Warehouse))
            .OrderBy(parcel => parcel.Key.Warehouse, StringComparer.Ordinal).ThenBy(parcel => parcel.Key.SellerId)
            .Select(parcel => new PlannedParcel(
                parcel.Key.SellerId,
                parcel.Key.Warehouse,
                [.. parcel.GroupBy(allocation => allocation.ProductId)
                    .Select(lines => new ShippedLine(lines.Key, products[lines.Key].Title, lines.Sum(allocation => allocation.Quantity)))]))];
    }
}
