using System.Collections.Concurrent;
using System.Security.Claims;
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using Microsoft.Net.Http.Headers;

namespace Marketplace.Hosting;

/// <summary>Bearer tokens: ES256 by identity's keys, issuer and audience <c>marketplace</c>, not expired. Anything else is nobody.</summary>
internal sealed class TokenSignIn(
    IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory log, UrlEncoder encoder, TokenCheck tokens)
    : AuthenticationHandler<AuthenticationSchemeOptions>(options, log, encoder)
{
    public const string SchemeName = "Bearer";
    private const string Prefix = "Bearer ";
    private TokenVerdict verdict = TokenVerdict.None;

    protected override async Task<AuthenticateResult> HandleAuthenticateAsync()
    {
        var header = Request.Headers.Authorization.ToString();
        if (!header.StartsWith(Prefix, StringComparison.OrdinalIgnoreCase))
            return AuthenticateResult.NoResult();

        (verdict, var user) = await tokens.CheckAsync(header[Prefix.Length..].Trim(), Context.RequestAborted);
        return user is null
            ? AuthenticateResult.Fail(verdict.ToString())
            : AuthenticateResult.Success(new AuthenticationTicket(user, Scheme.Name));
    }

    protected override Task HandleChallengeAsync(AuthenticationProperties properties)
    {
        // A token nobody can check right now is not a wrong token: signing in again would not help.
        Response.StatusCode = verdict == TokenVerdict.KeysUnavailable ? StatusCodes.Status503ServiceUnavailable : StatusCodes.Status401Unauthorized;
        if (verdict != TokenVerdict.KeysUnavailable)
            Response.Headers[HeaderNames.WWWAuthenticate] = verdict switch
            {
                TokenVerdict.None => "Bearer",
                TokenVerdict.Expired => "Bearer error=\"invalid_token\", error_description=\"expired\"",
                _ => "Bearer error=\"invalid_token\"",
            };
        return Task.CompletedTask;
    }
}

internal enum TokenVerdict
{
    None,
    Valid,
    Expired,
    Invalid,
    KeysUnavailable,
}

/// <summary>
/// Verifying ES256 costs more than the rest of a cheap request, and one purchase passes the same token through many hops. A valid
/// token is therefore remembered by its hash until it expires (at most 5 minutes, so that a withdrawn key stops counting).
/// </summary>
internal sealed class TokenCheck(SigningKeys keys, TimeProvider time)
{
    public const string Issuer = "marketplace";
    public const string Audience = "marketplace";
    private const int LongestToken = 8 * 1024;
    private const int Generation = 10_000;
    private static readonly TimeSpan LongestRemembered = TimeSpan.FromMinutes(5);
    private static readonly JsonWebTokenHandler Handler = new() { MapInboundClaims = false };

    // Two generations bound the memory without bookkeeping per hit: when the young one is full the old one is dropped.
    private ConcurrentDictionary<string, Remembered> young = new(StringComparer.Ordinal);
    private ConcurrentDictionary<string, Remembered> old = new(StringComparer.Ordinal);

    public async ValueTask<(TokenVerdict Verdict, ClaimsPrincipal? User)> CheckAsync(string token, CancellationToken ct)
    {
        if (token.Length is 0 or > LongestToken)
            return (TokenVerdict.Invalid, null);

        var hash = Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes(token)));
        if (Recall(hash) is { } known)
            return (TokenVerdict.Valid, known);

        if (!Handler.CanReadToken(token))
            return (TokenVerdict.Invalid, null);

        string? keyId;
        try
        {
            keyId = Handler.ReadJsonWebToken(token).Kid;
        }
        catch (Exception unreadable) when (unreadable is ArgumentException or SecurityTokenException)
        {
            return (TokenVerdict.Invalid, null);
        }

        if (await keys.ForAsync(keyId, ct) is not { } signingKeys)
            return (TokenVerdict.KeysUnavailable, null);

        var result = await Handler.ValidateTokenAsync(token, new TokenValidationParameters
        {
            ValidIssuer = Issuer,
            ValidAudience = Audience,
            ValidAlgorithms = [SecurityAlgorithms.EcdsaSha256],
            IssuerSigningKeys = signingKeys,
            RequireSignedTokens = true,
            RequireExpirationTime = true,
            ClockSkew = TimeSpan.FromSeconds(5),
            LifetimeValidator = WithinLifetime,
            NameClaimType = "name",
            RoleClaimType = "roles",
        });
        if (!result.IsValid)
            return (result.Exception is SecurityTokenInvalidLifetimeException or SecurityTokenExpiredException ? TokenVerdict.Expired : TokenVerdict.Invalid, null);

        var user = new ClaimsPrincipal(result.ClaimsIdentity);
        if (!Guid.TryParse(user.FindFirstValue("sub"), out _))
            return (TokenVerdict.Invalid, null);

        Remember(hash, user, result.SecurityToken.ValidTo);
        return (TokenVerdict.Valid, user);
    }

    private bool WithinLifetime(DateTime? notBefore, DateTime? expires, SecurityToken token, TokenValidationParameters parameters)
    {
        var now = time.GetUtcNow().UtcDateTime;
        return expires is { } end && now < end + parameters.ClockSkew && (notBefore is not { } start || start - parameters.ClockSkew <= now);
    }

    private ClaimsPrincipal? Recall(string hash) =>
        (young.TryGetValue(hash, out var known) || old.TryGetValue(hash, out known)) && time.GetUtcNow() < known.Until ? known.User : null;

    private void Remember(string hash, ClaimsPrincipal user, DateTime expires)
    {
        if (young.Count >= Generation)
            (old, young) = (young, new(StringComparer.Ordinal));
        var latest = time.GetUtcNow() + LongestRemembered;
        var expiry = new DateTimeOffset(DateTime.SpecifyKind(expires, DateTimeKind.Utc));
        young[hash] = new Remembered(user, expiry < latest ? expiry : latest);
    }

    private sealed record Remembered(ClaimsPrincipal User, DateTimeOffset Until);
}
