using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
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
/// token is therefore remembered by its hash until it expires (at most 5 minutes, so that a withdrawn key stops counting): whom it
/// names for the latest thousands; for many more, since a crowd comes back once, only that its signature was good.
/// </summary>
internal sealed class TokenCheck(SigningKeys keys, TimeProvider time)
{
    public const string Issuer = "marketplace";
    public const string Audience = "marketplace";
    private const int LongestToken = 8 * 1024;
    private const int Generation = 5_000;
    private const int CrowdGeneration = 100_000;                // some 15 MB when full
    private static readonly TimeSpan LongestRemembered = TimeSpan.FromMinutes(5);
    private static readonly JsonWebTokenHandler Handler = new() { MapInboundClaims = false };

    private readonly Generations<ClaimsPrincipal> users = new(Generation);
    private readonly Generations<DateTimeOffset> signatures = new(CrowdGeneration);

    public async ValueTask<(TokenVerdict Verdict, ClaimsPrincipal? User)> CheckAsync(string token, CancellationToken ct)
    {
        if (token.Length is 0 or > LongestToken)
            return (TokenVerdict.Invalid, null);

        var hash = HashOf(token);
        var now = time.GetUtcNow();
        if (users.TryGet(hash, now, out var known))
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

        var signatureIsKnown = signatures.TryGet(hash, now, out var until);
        var result = await Handler.ValidateTokenAsync(token, new TokenValidationParameters
        {
            SignatureValidator = signatureIsKnown ? static (text, _) => new JsonWebToken(text) : null,
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

        var expires = new DateTimeOffset(DateTime.SpecifyKind(result.SecurityToken.ValidTo, DateTimeKind.Utc));
        if (!signatureIsKnown)
        {
            until = expires < now + LongestRemembered ? expires : now + LongestRemembered;
            signatures.Add(hash, until, until);
        }
        users.Add(hash, user, until);
        return (TokenVerdict.Valid, user);
    }

    private bool WithinLifetime(DateTime? notBefore, DateTime? expires, SecurityToken token, TokenValidationParameters parameters)
    {
        var now = time.GetUtcNow().UtcDateTime;
        return expires is { } end && now < end + parameters.ClockSkew && (notBefore is not { } start || start - parameters.ClockSkew <= now);
    }

    // The first half of a SHA-256 says as surely which token it was.
    private static UInt128 HashOf(string token)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(Encoding.UTF8.GetBytes(token), hash);
        return BinaryPrimitives.ReadUInt128BigEndian(hash);
    }

    /// <summary>Two generations bound the memory without bookkeeping per hit: when the young one is full the old one is dropped.</summary>
    private sealed class Generations<T>(int size)
    {
        private ConcurrentDictionary<UInt128, (T Value, DateTimeOffset Until)> young = new();
        private ConcurrentDictionary<UInt128, (T Value, DateTimeOffset Until)> old = new();
        private int added;

        public bool TryGet(UInt128 key, DateTimeOffset now, [MaybeNullWhen(false)] out T value)
        {
            var known = (young.TryGetValue(key, out var entry) || old.TryGetValue(key, out entry)) && now < entry.Until;
            value = known ? entry.Value : default;
            return known;
        }

        public void Add(UInt128 key, T value, DateTimeOffset until)
        {
            if (Interlocked.Increment(ref added) % size == 0)
                (old, young) = (young, new());
            young[key] = (value, until);
        }
    }
}
