using System.ComponentModel.DataAnnotations;
using System.Security.Claims;
using Marketplace.Hosting;
using Marketplace.Payments.Provider;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Payments.Methods;

public static class PaymentMethodEndpoints
{
    public static void MapPaymentMethods(this IEndpointRouteBuilder routes)
    {
        var methods = routes.MapGroup("/api/v1/payment-methods").RequireAuthorization(Policies.Account);
        methods.MapGet("/", ListAsync);
        methods.MapPost("/", SaveAsync);
        methods.MapDelete("/{id:guid}", RemoveAsync);
        routes.MapInternal("/internal/payment-methods", "flashsales").MapPost("/", LookUpAsync);
    }

    private static async Task<Ok<MethodPage>> ListAsync(ClaimsPrincipal user, MethodStore methods, CancellationToken ct) =>
        TypedResults.Ok(new MethodPage(await methods.ListAsync(Buyer.Id(user), ct), null));

    private static async Task<Results<Created<SavedMethod>, ProblemHttpResult>> SaveAsync(
        SaveMethodRequest request, ClaimsPrincipal user, MethodStore methods, PaymentProvider provider, CancellationToken ct)
    {
        if (CardNumbers.LooksLikeOne(request.ProviderToken))
            return Problems.Validation(("providerToken", "Card numbers are not taken here. Send the token that the provider made from the card."));
        if (!ProviderToken.IsOne(request.ProviderToken))
            return Problems.Validation(("providerToken", "This is not a token of the payment provider (pm_… or tok_…)."));

        var buyerId = Buyer.Id(user);
        try
        {
            var customer = await methods.CustomerOfAsync(buyerId, ct);
            if (customer is null)
            {
                customer = await provider.CreateCustomerAsync(buyerId, Buyer.Email(user));
                await methods.AddCustomerAsync(buyerId, customer, ct);
            }

            if (await provider.AttachAsync(request.ProviderToken, customer) is not { } card)
                return Problems.Of(StatusCodes.Status422UnprocessableEntity, "payment-method-refused", "The payment provider does not accept this payment method.");
            var saved = await methods.AddAsync(buyerId, card, request.MakeDefault, ct);
            return TypedResults.Created($"/api/v1/payment-methods/{saved.Id}", saved);
        }
        catch (ProviderFaultException)
        {
            return Problems.Of(StatusCodes.Status503ServiceUnavailable, "provider-unavailable", "The payment provider does not answer; try again shortly.");
        }
    }

    private static async Task<Results<NoContent, NotFound>> RemoveAsync(
        Guid id, ClaimsPrincipal user, MethodStore methods, PaymentProvider provider, ILogger<MethodStore> log, CancellationToken ct)
    {
        if (await methods.RemoveAsync(Buyer.Id(user), id, ct) is not { } providerMethod)
            return TypedResults.NotFound();
        try
        {
            await provider.DetachAsync(providerMethod);
        }
        catch (ProviderFaultException fault)
        {
            MethodLog.StillAttached(log, id, fault.Message);         // gone here, so nothing charges it any more
        }

        return TypedResults.NoContent();
    }

    private static async Task<Ok<MethodLookupReply>> LookUpAsync(MethodLookup request, MethodStore methods, CancellationToken ct) =>
        TypedResults.Ok(new MethodLookupReply(await methods.LookUpAsync(request.Wanted, ct)));
}

/// <summary>A saved method of each of these shoppers: the one with that id, or the default.</summary>
public sealed record MethodLookup([property: MaxLength(500)] IReadOnlyList<WantedMethod> Wanted);

public sealed record WantedMethod(Guid BuyerId, Guid? MethodId = null);

/// <summary>A shopper who has none, or not that one, is absent.</summary>
public sealed record MethodLookupReply(IReadOnlyList<BuyerMethod> Methods);

public sealed record BuyerMethod(Guid BuyerId, Guid MethodId);

public sealed record SaveMethodRequest([property: StringLength(255, MinimumLength = 1)] string ProviderToken, bool MakeDefault = false);

public sealed record MethodPage(IReadOnlyList<SavedMethod> Items, string? Next);

internal static partial class MethodLog
{
    [LoggerMessage(LogLevel.Warning, "Payment method {MethodId} was removed here and is still attached at the provider: {Fault}")]
    public static partial void StillAttached(ILogger log, Guid methodId, string fault);
}
