using System.ComponentModel.DataAnnotations;
using Marketplace.Identity.Accounts;
using Microsoft.Extensions.Options;
using Microsoft.IdentityModel.JsonWebTokens;

namespace Marketplace.Identity.Tokens;

public sealed class TokenOptions
{
    [Required]
    public string Issuer { get; set; } = "marketplace";

    [Required]
    public string Audience { get; set; } = "marketplace";

    /// <summary>Signing out and new roles take effect within this time.</summary>
    public TimeSpan AccessTokensLive { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>A guest has nothing to refresh with, so the token lasts for a visit.</summary>
    public TimeSpan GuestTokensLive { get; set; } = TimeSpan.FromHours(24);

    /// <summary>A session that nobody refreshed for this long is over.</summary>
    public TimeSpan SessionsLive { get; set; } = TimeSpan.FromDays(30);
}

/// <summary>What a client keeps to be somebody.</summary>
public sealed record Session(
    Guid AccountId, string AccessToken, string? RefreshToken, DateTimeOffset ExpiresAt, Guid? SellerId, IReadOnlyList<string> Roles);

/// <summary>Starts and continues sessions, and signs the access tokens that go with them.</summary>
public sealed class Sessions(SessionStore store, SigningKeys keys, IOptions<TokenOptions> options, TimeProvider time)
{
    /// <summary>Claim with the id of the session, so that signing out ends the right one.</summary>
    public const string SessionClaim = "sid";

    private readonly TokenOptions options = options.Value;
    private readonly JsonWebTokenHandler handler = new() { SetDefaultTimesOnTokenCreation = false };

    public async Task<Session> StartAsync(Account account, CancellationToken ct) =>
        await WithTokenAsync(account, await store.StartAsync(account.AccountId, options.SessionsLive, ct), ct);

    public Task<Refreshed> ContinueAsync(string refreshToken, CancellationToken ct) => store.RefreshAsync(refreshToken, options.SessionsLive, ct);

    public async Task<Session> WithTokenAsync(Account account, SessionTicket ticket, CancellationToken ct)
    {
        List<string> roles = ["buyer"];
        if (account.SellerId is not null) roles.Add("seller");
        if (account.IsOperator) roles.Add("operator");

        var claims = new Dictionary<string, object>
        {
            ["sub"] = account.AccountId.ToString(),
            ["roles"] = roles.ToArray(),
            ["email"] = account.Email,
            ["name"] = account.Name,
            [SessionClaim] = ticket.SessionId.ToString(),
        };
        if (account.SellerId is { } sellerId)
            claims["seller_id"] = sellerId.ToString();

        var (token, expiresAt) = await SignAsync(claims, options.AccessTokensLive, ct);
        return new(account.AccountId, token, ticket.RefreshToken, expiresAt, account.SellerId, roles);
    }

    /// <summary>A visitor without an account: the token is all there is.</summary>
    public async Task<Session> GuestAsync(CancellationToken ct)
    {
        var guestId = Guid.CreateVersion7(time.GetUtcNow());
        string[] roles = ["guest"];
        var (token, expiresAt) = await SignAsync(new() { ["sub"] = guestId.ToString(), ["roles"] = roles }, options.GuestTokensLive, ct);
        return new(guestId, token, null, expiresAt, null, roles);
    }

    private async Task<(string Token, DateTimeOffset ExpiresAt)> SignAsync(Dictionary<string, object> claims, TimeSpan lifetime, CancellationToken ct)
    {
        var now = time.GetUtcNow();
        var expiresAt = now + lifetime;
        claims["jti"] = Guid.CreateVersion7(now).ToString("N");
        var token = handler.CreateToken(new Microsoft.IdentityModel.Tokens.SecurityTokenDescriptor
        {
            Issuer = options.Issuer,
            Audience = options.Audience,
            IssuedAt = now.UtcDateTime,
            Expires = expiresAt.UtcDateTime,
            Claims = claims,
            SigningCredentials = await keys.SignerAsync(ct),
        });
        return (token, expiresAt);
    }
}
