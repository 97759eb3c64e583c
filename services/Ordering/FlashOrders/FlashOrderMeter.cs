using System.Diagnostics.Metrics;

namespace Marketplace.Ordering.FlashOrders;

/// <summary>How many claims became orders, how many were given up, and how many of their sagas are under way here.</summary>
public sealed class FlashOrderMeter : IDisposable
{
    public const string Name = "Marketplace.Ordering";

    private readonly Meter meter;
    private readonly Counter<long> placed;
    private readonly Counter<long> abandoned;
    private readonly UpDownCounter<long> underWay;

    public FlashOrderMeter(IMeterFactory meters)
    {
        meter = meters.Create(Name);
        placed = meter.CreateCounter<long>("ordering.flash.placed", description: "Claims that became orders.");
        abandoned = meter.CreateCounter<long>("ordering.flash.abandoned", description: "Flash orders their sale gave up before they were paid.");
        underWay = meter.CreateUpDownCounter<long>("ordering.flash.under_way", description: "Sagas of flash orders that hold a place of this replica.");
    }

    public void Placed() => placed.Add(1);

    public void Abandoned() => abandoned.Add(1);

    public void UnderWay(int more) => underWay.Add(more);

    public void Dispose() => meter.Dispose();
}
