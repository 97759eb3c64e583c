using System.Net;
using System.Net.Http.Json;
using Marketplace.Contracts;
using Marketplace.Ordering.Checkout;
using Marketplace.Ordering.Checkout.Activities;

namespace Marketplace.Ordering.Tests.Orders;

public sealed class WhenAnOrderIsCalledOff : IAsyncLifetime
{
    private readonly Guid ada = Guid.CreateVersion7();
    private Shop shop = null!;

    public async ValueTask InitializeAsync() => shop = await Shop.OpenAsync();

    public ValueTask DisposeAsync() => shop.DisposeAsync();

    [Fact]
    public async Task While_it_waits_for_a_payment_it_is_over_at_once()
    {
        var order = await shop.SoldAsync(ada, "pm_card_declined");

        Assert.Equal(HttpStatusCode.NoContent, await shop.CancelAsync(order, ada));
        Assert.Equal(HttpStatusCode.NoContent, await shop.CancelAsync(order, ada));

        Assert.Equal("CANCELLED", await shop.StatusAsync(order));
        var told = Assert.Single(await shop.Service.EventsAsync<OrderCancelled>());
        Assert.Equal(("changed my mind", false), (told.Reason, told.Refunded));
        using var buyer = shop.As(ada);
        Assert.Equal(HttpStatusCode.Conflict, (await Shop.PayAgainAsync(buyer, order)).StatusCode);
    }

    [Theory, InlineData(Fault.None), InlineData(Fault.Before), InlineData(Fault.After), InlineData(Fault.ReplyLost), InlineData(Fault.Twice)]
    public async Task After_it_was_sold_money_and_units_go_back_once(Fault fault)
    {
        foreach (var step in new[] { nameof(RefundPayment), nameof(ReleaseStock), nameof(RefuseOrder) })
        {
            var order = await shop.SoldAsync(ada);
            Assert.Equal(HttpStatusCode.Accepted, await shop.CancelAsync(order, ada));
            Assert.Equal(HttpStatusCode.Accepted, await shop.CancelAsync(order, ada));
            Assert.True((await shop.ReadAsync(order)).GetProperty("cancelRequested").GetBoolean());

            await UndoAsync(order, new ScriptedWorkflow().At(step, fault));

            Assert.Equal("CANCELLED", await shop.StatusAsync(order));
            Assert.Equal(("released", "refunded", 0L), (shop.Stock.Of(order), shop.Till.Of(order), shop.Till.Charged));
            Assert.True(Assert.Single(await shop.Service.EventsAsync<OrderCancelled>(), told => told.OrderId == order).Refunded);
        }
    }

    [Fact]
    public async Task A_commit_still_on_its_way_comes_too_late()
    {
        var order = await shop.OrderAsync(ada);
        var checkout = (await shop.SagaAsync(order)).Checkout;

        // The buyer changes their mind between the confirmation and the commit, and the cancellation is faster.
        var outcome = await shop.RunAsync(order, script: new ScriptedWorkflow().Before(nameof(CommitStock), async () =>
        {
            Assert.Equal(HttpStatusCode.Accepted, await shop.CancelAsync(order, ada));
            await UndoAsync(order, new ScriptedWorkflow());
        }));

        Assert.Equal("released", outcome.Refusal);
        Assert.Equal("CANCELLED", await shop.StatusAsync(order));
        Assert.Equal(("released", "refunded", 0L), (shop.Stock.Of(order), shop.Till.Of(order), shop.Till.Charged));
        Assert.Single(await shop.Service.EventsAsync<OrderCancelled>());
    }

    [Fact]
    public async Task Once_it_is_on_its_way_it_is_too_late()
    {
        var order = await shop.SoldAsync(ada);
        await shop.Service.DeliverAsync(new ShipmentShipped(Guid.NewGuid(), order, ada, Shop.LampSeller, "Post", "T1", 2, new OrderContact("a@b.c", "A")));
        Assert.Equal(HttpStatusCode.Conflict, await shop.CancelAsync(order, ada));
    }

    [Fact]
    public async Task A_closed_order_stays_closed()
    {
        shop.Stock.OutOfStock = true;
        var order = await shop.SoldAsync(ada);
        Assert.Equal(HttpStatusCode.Conflict, await shop.CancelAsync(order, ada));
        Assert.Equal("FAILED", await shop.StatusAsync(order));
    }

    [Fact]
    public async Task A_parcel_that_left_meanwhile_is_shown_to_the_operator()
    {
        var order = await shop.SoldAsync(ada);
        await shop.CancelAsync(order, ada);
        await shop.Service.DeliverAsync(new ShipmentShipped(Guid.NewGuid(), order, ada, Shop.LampSeller, "Post", "T1", 1, new OrderContact("a@b.c", "A")));

        Assert.Contains("parcel left", (await shop.ReadAsync(order)).GetProperty("parkedReason").GetString());
        Assert.Equal("CONFIRMED", await shop.StatusAsync(order));
    }

    [Fact]
    public async Task A_reason_is_needed()
    {
        var order = await shop.SoldAsync(ada);
        using var buyer = shop.As(ada);
        using var response = await buyer.PostAsJsonAsync($"/api/v1/orders/{order}/cancellation", new { reason = "" });
        Assert.Equal(HttpStatusCode.UnprocessableEntity, response.StatusCode);
        Assert.Equal("CONFIRMED", await shop.StatusAsync(order));
    }

    private async Task UndoAsync(Guid order, ScriptedWorkflow script) =>
        await script.In(shop).RunAsync(new CancellationWorkflow(), (await shop.SagaAsync(order)).Checkout);
}
