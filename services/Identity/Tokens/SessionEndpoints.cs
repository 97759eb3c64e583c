using System.ComponentModel.DataAnnotations;
using System.Diagnostics;
using System.Globalization;
using System.Security.Claims;
using Marketplace.Hosting;
using Marketplace.Identity.Accounts;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Marketplace.Identity.Tokens;

public sealed record SignInRequest([Required, MaxLength(1_000)] string Email, [Required, MaxLength(1_000)] string Password);

public sealed record RefreshRequest([Required, MaxLength(1_000)] string RefreshToken);

public static class SessionEndpoints
{
    public static void MapSessions(this IEndpointRouteBuilder routes)
    {
        routes.MapPost("/api/v1/sessions", SignInAsync);
        routes.MapPost("/api/v1/sessions/refresh", RefreshAsync);
        routes.MapDelete("/api/v1/sessions", SignOutAsync).RequireAuthorization(Policies.Buyer);
        routes.MapPost("/api/v1/guests", VisitAsync);
    }

    /// <summary>An unknown address and a wrong password get the same answer after the same work, so that nobody can list our customers.</summary>
    private static async Task<Results<Ok<Session>, ProblemHttpResult>> SignInAsync(
        SignInRequest request,
        HttpContext http,
        AccountStore accounts,
        Passwords passwords,
        Sessions sessions,
        SignInLimits limits,
        ClientAddress client,
        CancellationToken ct)
    {
        var known = EmailAddress.TryParse(request.Email, out var email);
        if (limits.Hold(email, client.Of(http)) is { } wait)
            return TooManyTries(http, wait);

        var found = known ? await accounts.FindAsync(email, ct) : null;
        switch (await passwords.CheckAsync(request.Password, found?.PasswordHash, ct))
        {
            case PasswordVerdict.Wrong:
                return Problems.Of(StatusCodes.Status401Unauthorized, "bad-credentials", "The e-mail address or the password is wrong.");
            case PasswordVerdict.RightButWeak:
                await accounts.StrengthenAsync(found!.Value.Account.AccountId, found.Value.PasswordHash, await passwords.HashAsync(request.Password, ct), ct);
                break;
            case PasswordVerdict.Right:
                break;
            case var other:
                throw new UnreachableException($"{other}");
        }
        return TypedResults.Ok(await sessions.StartAsync(found!.Value.Account, ct));
    }

    private static async Task<Results<Ok<Session>, ProblemHttpResult>> RefreshAsync(
        RefreshRequest request, Sessions sessions, AccountStore accounts, ILogger<Sessions> log, CancellationToken ct)
    {
        var refreshed = await sessions.ContinueAsync(request.RefreshToken, ct);
        if (refreshed.Verdict == RefreshVerdict.Reused)
            SessionLog.Reused(log);

        // Roles are read anew: a seller of a minute ago becomes one here.
        if (refreshed.Ticket is not { } ticket || await accounts.FindAsync(ticket.AccountId, ct) is not { } account)
            return Problems.Of(StatusCodes.Status401Unauthorized, "session-ended", "Your session has ended. Please sign in again.");
        return TypedResults.Ok(await sessions.WithTokenAsync(account, ticket, ct));
    }

    private static async Task<NoContent> SignOutAsync(ClaimsPrincipal user, SessionStore store, CancellationToken ct)
    {
        if (Guid.TryParse(user.FindFirstValue(Sessions.SessionClaim), out var sessionId))
            await store.EndAsync(sessionId, Buyer.Id(user), "signed out", ct);
        return TypedResults.NoContent();
    }

    private static async Task<Created<Session>> VisitAsync(Sessions sessions, CancellationToken ct) =>
        TypedResults.Created("/api/v1/me", await sessions.GuestAsync(ct));

    private static ProblemHttpResult TooManyTries(HttpContext http, TimeSpan wait)
    {
        http.Response.Headers.RetryAfter = ((int)Math.Ceiling(wait.TotalSeconds)).ToString(CultureInfo.InvariantCulture);
        return Problems.Of(StatusCodes.Status429TooManyRequests, "too-many-requests", "Too many attempts to sign in. Please wait a moment.");
    }
}

internal static partial class SessionLog
{
    [LoggerMessage(LogLevel.Warning, "A refresh token was used twice; its session has been ended")]
    public static partial void Reused(ILogger log);
}
