using System.Collections.Concurrent;
using System.Text.Json;
using Marketplace.Catalog.Listings;
using Microsoft.AspNetCore.Http.Json;
using Microsoft.Extensions.Options;
using Npgsql;

namespace Marketplace.Catalog.ProductPages;

/// <param name="Page">Null when there is no such listing.</param>
/// <param name="WithoutCache">The state store was away.</param>
/// <param name="WithoutDocuments">The attributes could not be read: the page lacks them and has no tag.</param>
public readonly record struct PageRead(RenderedPage? Page, bool WithoutCache, bool WithoutDocuments = false);

/// <summary>
/// Product pages from the shelf, else from the database, once for all who ask for the same one at the same time. Only what a seller wrote is
/// on them: stock is another service's and is never kept.
/// </summary>
public sealed class PageReads(ListingReader listings, IPageShelf shelf, IOptions<JsonOptions> json, TimeProvider time)
{
    // Longer than any read that is worth waiting for, and shorter than the gateway waits.
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(4);

    // An older read may be of a row that was changed so long ago that the place is no longer closed for it.
    private static readonly TimeSpan YoungEnough = StateStoreShelf.Closed / 5;

    private readonly ConcurrentDictionary<Guid, Flight> flights = new();

    public Task<PageRead> OfAsync(Guid productId, CancellationToken ct)
    {
        var own = new Flight();
        var flight = flights.GetOrAdd(productId, own);
        if (ReferenceEquals(flight, own))
            _ = FlyAsync(productId, own);
        return flight.Landing.WaitAsync(ct);
    }

    /// <summary>Goes on when the one who asked first has left. Who comes while the page is being put gets what was read, and reads nothing.</summary>
    private async Task FlyAsync(Guid productId, Flight flight)
    {
        try
        {
            using var patience = new CancellationTokenSource(Longest, time);
            var found = await shelf.TakeAsync(productId, patience.Token);
            if (found.Shelf == Shelf.Held)
            {
                flight.Land(new PageRead(found.Page, WithoutCache: false));
                return;
            }

            var began = time.GetTimestamp();
            if (await ReadAsync(productId, found.Page, patience.Token) is not { } read)
            {
                flight.Land(new PageRead(found.Page, WithoutCache: false));
                return;
            }

            flight.Land(new PageRead(read.Page, WithoutCache: found.Shelf == Shelf.Away, WithoutDocuments: read.Page is { ETag.Length: 0 }));
            if (found.Shelf == Shelf.Doubtful)
                await WithdrawAsync(productId, patience.Token);
            else if (found.Shelf == Shelf.Empty && read is { Page: { } page, MayBeKept: true } && time.GetElapsedTime(began) < YoungEnough)
                await shelf.PutAsync(productId, page, patience.Token);
        }
        catch (Exception fault)                                 // everybody who waits gets it, and it becomes an answer there
        {
            flight.Fail(fault);
        }
        finally
        {
            flights.TryRemove(new(productId, flight));
        }
    }

    /// <summary>Null when the database is away and there is something better than nothing.</summary>
    private async Task<(RenderedPage? Page, bool MayBeKept)?> ReadAsync(Guid productId, RenderedPage? doubtful, CancellationToken ct)
    {
        try
        {
            if (await listings.FindAsync(productId, ct) is not { } shown)
                return (null, false);

            // No tag on what lacks its attributes: it must not be taken for this revision when they are back.
            var listing = shown.Listing;
            var tag = shown.Complete ? listing.ETag : "";

            // Asked by a variant's id it is the listing's page, which is withdrawn by the listing's id only.
            return (new RenderedPage(tag, JsonSerializer.SerializeToUtf8Bytes(listing, json.Value.SerializerOptions)), shown.Complete && listing.ProductId == productId);
        }
        catch (NpgsqlException) when (doubtful is not null)
        {
            return null;
        }
    }

    private async Task WithdrawAsync(Guid productId, CancellationToken ct)
    {
        try
        {
            await shelf.WithdrawAsync(productId, ct);
        }
        catch (TimeoutException)
        {
            // Away again: then it is in doubt again, too.
        }
    }

    private sealed class Flight
    {
        private readonly TaskCompletionSource<PageRead> landing = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<PageRead> Landing => landing.Task;

        public void Land(PageRead read) => landing.TrySetResult(read);

        public void Fail(Exception fault) => landing.TrySetException(fault);
    }
}
