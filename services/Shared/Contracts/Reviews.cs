namespace Marketplace.Contracts;

/// <summary>A review of a listing appeared or changed: what all its reviews say together from now on.</summary>
/// <param name="Average">1 to 5.</param>
/// <param name="Version">Grows with every change of the product's reviews: an older one than seen is ignored.</param>
public sealed record ReviewPublished(Guid ProductId, double Average, int Count, long Version) : DomainEvent
{
    public const string Topic = "review.published";
}
