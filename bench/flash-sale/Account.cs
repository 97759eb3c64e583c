using Marketplace.Bench.FlashSale.Traffic;

namespace Marketplace.Bench.FlashSale;

/// <summary>A made-up shopper with an address and a saved card; <paramref name="IsDeclined"/> when the provider refuses to charge it.</summary>
internal sealed record Account(Guid Id, string Email, bool IsDeclined)
{
    public byte[] RefreshToken { get; set; } = [];

    /// <summary>The access token as it goes into a header; lives five minutes.</summary>
    public byte[] Token { get; private set; } = [];

    public void WriteRenewal(RequestWriter request) =>
        request.Begin("POST "u8, "/api/v1/sessions/refresh"u8).End([.. "{\"refreshToken\":\""u8, .. RefreshToken, .. "\"}"u8]);

    /// <summary>False: there was no session in the answer.</summary>
    public bool Renew(in Reply reply)
    {
        if (reply.Status != 200 || Json.Text(reply.Body, "accessToken"u8) is not { } token || Json.Text(reply.Body, "refreshToken"u8) is not { } next) return false;
        (Token, RefreshToken) = (RequestWriter.Utf8(token), RequestWriter.Utf8(next));
        return true;
    }
}
