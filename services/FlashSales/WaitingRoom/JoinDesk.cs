using System.Collections.Concurrent;
using Marketplace.FlashSales.Claims;
using Marketplace.FlashSales.Sales;
using Marketplace.WaitingRoom;
using Microsoft.Extensions.Options;
using Npgsql;

namespace Marketplace.FlashSales.WaitingRoom;

/// <summary>
/// Where a replica's joins come together: those of a few milliseconds share one transaction, and while that is under way the next gather. A place is
/// its row and nothing else, so whatever dies at whatever moment, asking again finds the place or takes one.
/// </summary>
public sealed class JoinDesk(
    JoinStore store, Doorkeeper doorkeeper, AdmissionBoard board, SaleMemory sales, QueueMeter meter, NpgsqlDataSource database, TimeProvider time,
    IOptions<WaitingRoomOptions> options)
{
    private const int Tries = 4;

    private readonly ConcurrentDictionary<Guid, SaleQueue> queues = new();

    /// <summary>The account's place in the sale: the one it has, or a new one.</summary>
    public Task<Join> JoinAsync(Sale sale, Guid buyer, CancellationToken ct) => queues.GetOrAdd(sale.SaleId, QueueOf).Joins.AskAsync(buyer, ct);

    private SaleQueue QueueOf(Guid saleId)
    {
        var (early, late) = (new NumberBlocks(database, saleId, late: false, time, options.Value), new NumberBlocks(database, saleId, late: true, time, options.Value));
        return new SaleQueue(saleId, early, late, queue => new(options.Value.BatchSize, options.Value.GatherFor, asked => JoinAsync(queue, asked)));
    }

    // No token: it is for many, none of whom can take it back.
    private async Task<IReadOnlyList<Join>> JoinAsync(SaleQueue queue, IReadOnlyList<Guid> asked)
    {
        var answers = new Dictionary<Guid, Join>(asked.Count);
        Guid[] open = [.. asked.Distinct().Order()];            // as every other lot, so that two do not wait for each other in a circle
        for (var attempt = 1; open.Length > 0; attempt++)
        {
            if (attempt > Tries)
                throw new TimeoutException("The queue changed again and again while places were taken.");
            await TakeAsync(queue, open, answers, asked.Count);
            open = [.. open.Where(buyer => !answers.ContainsKey(buyer))];
        }

        return [.. asked.Select(buyer => answers[buyer])];
    }

    private async Task TakeAsync(SaleQueue queue, Guid[] buyers, Dictionary<Guid, Join> answers, int asked)
    {
        if (await sales.FindAsync(queue.SaleId, default) is not { IsAnnounced: true } sale)
        {
            Answer(buyers, new Join(JoinState.NoSuchSale));
            return;
        }
        if (!sale.IsDrawn && sale.IsRunning(time.GetUtcNow()))
        {
            await doorkeeper.DrawAsync(queue.SaleId, default);
            sale = await sales.FindAsync(queue.SaleId, default) ?? sale;
        }
        if (sale.IsOver(time.GetUtcNow()))
        {
            Answer(buyers, new Join(JoinState.Over));
            return;
        }

        var numbers = sale.IsDrawn ? queue.Late : queue.Early;

        // Where numbers have to be fetched first it is worth a look who needs one: whoever asks for a ticket again and again uses up none.
        var takers = numbers.Holds(buyers.Length) ? buyers : await store.NewcomersAsync(queue.SaleId, buyers, default);
        var given = await numbers.TakeAsync(takers.Length, default);
        var lost = sale.Early is { } first ? queue.Late.TakeLost().Select(number => first + number).ToArray() : [];
        var lot = await store.TakeAsync(queue.SaleId, sale.IsDrawn, takers, given, buyers, lost, default);     // a fault: the numbers are lost, as it may have been written
        if (lot.Sale is null || lot.Sale.IsDrawn != sale.IsDrawn)
        {
            // Drawn meanwhile, by another replica: the early numbers are of no use any more.
            sales.Forget(queue.SaleId);
            board.Forget();
            return;
        }

        var back = new List<(Guid Buyer, Place From)>();
        var seated = new List<(Guid Buyer, Place Place)>();
        var fresh = takers.Zip(given).ToDictionary(each => each.First, each => new Place(sale.IsDrawn, each.Second, false));
        foreach (var buyer in buyers)
        {
            var (place, hasCheckout) = lot.Standing[buyer];
            if (place is null && lot.Sale.IsOver(time.GetUtcNow()))
                answers[buyer] = new Join(JoinState.Over);
            else if (place is null && !hasCheckout)
                answers[buyer] = new Join(JoinState.NoCheckout);
            else if (place is null)
                continue;                                   // left what was missing at this very moment: once more
            else if (fresh.TryGetValue(buyer, out var mine) && mine == place)
                answers[buyer] = new Join(JoinState.In, place);
            else if (place.Value.HasLeft)
                back.Add((buyer, place.Value));
            else
                seated.Add((buyer, place.Value));
        }

        numbers.Return([.. fresh.Where(each => lot.Standing[each.Key].Place != each.Value).Select(unused => unused.Value.Number)]);
        meter.Joined(fresh.Count(each => lot.Standing[each.Key].Place == each.Value), asked);
        back.AddRange(sale.IsDrawn && seated.Count > 0 ? await NoLongerGoodAsync(sale.SaleId, seated) : []);
        foreach (var (buyer, place) in seated.Except(back))
            answers[buyer] = new Join(JoinState.In, place);
        if (back.Count > 0)
            await TakeAgainAsync(queue, sale, back, answers);

        void Answer(Guid[] who, Join join)
        {
            foreach (var buyer in who) answers[buyer] = join;
        }
    }

    private async Task TakeAgainAsync(SaleQueue queue, Sale sale, List<(Guid Buyer, Place From)> back, Dictionary<Guid, Join> answers)
    {
        IReadOnlyDictionary<Guid, Place> places;
        if (!sale.IsDrawn)
        {
            places = await store.ReturnAsync(queue.SaleId, [.. back.Select(one => one.Buyer)], default);
        }
        else
        {
            var given = await queue.Late.TakeAsync(back.Count, default);
            places = await store.MoveBackAsync(queue.SaleId, [.. back.Zip(given, (one, number) => (one.Buyer, one.From, number))], default);
        }

        foreach (var (buyer, place) in places)
            answers[buyer] = new Join(JoinState.In, place);
    }

    /// <summary>Places that were let in and lapsed, or whose claim is over: nothing can be claimed from them any more.</summary>
    private async Task<IReadOnlyList<(Guid Buyer, Place Place)>> NoLongerGoodAsync(Guid saleId, List<(Guid Buyer, Place Place)> seated)
    {
        if (await board.FindAsync(saleId, default) is not { Seed: { } seed, Early: { } early } admission)
            return [];
        var head = admission.HeadAt(time.GetUtcNow());
        var letIn = seated
            .Select(one => (one.Buyer, one.Place, Rank: Ranks.Of(seed, early, one.Place.Late, one.Place.Number)))
            .Where(one => one.Rank < head)
            .ToList();
        if (letIn.Count == 0)
            return [];
        var usedUp = await store.UsedUpAsync(saleId, [.. letIn.Select(one => one.Buyer)], default);
        return [.. letIn.Where(one => one.Rank < admission.ExpiredBelow || usedUp.Contains((one.Buyer, one.Rank!.Value))).Select(one => (one.Buyer, one.Place))];
    }

    /// <summary>One lot at a time goes through it, so the numbers need no lock.</summary>
    private sealed class SaleQueue(Guid saleId, NumberBlocks early, NumberBlocks late, Func<SaleQueue, Batcher<Guid, Join>> joins)
    {
        private Batcher<Guid, Join>? batcher;

        public Guid SaleId => saleId;

        public NumberBlocks Early => early;

        public NumberBlocks Late => late;

        public Batcher<Guid, Join> Joins => LazyInitializer.EnsureInitialized(ref batcher, () => joins(this));
    }
}

public enum JoinState
{
    In,
    NoSuchSale,
    Over,

    /// <summary>The account has not left what an order needs.</summary>
    NoCheckout,
}

public readonly record struct Join(JoinState State, Place? Place = null);
