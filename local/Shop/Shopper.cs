namespace Marketplace.Local.Shop;

/// <summary>Somebody signed in, whose token is renewed before it runs out. One request at a time, as a person makes them.</summary>
public sealed class Shopper(ShopClient shop, Session session, TimeProvider time)
{
    private static readonly TimeSpan Margin = TimeSpan.FromSeconds(45);
    private Session session = session;

    public async ValueTask<Session> SessionAsync(CancellationToken ct)
    {
        if (session.RefreshToken is not null && session.ExpiresAt - time.GetUtcNow() < Margin)
            session = await shop.RefreshAsync(session, ct);
        return session;
    }
}
