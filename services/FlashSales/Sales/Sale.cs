using Marketplace.Contracts;
using Marketplace.WaitingRoom;

namespace Marketplace.FlashSales.Sales;

/// <summary>A sale as its row says. No I/O.</summary>
/// <param name="AdmissionRate">People a second.</param>
/// <param name="InsideLimit">How many may be inside at once.</param>
/// <param name="AdmissionSeconds">An admission that is not used lapses after.</param>
/// <param name="WaitingList">Units' worth of people who may wait for what comes back.</param>
/// <param name="Status">One of <see cref="SaleStatus"/>.</param>
/// <param name="EndReason">One of <see cref="SaleEnd"/>, when it is over.</param>
/// <param name="Seed">With <paramref name="Early"/>: the draw, once it was made.</param>
/// <param name="Allotted">Units that inventory last said it has for the sale.</param>
public sealed record Sale(
    Guid SaleId, Guid SellerId, Guid ProductId, string Title, int Units, Money Price, DateTimeOffset StartsAt, DateTimeOffset EndsAt,
    int LimitPerCustomer, int AdmissionRate, int InsideLimit, int AdmissionSeconds, int WaitingList, int Shards,
    string Status, string? EndReason, long Revision, DateTimeOffset? DrawnAt, byte[]? Seed, long? Early,
    int Allotted, DateTimeOffset CreatedAt, DateTimeOffset UpdatedAt, DateTimeOffset? EndedAt)
{
    public bool IsDrawn => Seed is not null && Early is not null;

    /// <summary>Shoppers may know of it: not while it is prepared, nor one that was refused.</summary>
    public bool IsAnnounced => Status is SaleStatus.Scheduled or SaleStatus.Cancelled or SaleStatus.Ended;

    /// <summary>Also when a replica whose clock is ahead of ours has made the draw.</summary>
    public bool HasStarted(DateTimeOffset now) => now >= StartsAt || IsDrawn;

    public bool IsOver(DateTimeOffset now) => Status is SaleStatus.Cancelled or SaleStatus.Ended or SaleStatus.Refused || now >= EndsAt;

    /// <summary>Units may be claimed now.</summary>
    public bool IsRunning(DateTimeOffset now) => Status == SaleStatus.Scheduled && HasStarted(now) && !IsOver(now);

    public int Remaining(SaleCounts counts) => Math.Max(0, Units - counts.Claimed);

    /// <summary>One of <see cref="SalePhase"/>: what shoppers are told.</summary>
    public string Phase(SaleCounts counts, DateTimeOffset now) =>
        counts.Paid >= Units ? SalePhase.SoldOut
        : IsOver(now) ? SalePhase.Ended
        : !HasStarted(now) ? SalePhase.Scheduled
        : counts.Claimed >= Units ? SalePhase.Allocated
        : SalePhase.Open;
}

/// <param name="Claimed">Units that somebody has, paid or not yet.</param>
/// <param name="Paid">Those of them that are paid for.</param>
public readonly record struct SaleCounts(int Claimed, int Paid);

public static class SaleStatus
{
    /// <summary>Written down, but inventory has not set the units aside yet.</summary>
    public const string Preparing = "preparing";

    /// <summary>Never came to be; the row stays until inventory holds nothing for it.</summary>
    public const string Refused = "refused";

    /// <summary>From then until its end, while it runs too.</summary>
    public const string Scheduled = "scheduled";

    /// <summary>Called off before its start.</summary>
    public const string Cancelled = "cancelled";
    public const string Ended = "ended";
}

public static class SaleEnd
{
    public const string SoldOut = "sold_out";
    public const string Time = "time";
    public const string BySeller = "by_seller";
    public const string ByOperator = "by_operator";
}
