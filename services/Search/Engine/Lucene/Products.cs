using System.Buffers.Binary;
using System.Collections.Concurrent;

namespace Marketplace.Search.Engine.Lucene;

/// <summary>
/// Every product the index has heard of, each with a number of its own (its slot). What changes a hundred times as often as text is kept
/// in columns by slot and looked up while a search runs, so that an order or a delivery writes no text again.
/// </summary>
internal sealed class Products
{
    private readonly ConcurrentDictionary<Guid, Product> products = new();
    private readonly Lock growing = new();
    private int count;

    public sealed class Product(Guid id, int slot)
    {
        public Guid Id { get; } = id;

        public int Slot { get; } = slot;

        public volatile ProductState State = ProductState.Unknown;

        /// <summary>What a listing is sold as; none when it is sold as itself.</summary>
        public Product[] Variants { get; set; } = [];

        /// <summary>Of a variant.</summary>
        public Product? Listing { get; set; }
    }

    /// <summary>Columns by slot. Arrays grow by replacement: a search holds on to those it began with.</summary>
    public sealed record Columns(UInt128[] Key, int[] Available, float[] Rating, int[] Ratings, double[] Sold)
    {
        public static Columns Of(int size) => new(new UInt128[size], new int[size], new float[size], new int[size], new double[size]);
    }

    public Columns Current { get; private set; } = Columns.Of(1024);

    public int Listed => products.Values.Count(product => product.State.Listed);

    public IEnumerable<Product> All => products.Values;

    public ProductState StateOf(Guid productId) => products.TryGetValue(productId, out var product) ? product.State : ProductState.Unknown;

    public Product Of(Guid productId)
    {
        if (products.TryGetValue(productId, out var known))
            return known;

        lock (growing)
        {
            if (products.TryGetValue(productId, out known))
                return known;

            if (count == Current.Key.Length)
                Current = Grown(Current, count * 2);
            var product = new Product(productId, count);
            Current.Key[count++] = KeyOf(productId);
            products[productId] = product;
            return product;
        }
    }

    public void Set(Guid productId, ProductState state)
    {
        var product = Of(productId);
        lock (growing)                                          // or a growing column would be copied without it
        {
            product.State = state;
            Show(product);
            if (product.Listing is { } listing)
                Show(listing);
        }
    }

    /// <summary>The listing a variant belongs to; any other product itself.</summary>
    public Guid ListingOf(Guid productId) => products.TryGetValue(productId, out var product) && product.Listing is { } listing ? listing.Id : productId;

    /// <summary>From now on the listing is sold as these, and as itself when there are none.</summary>
    public void SetVariants(Guid listingId, IEnumerable<Guid> variantIds)
    {
        var (listing, variants) = (Of(listingId), variantIds.Select(Of).ToArray());
        lock (growing)
        {
            if (variants.Length == 0 && listing.Variants.Length == 0)
                return;
            foreach (var former in listing.Variants)
                former.Listing = null;
            foreach (var variant in variants)
                variant.Listing = listing;
            listing.Variants = variants;
            Show(listing);
        }
    }

    private void Show(Product product)
    {
        var state = product.State;
        var (available, sold) = (product.Variants.Length > 0 ? 0 : state.Available, state.Sold);
        foreach (var variant in product.Variants)
        {
            available = Math.Max(available, variant.State.Available);
            sold += variant.State.Sold;
        }

        Current.Available[product.Slot] = available;
        Current.Rating[product.Slot] = (float)state.Rating;
        Current.Ratings[product.Slot] = state.Ratings;
        Current.Sold[product.Slot] = sold;
    }

    public void Clear()
    {
        lock (growing)
        {
            products.Clear();
            count = 0;
            Current = Columns.Of(1024);
        }
    }

    /// <summary>In the order in which ids read.</summary>
    public static UInt128 KeyOf(Guid productId)
    {
        Span<byte> bytes = stackalloc byte[16];
        productId.TryWriteBytes(bytes, bigEndian: true, out _);
        return BinaryPrimitives.ReadUInt128BigEndian(bytes);
    }

    public static Guid IdOf(UInt128 key)
    {
        Span<byte> bytes = stackalloc byte[16];
        BinaryPrimitives.WriteUInt128BigEndian(bytes, key);
        return new Guid(bytes, bigEndian: true);
    }

    private static Columns Grown(Columns from, int size)
    {
        var to = Columns.Of(size);
        from.Key.CopyTo(to.Key, 0);
        from.Available.CopyTo(to.Available, 0);
        from.Rating.CopyTo(to.Rating, 0);
        from.Ratings.CopyTo(to.Ratings, 0);
        from.Sold.CopyTo(to.Sold, 0);
        return to;
    }
}
