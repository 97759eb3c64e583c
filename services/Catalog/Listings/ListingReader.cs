using Marketplace.Catalog.Attributes;
using Marketplace.Hosting;

namespace Marketplace.Catalog.Listings;

/// <param name="Complete">False when the document store did not answer: the listing lacks its attributes, and nobody should remember it so.</param>
public sealed record ShownListing(Listing Listing, bool Complete);

/// <summary>A listing with its attributes, as one revision has them.</summary>
public sealed class ListingReader(ListingStore listings, AttributeDocuments documents)
{
    /// <summary>What shoppers see: published ones.</summary>
    public Task<ShownListing?> FindAsync(Guid productId, CancellationToken ct) => FindAsync(productId, null, ct);

    /// <summary>Their own, drafts too.</summary>
    public Task<ShownListing?> FindOwnAsync(SellerId seller, Guid productId, CancellationToken ct) => FindAsync(productId, seller, ct);

    private async Task<ShownListing?> FindAsync(Guid productId, SellerId? seller, CancellationToken ct)
    {
        // A document that is gone was let go of long ago (a stalled request): the row by now points at another.
        for (var attempt = 1; ; attempt++)
        {
            if (await listings.FindAsync(productId, seller, ct) is not { } listing)
                return null;
            if (listing.DocumentId is not { } document)
                return new ShownListing(listing, true);
            if (await documents.ReadAsync([document], ct) is not { } found)
                return new ShownListing(listing, false);
            if (found.TryGetValue(document, out var attributes))
                return new ShownListing(listing with { Attributes = attributes }, true);
            if (attempt == 3)
                return new ShownListing(listing, false);
        }
    }
}
