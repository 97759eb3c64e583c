using System.Buffers;
using System.Globalization;
using System.Net;
using System.Net.Mail;
using System.Text;
using Marketplace.Contracts;

namespace Marketplace.Notifications.Messages;

/// <summary>What to tell whom about which fact. <see cref="Rank"/>: what was told about <see cref="SubjectId"/> with a higher one makes this old news.</summary>
public sealed record Message(Guid EventId, Guid BuyerId, string Recipient, Guid? OrderId, Guid SubjectId, int Rank, string Kind, string Subject, string Text)
{
    private static readonly SearchValues<char> NeverInAnAddress = SearchValues.Create(";,\r\n <>\"");

    /// <summary>The text as HTML. Everything in it came from somebody else once (titles, names, reasons), so all of it is encoded.</summary>
    public static string Html(string subject, string text)
    {
        var html = new StringBuilder("<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>").Append(WebUtility.HtmlEncode(subject)).Append("</title></head>\n<body>\n");
        foreach (var line in text.Split('\n'))
            html.Append("<p>").Append(WebUtility.HtmlEncode(line)).Append("</p>\n");
        return html.Append("</body></html>\n").ToString();
    }

    /// <summary>One plain address. The binding splits at semicolons and mail headers end at line ends, so neither may come from a shopper's input.</summary>
    public static bool IsAddress(string recipient) =>
        recipient.Length <= 254 && !recipient.AsSpan().ContainsAny(NeverInAnAddress) && MailAddress.TryCreate(recipient, out var parsed) && parsed.Address == recipient;
}

/// <summary>The words for each fact. No I/O.</summary>
public static class Wording
{
    private const int TheEnd = int.MaxValue;

    public static Message Of(UserRegistered user) => new(
        user.EventId, user.AccountId, user.Email, null, user.AccountId, 0, "welcome", "Welcome to Marketplace", $"Hello {user.Name},\nyour account is open. Happy shopping.");

    public static Message Of(OrderConfirmed order) => OfOrder(order, order.OrderId, order.BuyerId, order.Contact, AfterAttempt(order.Attempt), "order_confirmed", "is confirmed",
        [
            "thank you: your payment arrived and your order is being packed.",
            .. order.Lines.Select(line => $"{line.Quantity} × {line.Title}: {Amount(line.UnitPrice * line.Quantity)}"),
            $"Total: {Amount(order.Total)}",
            $"It goes to {order.ShipTo.Name}, {order.ShipTo.Line1}, {order.ShipTo.City} {order.ShipTo.PostalCode}, {order.ShipTo.Country}.",
        ]);

    public static Message Of(OrderPaymentFailed order) => OfOrder(order, order.OrderId, order.BuyerId, order.Contact, AfterAttempt(order.Attempt) - 1, "order_payment_failed", "waits for your payment",
        [
            $"we could not take {Amount(order.Total)} for your order: {Reason(order.Reason)}.",
            "Nothing was charged. Complete your payment on the order's page to get what you chose, as long as it is in stock.",
        ]);

    public static Message Of(OrderFailed order) => OfOrder(order, order.OrderId, order.BuyerId, order.Contact, TheEnd, "order_failed", "could not be completed",
        [$"we are sorry: your order over {Amount(order.Total)} could not be completed, because {Reason(order.Reason)}.", "Nothing was charged."]);

    public static Message Of(OrderCancelled order) => OfOrder(order, order.OrderId, order.BuyerId, order.Contact, TheEnd, "order_cancelled", "is cancelled",
        [$"your order was cancelled ({Reason(order.Reason)}).", order.Refunded ? $"{Amount(order.Total)} go back to where they came from." : "Nothing was charged."]);

    public static Message Of(OrderDelivered order) => OfOrder(order, order.OrderId, order.BuyerId, order.Contact, TheEnd, "order_delivered", "has arrived",
        ["everything you ordered has arrived. We hope you like it."]);

    public static Message Of(ShipmentShipped parcel) => OfParcel(parcel, parcel.ShipmentId, parcel.OrderId, parcel.BuyerId, parcel.Contact, 1, "shipment_shipped", "a parcel is on its way",
        [$"{Parcels(parcel.ShipmentsOfOrder)} is on its way with {parcel.Carrier}.", $"Tracking number: {parcel.TrackingNumber}"]);

    public static Message Of(ShipmentOutForDelivery parcel) => OfParcel(
        parcel, parcel.ShipmentId, parcel.OrderId, parcel.BuyerId, parcel.Contact, 1, "shipment_out_for_delivery", "a parcel arrives today", [$"{Parcels(parcel.ShipmentsOfOrder)} is out for delivery."]);

