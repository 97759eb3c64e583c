namespace Marketplace.Search.Engine.Lucene;

/// <summary>
/// What the index knows of a product besides its text: enough to tell an event that is late, repeated or pointless from one that counts.
/// Listing, stock, rating and sales come from different services in no particular order, so each has its own version.
/// </summary>
/// <param name="Revision">Of the listing; 0 while only its signals are known.</param>
/// <param name="StockVersion">-1 while nothing is known.</param>
/// <param name="Sold">Units sold, each halving its weight every <see cref="SalesWeight.HalfLife"/>; see there for the unit.</param>
internal sealed record ProductState(long Revision, bool Deleted, long StockVersion, int Available, long RatingVersion, double Rating, int Ratings, double Sold, bool Withdrawn = false)
{
    public static ProductState Unknown { get; } = new(0, false, -1, 0, -1, 0, 0, 0);

    public bool Listed => Revision > 0 && !Deleted && !Withdrawn;

    /// <summary>Null when the event changes nothing. An id is never used again: nothing follows a deletion.</summary>
    public ProductState? Upserted(long revision) => Deleted || revision <= Revision ? null : this with { Revision = revision, Withdrawn = false };

    /// <summary>A rebuild writes the same revision again, in case the text in the index is not what it should be.</summary>
    public ProductState? Reread(long revision) => Deleted || revision < Revision ? null : this with { Revision = revision, Withdrawn = false };

    public ProductState? Removed(long revision) => Deleted || revision < Revision ? null : this with { Revision = revision, Deleted = true, Withdrawn = false };

    public ProductState? WithdrawnAt(long revision) => Deleted || revision < Revision || (Withdrawn && revision == Revision) ? null : this with { Revision = revision, Withdrawn = true };

    public ProductState? Stocked(long version, int available) => version <= StockVersion ? null : this with { StockVersion = version, Available = available };

    public ProductState? Rated(long version, double rating, int ratings) => version <= RatingVersion ? null : this with { RatingVersion = version, Rating = Math.Clamp(rating, 0, 5), Ratings = Math.Max(0, ratings) };

    public ProductState SoldMore(double weight) => this with { Sold = Sold + weight };
}
