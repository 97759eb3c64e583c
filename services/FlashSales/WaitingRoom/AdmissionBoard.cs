using System.Collections.Frozen;
using Marketplace.FlashSales.Sales;
using Marketplace.WaitingRoom;
using Microsoft.Extensions.Options;

namespace Marketplace.FlashSales.WaitingRoom;

/// <summary>
/// How far admission has come in every sale that shoppers may ask about, as this replica knew it at most a quarter of a second ago: one read for
/// all who ask meanwhile.
/// </summary>
public sealed class AdmissionBoard(AdmissionStore store, TimeProvider time, IOptions<WaitingRoomOptions> options)
{
    // By which a ticket may be ahead of us: the gateway's state is another, and replicas' clocks differ.
    private static readonly TimeSpan Tolerance = TimeSpan.FromSeconds(1);

    private Reading? last;

    public async ValueTask<AdmissionsReply> ReadAsync(CancellationToken ct) => (await LatestAsync(ct)).Reply;

    /// <summary>Null: no sale, or one that was over long ago.</summary>
    public async ValueTask<Admission?> FindAsync(Guid saleId, CancellationToken ct) => (await LatestAsync(ct)).BySale.GetValueOrDefault(saleId);

    /// <summary>Whether the holder of a ticket may claim now. That the ticket is genuine and still the account's place is for others to say.</summary>
    public async ValueTask<Entry> MayClaimAsync(Ticket ticket, CancellationToken ct) =>
        await FindAsync(ticket.SaleId, ct) is { } sale ? MayClaim(sale, ticket, time.GetUtcNow()) : new Entry(EntryState.Over);

    /// <summary>A second's tolerance: what the gateway told somebody a moment ago holds.</summary>
    public static Entry MayClaim(Admission sale, Ticket ticket, DateTimeOffset now)
    {
        if (sale.Phase == SalePhase.Ended)
            return new Entry(EntryState.Over);
        if (sale.RankOf(ticket) is not { } rank)
            return new Entry(sale.IsDrawn ? EntryState.NotAdmitted : EntryState.NotStarted);
        if (rank < sale.ExpiredBelow)
            return new Entry(EntryState.Lapsed, rank);
        return rank < sale.HeadAt(now + Tolerance)
            ? new Entry(EntryState.Yes, rank)
            : new Entry(EntryState.NotAdmitted, rank, Standing.Of(sale, ticket, rank, now));
    }

    /// <summary>This replica changed something.</summary>
    public void Forget() => Volatile.Write(ref last, null);

    private async ValueTask<Reading> LatestAsync(CancellationToken ct)
    {
        while (true)
        {
            var known = Volatile.Read(ref last);
            if (known is null || time.GetElapsedTime(known.ReadAt) >= options.Value.BoardLasts || known.Load is { IsValueCreated: true, Value.IsFaulted: true })
            {
                // Whoever comes first reads for all; without the token of one of them.
                var fresh = new Reading(time.GetTimestamp(), new(() => LoadAsync()));
                if (Interlocked.CompareExchange(ref last, fresh, known) != known)
                    continue;
                known = fresh;
            }

            var loaded = await known.Load.Value.WaitAsync(ct);
            return known with { Reply = loaded.Reply, BySale = loaded.BySale };
        }
    }

    private async Task<(AdmissionsReply Reply, FrozenDictionary<Guid, Admission> BySale)> LoadAsync()
    {
        var now = time.GetUtcNow();
        var sales = await store.ReadAsync(now, now - options.Value.TellAfterEnd, CancellationToken.None);
        return (new AdmissionsReply(now, sales), sales.ToFrozenDictionary(sale => sale.SaleId));
    }

    private sealed record Reading(long ReadAt, Lazy<Task<(AdmissionsReply Reply, FrozenDictionary<Guid, Admission> BySale)>> Load)
    {
        public AdmissionsReply Reply { get; init; } = null!;

        public FrozenDictionary<Guid, Admission> BySale { get; init; } = null!;
    }
}

public enum EntryState
{
    Yes,
    NotStarted,

    /// <summary>Not yet their turn.</summary>
    NotAdmitted,

    /// <summary>They were let in, and did not use it in time.</summary>
    Lapsed,

    /// <summary>The sale has ended.</summary>
    Over,
}

/// <param name="Rank">Null before the draw.</param>
/// <param name="Standing">Where they stand instead, of <see cref="EntryState.NotAdmitted"/> where it is known.</param>
public sealed record Entry(EntryState State, long? Rank = null, Standing? Standing = null);
