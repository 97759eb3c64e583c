using System.ComponentModel.DataAnnotations;
using System.Security.Claims;
using Marketplace.Hosting;
using Marketplace.Identity.Tokens;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Identity.Accounts;

public sealed record OpenAccountRequest(
    [Required, MaxLength(EmailAddress.Longest)] string Email,
    [Required, StringLength(Passwords.Longest, MinimumLength = Passwords.Shortest)] string Password,
    [Required, MaxLength(100), RegularExpression(PlainText.Pattern, ErrorMessage = PlainText.Message)] string Name);

public sealed record Me(Guid AccountId, string? Email, string? Name, IReadOnlyList<string> Roles, Guid? SellerId);

public static class AccountEndpoints
{
    public static void MapAccounts(this IEndpointRouteBuilder routes)
    {
        routes.MapPost("/api/v1/accounts", OpenAsync);
        routes.MapGet("/api/v1/me", ShowMeAsync).RequireAuthorization(Policies.Buyer);
    }

    private static async Task<Results<Created<Session>, ProblemHttpResult>> OpenAsync(
        OpenAccountRequest request, AccountStore accounts, Passwords passwords, Sessions sessions, CancellationToken ct)
    {
        if (!EmailAddress.TryParse(request.Email, out var email))
            return Problems.Validation(("email", "This is not an e-mail address."));

        var account = await accounts.OpenAsync(email, request.Name.Trim(), await passwords.HashAsync(request.Password, ct), ct);
        return account is null
            ? Problems.Of(StatusCodes.Status409Conflict, "email-taken", "There is an account with this e-mail address already.")
            : TypedResults.Created("/api/v1/me", await sessions.StartAsync(account, ct));
    }

    private static async Task<Results<Ok<Me>, NotFound>> ShowMeAsync(ClaimsPrincipal user, AccountStore accounts, CancellationToken ct)
    {
        var id = Buyer.Id(user);
        if (Buyer.IsGuest(user))
            return TypedResults.Ok(new Me(id, null, null, ["guest"], null));
        if (await accounts.FindAsync(id, ct) is not { } account)
            return TypedResults.NotFound();

        List<string> roles = ["buyer"];
        if (account.SellerId is not null) roles.Add("seller");
        if (account.IsOperator) roles.Add("operator");
        return TypedResults.Ok(new Me(id, account.Email, account.Name, roles, account.SellerId));
    }
}
