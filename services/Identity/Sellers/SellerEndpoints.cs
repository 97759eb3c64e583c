using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Security.Claims;
using Marketplace.Hosting;
using Marketplace.Identity.Accounts;
using Marketplace.Identity.Tokens;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Identity.Sellers;

public sealed record OpenShopRequest(
    [Required, StringLength(80, MinimumLength = 2), RegularExpression(PlainText.Pattern, ErrorMessage = PlainText.Message)] string DisplayName);

/// <summary>All of the profile: what is left out becomes empty.</summary>
public sealed record ProfileRequest(
    [property: Required, StringLength(80, MinimumLength = 2), RegularExpression(PlainText.Pattern, ErrorMessage = PlainText.Message)] string DisplayName,
    [property: StringLength(4000), RegularExpression(PlainText.ManyLines, ErrorMessage = PlainText.ManyLinesMessage)] string About = "",
    [property: StringLength(2000)] string? LogoUrl = null);

public static class SellerEndpoints
{
    public static void MapSellers(this IEndpointRouteBuilder routes)
    {
        routes.MapPost("/api/v1/sellers", OpenAsync).RequireAuthorization(Policies.Account);
        routes.MapGet("/api/v1/sellers/{sellerId:guid}", ShowAsync);

        var own = routes.MapGroup("/api/v1/seller/profile").RequireAuthorization(Policies.Seller);
        own.MapGet("/", ShowOwnAsync);
        own.MapPut("/", ChangeAsync);
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

    private static async Task<Results<Ok<SellerProfile>, NotFound, StatusCodeHttpResult>> ShowAsync(Guid sellerId, SellerStore sellers, HttpContext http, CancellationToken ct)
    {
        if (await sellers.FindAsync(sellerId, ct) is not { } seller)
            return TypedResults.NotFound();

        http.Response.Headers.ETag = seller.ETag;
        return http.Request.GetTypedHeaders().IfNoneMatch.Any(tag => tag.Tag.Value is "*" || tag.Tag.Value == seller.ETag)
            ? TypedResults.StatusCode(StatusCodes.Status304NotModified)
            : TypedResults.Ok(seller);
    }

    private static Task<Results<Ok<SellerProfile>, NotFound, StatusCodeHttpResult>> ShowOwnAsync(ClaimsPrincipal user, SellerStore sellers, HttpContext http, CancellationToken ct) =>
        ShowAsync(SellerId.Of(user).Value, sellers, http, ct);

    private static async Task<Results<Ok<SellerProfile>, NotFound, ProblemHttpResult>> ChangeAsync(
        ProfileRequest request, ClaimsPrincipal user, SellerStore sellers, HttpContext http, CancellationToken ct)
    {
        if (http.Request.Headers.IfMatch.Count == 0)
            return Problems.Of(StatusCodes.Status428PreconditionRequired, "precondition-required", "Say which version you are changing (If-Match).");

        var logoUrl = string.IsNullOrWhiteSpace(request.LogoUrl) ? null : request.LogoUrl.Trim();
        if (logoUrl is not null && !IsPicture(logoUrl))
            return Problems.Validation(("logoUrl", "A logo is an http(s) address, or a path on this site that starts with '/'."));

        var (verdict, profile) = await sellers.ChangeAsync(
            SellerId.Of(user), BasedOn(http.Request), request.DisplayName.Trim(), request.About.ReplaceLineEndings("\n").Trim(), logoUrl, ct);
        switch (verdict)
        {
            case ProfileChange.Unknown:
                return TypedResults.NotFound();
            case ProfileChange.Stale:
                return Problems.Of(
                    StatusCodes.Status412PreconditionFailed, "precondition-failed", "The profile was changed since you read it.", "Read it again and repeat your change on top.");
            default:
                http.Response.Headers.ETag = profile!.ETag;
                return TypedResults.Ok(profile);
        }
    }

    /// <summary>Null for <c>*</c>, which is any version; an ETag that was never ours matches none.</summary>
    private static long? BasedOn(HttpRequest request)
    {
        var tags = request.GetTypedHeaders().IfMatch;
        if (tags is [{ Tag.Value: "*" }, ..])
            return null;
        return tags is [{ IsWeak: false } one] && long.TryParse(one.Tag.Value.AsSpan().Trim('"'), CultureInfo.InvariantCulture, out var version) ? version : 0;
    }

    // Never javascript: or data:, and no "//elsewhere" disguised as a path.
    private static bool IsPicture(string address) =>
        !address.Any(char.IsControl)
        && ((address.StartsWith('/') && !address.StartsWith("//", StringComparison.Ordinal) && Uri.TryCreate(address, UriKind.Relative, out _))
            || (Uri.TryCreate(address, UriKind.Absolute, out var uri) && (uri.Scheme == Uri.UriSchemeHttps || uri.Scheme == Uri.UriSchemeHttp)));
}
