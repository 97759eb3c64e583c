using System.Net;
using System.Net.Http.Json;
using Marketplace.Contracts;
using Marketplace.Payments.Refunds;
using Marketplace.TestKit;

namespace Marketplace.Payments.Tests;

public sealed class WhenAChargeIsTakenBack
{
    [Fact]
    public async Task Trap_2_the_money_returns_exactly_once()
    {
        await using var till = await Till.OpenAsync();
        var order = A.ChargeOf(3_210);
        await till.ChargeAsync(order);

        var replies = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => till.RefundAsync(order)));

        Assert.All(replies, reply => Assert.Equal("refunded", reply));
        Assert.Equal("refunded", await till.RefundAsync(order));
        var totals = await till.TotalsAsync();
        Assert.Equal((1, 1, 3_210, 0), (totals.Charges, totals.Refunds, totals.Refunded["gbp"], totals.Net["gbp"]));
        var refunded = Assert.Single(await till.Payments.EventsAsync<PaymentRefunded>());
        Assert.Equal((order.OrderId, Money.Gbp(3_210), "order cancelled"), (refunded.OrderId, refunded.Amount, refunded.Reason));
    }

    [Fact]
    public async Task A_charge_that_arrives_after_its_refund_is_refused()
    {
        await using var till = await Till.OpenAsync();
        var order = A.ChargeOf(1_000);

        Assert.Equal("nothing_to_refund", await till.RefundAsync(order));

        Assert.Equal("cancelled", (await till.ChargeAsync(order)).Refusal);
        Assert.Equal("nothing_to_refund", await till.RefundAsync(order));
        Assert.Empty((await till.TotalsAsync()).IntentsByStatus);
    }

    [Fact]
    public async Task A_repeat_of_the_charge_after_the_refund_is_refused_too()
    {
        await using var till = await Till.OpenAsync();
        var order = A.ChargeOf(1_000);
        await till.ChargeAsync(order);
        await till.RefundAsync(order);

        Assert.Equal("cancelled", (await till.ChargeAsync(order)).Refusal);
        Assert.Equal(0, await till.NetPenceAsync());
    }

    [Fact]
    public async Task A_refund_while_the_charge_is_under_way_leaves_nothing_taken()
    {
        await using var till = await Till.OpenAsync(("Charges:AnswerWithin", "00:00:00.050"), ("Charges:Lease", "00:00:02"));
        await till.ProviderAsync("latency", new { ms = 200 });

        foreach (var pause in (int[])[0, 100, 250, 350, 450])
        {
            var order = A.ChargeOf(1_000);
            Assert.Equal("processing", (await till.ChargeAsync(order)).Status);
            await Task.Delay(pause, TestContext.Current.CancellationToken);      // not a wait for something: the point in the charge at which the refund comes
            var reply = await till.RefundAsync(order);
            Assert.Contains(reply, (string[])["refunded", "nothing_to_refund"]);
            Assert.Equal("cancelled", (await till.ChargeAsync(order)).Refusal);
        }

        await Eventually.Async(async () => await till.NetPenceAsync() == 0, "all is paid back or was never taken");
        await Eventually.Async(
            async () => (await till.TotalsAsync()).IntentsByStatus.Keys.All(status => status is "succeeded" or "canceled"), "and nothing is left that could be confirmed");
        Assert.Equal(0, await till.NetPenceAsync());
    }

    [Fact]
    public async Task A_refund_while_the_provider_is_down_is_finished_when_it_is_back()
    {
        await using var till = await Till.OpenAsync(("Charges:Lease", "00:00:02"), ("Provider:OpenFor", "00:00:00.500"));
        var order = A.ChargeOf(1_000);
        await till.ChargeToTheEndAsync(order);
        await till.ProviderAsync("outage", new { mode = "503" });

        using var payments = till.Payments.AsNeighbour();
        using var reply = await payments.PostAsJsonAsync("/internal/refunds", new RefundRequest(order.OrderId, 1, "cancelled"), TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, reply.StatusCode);
        Assert.Equal("cancelled", (await till.ChargeAsync(order)).Refusal);

        await till.ProviderAsync("outage", new { mode = "off" });
        await Eventually.Async(async () => await till.StatusAsync(order) == "refunded", "the worker pays back what was promised");
        Assert.Equal(0, await till.NetPenceAsync());
        Assert.Equal("refunded", await till.RefundAsync(order));
        Assert.Single(await till.Payments.EventsAsync<PaymentRefunded>());
    }

    [Fact]
    public async Task An_intent_that_could_still_be_confirmed_is_cancelled()
    {
        await using var till = await Till.OpenAsync();
        var order = A.ChargeOf(1_000, "pm_card_chargeDeclined");
        await till.ChargeAsync(order);

        Assert.Equal("nothing_to_refund", await till.RefundAsync(order));

        Assert.Equal(1, (await till.TotalsAsync()).IntentsByStatus["canceled"]);
        Assert.Empty(await till.Payments.EventsAsync<PaymentRefunded>());
    }

    [Fact]
    public async Task An_operator_refunds_an_order_once_and_nobody_else_may()
    {
        await using var till = await Till.OpenAsync();
        var order = A.ChargeOf(1_000);
        await till.ChargeAsync(order);
        var path = $"/api/v1/operations/payments/{order.OrderId}/refund";

        using var shopper = till.Payments.As(TestTokens.Buyer(order.BuyerId));
        Assert.Equal(HttpStatusCode.Forbidden, (await shopper.PostAsJsonAsync(path, new OperatorRefund("please"), TestContext.Current.CancellationToken)).StatusCode);

        using var desk = till.Payments.As(TestTokens.Operator());
        Assert.Equal(HttpStatusCode.BadRequest, (await desk.PostAsJsonAsync(path, new OperatorRefund("broken on arrival"), TestContext.Current.CancellationToken)).StatusCode);
        desk.DefaultRequestHeaders.Add("Idempotency-Key", "refund-1");
        var first = await desk.PostAsJsonAsync(path, new OperatorRefund("broken on arrival"), TestContext.Current.CancellationToken);
        var second = await desk.PostAsJsonAsync(path, new OperatorRefund("broken on arrival"), TestContext.Current.CancellationToken);
        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.OK), (first.StatusCode, second.StatusCode));
        Assert.Equal("true", second.Headers.GetValues("Idempotent-Replayed").Single());
        desk.DefaultRequestHeaders.Remove("Idempotency-Key");
        desk.DefaultRequestHeaders.Add("Idempotency-Key", "refund-2");
        Assert.Equal(HttpStatusCode.NotFound, (await desk.PostAsJsonAsync($"/api/v1/operations/payments/{Guid.CreateVersion7()}/refund", new OperatorRefund("x"), TestContext.Current.CancellationToken)).StatusCode);

        Assert.Equal((1, 0), ((await till.TotalsAsync()).Refunds, await till.NetPenceAsync()));
    }
}
