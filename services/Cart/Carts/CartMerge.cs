namespace Marketplace.Cart.Carts;

/// <summary>
/// Moves a guest's cart into an account's in three conditional writes: the lines leave the guest's cart (and are kept in it as
/// departing), arrive in the account's cart together with the id of the move, and are forgotten by the guest's cart. Killed after any
/// of them, a repeat takes up at the next one: the id in the account's cart says whether the lines have arrived.
/// </summary>
public sealed class CartMerge(CartStore carts, TimeProvider time)
{
    public async Task<CartChange> MergeAsync(Guid guestId, Guid accountId, CancellationToken ct)
    {
        // Twice at most: lines left behind by an earlier, unfinished merge, then what is in the guest's cart now.
        for (var round = 0; round < 2; round++)
        {
            var guest = await carts.ChangeAsync(guestId, cart => cart.Depart(accountId, Guid.CreateVersion7(time.GetUtcNow())), ct);
            if (guest.Refusal is not null) return guest;
            if (guest.Contents.Leaving is not { } leaving) break;

            // Into the account it set out for, even if another one asks now: that one may have received it already.
            var account = await carts.ChangeAsync(leaving.Into, cart => cart.Receive(leaving), ct);
            if (account.Refusal is not null) return account;

            var rest = await carts.ChangeAsync(guestId, cart => cart.Departed(leaving.MergeId), ct);
            if (rest.Refusal is not null) return rest;
            if (rest.Contents.Lines.Count == 0) break;
        }
        return (await carts.LoadAsync(accountId, ct)).Contents;
    }
}
