namespace Marketplace.Search.Indexing;

/// <summary>
/// What the index knows of a product besides its text: enough to tell an event that is late, repeated or pointless from one that counts.
/// Listing and stock come from two services in no particular order, so each has its own version.
/// </summary>
/// <param name="Revision">Of the listing; 0 while only its stock is known.</param>
/// <param name="StockVersion">-1 while nothing is known; 0 when asked for at a rebuild, which any event outranks.</param>
public readonly record struct ProductState(long Revision, bool Deleted, long StockVersion, int Available)
{
    public static ProductState Unknown { get; } = new(0, false, -1, 0);

    public bool Listed => Revision > 0 && !Deleted;

    public bool InStock => Available > 0;

    /// <summary>Null when the event changes nothing. An id is never used again: nothing follows a deletion.</summary>
    public ProductState? Upserted(long revision) => Deleted || revision <= Revision ? null : this with { Revision = revision };

    /// <summary>A rebuild writes the same revision again, in case the text in the index is not what it should be.</summary>
    public ProductState? Reread(long revision) => Deleted || revision < Revision ? null : this with { Revision = revision };

    public ProductState? Removed(long revision) => Deleted || revision < Revision ? null : this with { Revision = revision, Deleted = true };

    public ProductState? Stocked(long version, int available) => version <= StockVersion ? null : this with { StockVersion = version, Available = available };
}
