using Marketplace.Inventory.Reservations;

namespace Marketplace.Inventory.Allotments;

/// <summary>What is set aside for a sale in one warehouse. Committed units left the house, taken ones include them.</summary>
public sealed record AllotmentLevel(string Warehouse, int Position, int Allotted, int Taken, int Committed)
{
    public int Free => Allotted - Taken;
}

/// <summary>
/// How an allotment becomes what a sale wants: from which shelves units come, to which they go back. No I/O. Growing is all or nothing,
/// shrinking gives back whatever nobody holds.
/// </summary>
public static class AllotmentMoves
{
    public static AllotmentMove Towards(Guid productId, int wanted, IReadOnlyList<AllotmentLevel> has, IReadOnlyList<WarehouseLevel> shelves)
    {
        var missing = wanted - has.Sum(level => level.Allotted);
        if (missing > 0)
        {
            if (shelves.Count == 0) return new([], AllotmentRefusals.UnknownProduct);
            var (plan, shortages) = Split.Plan([new WantedUnits(productId, missing)], shelves);
            return shortages.Count > 0
                ? new([], AllotmentRefusals.OutOfStock)
                : new([.. plan.Select(units => new WarehouseMove(units.Warehouse, units.Quantity))], null);
        }

        // From the warehouse that has the most to spare, so that what is left lies in few places.
        var moves = new List<WarehouseMove>();
        foreach (var level in has.OrderByDescending(level => level.Free).ThenByDescending(level => level.Position))
        {
            var back = Math.Min(-missing, level.Free);
            if (back <= 0) continue;
            missing += back;
            moves.Add(new WarehouseMove(level.Warehouse, -back));
        }

        return new(moves, missing < 0 ? AllotmentRefusals.BelowTaken : null);
    }
}

/// <param name="Units">Above zero: out of ordinary stock into the allotment.</param>
public sealed record WarehouseMove(string Warehouse, int Units);

public sealed record AllotmentMove(IReadOnlyList<WarehouseMove> Moves, string? Refusal);
