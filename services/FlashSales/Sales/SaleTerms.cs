using System.ComponentModel.DataAnnotations;
using Marketplace.Contracts;
using Marketplace.WaitingRoom;

namespace Marketplace.FlashSales.Sales;

/// <param name="ProductId">A listing or, where it has variants, one of these.</param>
/// <param name="Units">Moved from ordinary stock into the sale.</param>
/// <param name="Price">Of one unit, in the listing's currency.</param>
/// <param name="StartsAt">At least ten seconds ahead.</param>
/// <param name="EndsAt">A minute to a day after the start.</param>
/// <param name="LimitPerCustomer">Units one account may have.</param>
/// <param name="AdmissionRate">People a second.</param>
/// <param name="InsideLimit">How many may be inside, choosing, at once.</param>
/// <param name="AdmissionSeconds">An admission that is not used lapses after.</param>
/// <param name="WaitingList">How many units' worth of people may wait for what comes back; without: half the units, ten at least.</param>
public sealed record ScheduleRequest(
    Guid ProductId,
    [property: Range(1, SaleTerms.MostUnits)] int Units,
    Money Price,
    DateTimeOffset StartsAt,
    DateTimeOffset EndsAt,
    [property: Range(1, SaleTerms.HighestLimit)] int LimitPerCustomer = 1,
    [property: Range(1, SaleTerms.HighestRate)] int AdmissionRate = 100,
    [property: Range(1, SaleTerms.MostInside)] int InsideLimit = 1000,
    [property: Range(SaleTerms.ShortestAdmission, SaleTerms.LongestAdmission)] int AdmissionSeconds = 120,
    [property: Range(0, SaleTerms.MostUnits)] int? WaitingList = null)
{
    internal SaleTerms Terms => SaleTerms.Of(Units, Price, StartsAt, EndsAt, LimitPerCustomer, AdmissionRate, InsideLimit, AdmissionSeconds, WaitingList);
}

/// <summary>The whole of what may be changed, as in <see cref="ScheduleRequest"/>: what is left out gets its default.</summary>
/// <param name="ProductId">May be repeated, not changed.</param>
public sealed record ChangeRequest(
    [property: Range(1, SaleTerms.MostUnits)] int Units,
    Money Price,
    DateTimeOffset StartsAt,
    DateTimeOffset EndsAt,
    [property: Range(1, SaleTerms.HighestLimit)] int LimitPerCustomer = 1,
    [property: Range(1, SaleTerms.HighestRate)] int AdmissionRate = 100,
    [property: Range(1, SaleTerms.MostInside)] int InsideLimit = 1000,
    [property: Range(SaleTerms.ShortestAdmission, SaleTerms.LongestAdmission)] int AdmissionSeconds = 120,
    [property: Range(0, SaleTerms.MostUnits)] int? WaitingList = null,
    Guid? ProductId = null)
{
    internal SaleTerms Terms => SaleTerms.Of(Units, Price, StartsAt, EndsAt, LimitPerCustomer, AdmissionRate, InsideLimit, AdmissionSeconds, WaitingList);
}

/// <summary>What a seller may decide about a sale, and what cannot be. No I/O.</summary>
public sealed record SaleTerms(
    int Units, Money Price, DateTimeOffset StartsAt, DateTimeOffset EndsAt, int LimitPerCustomer, int AdmissionRate, int InsideLimit, int AdmissionSeconds, int WaitingList)
{
    public const int MostUnits = 100_000;
    public const int HighestLimit = 10;
    public const int HighestRate = 10_000;
    public const int MostInside = 100_000;
    public const int ShortestAdmission = 30;
    public const int LongestAdmission = 900;
    public const long HighestPrice = 100_000_000;

    public static readonly TimeSpan Notice = TimeSpan.FromSeconds(10);
    public static readonly TimeSpan Shortest = TimeSpan.FromMinutes(1);
    public static readonly TimeSpan Longest = TimeSpan.FromDays(1);
    public static readonly TimeSpan Furthest = TimeSpan.FromDays(365);

    // One actor decides some thousand claims a second; past this many units its memory and its batches grow for nothing.
    private const int UnitsPerShard = 20_000;

    public int Shards => (Units + UnitsPerShard - 1) / UnitsPerShard;

    // Milliseconds, as a client's clock shows them: what is stored is then what was sent.
    public static SaleTerms Of(
        int units, Money price, DateTimeOffset startsAt, DateTimeOffset endsAt, int limit, int rate, int inside, int admissionSeconds, int? waitingList) =>
        new(units, price, InMilliseconds(startsAt), InMilliseconds(endsAt), limit, rate, inside, admissionSeconds, waitingList ?? Math.Min(units, Math.Max(10, units / 2)));

    /// <summary>Every field with what is wrong with it; empty when the sale can be.</summary>
    public IReadOnlyList<(string Field, string Message)> Errors(DateTimeOffset now)
    {
        var errors = new List<(string, string)>();
        // Dates are subtracted, never added to: the year 9999 has no next day.
        Check(Units is >= 1 and <= MostUnits, "units", $"Between 1 and {MostUnits} units.");
        Check(Price.Minor is > 0 and <= HighestPrice, "price.minor", $"Between 1 and {HighestPrice}.");
        Check(!string.IsNullOrEmpty(Price.Currency), "price.currency", "Say which currency.");
        Check(StartsAt >= now + Notice, "startsAt", $"At least {Notice.TotalSeconds} seconds from now.");
        Check(StartsAt <= now + Furthest, "startsAt", $"At most {Furthest.TotalDays} days from now.");
        Check(EndsAt - StartsAt >= Shortest, "endsAt", $"At least {Shortest.TotalMinutes} minute after the start.");
        Check(EndsAt - StartsAt <= Longest, "endsAt", $"At most {Longest.TotalHours} hours after the start.");
        Check(LimitPerCustomer is >= 1 and <= HighestLimit, "limitPerCustomer", $"Between 1 and {HighestLimit} units.");
        Check(LimitPerCustomer <= Math.Max(Units, 1), "limitPerCustomer", "Not more than there are units.");
        Check(AdmissionRate is >= 1 and <= HighestRate, "admissionRate", $"Between 1 and {HighestRate} people a second.");
        Check(InsideLimit is >= 1 and <= MostInside, "insideLimit", $"Between 1 and {MostInside} people.");
        Check(AdmissionSeconds is >= ShortestAdmission and <= LongestAdmission, "admissionSeconds", $"Between {ShortestAdmission} and {LongestAdmission} seconds.");
        Check(WaitingList >= 0 && WaitingList <= Math.Max(Units, 0), "waitingList", "Between none and as many as there are units.");
        return errors;

        void Check(bool holds, string field, string message)
        {
            if (!holds)
                errors.Add((field, message));
        }
    }

    private static DateTimeOffset InMilliseconds(DateTimeOffset at) => DateTimeOffset.FromUnixTimeMilliseconds(at.ToUnixTimeMilliseconds());
}

