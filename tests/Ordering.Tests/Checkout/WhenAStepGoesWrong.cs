using Dapr.Workflow;
using Marketplace.Contracts;
using Marketplace.Ordering.Checkout;
using Marketplace.Ordering.Checkout.Activities;

namespace Marketplace.Ordering.Tests.Checkout;

/// <summary>Every step of every way a checkout can go, and every way a step can fail: money and units are both taken once, or neither is.</summary>
public sealed class WhenAStepGoesWrong(WhenAStepGoesWrong.OpenShop fixture) : IClassFixture<WhenAStepGoesWrong.OpenShop>, IAsyncLifetime
{
    private static readonly Fault[] Passing = [Fault.None, Fault.Before, Fault.After, Fault.ReplyLost, Fault.Twice];
    private readonly Guid ada = Guid.CreateVersion7();
    private Shop shop = null!;
    private long chargedBefore;

    public ValueTask InitializeAsync()
    {
        shop = fixture.Shop;
        shop.Stock.OutOfStock = shop.Stock.LostBeforeCommit = false;
        shop.Till.ProcessingFor = 0;
        chargedBefore = shop.Till.Charged;
        return ValueTask.CompletedTask;
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    public static TheoryData<string, Fault> EachOf(params string[] steps) =>
        new([.. steps.SelectMany(step => Passing.Select(fault => (step, fault)))]);

    public static TheoryData<string, Fault> SellingSteps => EachOf(nameof(ReserveStock), nameof(CapturePayment), nameof(ConfirmOrder), nameof(CommitStock));

    public static TheoryData<string, Fault> DeclinedSteps =>
        EachOf(nameof(ReserveStock), nameof(CapturePayment), nameof(RefundPayment), nameof(ReleaseStock), nameof(RefuseOrder));

    public static TheoryData<string, Fault> ShortSteps => EachOf(nameof(ReserveStock), nameof(ReleaseStock), nameof(RefuseOrder));

    public static TheoryData<string, Fault> CancelledSteps =>
        EachOf(nameof(ReserveStock), nameof(CapturePayment), nameof(ConfirmOrder), nameof(RefundPayment), nameof(ReleaseStock), nameof(RefuseOrder));

    public static TheoryData<string, Fault> LostSteps =>
        EachOf(nameof(ConfirmOrder), nameof(CommitStock), nameof(RefundPayment), nameof(ReleaseStock), nameof(RefuseOrder));

    [Theory, MemberData(nameof(SellingSteps))]
    public async Task A_good_card_buys_one_of_each(string step, Fault fault)
    {
        var order = await shop.OrderAsync(ada);

        var outcome = await shop.RunAsync(order, script: new ScriptedWorkflow().At(step, fault));

        Assert.True(outcome.Succeeded);
        await EndedAsync(order, "CONFIRMED", stock: "committed", till: "captured", charged: Shop.Total().Minor);
        var confirmed = Assert.Single(await ToldAsync<OrderConfirmed>(order));
        Assert.Equal([(shop.Lamp, 2), (shop.Mug, 3)], confirmed.Allocations.Select(each => (each.ProductId, each.Quantity)));
        Assert.Equal([(Shop.LampSeller, 2), (Shop.MugSeller, 3)], confirmed.Lines.Select(line => (line.SellerId, line.Quantity)));
    }

    [Theory, MemberData(nameof(DeclinedSteps))]
    public async Task Trap_1_a_declined_card_leaves_neither_stock_nor_money_held(string step, Fault fault)
    {
        var order = await shop.OrderAsync(ada, "pm_card_declined");

        var outcome = await shop.RunAsync(order, script: new ScriptedWorkflow().At(step, fault));

        Assert.Equal("card_declined", outcome.Refusal);
        await EndedAsync(order, "PAYMENT_FAILED", stock: "released", till: "cancelled", charged: 0, "card_declined");
        Assert.Equal("card_declined", Assert.Single(await ToldAsync<OrderPaymentFailed>(order)).Reason);
        Assert.Empty(await ToldAsync<OrderConfirmed>(order));
    }

    [Theory, MemberData(nameof(ShortSteps))]
    public async Task A_short_line_closes_the_order_and_touches_no_money(string step, Fault fault)
    {
        shop.Stock.OutOfStock = true;
        var order = await shop.OrderAsync(ada);

        var outcome = await shop.RunAsync(order, script: new ScriptedWorkflow().At(step, fault));

        Assert.Equal("out_of_stock", outcome.Refusal);
        await EndedAsync(order, "FAILED", stock: "released", till: "untouched", charged: 0, "out_of_stock");
        Assert.Single(await ToldAsync<OrderFailed>(order));
    }

    [Theory, MemberData(nameof(CancelledSteps))]
    public async Task An_order_called_off_on_its_way_gives_everything_back(string step, Fault fault)
    {
        var order = await shop.OrderAsync(ada);

        var outcome = await shop.RunAsync(order, script: new ScriptedWorkflow()
            .At(step, fault).Before(nameof(ConfirmOrder), async () => Assert.Equal(System.Net.HttpStatusCode.Accepted, await shop.CancelAsync(order, ada))));

        Assert.Equal("cancelled", outcome.Refusal);
        await EndedAsync(order, "CANCELLED", stock: "released", till: "refunded", charged: 0, "changed my mind");
        Assert.True(Assert.Single(await ToldAsync<OrderCancelled>(order)).Refunded);
    }

    [Theory, MemberData(nameof(LostSteps))]
    public async Task Trap_2_units_lost_after_the_capture_return_the_money_once(string step, Fault fault)
    {
        shop.Stock.LostBeforeCommit = true;
        var order = await shop.OrderAsync(ada);

        var outcome = await shop.RunAsync(order, script: new ScriptedWorkflow().At(step, fault));

        Assert.Equal("out_of_stock", outcome.Refusal);
        await EndedAsync(order, "CANCELLED", stock: "released", till: "refunded", charged: 0, "out_of_stock");
        Assert.True(Assert.Single(await ToldAsync<OrderCancelled>(order)).Refunded);   // whoever heard of the confirmation hears of the end
    }

    [Theory]
    [InlineData(nameof(ReserveStock), Fault.ForeverBefore)]
    [InlineData(nameof(ReserveStock), Fault.ForeverAfter)]
    [InlineData(nameof(CapturePayment), Fault.ForeverBefore)]
    [InlineData(nameof(CapturePayment), Fault.ForeverAfter)]
    public async Task A_neighbour_that_stays_away_before_the_confirmation_costs_nobody_anything(string step, Fault fault)
    {
        var order = await shop.OrderAsync(ada);

        var outcome = await shop.RunAsync(order, script: new ScriptedWorkflow().At(step, fault));

        Assert.Equal("unavailable", outcome.Refusal);
        Assert.False(shop.Stock.Holds(order));
        await EndedAsync(order, "PAYMENT_FAILED", stock: "released", shop.Till.Of(order), charged: 0, "unavailable");
        Assert.NotEqual("captured", shop.Till.Of(order));
    }

    [Theory]
    [InlineData(nameof(ReleaseStock))]
    [InlineData(nameof(RefundPayment))]
    [InlineData(nameof(RefuseOrder))]
    public async Task An_undo_that_fails_for_good_is_no_refusal_and_a_retry_finishes_it(string step)
    {
        var order = await shop.OrderAsync(ada, "pm_card_declined");

        await Assert.ThrowsAsync<WorkflowTaskFailedException>(() => shop.RunAsync(order, script: new ScriptedWorkflow().At(step, Fault.ForeverBefore)));
        Assert.Equal("PENDING", await shop.StatusAsync(order));
        Assert.Empty(await ToldAsync<OrderPaymentFailed>(order));

        var outcome = await shop.RunAsync(order);
        Assert.False(outcome.Succeeded);
        await EndedAsync(order, "PAYMENT_FAILED", stock: "released", till: "cancelled", charged: 0, await shop.ReasonAsync(order));
    }

    [Theory]
    [InlineData(nameof(ConfirmOrder), Fault.ForeverBefore, "PENDING")]
    [InlineData(nameof(ConfirmOrder), Fault.ForeverAfter, "CONFIRMED")]
    [InlineData(nameof(CommitStock), Fault.ForeverBefore, "CONFIRMED")]
    [InlineData(nameof(CommitStock), Fault.ForeverAfter, "CONFIRMED")]
    public async Task After_the_capture_a_fault_undoes_nothing_and_a_retry_goes_on(string step, Fault fault, string meanwhile)
    {
        var order = await shop.OrderAsync(ada);
        var saga = await shop.SagaAsync(order);

        await Assert.ThrowsAsync<WorkflowTaskFailedException>(() => shop.RunAsync(order, script: new ScriptedWorkflow().At(step, fault)));
        Assert.Equal(meanwhile, await shop.StatusAsync(order));
        Assert.Equal("captured", shop.Till.Of(order));
        Assert.True(shop.Stock.Holds(order));

        Assert.True((await new ScriptedWorkflow().In(shop).RunAsync(new CheckoutWorkflow(), saga.Checkout)).Succeeded);
        await EndedAsync(order, "CONFIRMED", stock: "committed", till: "captured", charged: Shop.Total().Minor);
        Assert.Single(await ToldAsync<OrderConfirmed>(order));
    }

    [Fact]
    public async Task A_payment_in_doubt_is_asked_about_again_until_it_is_known()
    {
        shop.Till.ProcessingFor = 4;
        var order = await shop.OrderAsync(ada);
        var script = new ScriptedWorkflow();

        Assert.True((await shop.RunAsync(order, script: script)).Succeeded);

        Assert.Equal(5, script.Steps.Count(step => step == nameof(CapturePayment)));
        await EndedAsync(order, "CONFIRMED", stock: "committed", till: "captured", charged: Shop.Total().Minor);
    }

    [Fact]
    public async Task A_payment_that_is_never_known_ends_with_the_reservation_and_is_refunded()
    {
        shop.Till.ProcessingFor = int.MaxValue;
        var order = await shop.OrderAsync(ada);

        var outcome = await shop.RunAsync(order);

        Assert.Equal("payment_timed_out", outcome.Refusal);
        await EndedAsync(order, "PAYMENT_FAILED", stock: "released", till: "cancelled", charged: 0, "payment_timed_out");
    }

    [Fact]
    public async Task A_saga_that_is_run_again_from_the_top_changes_nothing()
    {
        var order = await shop.OrderAsync(ada);
        var saga = await shop.SagaAsync(order);
        await shop.RunAsync(order);

        Assert.True((await new ScriptedWorkflow().In(shop).RunAsync(new CheckoutWorkflow(), saga.Checkout)).Succeeded);

        await EndedAsync(order, "CONFIRMED", stock: "committed", till: "captured", charged: Shop.Total().Minor);
        Assert.Single(await ToldAsync<OrderConfirmed>(order));
    }

    private async Task EndedAsync(Guid order, string status, string stock, string till, long charged, string? reason = null)
    {
        Assert.Equal(status, await shop.StatusAsync(order));
        Assert.Equal(reason, await shop.ReasonAsync(order));
        Assert.Equal(stock, shop.Stock.Of(order));
        Assert.Equal(till, shop.Till.Of(order));
        Assert.Equal(charged, shop.Till.Charged - chargedBefore);
        await TestKit.Eventually.Async(
            async () => await shop.Service.ScalarAsync<long>("SELECT count(*) FROM attempts WHERE order_id = $1 AND settled_at IS NULL", order) == 0,
            "an ended order has nothing left to watch");
    }

    private async Task<IReadOnlyList<TEvent>> ToldAsync<TEvent>(Guid order) where TEvent : DomainEvent =>
        [.. (await shop.Service.EventsAsync<TEvent>()).Where(told => (Guid)told.GetType().GetProperty("OrderId")!.GetValue(told)! == order)];

    public sealed class OpenShop : IAsyncLifetime
    {
        public Shop Shop { get; private set; } = null!;

        public async ValueTask InitializeAsync() => Shop = await Shop.OpenAsync();

        public ValueTask DisposeAsync() => Shop.DisposeAsync();
    }
}
