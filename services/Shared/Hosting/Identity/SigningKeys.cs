using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging;
using Microsoft.IdentityModel.Tokens;

namespace Marketplace.Hosting;

/// <summary>
/// Identity's public keys. From configuration <c>Auth:Jwks</c> when given, else fetched through the sidecar: kept 5 minutes, fetched
/// again for an unknown key id, but at most once per 10 seconds (anyone can send an unknown id). Old keys serve while identity is down.
/// </summary>
internal sealed partial class SigningKeys(IConfiguration configuration, TimeProvider time, IHttpClientFactory http, ILogger<SigningKeys> log) : IDisposable
{
    public const string HttpClientName = "signing-keys";
    private static readonly TimeSpan Fresh = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan BetweenTries = TimeSpan.FromSeconds(10);

    private readonly IList<SecurityKey>? configured = configuration["Auth:Jwks"] is { Length: > 0 } jwks ? new JsonWebKeySet(jwks).GetSigningKeys() : null;
    private readonly SemaphoreSlim fetching = new(1, 1);
    private IList<SecurityKey>? fetched;
    private DateTimeOffset fetchedAt;
    private DateTimeOffset triedAt;

    /// <summary>Null when there is no way to know the keys right now.</summary>
    public async ValueTask<IList<SecurityKey>?> ForAsync(string? keyId, CancellationToken ct)
    {
        if (configured is not null)
            return configured;

        if (Usable(keyId) is { } keys)
            return keys;

        await fetching.WaitAsync(ct);
        try
        {
            // Known but not fresh, or unknown: one request asks, the others wait for its answer.
            if (Usable(keyId) is { } meanwhile)
                return meanwhile;
            if (time.GetUtcNow() - triedAt < BetweenTries && triedAt != default)
                return fetched;

            triedAt = time.GetUtcNow();
            await FetchAsync(ct);
            return fetched;
        }
        finally
        {
            fetching.Release();
        }
    }

    public void Dispose() => fetching.Dispose();

    private IList<SecurityKey>? Usable(string? keyId) =>
        fetched is { } keys && time.GetUtcNow() - fetchedAt < Fresh && keys.Any(key => key.KeyId == keyId) ? keys : null;

    private async Task FetchAsync(CancellationToken ct)
    {
        try
        {
            var client = http.CreateClient(HttpClientName);
            var json = await client.GetStringAsync("v1.0/invoke/identity/method/.well-known/jwks.json", ct);
            fetched = new JsonWebKeySet(json).GetSigningKeys();
            fetchedAt = triedAt;
        }
        catch (Exception failed) when (failed is HttpRequestException or TaskCanceledException or ArgumentException && !ct.IsCancellationRequested)
        {
            LogUnavailable(failed.Message, fetched is null ? "tokens cannot be checked" : "the keys known so far are used");
        }
    }

    [LoggerMessage(LogLevel.Warning, "Identity's signing keys cannot be fetched ({Reason}): {Consequence}")]
    private partial void LogUnavailable(string reason, string consequence);
}
