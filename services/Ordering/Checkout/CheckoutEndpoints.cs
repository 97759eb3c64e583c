using System.ComponentModel.DataAnnotations;
using System.Security.Claims;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Marketplace.Ordering.Clients;
using Marketplace.Ordering.Orders;

namespace Marketplace.Ordering.Checkout;

public static class CheckoutEndpoints
{
    public static void MapCheckout(this IEndpointRouteBuilder routes)
    {
        var buyers = routes.MapGroup("/api/v1").RequireAuthorization(Policies.Buyer);
        buyers.MapPost("/checkout", CheckOutAsync).Produces<PlacedOrder>(StatusCodes.Status202Accepted)
            .ProducesProblem(StatusCodes.Status409Conflict).ProducesProblem(StatusCodes.Status422UnprocessableEntity);
        buyers.MapPost("/orders/{orderId:guid}/payment", PayAgainAsync).Produces<PlacedOrder>(StatusCodes.Status202Accepted)
            .ProducesProblem(StatusCodes.Status404NotFound).ProducesProblem(StatusCodes.Status409Conflict);
    }

    /// <summary>Sells the cart at the price the buyer saw, or says what changed. Nothing is held or charged yet: that is the saga's work.</summary>
    private static async Task<IResult> CheckOutAsync(
        CheckoutRequest request, HttpContext http, Idempotency idempotency, CheckoutStore orders,
        ICartClient carts, ICatalogClient catalog, TimeProvider time, CancellationToken ct)
    {
        if (ContactOf(request, http.User) is not { } contact)
            return Problems.Validation(("contact", "Say where to send messages about the order."));

        await using var once = await idempotency.BeginAsync(http, request, ct);
        if (once.Answer is { } answer) return answer;

        var buyerId = Buyer.Id(http.User);
        var cart = await carts.OfAsync(buyerId, ct);
        if (cart.Lines.Count == 0) return Problems.Of(StatusCodes.Status422UnprocessableEntity, "cart-empty", "There is nothing in the cart.");

        var listed = await catalog.PricesAsync([.. cart.Lines.Select(line => line.ProductId)], ct);
        var pricing = Pricing.Price(cart, listed);
        switch (pricing)
        {
            case Pricing.NotForSale gone:
                return Problems.Of(StatusCodes.Status422UnprocessableEntity, "not-for-sale", "Something in the cart is not sold any more.",
                    extensions: new Dictionary<string, object?> { ["productIds"] = gone.ProductIds });
            case Pricing.WrongQuantity wrong:
                return Problems.Validation(($"lines[{wrong.Line}].quantity", "Between 1 and 99 units."));
            case Pricing.Priced { Total: var total } when total != request.ExpectedTotal:
                return Problems.Of(StatusCodes.Status409Conflict, "total-changed", "The total is not what you saw.",
                    extensions: new Dictionary<string, object?> { ["expected"] = request.ExpectedTotal, ["actual"] = total });
        }

        var priced = (Pricing.Priced)pricing;
        var orderId = Guid.CreateVersion7(time.GetUtcNow());
        await orders.PlaceAsync(once.Transaction, new NewOrder(
            orderId, buyerId, cart.CartId, priced.Total, priced.Lines, request.ShipTo.ToAddress(), contact, request.PaymentMethod), ct);
        return await once.CommitAsync(
            StatusCodes.Status202Accepted, new PlacedOrder(orderId, OrderStatus.Pending, priced.Total), location: $"/api/v1/orders/{orderId}", ct);
    }

    /// <summary>A refused payment is completed by a new attempt: its own reservation, its own charge, its own saga.</summary>
    private static async Task<IResult> PayAgainAsync(
        Guid orderId, PaymentRequest request, HttpContext http, Idempotency idempotency, CheckoutStore orders, OrderStore read, CancellationToken ct)
    {
        await using var once = await idempotency.BeginAsync(http, request, ct);
        if (once.Answer is { } answer) return answer;

        if (await orders.PayAgainAsync(once.Transaction, orderId, Buyer.Id(http.User), request.PaymentMethod, ct) is { } placed)
            return await once.CommitAsync(StatusCodes.Status202Accepted, placed, location: $"/api/v1/orders/{orderId}", ct);

        return await read.VersionAsync(orderId, Viewer.BuyerOf(http.User), ct) is null
            ? TypedResults.NotFound()
            : Problems.Of(StatusCodes.Status409Conflict, "payment-not-due", "This order is not waiting for a payment.");
    }

    private static OrderContact? ContactOf(CheckoutRequest request, ClaimsPrincipal user) => (request.Contact, Buyer.Email(user)) switch
    {
        ({ } given, _) => new OrderContact(given.Email, given.Name),
        (null, { } email) when !Buyer.IsGuest(user) => new OrderContact(email, Buyer.Name(user) ?? email),
        _ => null,
    };
}

public sealed record CheckoutRequest(
    [property: Required] Money? ExpectedTotal,
    [property: Required] ShipTo ShipTo,
    ContactDetails? Contact = null,
    [property: StringLength(255, MinimumLength = 1)] string? PaymentMethod = null);

public sealed record ShipTo(
    [property: Required, StringLength(200, MinimumLength = 1)] string Name,
    [property: Required, StringLength(200, MinimumLength = 1)] string Line1,
    [property: StringLength(200)] string? Line2,
    [property: Required, StringLength(100, MinimumLength = 1)] string City,
    [property: Required, StringLength(20, MinimumLength = 1)] string PostalCode,
    [property: Required, RegularExpression("^[A-Z]{2}$", ErrorMessage = "Two capital letters, as in ISO 3166.")] string Country)
{
    public PostalAddress ToAddress() => new(Name, Line1, Line2, City, PostalCode, Country);
}

public sealed record ContactDetails(
    [property: Required, EmailAddress, StringLength(254)] string Email,
    [property: Required, StringLength(200, MinimumLength = 1)] string Name);

public sealed record PaymentRequest([property: StringLength(255, MinimumLength = 1)] string? PaymentMethod = null);
