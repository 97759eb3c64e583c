using System.ComponentModel.DataAnnotations;
using System.Security.Claims;
using Marketplace.Contracts;
using Marketplace.FlashSales.Clients;
using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.FlashSales.ExpressCheckout;

public static class ExpressCheckoutEndpoints
{
    public static void AddExpressCheckout(this IServiceCollection services)
    {
        services.AddNeighbour<IIdentityClient>("identity");
        services.AddNeighbour<IPaymentsClient>("payments");
        services.AddSingleton<CheckoutStore>();
        services.AddSingleton<Checkouts>();
    }

    public static void MapExpressCheckout(this IEndpointRouteBuilder routes)
    {
        var express = routes.MapGroup("/api/v1/flash-sales/express-checkout").RequireAuthorization(Policies.Account).WithTags("flash-sales");
        express.MapGet("/", ReadAsync).WithSummary("What my claims in flash sales are sent to and paid with.");
        express.MapPut("/", SetAsync).WithSummary("Say what my claims in flash sales are sent to and paid with.");
    }

    internal static ProblemHttpResult Missing(IReadOnlyList<string> missing) => Problems.Of(
        StatusCodes.Status409Conflict, "express-checkout-missing", "Save an address and a payment method first: in a flash sale there is no time to ask for them.",
        extensions: new Dictionary<string, object?> { ["missing"] = missing });

    private static async Task<Results<Ok<ExpressCheckoutReply>, ProblemHttpResult>> ReadAsync(ClaimsPrincipal user, CheckoutStore store, CancellationToken ct) =>
        await store.FindAsync(Buyer.Id(user), ct) is { } checkout ? TypedResults.Ok(ExpressCheckoutReply.Of(checkout)) : Problems.Of(
            StatusCodes.Status404NotFound, "not-found", "You have not left an address yet.", "PUT one here, or join a queue: it takes your first address and your default payment method.");

    private static async Task<Results<Ok<ExpressCheckoutReply>, ProblemHttpResult>> SetAsync(
        ExpressCheckoutRequest request, ClaimsPrincipal user, Checkouts checkouts, CancellationToken ct)
    {
        var (checkout, missing) = await checkouts.SetAsync(Buyer.Id(user), user, request.AddressId!.Value, request.PaymentMethodId, ct);
        if (checkout is not null)
            return TypedResults.Ok(ExpressCheckoutReply.Of(checkout));

        var wrong = new List<(string, string)>();
        if (missing.Contains(Checkouts.Address))
            wrong.Add(("addressId", "This is not one of your addresses."));
        if (missing.Contains(Checkouts.PaymentMethod) && request.PaymentMethodId is not null)
            wrong.Add(("paymentMethodId", "This is not one of your payment methods."));
        return wrong.Count > 0 ? Problems.Validation([.. wrong]) : Missing(missing);
    }
}

/// <param name="PaymentMethodId">Without: the account's default at the time of the charge.</param>
public sealed record ExpressCheckoutRequest([property: Required] Guid? AddressId, Guid? PaymentMethodId = null);

/// <summary>A copy: an address that changes later has to be told here again.</summary>
public sealed record ExpressCheckoutReply(Guid AddressId, PostalAddress ShipTo, OrderContact Contact, Guid? PaymentMethodId)
{
    internal static ExpressCheckoutReply Of(RememberedCheckout checkout) => new(checkout.AddressId, checkout.ShipTo, checkout.Contact, checkout.PaymentMethodId);
}
