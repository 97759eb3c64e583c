using System.Text.Json.Serialization;

namespace Marketplace.WaitingRoom;

/// <summary>Where somebody stands in one sale's queue, at <see cref="ServerTime"/>. Computed from the ticket and what the service said, by whoever is asked.</summary>
/// <param name="State">One of <see cref="StandingState"/>.</param>
/// <param name="StartsInSeconds">Until the start, rounded up; only before it. A client counts down from here, whatever its own clock says.</param>
/// <param name="Position">1 is let in next; only while waiting.</param>
/// <param name="WaitSeconds">An estimate: it takes longer where those inside take their time.</param>
/// <param name="AdmittedUntil">When an admission that is not used lapses: to a few seconds, and not too late.</param>
/// <param name="PollAfterSeconds">When to ask again: rarely far from one's turn, often near it.</param>
public sealed record Standing(
    Guid SaleId, string State, DateTimeOffset ServerTime, DateTimeOffset StartsAt, DateTimeOffset EndsAt,
    long? StartsInSeconds, long? Position, long? PeopleAhead, long? WaitSeconds, DateTimeOffset? AdmittedUntil, int PollAfterSeconds)
{
    /// <summary>Longest and shortest time between two polls, in seconds.</summary>
    public const int Rarely = 10;
    public const int Often = 1;

    // Those who waited for the start come back within so many seconds of it, and not all in its first.
    private const int SpreadAtStart = 8;

    /// <summary>Nothing that is asked later will be answered otherwise with this ticket. The state says so already.</summary>
    [JsonIgnore]
    public bool IsFinal => State is StandingState.SoldOut or StandingState.Ended or StandingState.Expired;

    /// <param name="ticket">Null for somebody who has none: the countdown, then whether there is still something to queue for.</param>
    public static Standing Of(Admission sale, Ticket? ticket, DateTimeOffset now) => Of(sale, ticket, ticket is null ? null : sale.RankOf(ticket), now);

    /// <param name="rank">That of the ticket, for those who have computed it before: it never changes.</param>
    public static Standing Of(Admission sale, Ticket? ticket, long? rank, DateTimeOffset now)
    {
        switch (sale.Phase)
        {
            case SalePhase.SoldOut: return Plain(sale, StandingState.SoldOut, now, Rarely);
            case SalePhase.Ended: return Plain(sale, StandingState.Ended, now, Rarely);
        }

        var spread = ticket is null ? Random.Shared.Next(SpreadAtStart) : (int)((uint)ticket.BuyerId.GetHashCode() % SpreadAtStart);
        if (now < sale.StartsAt || !sale.IsDrawn)
        {
            var left = Math.Max(0, (long)Math.Ceiling((sale.StartsAt - now).TotalSeconds));
            var pollAfter = left > 2 * Rarely ? Rarely - spread / 3
                : left > Rarely ? (int)left - Rarely + spread + 1                   // once more before the start, spread as well
                : left > 0 ? (int)left + spread
                : Often;
            return Plain(sale, StandingState.BeforeStart, now, pollAfter) with { StartsInSeconds = left };
        }
        if (ticket is null)
            return Plain(sale, sale.Phase == SalePhase.Allocated ? StandingState.Allocated : StandingState.Open, now, Rarely / 2);
        if (rank is not { } place)
            return Plain(sale, StandingState.Waiting, now, Often);

        var head = sale.HeadAt(now);
        if (place < sale.ExpiredBelow)
            return Plain(sale, StandingState.Expired, now, Rarely);
        if (place < head)
            return Plain(sale, StandingState.Admitted, now, Rarely / 2) with { AdmittedUntil = sale.LetInAt(place) + TimeSpan.FromSeconds(sale.AdmissionSeconds) };

        var ahead = place - head;
        var wait = (ahead + sale.Rate) / Math.Max(1, sale.Rate);
        return Plain(sale, sale.Phase == SalePhase.Allocated ? StandingState.Allocated : StandingState.Waiting, now, PollAfter(wait, spread)) with
        {
            Position = ahead + 1,
            PeopleAhead = ahead,
            WaitSeconds = wait,
        };
    }

    private static Standing Plain(Admission sale, string state, DateTimeOffset now, int pollAfter) =>
        new(sale.SaleId, state, now, sale.StartsAt, sale.EndsAt, null, null, null, null, null, pollAfter);

    /// <summary>A third of the wait, so that the last polls are the closest; shortened for some, so that those of one moment part.</summary>
    private static int PollAfter(long waitSeconds, int spread)
    {
        var seconds = (int)Math.Clamp(waitSeconds / 3, Often, Rarely);
        return Math.Max(Often, seconds - seconds * spread / (3 * SpreadAtStart));
    }
}

public static class StandingState
{
    public const string BeforeStart = "before_start";

    /// <summary>For those without a ticket: it has begun, and there is something to queue for.</summary>
    public const string Open = "open";
    public const string Waiting = "waiting";
    public const string Admitted = "admitted";

    /// <summary>Let in, and not used in time. Another place has to be taken.</summary>
    public const string Expired = "expired";

    /// <summary>Every unit is claimed; one that is not paid for may still come back.</summary>
    public const string Allocated = "allocated";
    public const string SoldOut = "sold_out";
    public const string Ended = "ended";
}
