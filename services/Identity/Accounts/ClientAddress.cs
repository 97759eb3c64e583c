using System.Security.Cryptography;
using System.Text;

namespace Marketplace.Identity.Accounts;

/// <summary>
/// Whose tries are counted together. Behind the gateway the connection is always the sidecar's, and the gateway, which has replaced
/// whatever the client sent, names the client in X-Forwarded-For. From anybody else that header is only a claim.
/// </summary>
public sealed class ClientAddress(IConfiguration configuration)
{
    private readonly byte[]? appToken = configuration["APP_API_TOKEN"] is { Length: > 0 } token ? SHA256.HashData(Encoding.UTF8.GetBytes(token)) : null;

    public string Of(HttpContext http)
    {
        var headers = http.Request.Headers;
        var throughGateway = appToken is not null
            && headers["dapr-caller-app-id"] == "gateway"
            && CryptographicOperations.FixedTimeEquals(appToken, SHA256.HashData(Encoding.UTF8.GetBytes(headers["dapr-api-token"].ToString())));

        // The first one: sidecars on the way add theirs behind it.
        if (throughGateway && headers["X-Forwarded-For"].ToString().Split(',', 2)[0].Trim() is { Length: > 0 } client)
            return client;
        return http.Connection.RemoteIpAddress?.ToString() ?? "unknown";
    }
}
