using System.Text.Json.Serialization;
using Marketplace.Contracts;
using Marketplace.FlashSales.Sales;

namespace Marketplace.FlashSales.Claims;

/// <summary>
/// What a shard must know of its sale. Nothing of it changes once the sale has started, except whether it is still on. Units 1, 2, 3 … are
/// dealt to the shards in turn, so that the shards of a sale differ by one at most.
/// </summary>
/// <param name="Units">Of this shard, as <paramref name="WaitingList"/> is.</param>
public sealed record ShardTerms(
    Guid SaleId, int Shard, int Shards, Guid ProductId, Guid SellerId, string Title, Money Price, int Units, int WaitingList,
    DateTimeOffset StartsAt, DateTimeOffset EndsAt, bool IsOn)
{
    public bool IsOpenAt(DateTimeOffset now) => IsOn && now >= StartsAt && now < EndsAt;

    /// <summary>A shard has a unit at least, however few of them the sale has.</summary>
    public static int ShardsOf(Sale sale) => Math.Min(sale.Shards, sale.Units);
}

public static class ClaimState
{
    public const string Waiting = "waiting";
    public const string Claimed = "claimed";
    public const string Paid = "paid";
    public const string Released = "released";
    public const string Missed = "missed";
}

/// <summary>A claim that is not over: on the waiting list, or with its units.</summary>
/// <param name="Rank">Of the place in the queue that it was made from.</param>
/// <param name="Place">In the order of the shard's decisions.</param>
public sealed record Held(
    Guid ClaimId, Guid BuyerId, long Rank, int Quantity, string State, long Place, IReadOnlyList<int> Units, Guid? OrderId = null, DateTimeOffset? PayUntil = null,
    bool FromWaitingList = false);

/// <summary>One buyer's wish, as it comes to the shard. It may wait here only if no other shard has units.</summary>
/// <param name="Rank">Of their place in the queue, which is good for one claim.</param>
public readonly record struct Wish(
    [property: JsonPropertyName("b")] Guid BuyerId, [property: JsonPropertyName("r")] long Rank, [property: JsonPropertyName("q")] int Quantity,
    [property: JsonPropertyName("w")] bool MayWait);

/// <summary>What became of an order.</summary>
/// <param name="Reason">Why it was not paid.</param>
public readonly record struct Verdict(
    [property: JsonPropertyName("c")] Guid ClaimId, [property: JsonPropertyName("p")] bool Paid, [property: JsonPropertyName("r")] string? Reason);

/// <summary>
/// A shard of a sale: which units are free, who has which, who waits. Rules only. A decision is a plan that changes nothing here: it is
/// written to the database first and taken over by <see cref="Take"/> once that has succeeded.
/// </summary>
public sealed class ShardMemory
{
    private readonly List<int> free;                            // the lowest number last
    private readonly Dictionary<Guid, Held> byBuyer = [];
    private readonly Dictionary<Guid, Held> byClaim = [];
    private readonly SortedList<long, Held> waiting = [];        // by place
    private readonly HashSet<long> usedUp;                      // ranks
    private long lastPlace;

    /// <param name="usedUp">Ranks whose claims are over.</param>
    public ShardMemory(ShardTerms terms, long version, IEnumerable<Held> held, IEnumerable<long> usedUp)
    {
        (Terms, Version, this.usedUp) = (terms, version, [.. usedUp]);
        var taken = new HashSet<int>();
        foreach (var claim in held)
        {
            Add(claim);
            taken.UnionWith(claim.Units);
        }

        // From the highest down: unit numbers of this shard are shard + 1, shard + 1 + shards, …
        free = new List<int>(terms.Units - taken.Count);
        for (var unit = terms.Shard + 1 + (terms.Units - 1) * terms.Shards; unit > 0; unit -= terms.Shards)
            if (!taken.Contains(unit)) free.Add(unit);
    }

    public ShardTerms Terms { get; private set; }
    public long Version { get; private set; }
    public int Free => free.Count;
    public int WaitingUnits { get; private set; }
    public int PaidUnits { get; private set; }
    public bool IsPaidUp => PaidUnits == Terms.Units;
    public bool HasWaiting => waiting.Count > 0;

    /// <summary>The claim of a buyer that is not over.</summary>
    public Held? Of(Guid buyer) => byBuyer.GetValueOrDefault(buyer);

    /// <summary>On the waiting list, from 1; 0 for who has units.</summary>
    public int PositionOf(Held claim) => waiting.IndexOfKey(claim.Place) + 1;

