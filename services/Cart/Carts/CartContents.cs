using System.Diagnostics.Contracts;
using System.Text.Json.Serialization;

namespace Marketplace.Cart.Carts;

/// <summary>So many units of a product; what it costs is asked of the catalogue whenever the cart is shown.</summary>
public sealed record CartLine(Guid ProductId, int Quantity);

/// <summary>Lines on their way into an account's cart. They left the guest's cart before they arrive, so that nothing is lost or added twice.</summary>
public sealed record Departure(Guid Into, Guid MergeId, IReadOnlyList<CartLine> Lines);

public enum CartRefusal
{
    QuantityOutOfRange,
    TooManyLines,
    NoSuchLine,

    /// <summary>The cart is not the one the buyer had seen (If-Match).</summary>
    NotAsSeen,

    /// <summary>Somebody else kept writing this cart at the same moment.</summary>
    Contended,
}

/// <summary>What a change came to: the new contents, or why they stay as they are.</summary>
public readonly record struct CartChange(CartContents Contents, CartRefusal? Refusal = null)
{
    public static implicit operator CartChange(CartContents contents) => new(contents);
}

/// <summary>
/// A cart as it is kept, and every rule about it; no I/O. <see cref="CartId"/> names this filling of the cart: it stays while lines
/// come and go and changes when the whole cart is replaced, so that an order knows whether what it took is still there.
/// </summary>
public sealed record CartContents(Guid CartId, long Version, IReadOnlyList<CartLine> Lines)
{
    public const int MostUnits = 99;
    public const int MostLines = 200;

    /// <summary>How many merges and orders a cart remembers: far more than can be under way for one buyer at once.</summary>
    public const int Remembered = 32;

    /// <summary>Merges already counted in, newest last. A repeated merge finds its id here and adds nothing.</summary>
    public IReadOnlyList<Guid> Merged { get; init; } = [];

    /// <summary>Orders already taken out, newest last.</summary>
    public IReadOnlyList<Guid> Ordered { get; init; } = [];

    public Departure? Leaving { get; init; }

    public static CartContents Empty(Guid cartId) => new(cartId, 0, []);

    [Pure]
    public CartChange Add(Guid productId, int quantity)
    {
        if (quantity is < 1 or > MostUnits)
            return Refuse(CartRefusal.QuantityOutOfRange);
        if (Find(productId) is not { } line)
            return Lines.Count < MostLines ? this with { Lines = [.. Lines, new(productId, quantity)] } : Refuse(CartRefusal.TooManyLines);

        // Refused, not capped: a buyer who asks for 60 twice should hear that 120 will not come.
        return line.Quantity + quantity <= MostUnits ? WithQuantity(productId, line.Quantity + quantity) : Refuse(CartRefusal.QuantityOutOfRange);
    }

    [Pure]
    public CartChange SetQuantity(Guid productId, int quantity)
    {
        if (quantity is < 1 or > MostUnits)
            return Refuse(CartRefusal.QuantityOutOfRange);
        return Find(productId) is null ? Refuse(CartRefusal.NoSuchLine) : WithQuantity(productId, quantity);
    }

    /// <summary>Taking out what is not in is no refusal: the buyer wanted it gone, and it is.</summary>
    [Pure]
    public CartChange Remove(Guid productId) => this with { Lines = [.. Lines.Where(line => line.ProductId != productId)] };

    /// <summary>Another filling under another id; lines that name one product twice are summed.</summary>
    [Pure]
    public CartChange Replace(IEnumerable<CartLine> lines, Guid cartId)
    {
        List<CartLine> next = [];
        foreach (var same in lines.GroupBy(line => line.ProductId))
        {
            if (same.Any(line => line.Quantity is < 1 or > MostUnits) || same.Sum(line => line.Quantity) is var sum && sum > MostUnits)
                return Refuse(CartRefusal.QuantityOutOfRange);
            next.Add(new(same.Key, sum));
        }
        return next.Count <= MostLines ? this with { CartId = cartId, Lines = next } : Refuse(CartRefusal.TooManyLines);
    }

    /// <summary>First half of a merge, on the guest's cart: everything in it sets out for <paramref name="into"/>.</summary>
    [Pure]
    public CartContents Depart(Guid into, Guid nextCartId) => Leaving is null && Lines.Count > 0
        ? this with { CartId = nextCartId, Lines = [], Leaving = new(into, CartId, Lines) }
        : this;

    /// <summary>Second half, on the account's cart. Units are summed up to the most a line may have; what exceeds the last free line is left out.</summary>
    [Pure]
    public CartContents Receive(Departure arriving)
    {
        if (Merged.Contains(arriving.MergeId))
            return this;

        var next = Lines.ToList();
        foreach (var line in arriving.Lines)
        {
            var at = next.FindIndex(own => own.ProductId == line.ProductId);
            if (at >= 0)
                next[at] = line with { Quantity = Math.Min(MostUnits, next[at].Quantity + line.Quantity) };
            else if (next.Count < MostLines)
                next.Add(line);
        }
        return this with { Lines = next, Merged = Remember(Merged, arriving.MergeId) };
    }

    /// <summary>Last step, on the guest's cart again: the lines are safe in the account's cart.</summary>
    [Pure]
    public CartContents Departed(Guid mergeId) => Leaving?.MergeId == mergeId ? this with { Leaving = null } : this;

    /// <summary>
    /// An order was confirmed. Only the filling it was taken from loses the units, once; units added while the order was pending stay.
    /// </summary>
    [Pure]
    public CartContents TakeOut(Guid orderId, Guid fromCartId, IEnumerable<CartLine> ordered)
    {
        if (CartId != fromCartId || Ordered.Contains(orderId))
            return this;

        var taken = ordered.GroupBy(line => line.ProductId).ToDictionary(same => same.Key, same => same.Sum(line => line.Quantity));
        return this with
        {
            Lines = [.. Lines
                .Select(line => line with { Quantity = line.Quantity - taken.GetValueOrDefault(line.ProductId) })
                .Where(line => line.Quantity > 0)],
            Ordered = Remember(Ordered, orderId),
        };
    }

    /// <summary>The cart's own tag and not the store's, which is opaque and not told after a write.</summary>
    [JsonIgnore]
    public string ETag => $"\"{CartId:N}-{Version}\"";

    private CartChange Refuse(CartRefusal why) => new(this, why);

    private CartLine? Find(Guid productId) => Lines.FirstOrDefault(line => line.ProductId == productId);

    private CartContents WithQuantity(Guid productId, int quantity) =>
        this with { Lines = [.. Lines.Select(line => line.ProductId == productId ? line with { Quantity = quantity } : line)] };

    private static Guid[] Remember(IReadOnlyList<Guid> ids, Guid id) => [.. ids.TakeLast(Remembered - 1), id];

    /// <summary>A list is compared by its lines here, so that a change that changes nothing is not written.</summary>
    public bool Equals(CartContents? other) =>
        other is not null && CartId == other.CartId && Version == other.Version && Lines.SequenceEqual(other.Lines)
        && Merged.SequenceEqual(other.Merged) && Ordered.SequenceEqual(other.Ordered) && Leaving?.MergeId == other.Leaving?.MergeId;

    public override int GetHashCode() => HashCode.Combine(CartId, Version, Lines.Count);
}
