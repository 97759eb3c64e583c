using Marketplace.Contracts;
using Marketplace.Hosting;

namespace Marketplace.Notifications.Messages;

/// <summary>The facts we tell about. A handler only writes the message; the mail server may be slow or away without a listener noticing.</summary>
public static class MessageEvents
{
    public static void MapMessageEvents(this IEndpointRouteBuilder routes)
    {
        routes.MapEvent(UserRegistered.Topic, (UserRegistered fact, MessageStore messages, CancellationToken ct) => messages.AddAsync(Wording.Of(fact), ct));
        routes.MapEvent(OrderConfirmed.Topic, (OrderConfirmed fact, MessageStore messages, CancellationToken ct) => messages.AddAsync(Wording.Of(fact), ct));
        routes.MapEvent(OrderPaymentFailed.Topic, (OrderPaymentFailed fact, MessageStore messages, CancellationToken ct) => messages.AddAsync(Wording.Of(fact), ct));
        // Of a flash sale's order the sale tells that it came to nothing, in better words.
        routes.MapEvent(OrderFailed.Topic, (OrderFailed fact, MessageStore messages, CancellationToken ct) =>
            fact.SaleId is null ? messages.AddAsync(Wording.Of(fact), ct) : Task.CompletedTask);
        routes.MapEvent(OrderCancelled.Topic, (OrderCancelled fact, MessageStore messages, CancellationToken ct) => messages.AddAsync(Wording.Of(fact), ct));
        routes.MapEvent(OrderDelivered.Topic, (OrderDelivered fact, MessageStore messages, CancellationToken ct) => messages.AddAsync(Wording.Of(fact), ct));
        routes.MapEvent(ShipmentShipped.Topic, (ShipmentShipped fact, MessageStore messages, CancellationToken ct) => messages.AddAsync(Wording.Of(fact), ct));
        routes.MapEvent(ShipmentOutForDelivery.Topic, (ShipmentOutForDelivery fact, MessageStore messages, CancellationToken ct) => messages.AddAsync(Wording.Of(fact), ct));
        routes.MapEvent(ShipmentDelivered.Topic, (ShipmentDelivered fact, MessageStore messages, CancellationToken ct) => messages.AddAsync(Wording.Of(fact), ct));
        routes.MapEvent(FlashSaleClaimed.Topic, (FlashSaleClaimed fact, MessageStore messages, CancellationToken ct) => messages.AddAsync(Wording.Of(fact), ct));
        routes.MapEvent(FlashSaleReleased.Topic, (FlashSaleReleased fact, MessageStore messages, CancellationToken ct) => messages.AddAsync(Wording.Of(fact), ct));
        routes.MapEvent(FlashSaleMissed.Topic, (FlashSaleMissed fact, MessageStore messages, CancellationToken ct) => messages.AddAsync(Wording.Of(fact), ct));
    }
}
