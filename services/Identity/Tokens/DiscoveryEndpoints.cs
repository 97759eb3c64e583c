using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Extensions.Options;

namespace Marketplace.Identity.Tokens;

public sealed class DiscoveryOptions
{
    /// <summary>Where clients reach the gateway; the addresses in the discovery document start with it.</summary>
    public string PublicUrl { get; set; } = "http://127.0.0.1:8080";
}

/// <summary>OpenID Connect discovery, as far as it applies: what a verifier of our tokens needs.</summary>
public sealed record Discovery(
    [property: JsonPropertyName("issuer")] string Issuer,
    [property: JsonPropertyName("jwks_uri")] string JwksUri,
    [property: JsonPropertyName("token_endpoint")] string TokenEndpoint,
    [property: JsonPropertyName("response_types_supported")] IReadOnlyList<string> ResponseTypes,
    [property: JsonPropertyName("subject_types_supported")] IReadOnlyList<string> SubjectTypes,
    [property: JsonPropertyName("id_token_signing_alg_values_supported")] IReadOnlyList<string> SigningAlgorithms,
    [property: JsonPropertyName("claims_supported")] IReadOnlyList<string> Claims);

public static class DiscoveryEndpoints
{
    public static void MapDiscovery(this IEndpointRouteBuilder routes)
    {
        routes.MapGet("/.well-known/jwks.json", KeysAsync);
        routes.MapGet("/.well-known/openid-configuration", Describe);
    }

    private static async Task<Ok<PublicKeys>> KeysAsync(HttpContext http, SigningKeys keys, CancellationToken ct)
    {
        // Verifiers ask anew when they meet a key they do not know, so a minute delays nothing.
        http.Response.Headers.CacheControl = "public, max-age=60";
        return TypedResults.Ok(await keys.PublishedAsync(ct));
    }

    private static Ok<Discovery> Describe(HttpContext http, IOptions<DiscoveryOptions> discovery, IOptions<TokenOptions> tokens)
    {
        var door = discovery.Value.PublicUrl.TrimEnd('/');
        http.Response.Headers.CacheControl = "public, max-age=60";
        return TypedResults.Ok(new Discovery(
            tokens.Value.Issuer,
            $"{door}/.well-known/jwks.json",
            $"{door}/api/v1/sessions",
            ["token"],
            ["public"],
            ["ES256"],
            ["sub", "roles", "seller_id", "email", "name", "sid"]));
    }
}
