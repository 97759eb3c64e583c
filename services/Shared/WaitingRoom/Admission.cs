namespace Marketplace.WaitingRoom;

/// <summary>
/// All that is needed to tell anybody where they stand in one sale's queue: what the service of flash sales says once a second and the
/// gateway computes with in between. Instants are the service's; <see cref="Head"/> people were let in by <see cref="At"/>.
/// </summary>
/// <param name="Early">How many numbers the draw shuffled; null, as the seed, before the draw.</param>
/// <param name="Rate">People a second.</param>
/// <param name="Room">How many may be let in after <see cref="At"/> before the next state says more.</param>
/// <param name="ExpiredBelow">Ranks below were let in so long ago that their admission has lapsed.</param>
/// <param name="AdmissionSeconds">How long an admission lasts.</param>
/// <param name="Phase">One of <see cref="SalePhase"/>.</param>
public sealed record Admission(
    Guid SaleId, string Phase, DateTimeOffset StartsAt, DateTimeOffset EndsAt, byte[]? Seed, long? Early,
    DateTimeOffset At, long Head, int Rate, int Room, long ExpiredBelow, int AdmissionSeconds, int Remaining)
{
    /// <summary>How many had been let in at some moments of the last admission time, in order. Without them it is not known when somebody was let in, only estimated.</summary>
    public IReadOnlyList<HeadPoint>? Past { get; init; }

    public bool IsDrawn => Seed is not null && Early is not null;

    /// <summary>Null before the draw: nobody has a rank yet.</summary>
    public long? RankOf(Ticket ticket) =>
        Seed is not { } seed || Early is not { } early ? null
        : ticket.Late ? early + ticket.Number
        : ticket.Number < early ? StartDraw.RankOf(seed, early, ticket.Number)
        : null;

    /// <summary>
    /// When a rank that was let in was so at the earliest. It was not yet at any moment when fewer had been, and from there on the head does not move
    /// faster than the rate.
    /// </summary>
    public DateTimeOffset LetInAt(long rank)
    {
        var (at, letIn) = (At - TimeSpan.FromSeconds(AdmissionSeconds), ExpiredBelow);
        if (at < StartsAt) at = StartsAt;
        foreach (var point in Past ?? [])
            if (point.LetIn <= rank && point.At > at) (at, letIn) = (point.At, point.LetIn);
        if (Head <= rank) (at, letIn) = (At, Head);
        return at + TimeSpan.FromSeconds((double)(rank - letIn) / Math.Max(1, Rate));
    }

    /// <summary>Everybody of a lower rank has been let in.</summary>
    public long HeadAt(DateTimeOffset now)
    {
        var seconds = Math.Max(0, (now - At).TotalSeconds);
        return Head + (long)Math.Min(Room, Math.Min(seconds * Rate, int.MaxValue));
    }
}

public static class SalePhase
{
    public const string Scheduled = "scheduled";
    public const string Open = "open";

    /// <summary>Every unit is claimed, some are not paid for yet and may come back.</summary>
    public const string Allocated = "allocated";

    /// <summary>Every unit is paid for.</summary>
    public const string SoldOut = "sold_out";
    public const string Ended = "ended";
}

/// <param name="LetIn">Ranks below had been let in at that time.</param>
public sealed record HeadPoint(DateTimeOffset At, long LetIn);

public sealed record AdmissionsReply(DateTimeOffset ServedAt, IReadOnlyList<Admission> Sales);
