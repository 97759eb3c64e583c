using System.Globalization;
using Dapr;
using Dapr.Client;
using Microsoft.Extensions.Options;

namespace Marketplace.Cart.Carts;

/// <summary>A cart and the store's opaque tag for it; the tag is empty while nothing is stored.</summary>
public sealed record StoredCart(CartContents Contents, string Tag)
{
    public bool Exists => Tag.Length > 0;
}

/// <summary>One document per buyer in the state store. Every write is conditional on what was read, so that two tabs lose nothing.</summary>
public sealed class CartStore(DaprClient dapr, IOptions<CartOptions> options, TimeProvider time)
{
    public const string StoreName = "carts";

    private static readonly StateOptions FirstWrite = new() { Concurrency = ConcurrencyMode.FirstWrite };

    private readonly CartOptions options = options.Value;

    // Sent on every write: Redis keeps the old expiry when it is left out.
    private readonly Dictionary<string, string> expiry = new()
    {
        ["ttlInSeconds"] = ((long)options.Value.KeptFor.TotalSeconds).ToString(CultureInfo.InvariantCulture),
    };

    public async Task<StoredCart> LoadAsync(Guid buyerId, CancellationToken ct)
    {
        var (contents, tag) = await dapr.GetStateAndETagAsync<CartContents?>(StoreName, Key(buyerId), cancellationToken: ct);
        return contents is null ? new(CartContents.Empty(Guid.CreateVersion7(time.GetUtcNow())), "") : new(contents, tag);
    }

    /// <summary>
    /// Applies a change to the cart as it stands, and again to the newer one when another write came first. A refusal, or a change
    /// that changes nothing, writes nothing. <paramref name="read"/> saves the first read when the caller has just made it.
    /// </summary>
    public async Task<CartChange> ChangeAsync(Guid buyerId, Func<CartContents, CartChange> change, CancellationToken ct, StoredCart? read = null)
    {
        for (var attempt = 1; attempt <= options.MostAttempts; attempt++)
        {
            var cart = read ?? await LoadAsync(buyerId, ct);
            read = null;

            var result = change(cart.Contents);
            if (result.Refusal is not null || result.Contents == cart.Contents)
                return result;

            var next = result.Contents with { Version = cart.Contents.Version + 1 };
            if (await TrySaveAsync(buyerId, next, cart, ct))
                return next;

            // The spread keeps two tabs from meeting again at the next attempt.
            await Task.Delay(TimeSpan.FromMilliseconds(Random.Shared.Next(1, 5 * attempt)), time, ct);
        }
        return new((await LoadAsync(buyerId, ct)).Contents, CartRefusal.Contended);
    }

    private async Task<bool> TrySaveAsync(Guid buyerId, CartContents next, StoredCart read, CancellationToken ct)
    {
        if (read.Exists)
            return await dapr.TrySaveStateAsync(StoreName, Key(buyerId), next, read.Tag, FirstWrite, expiry, ct);

        try
        {
            await dapr.SaveStateAsync(StoreName, Key(buyerId), next, FirstWrite, expiry, ct);
            return true;
        }
        catch (DaprException)
        {
            // Stores differ in how they refuse a first write that came second (409 here, 500 there): the store itself tells.
            var now = await LoadAsync(buyerId, ct);
            if (!now.Exists)
                throw;
            return false;
        }
    }

    private static string Key(Guid buyerId) => $"cart-{buyerId:N}";
}
