using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using Marketplace.Catalog.ProductPages;
using Marketplace.TestKit;
using Npgsql;
using Xunit;
using static Marketplace.Catalog.Tests.ProductPages.TwoCatalogues;

namespace Marketplace.Catalog.Tests.ProductPages;

public sealed class WhenAPriceChanges
{
    // Of the two seconds that a price may take to be everywhere, the gateway's memory has one.
    private static readonly TimeSpan Promised = TimeSpan.FromSeconds(1);

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_reader_who_still_holds_the_old_one_cannot_put_it_back()
    {
        await using var two = await OpenAsync();
        var lamp = await two.ListAsync(1000);
        var (holds, release) = (new TaskCompletionSource(), new TaskCompletionSource());
        GateOf(two.Second).BeforePut = () =>
        {
            holds.TrySetResult();
            return release.Task;
        };

        // It has read the row and answered its shopper; what it will put is 1000.
        Assert.Equal(1000, (await LookAsync(two.Second.As(null), lamp.ProductId)).Price);
        await holds.Task.WaitAsync(Ct);
        await two.ChangePriceAsync(lamp.ProductId, 900);
        await two.BecomesAsync(lamp.ProductId, Shelf.Closed);
        GateOf(two.Second).BeforePut = () => Task.CompletedTask;
        release.SetResult();

        await Eventually.Async(async () => (await LookAsync(two.Second.As(null), lamp.ProductId)).Price == 900, "the second replica has the new price");
        Assert.Equal(900, (await LookAsync(two.First.As(null), lamp.ProductId)).Price);

        // And when pages can be put again it is the new one that is.
        await Eventually.Async(
            async () =>
            {
                Assert.Equal(900, (await LookAsync(two.First.As(null), lamp.ProductId)).Price);
                return (await ShelfOf(two.First).TakeAsync(lamp.ProductId, Ct)).Shelf == Shelf.Held;
            },
            "the page is on the shelf again");
        Assert.Equal(900, (await LookAsync(two.Second.As(null), lamp.ProductId)).Price);
    }

    [Fact]
    public async Task Every_replica_shows_it_in_time_though_a_storm_of_readers_puts_what_it_read()
    {
        await using var two = await OpenAsync();
        var lamp = await two.ListAsync(1000);
        var putting = 0;
        var changed = new TaskCompletionSource();
        foreach (var catalog in new[] { two.First, two.Second })
        {
            GateOf(catalog).BeforePut = () =>
            {
                Interlocked.Increment(ref putting);
                return Volatile.Read(ref changed).Task.WaitAsync(Ct);   // a reader whom nothing schedules until the price is another, with what it read in its hands
            };
        }

        using var over = new CancellationTokenSource();
        var looks = new ConcurrentQueue<(long At, long Price)>();
        var storm = new[] { two.First, two.Second }.SelectMany(catalog => Enumerable.Range(0, 4).Select(_ => Task.Run(async () =>
        {
            using var shopper = catalog.As(null);
            while (!over.IsCancellationRequested)
            {
                var at = Stopwatch.GetTimestamp();
                looks.Enqueue((at, (await LookAsync(shopper, lamp.ProductId)).Price));
            }
        }))).ToList();

        var changes = new List<(long At, long Price)> { (Stopwatch.GetTimestamp(), 1000) };
        for (var price = 1001L; price <= 1002; price++)
        {
            // While somebody is about to put what it read before: that is when a price can get lost.
            var before = Volatile.Read(ref putting);
            await Eventually.Async(() => Volatile.Read(ref putting) > before, "a reader is about to put a page");
            await two.ChangePriceAsync(lamp.ProductId, price);
            changes.Add((Stopwatch.GetTimestamp(), price));
            if (price == 1002)
                foreach (var catalog in new[] { two.First, two.Second }) GateOf(catalog).BeforePut = () => Task.CompletedTask;
            Interlocked.Exchange(ref changed, new()).SetResult();
            await Eventually.Async(() => Stopwatch.GetElapsedTime(changes[^1].At) > Promised * 1.5, "the promise is due");
        }

        await over.CancelAsync();
        await Task.WhenAll(storm);

        var late = looks.Where(look => changes.Any(change => look.Price < change.Price && Stopwatch.GetElapsedTime(change.At, look.At) > Promised)).ToList();
        Assert.True(late.Count == 0, $"{late.Count} of {looks.Count} looks showed a price that had changed more than {Promised.TotalSeconds} s before.");
        Assert.Contains(looks, look => look.Price == 1002);
    }

    [Fact]
    public async Task A_page_goes_with_its_listing_whatever_path_the_change_took()
    {
        await using var two = await OpenAsync();
        var (deleted, touched) = (await two.ListAsync(), await two.ListAsync());
        foreach (var lamp in new[] { deleted, touched })
            await two.IsLeftByReadersAsync(lamp.ProductId);

        using var seller = two.Seller;
        using var reply = await seller.DeleteAsync(new Uri($"/api/v1/products/{deleted.ProductId}", UriKind.Relative), Ct);
        Assert.Equal(HttpStatusCode.NoContent, reply.StatusCode);
        await using (var update = two.First.Database.CreateCommand("UPDATE listings SET price_minor = 1, revision = revision + 1 WHERE product_id = $1"))
        {
            update.Parameters.Add(new NpgsqlParameter { Value = touched.ProductId });
            await update.ExecuteNonQueryAsync(Ct);
        }

        foreach (var catalog in new[] { two.First, two.Second })
        {
            await Eventually.Async(async () => (await LookAsync(catalog.As(null), deleted.ProductId)).Status == HttpStatusCode.NotFound, "the deleted one is gone");
            await Eventually.Async(async () => (await LookAsync(catalog.As(null), touched.ProductId)).Price == 1, "the other shows its price");
        }
    }
}
