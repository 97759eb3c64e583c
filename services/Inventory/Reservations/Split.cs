using Marketplace.Contracts;

namespace Marketplace.Inventory.Reservations;

/// <summary>
/// Decides from which warehouses an order is served: all lines or none, out of as few warehouses as can do it (each one more is a
/// parcel more), always the same answer for the same levels. Levels are what is free now, so units held for others do not count.
/// </summary>
public static class Split
{
    public static SplitOutcome Plan(IReadOnlyList<WantedUnits> wanted, IReadOnlyList<WarehouseLevel> levels)
    {
        var shelves = levels.ToLookup(level => level.ProductId);
        var shortages = wanted
            .Select(want => new Shortage(want.ProductId, want.Quantity, shelves[want.ProductId].Sum(level => level.Available)))
            .Where(shortage => shortage.Available < shortage.Wanted)
            .ToList();
        if (shortages.Count > 0) return new SplitOutcome([], shortages);

        var warehouses = levels.OrderBy(level => level.Position).Select(level => level.Warehouse).Distinct().ToArray();
        var chosen = FewestThatServe(wanted, shelves, warehouses);
        return new SplitOutcome(
            [.. wanted.SelectMany(want => Take(want, [.. shelves[want.ProductId].Where(level => chosen.Contains(level.Warehouse))]))], []);
    }

    // Sets are tried by size, then in the order of preference. Past a dozen warehouses the number of sets explodes for the sake of a
    // parcel, so then every one may serve and each line by itself takes from as few as it can.
    private static HashSet<string> FewestThatServe(IReadOnlyList<WantedUnits> wanted, ILookup<Guid, WarehouseLevel> shelves, string[] warehouses)
    {
        if (warehouses.Length > 12) return [.. warehouses];
        for (var size = 1; size < warehouses.Length; size++)
            foreach (var set in SetsOf(size, warehouses, from: 0))
                if (wanted.All(want => shelves[want.ProductId].Where(level => set.Contains(level.Warehouse)).Sum(level => level.Available) >= want.Quantity))
                    return set;
        return [.. warehouses];
    }

    private static IEnumerable<HashSet<string>> SetsOf(int size, string[] warehouses, int from)
    {
        if (size == 0)
        {
            yield return [];
            yield break;
        }

        for (var first = from; first <= warehouses.Length - size; first++)
            foreach (var rest in SetsOf(size - 1, warehouses, first + 1))
            {
                rest.Add(warehouses[first]);
                yield return rest;
            }
    }

    // One shelf that has it all, else the fullest first: the fewest parcels for this line.
    private static IEnumerable<PlannedUnits> Take(WantedUnits want, List<WarehouseLevel> shelves)
    {
        var whole = shelves.Where(level => level.Available >= want.Quantity).OrderBy(level => level.Position).Take(1);
        var missing = want.Quantity;
        foreach (var level in whole.Concat(shelves.OrderByDescending(level => level.Available).ThenBy(level => level.Position)))
        {
            var taken = Math.Min(missing, level.Available);
            if (taken <= 0) continue;
            missing -= taken;
            yield return new PlannedUnits(want.ProductId, level.Warehouse, taken, level.Version);
            if (missing == 0) yield break;
        }
    }
}

public sealed record WantedUnits(Guid ProductId, int Quantity);

/// <summary>What is free of a product in one warehouse, and the version of the row that said so.</summary>
public sealed record WarehouseLevel(Guid ProductId, string Warehouse, int Position, int Available, long Version);

public sealed record PlannedUnits(Guid ProductId, string Warehouse, int Quantity, long Version)
{
    public Allocation ToAllocation() => new(ProductId, Warehouse, Quantity);
}

public sealed record Shortage(Guid ProductId, int Wanted, int Available);

public sealed record SplitOutcome(IReadOnlyList<PlannedUnits> Plan, IReadOnlyList<Shortage> Shortages);
