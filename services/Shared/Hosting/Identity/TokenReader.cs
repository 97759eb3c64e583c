using System.Security.Claims;

namespace Marketplace.Hosting;

/// <summary>A token that came in a body and not as the caller's own: the same checks, but it signs nobody in.</summary>
public sealed class TokenReader
{
    private readonly TokenCheck tokens;

    internal TokenReader(TokenCheck tokens) => this.tokens = tokens;

    /// <summary>Null when it is forged, expired or no token at all.</summary>
    public async ValueTask<ClaimsPrincipal?> ReadAsync(string token, CancellationToken ct) => (await tokens.CheckAsync(token, ct)).User;
}
