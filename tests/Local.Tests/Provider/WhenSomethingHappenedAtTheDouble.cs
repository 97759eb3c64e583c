using Marketplace.TestKit;
using Stripe;
using Xunit;

namespace Marketplace.Local.Tests.Provider;

public sealed class WhenSomethingHappenedAtTheDouble
{
    [Fact]
    public async Task Signed_webhooks_tell_of_it()
    {
        await using var stripe = await Double.StartAsync();
        var paid = await stripe.CreateAsync(1_000, confirm: true, metadata: new() { ["order_id"] = "o-1" });
        var declined = await stripe.CreateAsync(method: "pm_card_chargeDeclined");
        await Assert.ThrowsAsync<StripeException>(() => stripe.ConfirmAsync(declined.Id));
        await stripe.Intents.CancelAsync(declined.Id, cancellationToken: TestContext.Current.CancellationToken);
        await stripe.Refunds.CreateAsync(new RefundCreateOptions { PaymentIntent = paid.Id }, cancellationToken: TestContext.Current.CancellationToken);

        await Eventually.Async(() => stripe.Events.Count == 4, "four events arrive");

        Assert.Equal(["charge.refunded", "payment_intent.canceled", "payment_intent.payment_failed", "payment_intent.succeeded"], stripe.Events.Select(e => e.Type).Order());
        var succeeded = (PaymentIntent)stripe.Events.Single(e => e.Type == "payment_intent.succeeded").Data.Object;
        Assert.Equal((paid.Id, "succeeded", "o-1"), (succeeded.Id, succeeded.Status, succeeded.Metadata["order_id"]));
        var refunded = (Charge)stripe.Events.Single(e => e.Type == "charge.refunded").Data.Object;
        Assert.Equal((paid.Id, true), (refunded.PaymentIntentId, refunded.Refunded));
        await Eventually.Async(async () => (await stripe.TotalsAsync()).WebhooksOutstanding == 0, "all are noted as delivered");
    }

    [Fact]
    public async Task They_are_repeated_until_they_are_taken_also_over_a_restart()
    {
        await using var stripe = await Double.StartAsync();
        stripe.EndpointStatus = 500;
        await stripe.CreateAsync(confirm: true);
        await Eventually.Async(() => stripe.Events.Count >= 2, "it is sent again");
        Assert.Equal(1, (await stripe.TotalsAsync()).WebhooksOutstanding);

        await stripe.RestartAsync();
        stripe.EndpointStatus = 200;

        await Eventually.Async(async () => (await stripe.TotalsAsync()).WebhooksOutstanding == 0, "it is delivered in the end");
        Assert.Single(stripe.Events.Select(e => e.Id).Distinct());
    }

    [Fact]
    public async Task They_can_be_held_doubled_and_shuffled()
    {
        await using var stripe = await Double.StartAsync();
        await stripe.SetAsync("webhooks", new { paused = true, duplicated = true, reordered = true });
        for (var i = 0; i < 6; i++)
            await stripe.CreateAsync(100 + i, confirm: true);
        Assert.Equal(6, (await stripe.TotalsAsync()).WebhooksOutstanding);
        Assert.Empty(stripe.Events);

        await stripe.SetAsync("webhooks", new { paused = false });

        await Eventually.Async(() => stripe.Events.Count == 12, "each arrives twice");
        Assert.Equal(6, stripe.Events.Select(e => e.Id).Distinct().Count());
    }

    [Fact]
    public async Task An_outage_hits_every_call_and_a_reset_forgets_everything()
    {
        await using var stripe = await Double.StartAsync();
        var intent = await stripe.CreateAsync(confirm: true);
        await stripe.SetAsync("outage", new { mode = "503" });
        Assert.Equal(System.Net.HttpStatusCode.ServiceUnavailable, (await Assert.ThrowsAsync<StripeException>(() => stripe.CreateAsync())).HttpStatusCode);
        await stripe.SetAsync("outage", new { mode = "reset" });
        await Assert.ThrowsAnyAsync<HttpRequestException>(() => stripe.CreateAsync());
        await stripe.SetAsync("outage", new { mode = "off" });
        Assert.Equal("succeeded", (await stripe.Intents.GetAsync(intent.Id, cancellationToken: TestContext.Current.CancellationToken)).Status);

        await stripe.ResetAsync();

        Assert.Equal(0, (await stripe.TotalsAsync()).Charges);
        await Assert.ThrowsAsync<StripeException>(() => stripe.Intents.GetAsync(intent.Id, cancellationToken: TestContext.Current.CancellationToken));
        await stripe.RestartAsync();
        Assert.Equal(0, (await stripe.TotalsAsync()).Charges);
    }
}
