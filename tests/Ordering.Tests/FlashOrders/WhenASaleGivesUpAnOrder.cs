using System.Net;
using System.Net.Http.Json;
using Dapr.Workflow;
using Marketplace.Contracts;
using Marketplace.Ordering.Checkout;
using Marketplace.Ordering.Checkout.Activities;

namespace Marketplace.Ordering.Tests.FlashOrders;

public sealed class WhenASaleGivesUpAnOrder : IAsyncLifetime
{
    private readonly Guid ada = Guid.CreateVersion7();
    private Shop shop = null!;

    public async ValueTask InitializeAsync()
    {
        shop = await Shop.OpenAsync();
        shop.Till.Amounts = _ => 999;
    }

    public ValueTask DisposeAsync() => shop.DisposeAsync();

    [Fact]
    public async Task Before_its_claim_arrives_it_never_becomes_an_order_and_its_end_is_told_once()
    {
        var claim = shop.Claim(ada, quantity: 2);
        Assert.Equal("abandoned", await shop.AbandonAsync(claim.OrderId));
        Assert.Equal("abandoned", await shop.AbandonAsync(claim.OrderId, "another reason"));

        await shop.HearAsync(claim);
        await shop.HearAsync(claim);
        await shop.HearAsync(claim with { EventId = Guid.CreateVersion7() });

        Assert.Equal("abandoned", await shop.AbandonAsync(claim.OrderId));
        Assert.Equal(0L, await shop.Service.ScalarAsync<long>("SELECT count(*) FROM orders"));
        Assert.Equal(0L, await shop.Service.ScalarAsync<long>("SELECT count(*) FROM outbox WHERE lane = 'flash-checkout'"));
        var told = Assert.Single(await shop.Service.EventsAsync<OrderFailed>());
        Assert.Equal((claim.OrderId, ada, 1998L, "not_paid_in_time", claim.SaleId), (told.OrderId, told.BuyerId, told.Total.Minor, told.Reason, told.SaleId));
    }

    [Fact]
    public async Task After_its_claim_and_before_its_saga_it_is_called_off_without_a_charge()
    {
        var order = await shop.HearAsync(shop.Claim(ada));

        Assert.Equal("pending", await shop.AbandonAsync(order));
        Assert.Equal("pending", await shop.AbandonAsync(order));
        Assert.Equal("cancelled", (await shop.RunAsync(order)).Refusal);

        Assert.Equal("cancelled", await shop.AbandonAsync(order));
        Assert.Equal(("CANCELLED", "not_paid_in_time"), (await shop.StatusAsync(order), await shop.ReasonAsync(order)));
        Assert.Equal(("released", 0L), (shop.Stock.Of(order), shop.Till.Charged));
        Assert.Equal("not_paid_in_time", Assert.Single(await shop.Service.EventsAsync<OrderCancelled>()).Reason);
    }

    [Fact]
    public async Task While_it_is_being_paid_the_money_goes_back()
    {
        var order = await shop.HearAsync(shop.Claim(ada));

        await shop.RunAsync(order, script: new ScriptedWorkflow().Before(nameof(ConfirmOrder), async () => Assert.Equal("pending", await shop.AbandonAsync(order))));

        Assert.Equal("CANCELLED", await shop.StatusAsync(order));
        Assert.Equal(("released", "refunded", 0L), (shop.Stock.Of(order), shop.Till.Of(order), shop.Till.Charged));
        Assert.True(Assert.Single(await shop.Service.EventsAsync<OrderCancelled>()).Refunded);
    }

    [Fact]
    public async Task Once_it_is_sold_it_stays_sold()
    {
        var order = await shop.HearAsync(shop.Claim(ada));
        await shop.RunAsync(order);

        Assert.Equal("confirmed", await shop.AbandonAsync(order));

        var seen = await shop.ReadAsync(order);
        Assert.Equal(("CONFIRMED", false), (seen.GetProperty("status").GetString(), seen.GetProperty("cancelRequested").GetBoolean()));
        Assert.Equal(("committed", 999L), (shop.Stock.Of(order), shop.Till.Charged));
    }

    [Fact]
    public async Task That_its_card_was_declined_is_the_answer()
    {
        var order = await shop.HearAsync(shop.Claim(ada, paymentMethod: "pm_card_declined"));
        await shop.RunAsync(order);

        Assert.Equal("failed", await shop.AbandonAsync(order));
        Assert.Equal(("FAILED", "card_declined"), (await shop.StatusAsync(order), await shop.ReasonAsync(order)));
        Assert.Empty(await shop.Service.EventsAsync<OrderCancelled>());
    }