    public static Message Of(ShipmentDelivered parcel) => OfParcel(
        parcel, parcel.ShipmentId, parcel.OrderId, parcel.BuyerId, parcel.Contact, 2, "shipment_delivered", "a parcel has arrived", [$"{Parcels(parcel.ShipmentsOfOrder)} has been delivered."]);

    public static Message Of(FlashSaleClaimed claim) => claim.FromWaitingList
        ? OfOrder(claim, claim.OrderId, claim.BuyerId, claim.Contact, 0, "flash_sale_your_turn", "is your turn: it is yours when it is paid",
            [$"good news from the waiting list: {Units(claim.Line.Quantity, claim.Line.Title)} came back, and your turn came.", .. BeingPaid(claim)])
        : OfOrder(claim, claim.OrderId, claim.BuyerId, claim.Contact, 0, "flash_sale_claimed", "is yours when it is paid",
            [$"you have one: {Units(claim.Line.Quantity, claim.Line.Title)} of the sale is put aside for you.", .. BeingPaid(claim)]);

    public static Message Of(FlashSaleReleased claim) => OfOrder(claim, claim.OrderId, claim.BuyerId, claim.Contact, TheEnd, "flash_sale_released", "is not yours any more",
        [
            $"we are sorry: {Units(claim.Quantity, claim.Title)} went to the next in line: {Reason(claim.Reason)}.",
            "You keep your money: nothing was charged, or it goes back to where it came from.",
        ]);

    public static Message Of(FlashSaleMissed claim) => new(
        claim.EventId, claim.BuyerId, claim.Contact.Email, null, claim.ClaimId, TheEnd, "flash_sale_missed", "The sale is over and your turn did not come",
        string.Join('\n', [$"Hello {claim.Contact.Name},", $"you stood on the waiting list for {claim.Title}. Every unit is sold and none came back.", "Nothing was charged."]));

    private static string[] BeingPaid(FlashSaleClaimed claim) =>
    [
        $"{Amount(claim.Line.UnitPrice * claim.Line.Quantity)} is being taken by the payment method you chose; you hear from us when it arrived. You need do nothing.",
        $"It goes to {claim.ShipTo.Name}, {claim.ShipTo.Line1}, {claim.ShipTo.City} {claim.ShipTo.PostalCode}, {claim.ShipTo.Country}.",
    ];

    private static string Units(int quantity, string title) => $"{quantity} × {title}";

    // A confirmation outranks the refusal of its own attempt and of earlier ones, whichever comes first.
    private static int AfterAttempt(int attempt) => attempt * 2;

    private static Message OfOrder(DomainEvent fact, Guid orderId, Guid buyerId, OrderContact contact, int rank, string kind, string what, string[] text) =>
        new(fact.EventId, buyerId, contact.Email, orderId, orderId, rank, kind, $"Your order {orderId} {what}", Body(contact, orderId, text));

    private static Message OfParcel(DomainEvent fact, Guid shipmentId, Guid orderId, Guid buyerId, OrderContact contact, int rank, string kind, string what, string[] text) =>
        new(fact.EventId, buyerId, contact.Email, orderId, shipmentId, rank, kind, $"Your order {orderId}: {what}", Body(contact, orderId, text));

    private static string Body(OrderContact contact, Guid orderId, string[] text) => string.Join('\n', [$"Hello {contact.Name},", .. text, $"Order: {orderId}"]);

    private static string Parcels(int ofOrder) => ofOrder == 1 ? "Your parcel" : $"One of the {ofOrder} parcels of your order";

    private static string Reason(string reason) => reason switch
    {
        "out_of_stock" => "something in it is out of stock",
        "card_declined" => "the card was declined",
        "provider_unavailable" => "the payment provider could not be reached",
        "payment_method_missing" => "no payment method is known",
        "reservation_expiring" => "your items could not be held any longer",
        "not_paid_in_time" or "payment_timed_out" => "it was not paid in time",
        "unavailable" => "a service that is needed for it could not be reached",
        "cancelled" => "it was cancelled",
        _ => reason.Replace('_', ' '),
    };

    private static string Amount(Money money)
    {
        var digits = money.Currency switch
        {
            "JPY" or "KRW" or "VND" or "CLP" or "ISK" => 0,
            "KWD" or "BHD" or "OMR" or "JOD" or "TND" => 3,
            _ => 2,
        };
        return $"{(money.Minor / (decimal)Math.Pow(10, digits)).ToString($"N{digits}", CultureInfo.InvariantCulture)} {money.Currency}";
    }
}
