namespace Marketplace.Contracts;

/// <summary>What can be sold of a product over all warehouses, as of <see cref="Version"/>, which only grows per product.</summary>
public sealed record StockLevel(Guid ProductId, int Available, long Version);

/// <summary>Levels that moved within the last coalescing window (200 ms); one event carries many products.</summary>
public sealed record InventoryUpdated(IReadOnlyList<StockLevel> Levels) : DomainEvent
{
    public const string Topic = "inventory.updated";
}

/// <summary>So many units of a product taken from one warehouse.</summary>
public sealed record Allocation(Guid ProductId, string Warehouse, int Quantity);

public sealed record InventoryReserved(Guid OrderId, int Attempt, IReadOnlyList<Allocation> Allocations) : DomainEvent
{
    public const string Topic = "inventory.reserved";
}

public sealed record InventoryReleased(Guid OrderId, int Attempt, string Reason) : DomainEvent
{
    public const string Topic = "inventory.released";
}
