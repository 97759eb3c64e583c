using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Dapr.Workflow;
using Marketplace.Contracts;
using Marketplace.Ordering.Checkout;
using Marketplace.Ordering.Checkout.Activities;
using Marketplace.TestKit;

namespace Marketplace.Ordering.Tests.FlashOrders;

public sealed class WhenAClaimBecomesAnOrder : IAsyncLifetime
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
    public async Task It_bears_the_id_the_buyer_was_told_and_the_price_of_the_sale()
    {
        var claim = shop.Claim(ada, quantity: 2);
        await shop.HearAsync(claim);

        using var buyer = shop.As(ada);
        var seen = await shop.ReadAsync(claim.OrderId, buyer);

        Assert.Equal(("PENDING", claim.SaleId, 1998L), (seen.GetProperty("status").GetString(), seen.GetProperty("saleId").GetGuid(), seen.GetProperty("total").GetProperty("minor").GetInt64()));
        var line = Assert.Single(seen.GetProperty("lines").EnumerateArray());
        Assert.Equal((shop.Lamp, 2, "Lamp, in the sale"), (line.GetProperty("productId").GetGuid(), line.GetProperty("quantity").GetInt32(), line.GetProperty("title").GetString()));
        var listed = Assert.Single((await buyer.GetFromJsonAsync<JsonElement>("/api/v1/orders")).GetProperty("items").EnumerateArray());
        Assert.Equal(claim.SaleId, listed.GetProperty("saleId").GetGuid());
        Assert.Equal(claim.OrderId, Assert.Single(await shop.Service.EventsAsync<OrderCreated>()).OrderId);
        using var bruno = shop.As(Guid.CreateVersion7());
        Assert.Equal(HttpStatusCode.NotFound, (await bruno.GetAsync($"/api/v1/orders/{claim.OrderId}")).StatusCode);
    }

    [Fact]
    public async Task It_is_sold_out_of_the_sales_units_and_leaves_the_cart_alone()
    {
        var order = await shop.HearAsync(shop.Claim(ada));

        Assert.True((await shop.RunAsync(order)).Succeeded);

        Assert.Equal("CONFIRMED", await shop.StatusAsync(order));
        Assert.Equal((await shop.ReadAsync(order)).GetProperty("saleId").GetGuid(), shop.Stock.SaleOf(order));
        Assert.Equal(("committed", "captured", 999L), (shop.Stock.Of(order), shop.Till.Of(order), shop.Till.Charged));
        var confirmed = Assert.Single(await shop.Service.EventsAsync<OrderConfirmed>());
        Assert.Equal((shop.Lamp, 1, 999L), (confirmed.Lines[0].ProductId, confirmed.Lines[0].Quantity, confirmed.Total.Minor));
        Assert.NotEqual(shop.CartId, confirmed.CartId);
        Assert.Equal("N1 1AA", confirmed.ShipTo.PostalCode);
    }

    [Fact]
    public async Task An_order_out_of_a_cart_asks_for_no_sales_units()
    {
        var order = await shop.SoldAsync(ada);

        Assert.Null(shop.Stock.SaleOf(order));
        Assert.Equal(JsonValueKind.Null, (await shop.ReadAsync(order)).GetProperty("saleId").ValueKind);
    }

    [Fact]
    public async Task However_often_the_claim_is_delivered_and_however_often_at_once_there_is_one_order()
    {
        await using var other = await shop.SecondReplicaAsync();
        var claim = shop.Claim(ada);

        await Task.WhenAll(Enumerable.Range(0, 12).Select(at => (at % 2 == 0 ? shop : other).HearAsync(claim)));
        await shop.HearAsync(claim with { EventId = Guid.CreateVersion7() });       // told again by a claimant that forgot it had
        Assert.True((await shop.RunAsync(claim.OrderId)).Succeeded);
        await shop.HearAsync(claim);                                                // and long after the end

        Assert.Equal("CONFIRMED", await shop.StatusAsync(claim.OrderId));
        Assert.Equal((1L, 1L), (
            await shop.Service.ScalarAsync<long>("SELECT count(*) FROM attempts"),
            await shop.Service.ScalarAsync<long>("SELECT count(*) FROM outbox WHERE lane = 'flash-checkout'")));
        Assert.Single(await shop.Service.EventsAsync<OrderCreated>());
        Assert.Empty(await shop.Service.EventsAsync<OrderFailed>());
    }

    [Fact]
    public async Task A_delivery_cut_off_while_committing_left_nothing_and_the_next_one_makes_the_order()
    {
        var claim = shop.Claim(ada);
        await using (var cut = shop.Service.Database.CreateCommand("""
            CREATE FUNCTION cut_off() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER cut_off AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION cut_off();
            """))
            await cut.ExecuteNonQueryAsync();
        using (var failed = await shop.Service.DeliverAsync(claim)) Assert.False(failed.IsSuccessStatusCode);     // so that it is delivered again
        Assert.Equal(0L, await shop.Service.ScalarAsync<long>("SELECT (SELECT count(*) FROM flash_orders) + (SELECT count(*) FROM orders) + (SELECT count(*) FROM outbox)"));
        await using (var mend = shop.Service.Database.CreateCommand("DROP TRIGGER cut_off ON orders")) await mend.ExecuteNonQueryAsync();

        await shop.HearAsync(claim);

        Assert.True((await shop.RunAsync(claim.OrderId)).Succeeded);
    }

    [Fact]
    public async Task A_declined_card_closes_it_with_the_reason_and_nobody_can_pay_it_later()
    {
        var order = await shop.HearAsync(shop.Claim(ada, paymentMethod: "pm_card_declined"));

        Assert.Equal("card_declined", (await shop.RunAsync(order)).Refusal);

        Assert.Equal(("FAILED", "card_declined"), (await shop.StatusAsync(order), await shop.ReasonAsync(order)));
        Assert.Equal(("released", 0L), (shop.Stock.Of(order), shop.Till.Charged));
        var told = Assert.Single(await shop.Service.EventsAsync<OrderFailed>());
        Assert.Equal((order, "card_declined", shop.Stock.SaleOf(order)), (told.OrderId, told.Reason, told.SaleId));
        Assert.Empty(await shop.Service.EventsAsync<OrderPaymentFailed>());
        using var buyer = shop.As(ada);
        Assert.Equal(HttpStatusCode.Conflict, (await Shop.PayAgainAsync(buyer, order)).StatusCode);
        Assert.Equal(HttpStatusCode.Conflict, await shop.CancelAsync(order, ada));
    }

    public static TheoryData<string, Fault> EveryStepAndFault()
    {
        var all = new TheoryData<string, Fault>();
        foreach (var step in (string[])[nameof(ReserveStock), nameof(CapturePayment), nameof(ConfirmOrder), nameof(CommitStock), nameof(ReleaseStock), nameof(RefundPayment), nameof(RefuseOrder)])
            foreach (var fault in (Fault[])[Fault.Before, Fault.After, Fault.ReplyLost, Fault.Twice])
                all.Add(step, fault);
        return all;
    }

    [Theory, MemberData(nameof(EveryStepAndFault))]
    public async Task A_step_that_goes_wrong_once_leaves_it_either_sold_or_closed(string step, Fault fault)
    {
        foreach (var card in (string[])["pm_card_visa", "pm_card_declined"])
        {
            var order = await shop.HearAsync(shop.Claim(ada, paymentMethod: card));
            var charged = shop.Till.Charged;

            var outcome = await shop.RunAsync(order, script: new ScriptedWorkflow().At(step, fault));

            Assert.Equal(card == "pm_card_visa", outcome.Succeeded);
            Assert.Equal(outcome.Succeeded ? "CONFIRMED" : "FAILED", await shop.StatusAsync(order));
            Assert.Equal(outcome.Succeeded ? "committed" : "released", shop.Stock.Of(order));
            Assert.Equal(outcome.Succeeded ? 999 : 0, shop.Till.Charged - charged);
            Assert.Equal(outcome.Succeeded ? 1 : 0, (await shop.Service.EventsAsync<OrderConfirmed>()).Count(told => told.OrderId == order));
            Assert.Equal(outcome.Succeeded ? 0 : 1, (await shop.Service.EventsAsync<OrderFailed>()).Count(told => told.OrderId == order));
        }
    }

    [Fact]
    public async Task Its_buyer_may_call_it_off_and_what_nobody_holds_yet_is_not_charged()
    {
        var order = await shop.HearAsync(shop.Claim(ada));
        Assert.Equal(HttpStatusCode.Accepted, await shop.CancelAsync(order, ada));

        Assert.Equal("cancelled", (await shop.RunAsync(order)).Refusal);

        Assert.Equal("CANCELLED", await shop.StatusAsync(order));
        Assert.Equal(("released", "cancelled"), (shop.Stock.Of(order), shop.Till.Of(order)));
        Assert.False(Assert.Single(await shop.Service.EventsAsync<OrderCancelled>()).Refunded);
        Assert.DoesNotContain(shop.Service.Neighbour("payments").Calls, call => call.Path == "/internal/charges");
    }

    [Fact]
    public async Task A_missing_saga_is_started_again_in_the_sales_lane_and_one_that_failed_is_parked_and_finished_by_a_retry()
    {
        var order = await shop.HearAsync(shop.Claim(ada));
        await shop.WatchAsync();                                                     // its turn has not come: nobody is asked
        Assert.Empty(shop.Sagas.Asked);
        await shop.StartFlashSagaAsync(order);
        await shop.WatchAsync();                                                     // its command is still in the lane: nothing to add
        Assert.Equal((1L, $"{order:N}-1"), (await LaneAsync("flash-checkout"), Assert.Single(shop.Sagas.Asked)));
        await shop.Service.ScalarAsync<object>("UPDATE outbox SET sent_at = now()");
        await shop.WatchAsync();
        Assert.Equal((2L, 0L), (await LaneAsync("flash-checkout"), await LaneAsync("checkout")));

        shop.Stock.CommitsFail = true;
        var saga = await shop.SagaAsync(order);
        await Assert.ThrowsAsync<WorkflowTaskFailedException>(() => shop.RunAsync(order));
        shop.Sagas.Standing[saga.Id] = new SagaStanding(WorkflowRuntimeStatus.Failed, "CommitStock: nobody answered");
        await shop.WatchAsync();
        shop.Stock.CommitsFail = false;
        using var desk = shop.Service.As(TestTokens.Operator());
        var parked = Assert.Single((await desk.GetFromJsonAsync<JsonElement>("/api/v1/operations/orders?state=parked")).GetProperty("items").EnumerateArray());
        Assert.Equal(saga.Checkout.SaleId, parked.GetProperty("saleId").GetGuid());
        using var retried = await desk.PostAsync($"/api/v1/operations/orders/{order}/retry", null);
        Assert.Equal(HttpStatusCode.Accepted, retried.StatusCode);

        var again = await shop.SagaAsync(order, retry: true);
        Assert.True((await new ScriptedWorkflow().In(shop).RunAsync(new CheckoutWorkflow(), again.Checkout)).Succeeded);
        Assert.Equal(("CONFIRMED", "committed"), (await shop.StatusAsync(order), shop.Stock.Of(order)));

        Task<long> LaneAsync(string lane) => shop.Service.ScalarAsync<long>("SELECT count(*) FROM outbox WHERE lane = $1 AND aggregate_id = $2", lane, order)!;
    }

    [Theory]
    [InlineData(nameof(ReserveStock))]
    [InlineData(nameof(CapturePayment))]
    public async Task A_neighbour_that_is_away_for_minutes_does_not_cost_a_winner_the_unit(string step)
    {
        var order = await shop.HearAsync(shop.Claim(ada));

        var outcome = await shop.RunAsync(order, script: new ScriptedWorkflow().At(step, Fault.Before, times: 90));

        Assert.True(outcome.Succeeded, outcome.Refusal);
        Assert.Equal(("CONFIRMED", "committed"), (await shop.StatusAsync(order), shop.Stock.Of(order)));
    }

    [Fact]
    public async Task A_claim_that_cannot_become_an_order_is_dropped_to_the_dead_letters()
    {
        var fine = shop.Claim(ada);
        foreach (var wrong in (FlashSaleClaimed[])[
            fine with { OrderId = Guid.Empty }, fine with { Line = null! }, fine with { Line = fine.Line with { Quantity = 0 } },
            fine with { Line = fine.Line with { UnitPrice = new Money(0, "GBP") } }, fine with { ShipTo = null! }])
        {
            using var response = await shop.Service.DeliverAsync(wrong);
            Assert.Equal("DROP", (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("status").GetString());
        }

        Assert.Equal(0L, await shop.Service.ScalarAsync<long>("SELECT count(*) FROM orders"));
        await shop.HearAsync(fine);
        Assert.Equal("PENDING", await shop.StatusAsync(fine.OrderId));
    }

    [Fact]
    public async Task Only_the_sidecar_brings_claims()
    {
        using var stranger = shop.As(ada);
        using var response = await stranger.PostAsJsonAsync("/events/flashsale-claimed", shop.Claim(ada));
        Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
        Assert.Equal(0L, await shop.Service.ScalarAsync<long>("SELECT count(*) FROM orders"));
    }
}
