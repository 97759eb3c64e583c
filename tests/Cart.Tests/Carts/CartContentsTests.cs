using Marketplace.Cart.Carts;
using Xunit;

namespace Marketplace.Cart.Tests.Carts;

public sealed class CartContentsTests
{
    private static readonly Guid Lamp = Guid.NewGuid();
    private static readonly Guid Desk = Guid.NewGuid();
    private static readonly CartContents Empty = CartContents.Empty(Guid.NewGuid());

    private static CartContents With(params (Guid Product, int Quantity)[] lines) =>
        Empty with { Lines = [.. lines.Select(line => new CartLine(line.Product, line.Quantity))] };

    private static CartContents Kept(CartChange change)
    {
        Assert.Null(change.Refusal);
        return change.Contents;
    }

    [Fact]
    public void Adding_the_same_product_again_makes_one_line() =>
        Assert.Equal([new(Lamp, 5), new(Desk, 1)], Kept(With((Lamp, 2), (Desk, 1)).Add(Lamp, 3)).Lines);

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(100)]
    [InlineData(int.MaxValue)]
    [InlineData(int.MinValue)]
    public void A_quantity_that_no_line_holds_is_refused_everywhere(int quantity)
    {
        var cart = With((Lamp, 1));
        Assert.Equal(CartRefusal.QuantityOutOfRange, cart.Add(Lamp, quantity).Refusal);
        Assert.Equal(CartRefusal.QuantityOutOfRange, cart.Add(Desk, quantity).Refusal);
        Assert.Equal(CartRefusal.QuantityOutOfRange, cart.SetQuantity(Lamp, quantity).Refusal);
        Assert.Equal(CartRefusal.QuantityOutOfRange, cart.Replace([new(Lamp, quantity)], Guid.NewGuid()).Refusal);
    }

    [Fact]
    public void Ninety_nine_is_the_most_in_sum_too()
    {
        Assert.Equal([new(Lamp, 99)], Kept(With((Lamp, 60)).Add(Lamp, 39)).Lines);
        Assert.Equal(CartRefusal.QuantityOutOfRange, With((Lamp, 60)).Add(Lamp, 40).Refusal);
        Assert.Equal(CartRefusal.QuantityOutOfRange, Empty.Replace([new(Lamp, 60), new(Lamp, 40)], Guid.NewGuid()).Refusal);
    }

    [Fact]
    public void Two_hundred_lines_are_the_most()
    {
        var full = With([.. Enumerable.Range(0, CartContents.MostLines).Select(_ => (Guid.NewGuid(), 1))]);
        Assert.Equal(CartRefusal.TooManyLines, full.Add(Lamp, 1).Refusal);
        Kept(full.Add(full.Lines[0].ProductId, 1));
        Assert.Equal(CartRefusal.TooManyLines, Empty.Replace([.. full.Lines, new(Lamp, 1)], Guid.NewGuid()).Refusal);
    }

    [Fact]
    public void A_refusal_leaves_the_cart_as_it_was()
    {
        var cart = With((Lamp, 60));
        Assert.Equal(cart, cart.Add(Lamp, 40).Contents);
    }

    [Fact]
    public void Replacing_is_another_filling_and_adding_is_not()
    {
        var next = Guid.NewGuid();
        var cart = With((Lamp, 1));
        Assert.Equal((next, 1), (Kept(cart.Replace([new(Desk, 2)], next)).CartId, Kept(cart.Replace([new(Desk, 2)], next)).Lines.Count));
        Assert.Equal(cart.CartId, Kept(cart.Add(Desk, 1)).CartId);
        Assert.Equal(cart.CartId, Kept(cart.Remove(Lamp)).CartId);
    }

    [Fact]
    public void What_is_not_in_the_cart_has_no_quantity_and_is_as_good_as_removed()
    {
        Assert.Equal(CartRefusal.NoSuchLine, Empty.SetQuantity(Lamp, 1).Refusal);
        Assert.Equal(Empty, Kept(Empty.Remove(Lamp)));
    }

    [Fact]
    public void An_order_takes_out_what_it_bought_and_leaves_what_was_added_since()
    {
        var ordered = With((Lamp, 2), (Desk, 1));
        var since = Kept(Kept(ordered.Add(Lamp, 1)).Add(Guid.NewGuid(), 4));
        var after = since.TakeOut(Guid.NewGuid(), ordered.CartId, ordered.Lines);
        Assert.Equal([1, 4], after.Lines.Select(line => line.Quantity));
        Assert.Equal(Lamp, after.Lines[0].ProductId);
    }

    [Fact]
    public void It_does_so_once()
    {
        var order = Guid.NewGuid();
        var cart = With((Lamp, 5));
        var once = cart.TakeOut(order, cart.CartId, [new(Lamp, 2)]);
        Assert.Equal(once, once.TakeOut(order, cart.CartId, [new(Lamp, 2)]));
        Assert.Equal(1, Assert.Single(once.TakeOut(Guid.NewGuid(), cart.CartId, [new(Lamp, 2)]).Lines).Quantity);
    }

    [Fact]
    public void An_order_of_an_earlier_filling_takes_nothing()
    {
        var cart = With((Lamp, 2));
        Assert.Same(cart, cart.TakeOut(Guid.NewGuid(), Guid.NewGuid(), [new(Lamp, 2)]));
    }

    [Fact]
    public void Lines_of_one_product_on_an_order_are_taken_together()
    {
        var cart = With((Lamp, 5));
        Assert.Equal(2, Assert.Single(cart.TakeOut(Guid.NewGuid(), cart.CartId, [new(Lamp, 1), new(Lamp, 2)]).Lines).Quantity);
        Assert.Empty(cart.TakeOut(Guid.NewGuid(), cart.CartId, [new(Lamp, 3), new(Lamp, 3)]).Lines);
    }

    [Fact]
    public void A_guest_s_lines_leave_as_a_whole_and_arrive_once()
    {
        var account = Guid.NewGuid();
        var guest = With((Lamp, 60), (Desk, 1)).Depart(account, Guid.NewGuid());
        Assert.Empty(guest.Lines);
        Assert.Equal(account, guest.Leaving!.Into);

        var target = With((Lamp, 50));
        var merged = target.Receive(guest.Leaving);
        Assert.Equal([new(Lamp, 99), new(Desk, 1)], merged.Lines);
        Assert.Equal(merged, merged.Receive(guest.Leaving));
        Assert.Null(guest.Departed(guest.Leaving.MergeId).Leaving);
    }

    [Fact]
    public void What_the_guest_adds_while_lines_are_leaving_is_not_among_them()
    {
        var guest = With((Lamp, 1)).Depart(Guid.NewGuid(), Guid.NewGuid());
        var busy = Kept(guest.Add(Desk, 2));
        Assert.Equal([new CartLine(Lamp, 1)], busy.Leaving!.Lines);
        Assert.Same(busy, busy.Depart(Guid.NewGuid(), Guid.NewGuid()));
        Assert.Equal([new CartLine(Desk, 2)], busy.Departed(busy.Leaving.MergeId).Lines);
    }

    [Fact]
    public void A_merge_never_makes_a_cart_of_more_lines_than_it_may_have()
    {
        var target = With([.. Enumerable.Range(0, CartContents.MostLines - 1).Select(_ => (Guid.NewGuid(), 1))]);
        var merged = target.Receive(new(Guid.NewGuid(), Guid.NewGuid(), [new(Lamp, 1), new(Desk, 1), new(target.Lines[0].ProductId, 1)]));
        Assert.Equal(CartContents.MostLines, merged.Lines.Count);
        Assert.Equal(2, merged.Lines[0].Quantity);
    }

    [Fact]
    public void Memory_of_merges_and_orders_is_bounded_and_keeps_the_newest()
    {
        var cart = With((Lamp, 99));
        Guid last = default;
        for (var i = 0; i < 3 * CartContents.Remembered; i++)
            cart = cart.TakeOut(last = Guid.NewGuid(), cart.CartId, []);
        Assert.Equal(CartContents.Remembered, cart.Ordered.Count);
        Assert.Equal(last, cart.Ordered[^1]);
    }

    [Fact]
    public void A_cart_survives_being_stored()
    {
        var cart = With((Lamp, 2)).Depart(Guid.NewGuid(), Guid.NewGuid()) with { Merged = [Guid.NewGuid()], Ordered = [Guid.NewGuid()], Version = 7 };
        var json = System.Text.Json.JsonSerializer.Serialize(cart, System.Text.Json.JsonSerializerOptions.Web);
        Assert.Equal(cart, System.Text.Json.JsonSerializer.Deserialize<CartContents>(json, System.Text.Json.JsonSerializerOptions.Web));
    }
}
