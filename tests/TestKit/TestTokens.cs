using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Marketplace.TestKit;

/// <summary>Access tokens as identity issues them, by a key of this test run; <see cref="Jwks"/> goes into <c>Auth:Jwks</c>.</summary>
public static class TestTokens
{
    private const string KeyId = "test-key";
    private static readonly ECDsa Key = ECDsa.Create(ECCurve.NamedCurves.nistP256);

    public static string Jwks { get; } = JwksOf(Key, KeyId);

    public static string Buyer(Guid id, string email = "ada@example.com", string name = "Ada") =>
        Issue(id, ["buyer"], new() { ["email"] = email, ["name"] = name });

    public static string Guest(Guid id) => Issue(id, ["guest"]);

    public static string Seller(Guid id, Guid sellerId, string name = "Bruno") =>
        Issue(id, ["buyer", "seller"], new() { ["seller_id"] = sellerId.ToString(), ["email"] = "bruno@example.com", ["name"] = name });

    public static string Operator() =>
        Issue(Guid.Parse("0198a000-0000-7000-8000-00000000000a"), ["operator"], new() { ["email"] = "operator@marketplace.local", ["name"] = "Operator" });

    /// <summary>Any token: override a claim to make it wrong, sign with another key to forge it.</summary>
    public static string Issue(
        Guid subject, string[] roles, Dictionary<string, object?>? claims = null, TimeSpan? expiresIn = null, ECDsa? key = null, string keyId = KeyId, string algorithm = "ES256")
    {
        var now = DateTimeOffset.UtcNow;
        var payload = new Dictionary<string, object?>
        {
            ["iss"] = "marketplace",
            ["aud"] = "marketplace",
            ["sub"] = subject.ToString(),
            ["roles"] = roles,
            ["iat"] = now.ToUnixTimeSeconds(),
            ["exp"] = (now + (expiresIn ?? TimeSpan.FromMinutes(5))).ToUnixTimeSeconds(),
            ["jti"] = Guid.NewGuid().ToString("N"),
        };
        foreach (var (name, value) in claims ?? [])
            payload[name] = value;

        var head = Part(new Dictionary<string, string> { ["alg"] = algorithm, ["typ"] = "JWT", ["kid"] = keyId });
        var signed = $"{head}.{Part(payload)}";
        var signature = algorithm == "none" ? "" : Base64Url.EncodeToString((key ?? Key).SignData(Encoding.ASCII.GetBytes(signed), HashAlgorithmName.SHA256));
        return $"{signed}.{signature}";
    }

    public static string JwksOf(ECDsa key, string keyId)
    {
        var point = key.ExportParameters(includePrivateParameters: false).Q;
        return JsonSerializer.Serialize(new
        {
            keys = new[]
            {
                new { kty = "EC", crv = "P-256", use = "sig", alg = "ES256", kid = keyId, x = Base64Url.EncodeToString(point.X), y = Base64Url.EncodeToString(point.Y) },
            },
        });
    }

    private static string Part(object value) => Base64Url.EncodeToString(JsonSerializer.SerializeToUtf8Bytes(value));
}
