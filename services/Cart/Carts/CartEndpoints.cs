using System.ComponentModel.DataAnnotations;
using System.Diagnostics;
using System.Security.Claims;
using Marketplace.Cart.Clients;
using Marketplace.Contracts;
using Marketplace.Hosting;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Cart.Carts;

public sealed record LineRequest(Guid ProductId, [Range(1, CartContents.MostUnits)] int Quantity);

public sealed record QuantityRequest([Range(1, CartContents.MostUnits)] int Quantity);

public sealed record ReplaceRequest([Required, MaxLength(CartContents.MostLines)] IReadOnlyList<LineRequest?> Lines);

public sealed record MergeRequest([Required] string GuestToken);

/// <summary>A line as shown. What the catalogue no longer lists has no title and no price, and counts nothing in the total.</summary>
public sealed record PricedLine(Guid ProductId, string? Title, Guid? SellerId, int Quantity, Money? UnitPrice, Money? LineTotal, bool Available);

public sealed record PricedCart(Guid CartId, IReadOnlyList<PricedLine> Lines, Money Total, string Etag)
{
    public static PricedCart Of(CartContents cart, IReadOnlyDictionary<Guid, ProductPrice> prices)
    {
        var lines = cart.Lines.Select(line => prices.TryGetValue(line.ProductId, out var product)
            ? new PricedLine(line.ProductId, product.Title, product.SellerId, line.Quantity, product.Price, product.Price * line.Quantity, true)
            : new PricedLine(line.ProductId, null, null, line.Quantity, null, null, false)).ToList();
        var totals = lines.Select(line => line.LineTotal).OfType<Money>().ToList();
        return new(cart.CartId, lines, totals.Count == 0 ? Money.Gbp(0) : totals.Aggregate((sum, next) => sum + next), cart.ETag);
    }
}

/// <summary>What checkout reads: no prices, it asks for those itself.</summary>
public sealed record PlainCart(Guid CartId, IReadOnlyList<CartLine> Lines);

public static class CartEndpoints
{
    public static void MapCarts(this IEndpointRouteBuilder routes)
    {
        var cart = routes.MapGroup("/api/v1/cart").RequireAuthorization(Policies.Buyer);
        cart.MapGet("", ShowAsync);
        cart.MapPut("", ReplaceAsync);
        cart.MapDelete("", ClearAsync);
        cart.MapPost("/lines", AddAsync);
        cart.MapPut("/lines/{productId:guid}", SetQuantityAsync);
        cart.MapDelete("/lines/{productId:guid}", RemoveAsync);
        cart.MapPost("/merge", MergeAsync).RequireAuthorization(Policies.Account);

        routes.MapInternal("/internal/carts", "ordering").MapGet("/{buyerId:guid}", ReadAsync);
    }

    private static async Task<Ok<PricedCart>> ShowAsync(HttpContext http, ClaimsPrincipal user, CartStore carts, ICatalogClient catalog, CancellationToken ct)
    {
        var cart = (await carts.LoadAsync(Buyer.Id(user), ct)).Contents;
        return Shown(http, PricedCart.Of(cart, await catalog.PricesAsync(Ids(cart), ct)));
    }

    private static async Task<Results<Ok<PricedCart>, ProblemHttpResult>> ReplaceAsync(
        ReplaceRequest request, HttpContext http, ClaimsPrincipal user, CartStore carts, ICatalogClient catalog, TimeProvider time, CancellationToken ct)
    {
        // JSON may hold a null where a line should be.
        var lines = request.Lines.Select(line => line is null ? new(Guid.Empty, 0) : new CartLine(line.ProductId, line.Quantity)).ToList();
        var prices = await catalog.PricesAsync([.. lines.Select(line => line.ProductId).Distinct()], ct);
        var unknown = lines
            .Select((line, at) => (Field: $"lines[{at}].productId", line.ProductId))
            .Where(line => !prices.ContainsKey(line.ProductId))
            .Select(line => (line.Field, "There is no such product."))
            .ToArray();
        if (unknown.Length > 0)
            return Problems.Validation(unknown);

        var seen = http.Request.Headers.IfMatch.ToString();
        var result = await carts.ChangeAsync(
            Buyer.Id(user),
            cart => seen.Length > 0 && seen != "*" && seen != cart.ETag
                ? new(cart, CartRefusal.NotAsSeen)
                : cart.Replace(lines, Guid.CreateVersion7(time.GetUtcNow())),
            ct);
        return result.Refusal is { } why ? Refused(why, "lines") : Shown(http, PricedCart.Of(result.Contents, prices));
    }

    private static async Task<NoContent> ClearAsync(ClaimsPrincipal user, CartStore carts, TimeProvider time, CancellationToken ct)
    {
        // The document stays, empty: it remembers which merges and orders it has seen.
        await carts.ChangeAsync(
            Buyer.Id(user), cart => cart.Lines.Count == 0 ? cart : cart.Replace([], Guid.CreateVersion7(time.GetUtcNow())), ct);
        return TypedResults.NoContent();
    }