    /// <summary>
    /// Units go to whoever asks first. With fewer left than asked for, a buyer waits and who asks for less may still get them: a unit is
    /// never kept idle. Two wishes of one buyer are one.
    /// </summary>
    public (ShardPlan Plan, Answer[] Answers) Decide(IReadOnlyList<Wish> wishes, DateTimeOffset now, TimeSpan payWithin)
    {
        var plan = new ShardPlan(Terms, Version) { NeedsOpenSale = true };
        var answers = new Answer[wishes.Count];
        var fresh = new Dictionary<Guid, Answer>();
        var (left, room, place, position) = (free.Count, Terms.WaitingList - WaitingUnits, lastPlace, waiting.Count);
        for (var i = 0; i < wishes.Count; i++)
        {
            var (buyer, rank, quantity, mayWait) = wishes[i];
            if (byBuyer.TryGetValue(buyer, out var known))
            {
                answers[i] = new Answer(known, PositionOf(known));
            }
            else if (fresh.TryGetValue(buyer, out var twin))
            {
                answers[i] = twin;
            }
            else if (usedUp.Contains(rank))
            {
                answers[i] = new Answer(Outcome.UsedUp);
            }
            else if (!Terms.IsOpenAt(now))
            {
                answers[i] = new Answer(now < Terms.StartsAt ? Outcome.NotStarted : Outcome.Over);
            }
            else if (quantity <= left)
            {
                var units = free.GetRange(left - quantity, quantity);
                left -= quantity;
                var claim = new Held(
                    Guid.CreateVersion7(now), buyer, rank, quantity, ClaimState.Claimed, ++place, units, Guid.CreateVersion7(now), Until(now + payWithin));
                plan.New.Add(claim);
                answers[i] = fresh[buyer] = new Answer(claim, 0);
            }
            else if (mayWait && quantity <= room)
            {
                room -= quantity;
                var claim = new Held(Guid.CreateVersion7(now), buyer, rank, quantity, ClaimState.Waiting, ++place, []);
                plan.New.Add(claim);
                answers[i] = fresh[buyer] = new Answer(claim, ++position);
            }
            else
            {
                answers[i] = new Answer(mayWait ? Outcome.SoldOut : Outcome.NoneHere);
            }
        }
        return (plan, answers);
    }

    /// <summary>
    /// What orders came to. Units that come back go to those who wait, the first for whom there are enough, in the same breath. What is
    /// known already, or was over before, changes nothing. Without verdicts: units that are free while somebody waits, because people came
    /// over from another shard, find their owners.
    /// </summary>
    /// <param name="unreachable">Who has nowhere to send it to: not the next, whatever the list says.</param>
    public ShardPlan Settle(IEnumerable<Verdict> verdicts, DateTimeOffset now, TimeSpan payWithin, IReadOnlySet<Guid> unreachable)
    {
        var plan = new ShardPlan(Terms, Version);
        var seen = new HashSet<Guid>();
        var returned = new List<int>();
        foreach (var verdict in verdicts.OrderBy(verdict => verdict.Paid))      // an order that was paid and cancelled is cancelled, in whichever order we hear of it
        {
            if (!byClaim.TryGetValue(verdict.ClaimId, out var claim) || claim.State == ClaimState.Waiting || !seen.Add(claim.ClaimId)) continue;
            if (!verdict.Paid)
            {
                plan.Moves.Add(new Move(claim, claim with { State = ClaimState.Released, Units = [] }, verdict.Reason));
                returned.AddRange(claim.Units);
            }
            else if (claim.State == ClaimState.Claimed)
            {
                plan.Moves.Add(new Move(claim, claim with { State = ClaimState.Paid }, null));
            }
        }

        Promote(plan, returned, now, payWithin, unreachable);
        return plan;
    }

    /// <summary>The first <paramref name="atMost"/> of those who wait got nothing.</summary>
    public ShardPlan Miss(int atMost, string reason)
    {
        var plan = new ShardPlan(Terms, Version);
        plan.Moves.AddRange(waiting.Values.Take(atMost).Select(claim => new Move(claim, claim with { State = ClaimState.Missed }, reason)));
        return plan;
    }

    /// <summary>Null: this buyer does not wait.</summary>
    public ShardPlan? Leave(Guid buyer)
    {
        if (Of(buyer) is not { State: ClaimState.Waiting } claim) return null;
        var plan = new ShardPlan(Terms, Version);
        plan.Moves.Add(new Move(claim, claim with { State = ClaimState.Missed }, MissedReason.Left));
        return plan;
    }

    /// <summary>The plan is in the database: this is what is.</summary>
    public void Take(ShardPlan plan)
    {
        if (plan.Version != Version) throw new InvalidOperationException($"A plan for version {plan.Version} met version {Version}.");
        var (removed, returned) = (new HashSet<int>(), new List<int>());
        foreach (var move in plan.Moves)
        {
            Remove(move.From);
            returned.AddRange(move.From.Units.Except(move.To.Units));
            removed.UnionWith(move.To.Units.Except(move.From.Units));
            Add(move.To);
        }
        foreach (var claim in plan.New)
        {
            removed.UnionWith(claim.Units);
            Add(claim);
        }

        free.AddRange(returned);
        if (removed.Count > 0) free.RemoveAll(removed.Contains);
        if (returned.Count > 0) free.Sort(static (one, other) => other.CompareTo(one));
        Version++;
    }

