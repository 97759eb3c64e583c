using Marketplace.Ordering.Checkout;
using Marketplace.Ordering.Orders;

namespace Marketplace.Ordering.Tests.Orders;

public sealed class OrderMovesFacts
{
    [Theory]
    [InlineData("PENDING", false, "card_declined", Refused.PaymentFailed)]
    [InlineData("PENDING", false, "provider_unavailable", Refused.PaymentFailed)]
    [InlineData("PENDING", false, "a word of a later version", Refused.PaymentFailed)]
    [InlineData("PENDING", false, "out_of_stock", Refused.Failed)]
    [InlineData("PENDING", true, "out_of_stock", Refused.Cancelled)]
    [InlineData("PENDING", true, "card_declined", Refused.Cancelled)]
    [InlineData("CONFIRMED", false, "out_of_stock", Refused.Cancelled)]
    [InlineData("CONFIRMED", true, "cancelled", Refused.Cancelled)]
    [InlineData("SHIPPED", true, "cancelled", Refused.OnItsWay)]
    [InlineData("DELIVERED", true, "cancelled", Refused.OnItsWay)]
    [InlineData("CANCELLED", true, "cancelled", Refused.AlreadyEnded)]
    [InlineData("PAYMENT_FAILED", false, "card_declined", Refused.AlreadyEnded)]
    public void What_a_refused_saga_makes_of_its_order(string status, bool cancelRequested, string refusal, Refused expected) =>
        Assert.Equal(expected, OrderMoves.AfterRefusal(status, cancelRequested, refusal));

    [Theory]
    [InlineData("PENDING", false, "card_declined", Refused.Failed)]
    [InlineData("PENDING", false, "unavailable", Refused.Failed)]
    [InlineData("PENDING", false, "out_of_stock", Refused.Failed)]
    [InlineData("PENDING", true, "card_declined", Refused.Cancelled)]
    [InlineData("CONFIRMED", false, "out_of_stock", Refused.Cancelled)]
    [InlineData("SHIPPED", true, "cancelled", Refused.OnItsWay)]
    public void What_a_refused_saga_makes_of_an_order_of_a_sale(string status, bool cancelRequested, string refusal, Refused expected) =>
        Assert.Equal(expected, OrderMoves.AfterRefusal(status, cancelRequested, refusal, ofSale: true));

    [Theory]
    [InlineData("PENDING", false, false, Cancellation.WhenItsSagaConfirms)]
    [InlineData("PENDING", true, false, Cancellation.AlreadyAsked)]
    [InlineData("PENDING", false, true, Cancellation.ByUndoing)]
    [InlineData("CONFIRMED", false, false, Cancellation.AlreadySold)]
    [InlineData("CONFIRMED", true, false, Cancellation.AlreadySold)]
    [InlineData("SHIPPED", false, false, Cancellation.AlreadySold)]
    [InlineData("DELIVERED", false, false, Cancellation.AlreadySold)]
    [InlineData("FAILED", false, false, Cancellation.AlreadyClosed)]
    [InlineData("CANCELLED", true, false, Cancellation.AlreadyCancelled)]
    public void What_a_sale_can_still_give_up(string status, bool cancelRequested, bool parked, Cancellation expected) =>
        Assert.Equal(expected, OrderMoves.Abandon(status, cancelRequested, parked));

    [Theory]
    [InlineData("PENDING", false, false, Cancellation.WhenItsSagaConfirms)]
    [InlineData("PENDING", true, false, Cancellation.AlreadyAsked)]
    [InlineData("PENDING", false, true, Cancellation.ByUndoing)]
    [InlineData("PENDING", true, true, Cancellation.ByUndoing)]
    [InlineData("CONFIRMED", false, false, Cancellation.ByUndoing)]
    [InlineData("CONFIRMED", true, false, Cancellation.AlreadyAsked)]
    [InlineData("PAYMENT_FAILED", false, false, Cancellation.AtOnce)]
    [InlineData("SHIPPED", false, false, Cancellation.AlreadyShipped)]
    [InlineData("DELIVERED", false, false, Cancellation.AlreadyShipped)]
    [InlineData("FAILED", false, false, Cancellation.AlreadyClosed)]
    [InlineData("CANCELLED", true, false, Cancellation.AlreadyCancelled)]
    public void What_calling_off_means_in_each_state(string status, bool cancelRequested, bool parked, Cancellation expected) =>
        Assert.Equal(expected, OrderMoves.Cancel(status, cancelRequested, parked));

    [Theory]
    [InlineData("CONFIRMED", 2, 0, 0, "CONFIRMED")]
    [InlineData("CONFIRMED", 2, 1, 0, "SHIPPED")]
    [InlineData("SHIPPED", 2, 2, 1, "SHIPPED")]
    [InlineData("SHIPPED", 2, 2, 2, "DELIVERED")]
    [InlineData("CONFIRMED", 1, 1, 1, "DELIVERED")]
    [InlineData("DELIVERED", 2, 2, 2, "DELIVERED")]
    [InlineData("CANCELLED", 1, 1, 1, "CANCELLED")]
    public void Where_parcels_take_an_order(string status, int parcels, int underWay, int arrived, string expected) =>
        Assert.Equal(expected, OrderMoves.AfterParcels(status, parcels, underWay, arrived));

    [Fact]
    public void An_order_that_is_not_over_keeps_its_units() =>
        Assert.Equal(["pending", "confirmed"], new[] { "pending", "confirmed", "payment_failed", "failed", "cancelled", "unknown" }.Where(AttemptStatus.NeedsStock));

    [Fact]
    public void Tombstones_are_not_a_buyers_reason() =>
        Assert.Equal(Refusals.Unavailable, OrderMoves.ReasonOf(Refusals.Released));
}