    private static async Task<Results<Ok<PricedCart>, ProblemHttpResult>> AddAsync(
        LineRequest request,
        HttpContext http,
        ClaimsPrincipal user,
        CartStore carts,
        ICatalogClient catalog,
        Announcements announcements,
        TimeProvider time,
        CancellationToken ct)
    {
        var buyer = Buyer.Id(user);
        var read = await carts.LoadAsync(buyer, ct);
        var prices = await catalog.PricesAsync([.. Ids(read.Contents).Append(request.ProductId).Distinct()], ct);
        if (!prices.ContainsKey(request.ProductId))
            return Problems.Validation(("productId", "There is no such product."));

        var result = await carts.ChangeAsync(buyer, cart => cart.Add(request.ProductId, request.Quantity), ct, read);
        if (result.Refusal is { } why)
            return Refused(why, "quantity");

        announcements.Announce(new CartItemAdded(buyer, result.Contents.CartId, request.ProductId, request.Quantity) { OccurredAt = time.GetUtcNow() });
        return Shown(http, await PricedAsync(result.Contents, prices, catalog, ct));
    }

    private static async Task<Results<Ok<PricedCart>, NotFound, ProblemHttpResult>> SetQuantityAsync(
        Guid productId, QuantityRequest request, HttpContext http, ClaimsPrincipal user, CartStore carts, ICatalogClient catalog, CancellationToken ct)
    {
        var result = await carts.ChangeAsync(Buyer.Id(user), cart => cart.SetQuantity(productId, request.Quantity), ct);
        return result.Refusal switch
        {
            null => Shown(http, PricedCart.Of(result.Contents, await catalog.PricesAsync(Ids(result.Contents), ct))),
            CartRefusal.NoSuchLine => TypedResults.NotFound(),
            { } why => Refused(why, "quantity"),
        };
    }

    private static async Task<Results<Ok<PricedCart>, ProblemHttpResult>> RemoveAsync(
        Guid productId, HttpContext http, ClaimsPrincipal user, CartStore carts, ICatalogClient catalog, CancellationToken ct)
    {
        var result = await carts.ChangeAsync(Buyer.Id(user), cart => cart.Remove(productId), ct);
        return result.Refusal is { } why
            ? Refused(why, "productId")
            : Shown(http, PricedCart.Of(result.Contents, await catalog.PricesAsync(Ids(result.Contents), ct)));
    }

    private static async Task<Results<Ok<PricedCart>, ProblemHttpResult>> MergeAsync(
        MergeRequest request,
        HttpContext http,
        ClaimsPrincipal user,
        TokenReader tokens,
        CartMerge merge,
        ICatalogClient catalog,
        CancellationToken ct)
    {
        // The token is the proof that this browser filled that cart; knowing a guest's id would not be.
        if (await tokens.ReadAsync(request.GuestToken, ct) is not { } guest || !Buyer.IsGuest(guest))
            return Problems.Validation(("guestToken", "This is not a guest's token, or it has expired."));

        var result = await merge.MergeAsync(Buyer.Id(guest), Buyer.Id(user), ct);
        return result.Refusal is { } why
            ? Refused(why, "guestToken")
            : Shown(http, PricedCart.Of(result.Contents, await catalog.PricesAsync(Ids(result.Contents), ct)));
    }

    private static async Task<Ok<PlainCart>> ReadAsync(Guid buyerId, CartStore carts, CancellationToken ct)
    {
        var cart = (await carts.LoadAsync(buyerId, ct)).Contents;
        return TypedResults.Ok(new PlainCart(cart.CartId, cart.Lines));
    }

    /// <summary>One call to the catalogue was made before the write; a second only if another tab brought a product in meanwhile.</summary>
    private static async Task<PricedCart> PricedAsync(
        CartContents cart, IReadOnlyDictionary<Guid, ProductPrice> known, ICatalogClient catalog, CancellationToken ct) =>
        PricedCart.Of(cart, cart.Lines.All(line => known.ContainsKey(line.ProductId)) ? known : await catalog.PricesAsync(Ids(cart), ct));

    private static Guid[] Ids(CartContents cart) => [.. cart.Lines.Select(line => line.ProductId)];

    private static Ok<PricedCart> Shown(HttpContext http, PricedCart cart)
    {
        http.Response.Headers.ETag = cart.Etag;
        return TypedResults.Ok(cart);
    }

    private static ProblemHttpResult Refused(CartRefusal why, string field) => why switch
    {
        CartRefusal.QuantityOutOfRange => Problems.Validation((field, $"A line holds 1 to {CartContents.MostUnits} units.")),
        CartRefusal.TooManyLines => Problems.Validation((field, $"A cart holds at most {CartContents.MostLines} lines.")),
        CartRefusal.NoSuchLine => Problems.Of(StatusCodes.Status404NotFound, "not-found", "This product is not in the cart."),
        CartRefusal.NotAsSeen => Problems.Of(StatusCodes.Status412PreconditionFailed, "cart-changed", "The cart has changed since you last saw it."),
        CartRefusal.Contended => Problems.Of(StatusCodes.Status409Conflict, "cart-busy", "The cart is being changed elsewhere. Please try again."),
        _ => throw new UnreachableException($"{why}"),
    };
}