    [Fact]
    public async Task One_that_stands_still_is_undone()
    {
        var order = await shop.HearAsync(shop.Claim(ada));
        await shop.StartFlashSagaAsync(order);
        var saga = await shop.SagaAsync(order);
        await Assert.ThrowsAsync<WorkflowTaskFailedException>(() => shop.RunAsync(order, script: new ScriptedWorkflow().At(nameof(ConfirmOrder), Fault.ForeverBefore)));
        shop.Sagas.Standing[saga.Id] = new SagaStanding(WorkflowRuntimeStatus.Failed, "ConfirmOrder: nobody answered");
        await shop.WatchAsync();

        Assert.Equal("pending", await shop.AbandonAsync(order));
        var undoing = await shop.SagaAsync(order);
        Assert.True(undoing.IsCancellation);
        await new ScriptedWorkflow().In(shop).RunAsync(new CancellationWorkflow(), undoing.Checkout);

        Assert.Equal("cancelled", await shop.AbandonAsync(order));
        Assert.Equal(("released", "refunded", 0L), (shop.Stock.Of(order), shop.Till.Of(order), shop.Till.Charged));
    }

    [Fact]
    public async Task At_the_same_moment_as_its_claim_one_of_them_is_first_and_both_know()
    {
        await using var other = await shop.SecondReplicaAsync();
        FlashSaleClaimed[] claims = [.. Enumerable.Range(0, 60).Select(_ => shop.Claim(Guid.CreateVersion7()))];
        var random = new Random(11);

        var answers = await Task.WhenAll(claims.SelectMany(claim => new[] { Hear(shop, claim), Abandon(shop, claim), Hear(other, claim), Abandon(other, claim) }.OrderBy(_ => random.Next())).Select(call => call()));

        foreach (var claim in claims)
        {
            var said = answers.Where(answer => answer.OrderId == claim.OrderId && answer.Status is not null).Select(answer => answer.Status!).Distinct().ToList();
            var exists = await shop.Service.ScalarAsync<long>("SELECT count(*) FROM orders WHERE order_id = $1", claim.OrderId) == 1;
            Assert.Equal([exists ? "pending" : "abandoned"], said);                  // never one now and the other later
            Assert.Equal(exists ? 0 : 1, (await shop.Service.EventsAsync<OrderFailed>()).Count(told => told.OrderId == claim.OrderId));
            if (exists) Assert.Equal("cancelled", (await shop.RunAsync(claim.OrderId)).Refusal);
        }

        Assert.Equal(0, shop.Till.Charged);

        Func<Task<(Guid OrderId, string? Status)>> Hear(Shop at, FlashSaleClaimed claim) => async () => (await at.HearAsync(claim), null);
        Func<Task<(Guid OrderId, string? Status)>> Abandon(Shop at, FlashSaleClaimed claim) => async () => (claim.OrderId, await at.AbandonAsync(claim.OrderId));
    }

    [Fact]
    public async Task Its_saga_and_the_sale_race_for_it_and_money_follows_the_winner()
    {
        Guid[] orders = [.. await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => shop.HearAsync(shop.Claim(Guid.CreateVersion7()))))];

        await Task.WhenAll(orders.SelectMany(order => new Task[] { shop.RunAsync(order), shop.AbandonAsync(order) }));

        foreach (var order in orders)
        {
            var sold = await shop.StatusAsync(order) == "CONFIRMED";
            Assert.Equal(sold ? "confirmed" : "cancelled", await shop.AbandonAsync(order));
            Assert.Equal(sold ? "committed" : "released", shop.Stock.Of(order));
            Assert.Equal(sold, shop.Till.Of(order) == "captured");
        }
    }

    [Fact]
    public async Task An_order_out_of_a_cart_is_not_the_sales_to_give_up()
    {
        var order = await shop.OrderAsync(ada);
        using var sale = shop.Service.AsNeighbour("flashsales");

        using var response = await sale.PostAsJsonAsync($"/internal/flash-orders/{order}/abandonment", new { reason = "not_paid_in_time" });

        Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
        Assert.False((await shop.ReadAsync(order)).GetProperty("cancelRequested").GetBoolean());
    }

    [Fact]
    public async Task Only_flash_sales_may_give_up_and_only_with_a_reason()
    {
        var order = await shop.HearAsync(shop.Claim(ada));
        var path = $"/internal/flash-orders/{order}/abandonment";
        using var buyer = shop.As(ada);
        Assert.Equal(HttpStatusCode.Unauthorized, (await buyer.PostAsJsonAsync(path, new { reason = "mine" })).StatusCode);
        using var cart = shop.Service.AsNeighbour("cart");
        Assert.Equal(HttpStatusCode.Forbidden, (await cart.PostAsJsonAsync(path, new { reason = "mine" })).StatusCode);
        using var sale = shop.Service.AsNeighbour("flashsales");
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await sale.PostAsJsonAsync(path, new { reason = "" })).StatusCode);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await sale.PostAsJsonAsync($"/internal/flash-orders/{Guid.Empty}/abandonment", new { reason = "none" })).StatusCode);
        Assert.False((await shop.ReadAsync(order)).GetProperty("cancelRequested").GetBoolean());
    }
}
