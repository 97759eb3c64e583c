using System.Diagnostics.Metrics;

namespace Marketplace.Inventory;

/// <summary>How contended stock is: what decides between the two reservation strategies.</summary>
public sealed class InventoryMeter : IDisposable
{
    public const string Name = "Marketplace.Inventory";

    private readonly Meter meter;
    private readonly Counter<long> conflicts;
    private readonly Counter<long> locked;

    public InventoryMeter(IMeterFactory meters)
    {
        meter = meters.Create(Name);
        conflicts = meter.CreateCounter<long>("inventory.reserve.conflicts", description: "Tries lost because another order was faster.");
        locked = meter.CreateCounter<long>("inventory.reserve.locked", description: "Reservations made under lock.");
    }

    public void Conflict() => conflicts.Add(1);

    public void Locked() => locked.Add(1);

    public void Dispose() => meter.Dispose();
}
