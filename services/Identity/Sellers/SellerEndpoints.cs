using System.ComponentModel.DataAnnotations;
using System.Security.Claims;
using Marketplace.Hosting;
using Marketplace.Identity.Accounts;
using Marketplace.Identity.Tokens;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Identity.Sellers;

public sealed record OpenShopRequest(
    [Required, StringLength(80, MinimumLength = 2), RegularExpression(PlainText.Pattern, ErrorMessage = PlainText.Message)] string DisplayName);

public static class SellerEndpoints
{
    public static void MapSellers(this IEndpointRouteBuilder routes)
    {
        routes.MapPost("/api/v1/sellers", OpenAsync).RequireAuthorization(Policies.Account);
        routes.MapGet("/api/v1/sellers/{sellerId:guid}", ShowAsync);
    }

    /// <summary>Answers with a session that holds the new role: the token of the request does not know it yet.</summary>
    private static async Task<Results<Created<Session>, NotFound, ProblemHttpResult>> OpenAsync(
        OpenShopRequest request, ClaimsPrincipal user, SellerStore sellers, AccountStore accounts, Sessions sessions, CancellationToken ct)
    {
        var displayName = request.DisplayName.Trim();
        var accountId = Buyer.Id(user);
        if (await accounts.FindAsync(accountId, ct) is null)
            return TypedResults.NotFound();

        // A repeat with the same name is taken for a lost reply.
        var seller = await sellers.OpenAsync(accountId, displayName, ct);
        if (seller.DisplayName != displayName)
            return Problems.Of(StatusCodes.Status409Conflict, "already-a-seller", "This account sells under another name already.");

        return await accounts.FindAsync(accountId, ct) is { } account
            ? TypedResults.Created($"/api/v1/sellers/{seller.SellerId}", await sessions.StartAsync(account, ct))
            : TypedResults.NotFound();
    }

    private static async Task<Results<Ok<SellerProfile>, NotFound>> ShowAsync(Guid sellerId, SellerStore sellers, CancellationToken ct) =>
        await sellers.FindAsync(sellerId, ct) is { } seller ? TypedResults.Ok(seller) : TypedResults.NotFound();
}
