using Marketplace.Contracts;
using Marketplace.Fulfilment.Parcels;

namespace Marketplace.Fulfilment.Tests;

public sealed class ParcelPlanTests
{
    [Fact]
    public void One_parcel_is_planned_per_warehouse_and_seller()
    {
        var parcels = ParcelPlan.Of(A.Order())!;

        Assert.Equal(
            new HashSet<string> { "north Bruno: Lamp 1", "north Clara: Book 2", "south Bruno: Chair 1, Lamp 2" },
            parcels.Select(p => $"{p.Warehouse} {(p.SellerId == A.Bruno ? "Bruno" : "Clara")}: {string.Join(", ", p.Lines.OrderBy(l => l.Title).Select(l => $"{l.Title} {l.Quantity}"))}").ToHashSet());
        Assert.Equal(3, parcels.Count);
    }

    [Fact]
    public void Lines_and_allocations_of_one_product_add_up()
    {
        var order = A.Order() with
        {
            Lines = [new OrderedLine(A.Lamp, A.Bruno, "Lamp", 2, Money.Gbp(1)), new OrderedLine(A.Lamp, A.Bruno, "Lamp", 1, Money.Gbp(1))],
            Allocations = [new Allocation(A.Lamp, "north", 1), new Allocation(A.Lamp, "north", 2)],
        };

        Assert.Equal(3, Assert.Single(Assert.Single(ParcelPlan.Of(order)!).Lines).Quantity);
    }

    [Fact]
    public void Allocations_that_do_not_cover_the_lines_plan_nothing()
    {
        Assert.Null(ParcelPlan.Of(A.Order() with { Allocations = [] }));
        Assert.Null(ParcelPlan.Of(A.Order() with { Lines = [] }));
        Assert.Null(ParcelPlan.Of(A.Order() with { Allocations = [.. A.Order().Allocations.Skip(1)] }));
        Assert.Null(ParcelPlan.Of(A.Order() with { Allocations = [.. A.Order().Allocations, new Allocation(Guid.CreateVersion7(), "north", 1)] }));
    }
}
