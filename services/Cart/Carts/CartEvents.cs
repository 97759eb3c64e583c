using Marketplace.Contracts;
using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Cart.Carts;

public static class CartEvents
{
    public static void MapCartEvents(this IEndpointRouteBuilder routes) => routes.MapEvent(OrderConfirmed.Topic, OnOrderConfirmedAsync);

    private static async Task<Ok> OnOrderConfirmedAsync(OrderConfirmed order, CartStore carts, CancellationToken ct)
    {
        // The cart itself remembers the order: there is no database here to keep an inbox in.
        var ordered = order.Lines.Select(line => new CartLine(line.ProductId, line.Quantity)).ToList();
        var result = await carts.ChangeAsync(order.BuyerId, cart => cart.TakeOut(order.OrderId, order.CartId, ordered), ct);
        if (result.Refusal is { } why)
            throw new InvalidOperationException($"Order {order.OrderId} could not be taken out of its cart ({why}); the event is delivered again.");
        return TypedResults.Ok();
    }
}