    private void Promote(ShardPlan plan, List<int> returned, DateTimeOffset now, TimeSpan payWithin, IReadOnlySet<Guid> unreachable)
    {
        if (!Terms.IsOpenAt(now) || waiting.Count == 0) return;
        var units = new List<int>(returned);
        units.AddRange(free);
        foreach (var claim in waiting.Values)
        {
            if (units.Count == 0) break;
            if (unreachable.Contains(claim.BuyerId))
            {
                plan.Moves.Add(new Move(claim, claim with { State = ClaimState.Missed }, MissedReason.NoCheckout));
                continue;
            }

            if (claim.Quantity > units.Count) continue;
            var theirs = units.GetRange(units.Count - claim.Quantity, claim.Quantity);
            units.RemoveRange(units.Count - claim.Quantity, claim.Quantity);
            plan.Moves.Add(new Move(
                claim,
                claim with { State = ClaimState.Claimed, Units = theirs, OrderId = Guid.CreateVersion7(now), PayUntil = Until(now + payWithin), FromWaitingList = true },
                null));
            plan.NeedsOpenSale = true;
        }
    }

    // As the database will give it back: a repeat must not differ from the first answer by a fraction of a microsecond.
    private static DateTimeOffset Until(DateTimeOffset time) => new(time.Ticks - time.Ticks % TimeSpan.TicksPerMillisecond, time.Offset);

    private void Add(Held claim)
    {
        lastPlace = Math.Max(lastPlace, claim.Place);
        if (claim.State is ClaimState.Released or ClaimState.Missed)
        {
            usedUp.Add(claim.Rank);
            return;
        }

        byBuyer[claim.BuyerId] = claim;
        byClaim[claim.ClaimId] = claim;
        if (claim.State == ClaimState.Waiting)
        {
            waiting[claim.Place] = claim;
            WaitingUnits += claim.Quantity;
        }
        if (claim.State == ClaimState.Paid) PaidUnits += claim.Quantity;
    }

    private void Remove(Held claim)
    {
        byBuyer.Remove(claim.BuyerId);
        byClaim.Remove(claim.ClaimId);
        if (waiting.Remove(claim.Place)) WaitingUnits -= claim.Quantity;
        if (claim.State == ClaimState.Paid) PaidUnits -= claim.Quantity;
    }
}

public static class MissedReason
{
    public const string SoldOut = "sold_out";
    public const string Ended = "sale_ended";
    public const string Left = "left";
    public const string NoCheckout = "express_checkout_missing";
}

public enum Outcome
{
    /// <summary>There is a claim: this one.</summary>
    Held,

    /// <summary>No unit left and no room to wait for one.</summary>
    SoldOut,

    /// <summary>No unit left in this shard.</summary>
    NoneHere,
    NotStarted,
    Over,

    /// <summary>Nowhere to send it, nothing to pay with.</summary>
    NoCheckout,

    /// <summary>This place in the queue had its claim, and that is over.</summary>
    UsedUp,
}

/// <param name="Position">On the waiting list, from 1; 0 for who has units.</param>
public readonly record struct Answer(Outcome Outcome, Held? Claim, int Position)
{
    public Answer(Outcome outcome) : this(outcome, null, 0)
    {
    }

    public Answer(Held claim, int position) : this(Outcome.Held, claim, position)
    {
    }
}

public sealed record Move(Held From, Held To, string? Reason);

/// <summary>What is to become true of a shard that is at <see cref="Version"/>: all of it, or nothing.</summary>
public sealed class ShardPlan(ShardTerms terms, long version)
{
    public ShardTerms Terms { get; } = terms;
    public long Version { get; } = version;
    public List<Held> New { get; } = [];
    public List<Move> Moves { get; } = [];

    /// <summary>Somebody gets a unit, or a place to wait for one: only while the sale is on.</summary>
    public bool NeedsOpenSale { get; set; }

    public bool IsEmpty => New.Count == 0 && Moves.Count == 0;
    public int TakenMore => New.Sum(claim => claim.Units.Count) + Moves.Sum(move => move.To.Units.Count - move.From.Units.Count);
    public int PaidMore => Moves.Sum(move => UnitsIn(move.To, ClaimState.Paid) - UnitsIn(move.From, ClaimState.Paid));
    public int WaitingMore => New.Sum(claim => UnitsIn(claim, ClaimState.Waiting)) + Moves.Sum(move => UnitsIn(move.To, ClaimState.Waiting) - UnitsIn(move.From, ClaimState.Waiting));

    private static int UnitsIn(Held claim, string state) => claim.State == state ? claim.Quantity : 0;
}
