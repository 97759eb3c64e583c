namespace Marketplace.Search.Engine;

/// <summary>
/// A unit sold weighs twice what one sold a half-life earlier does. Weights only grow with the date, so that they are added up in any
/// order and never touched again, and the sum of a product that sells no more falls behind by itself.
/// </summary>
internal static class SalesWeight
{
    public static readonly TimeSpan HalfLife = TimeSpan.FromDays(30);
    private static readonly DateTimeOffset Epoch = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    public static double At(DateTimeOffset time) => Math.Pow(2, (time - Epoch) / HalfLife);
}
