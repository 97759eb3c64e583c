using System.ComponentModel.DataAnnotations;

namespace Marketplace.Inventory.Reservations;

public sealed class ReservationOptions
{
    /// <summary>How long units are held for an order. Payments confirms no charge within the last minute of it.</summary>
    public TimeSpan HeldFor { get; init; } = TimeSpan.FromMinutes(15);

    /// <summary>Tries without a lock before the rows are locked while planning.</summary>
    [Range(0, 20)]
    public int OptimisticTries { get; init; } = 3;

    /// <summary>The longest pause after a lost try; the real one is random below it, so that losers do not meet again.</summary>
    public TimeSpan ConflictPause { get; init; } = TimeSpan.FromMilliseconds(10);

    /// <summary>A product that cost somebody a try is hot for this long: it is taken where there is enough, without insisting on the level that was read.</summary>
    public TimeSpan HotFor { get; init; } = TimeSpan.FromSeconds(2);

    public TimeSpan SweepEvery { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>When to look again at an expired reservation that ordering wants kept, or said nothing about.</summary>
    public TimeSpan AskAgainAfter { get; init; } = TimeSpan.FromMinutes(1);

    [Range(1, 1000)]
    public int SweepBatch { get; init; } = 100;
}