/// <summary>A sale as shoppers see it. Count down from <see cref="ServerTime"/>: their own clocks may be wrong.</summary>
/// <param name="Phase">scheduled, open, allocated (every unit is somebody's, some are not paid for yet and may come back), sold_out or ended.</param>
/// <param name="Remaining">Units that nobody has.</param>
/// <param name="StartsInSeconds">From <paramref name="ServerTime"/>, rounded up; 0 from the start on.</param>
/// <param name="EndsInSeconds">Likewise; 0 when it is over.</param>
public sealed record ShopperSale(
    Guid SaleId, Guid ProductId, Guid SellerId, string Title, int Units, Money Price, DateTimeOffset StartsAt, DateTimeOffset EndsAt, int LimitPerCustomer,
    string Phase, int Remaining, DateTimeOffset ServerTime, int StartsInSeconds, int EndsInSeconds)
{
    internal static ShopperSale Of(Sale sale, SaleCounts counts, DateTimeOffset now)
    {
        var phase = sale.Phase(counts, now);
        return new(
            sale.SaleId, sale.ProductId, sale.SellerId, sale.Title, sale.Units, sale.Price, sale.StartsAt, sale.EndsAt, sale.LimitPerCustomer,
            phase, phase is SalePhase.Ended ? 0 : sale.Remaining(counts), now, Until(sale.StartsAt), sale.IsOver(now) ? 0 : Until(sale.EndsAt));

        int Until(DateTimeOffset then) => (int)Math.Ceiling(Math.Max(0, (then - now).TotalSeconds));
    }
}

/// <param name="Next">The cursor of the next page, or null.</param>
public sealed record ShopperSales(DateTimeOffset ServerTime, IReadOnlyList<ShopperSale> Items, string? Next);

/// <summary>A sale as its seller and operators see it.</summary>
/// <param name="Status">scheduled (until its end, while it runs too), cancelled (before its start) or ended.</param>
/// <param name="EndReason">sold_out, time, by_seller or by_operator, once it is over.</param>
/// <param name="Phase">As shoppers are told.</param>
/// <param name="Claimed">Units that somebody has, paid or not yet.</param>
/// <param name="Waiting">Units' worth of people on the waiting list.</param>
/// <param name="Allotted">Units that inventory keeps for the sale, sold ones included; after the end it goes down to what was claimed.</param>
/// <param name="Revision">In the ETag too: what a change must name.</param>
public sealed record ManagedSale(
    Guid SaleId, Guid ProductId, Guid SellerId, string Title, int Units, Money Price, DateTimeOffset StartsAt, DateTimeOffset EndsAt, int LimitPerCustomer,
    int AdmissionRate, int InsideLimit, int AdmissionSeconds, int WaitingList, string Status, string? EndReason, string Phase,
    int Claimed, int Paid, int Waiting, int Remaining, int Allotted, long Revision, DateTimeOffset ServerTime, DateTimeOffset CreatedAt, DateTimeOffset UpdatedAt, DateTimeOffset? EndedAt)
{
    internal string ETag => $"\"{Revision}\"";

    internal static ManagedSale Of(CountedSale counted, DateTimeOffset now)
    {
        var (sale, counts, waiting) = counted;
        return new(
            sale.SaleId, sale.ProductId, sale.SellerId, sale.Title, sale.Units, sale.Price, sale.StartsAt, sale.EndsAt, sale.LimitPerCustomer,
            sale.AdmissionRate, sale.InsideLimit, sale.AdmissionSeconds, sale.WaitingList, sale.Status, sale.EndReason, sale.Phase(counts, now),
            counts.Claimed, counts.Paid, waiting, sale.Remaining(counts), sale.Allotted, sale.Revision, now, sale.CreatedAt, sale.UpdatedAt, sale.EndedAt);
    }
}

public sealed record ManagedSales(DateTimeOffset ServerTime, IReadOnlyList<ManagedSale> Items, string? Next);

/// <param name="Waiting">Units' worth of people on the waiting list.</param>
public sealed record CountedSale(Sale Sale, SaleCounts Counts, int Waiting);
