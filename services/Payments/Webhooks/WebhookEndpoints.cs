using System.Text;
using Marketplace.Hosting;
using Marketplace.Payments.Provider;
using Microsoft.AspNetCore.Http.HttpResults;
using Stripe;

namespace Marketplace.Payments.Webhooks;

public static class WebhookEndpoints
{
    public static void MapWebhooks(this IEndpointRouteBuilder routes) =>
        routes.MapPost("/webhooks/stripe", ReceiveAsync).AllowAnonymous().ExcludeFromDescription();

    /// <summary>The signature is over the bytes as sent, so they are read before anything parses them. The provider waits only for the row.</summary>
    private static async Task<Results<Ok, ProblemHttpResult>> ReceiveAsync(HttpRequest request, ProviderKeys keys, WebhookLog log, CancellationToken ct)
    {
        using var reader = new StreamReader(request.Body, Encoding.UTF8);
        var body = await reader.ReadToEndAsync(ct);
        Event received;
        try
        {
            // Which API version the endpoint was made for does not matter: of the payload only ids are read.
            received = EventUtility.ConstructEvent(body, request.Headers["Stripe-Signature"].ToString(), keys.WebhookSecret, throwOnApiVersionMismatch: false);
        }
        catch (Exception forged) when (forged is StripeException or System.Text.Json.JsonException or ArgumentException or FormatException)
        {
            return Problems.Of(StatusCodes.Status400BadRequest, "webhook-signature", "The signature does not match the body.");
        }

        await log.RecordOnceAsync(Notice.Of(received), ct);
        return TypedResults.Ok();
    }
}

/// <summary>What an event is about: the attempt its object was made for, by the ids we gave it.</summary>
public sealed record Notice(string EventId, string Type, Guid? OrderId, int? Attempt, string? IntentId)
{
    public static Notice Of(Event received)
    {
        var (intentId, metadata) = received.Data?.Object switch
        {
            PaymentIntent intent => (intent.Id, intent.Metadata),
            Charge charge => (charge.PaymentIntentId, charge.Metadata),
            _ => (null, null),
        };
        var orderId = metadata?.GetValueOrDefault("order_id") is { } order && Guid.TryParse(order, out var id) ? id : (Guid?)null;
        var attempt = metadata?.GetValueOrDefault("attempt") is { } text && short.TryParse(text, out var number) ? number : (int?)null;
        return new Notice(received.Id, received.Type, orderId, attempt, intentId);
    }
}
