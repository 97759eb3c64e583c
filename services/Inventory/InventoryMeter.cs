using System.Diagnostics.Metrics;

namespace Marketplace.Inventory;

/// <summary>How contended stock is (what decides between the two reservation strategies), and what sales take of it.</summary>
public sealed class InventoryMeter : IDisposable
{
    public const string Name = "Marketplace.Inventory";

    private readonly Meter meter;
    private readonly Counter<long> conflicts;
    private readonly Counter<long> locked;
    private readonly UpDownCounter<long> allotted;
    private readonly Counter<long> allotmentReserved;
    private readonly Counter<long> allotmentShort;

    public InventoryMeter(IMeterFactory meters)
    {
        meter = meters.Create(Name);
        conflicts = meter.CreateCounter<long>("inventory.reserve.conflicts", description: "Tries lost because another order was faster.");
        locked = meter.CreateCounter<long>("inventory.reserve.locked", description: "Reservations made under lock.");
        allotted = meter.CreateUpDownCounter<long>("inventory.allotment.units", description: "Units moved out of ordinary stock into allotments, less those moved back.");
        allotmentReserved = meter.CreateCounter<long>("inventory.allotment.reserved", description: "Units held out of allotments for orders.");
        allotmentShort = meter.CreateCounter<long>("inventory.allotment.short", description: "Orders of a sale that found too little in its allotment.");
    }

    public void Conflict() => conflicts.Add(1);

    public void Locked() => locked.Add(1);

    public void Allotted(int units) => allotted.Add(units);

    public void AllotmentReserved(int units) => allotmentReserved.Add(units);

    public void AllotmentShort() => allotmentShort.Add(1);

    public void Dispose() => meter.Dispose();
}
