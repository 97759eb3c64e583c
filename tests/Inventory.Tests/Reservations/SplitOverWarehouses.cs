using Marketplace.Inventory.Reservations;

namespace Marketplace.Inventory.Tests.Reservations;

public sealed class SplitOverWarehouses
{
    private static readonly Guid Lamp = Guid.CreateVersion7();
    private static readonly Guid Mug = Guid.CreateVersion7();

    [Fact]
    public void One_warehouse_that_has_everything_sends_everything() =>
        Assert.Equal("south:5 south:2", Planned([Want(Lamp, 5), Want(Mug, 2)], At("north", 1, Lamp, 9), At("south", 3, Lamp, 5), At("south", 3, Mug, 2)));

    [Fact]
    public void Of_two_that_could_the_preferred_one_sends() =>
        Assert.Equal("north:5", Planned([Want(Lamp, 5)], At("south", 3, Lamp, 50), At("north", 1, Lamp, 5)));

    [Fact]
    public void A_line_no_warehouse_has_whole_is_taken_from_the_fullest_first() =>
        Assert.Equal("midlands:8 north:3", Planned([Want(Lamp, 11)], At("north", 1, Lamp, 4), At("midlands", 2, Lamp, 8), At("south", 3, Lamp, 2)));

    [Fact]
    public void Two_parcels_rather_than_three() =>
        Assert.Equal("south:4 north:1 south:1", Planned(
            [Want(Lamp, 4), Want(Mug, 2)],
            At("north", 1, Lamp, 2), At("midlands", 2, Lamp, 1), At("south", 3, Lamp, 4), At("north", 1, Mug, 1), At("midlands", 2, Mug, 1), At("south", 3, Mug, 1)));

    [Fact]
    public void One_short_line_refuses_all_and_says_how_much_there_is()
    {
        var (plan, shortages) = Split.Plan([Want(Lamp, 3), Want(Mug, 9)], [At("north", 1, Lamp, 3), At("north", 1, Mug, 4), At("south", 3, Mug, 4)]);
        Assert.Empty(plan);
        Assert.Equal([new Shortage(Mug, 9, 8)], shortages);
    }

    [Fact]
    public void A_product_nobody_stocks_is_short_by_all_of_it() =>
        Assert.Equal([new Shortage(Lamp, 1, 0)], Split.Plan([Want(Lamp, 1)], []).Shortages);

    [Fact]
    public void The_order_in_which_levels_are_read_changes_nothing()
    {
        WarehouseLevel[] levels = [At("north", 1, Lamp, 6), At("midlands", 2, Lamp, 6), At("south", 3, Lamp, 6), At("north", 1, Mug, 1), At("south", 3, Mug, 1)];
        var first = Planned([Want(Lamp, 9), Want(Mug, 2)], levels);
        Assert.Equal(first, Planned([Want(Lamp, 9), Want(Mug, 2)], [.. levels.Reverse()]));
    }

    [Fact]
    public void Exactly_what_was_asked_is_planned_and_never_more_than_there_is()
    {
        var random = new Random(14);
        for (var round = 0; round < 500; round++)
        {
            Guid[] products = [.. Enumerable.Range(0, random.Next(1, 6)).Select(_ => Guid.CreateVersion7())];
            WantedUnits[] wanted = [.. products.Select(product => Want(product, random.Next(1, 40)))];
            WarehouseLevel[] levels = [.. products.SelectMany(product => new[] { "north", "midlands", "south" }.Select((name, at) => At(name, at + 1, product, random.Next(0, 30))))];

            var (plan, shortages) = Split.Plan(wanted, levels);
            if (shortages.Count > 0)
            {
                Assert.Empty(plan);
                Assert.All(shortages, shortage => Assert.True(shortage.Available < shortage.Wanted));
                continue;
            }

            Assert.All(wanted, want => Assert.Equal(want.Quantity, plan.Where(units => units.ProductId == want.ProductId).Sum(units => units.Quantity)));
            Assert.All(plan, units => Assert.InRange(units.Quantity, 1, levels.Single(level => level.ProductId == units.ProductId && level.Warehouse == units.Warehouse).Available));
            Assert.Equal(plan.Count, plan.DistinctBy(units => (units.ProductId, units.Warehouse)).Count());
        }
    }

    private static WantedUnits Want(Guid product, int quantity) => new(product, quantity);

    private static WarehouseLevel At(string warehouse, int position, Guid product, int available) => new(product, warehouse, position, available, Version: 1);

    private static string Planned(WantedUnits[] wanted, params WarehouseLevel[] levels) =>
        string.Join(' ', Split.Plan(wanted, levels).Plan.Select(units => $"{units.Warehouse}:{units.Quantity}"));
}
