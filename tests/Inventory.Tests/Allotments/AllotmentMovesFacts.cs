using Marketplace.Inventory.Allotments;
using Marketplace.Inventory.Reservations;

namespace Marketplace.Inventory.Tests.Allotments;

public sealed class AllotmentMovesFacts
{
    private static readonly Guid Sneaker = Guid.CreateVersion7();

    [Fact]
    public void Growing_takes_from_as_few_warehouses_as_can_do_it()
    {
        var move = AllotmentMoves.Towards(Sneaker, 30, [], [Shelf("north", 1, 20), Shelf("south", 3, 40)]);
        Assert.Equal([new WarehouseMove("south", 30)], move.Moves);
        Assert.Null(move.Refusal);
    }

    [Fact]
    public void Growing_is_all_or_nothing()
    {
        var move = AllotmentMoves.Towards(Sneaker, 61, [], [Shelf("north", 1, 20), Shelf("south", 3, 40)]);
        Assert.Empty(move.Moves);
        Assert.Equal(AllotmentRefusals.OutOfStock, move.Refusal);
        Assert.Equal(AllotmentRefusals.UnknownProduct, AllotmentMoves.Towards(Sneaker, 1, [], []).Refusal);
    }

    [Fact]
    public void Shrinking_empties_the_fullest_first_and_leaves_what_is_taken()
    {
        AllotmentLevel[] has = [new("north", 1, 20, 15, 3), new("south", 3, 40, 10, 10)];
        Assert.Equal([new WarehouseMove("south", -30), new WarehouseMove("north", -2)], AllotmentMoves.Towards(Sneaker, 28, has, []).Moves);

        var tooFar = AllotmentMoves.Towards(Sneaker, 24, has, []);
        Assert.Equal([new WarehouseMove("south", -30), new WarehouseMove("north", -5)], tooFar.Moves);
        Assert.Equal(AllotmentRefusals.BelowTaken, tooFar.Refusal);
    }

    [Fact]
    public void As_much_as_it_has_moves_nothing()
    {
        var move = AllotmentMoves.Towards(Sneaker, 20, [new("north", 1, 20, 15, 3)], [Shelf("north", 1, 9)]);
        Assert.Empty(move.Moves);
        Assert.Null(move.Refusal);
    }

    private static WarehouseLevel Shelf(string warehouse, int position, int available) => new(Sneaker, warehouse, position, available, 1);
}
