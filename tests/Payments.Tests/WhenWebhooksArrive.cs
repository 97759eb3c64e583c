using System.Net;
using System.Text;
using Marketplace.Contracts;
using Marketplace.TestKit;
using Stripe;

namespace Marketplace.Payments.Tests;

public sealed class WhenWebhooksArrive
{
    [Fact]
    public async Task Trap_6_a_webhook_before_the_reply_settles_the_payment_once()
    {
        await using var till = await Till.OpenAsync(("Charges:AnswerWithin", "00:00:00.200"), ("Provider:Timeout", "00:00:25"));
        await till.ProviderAsync("charge-then-timeout", new { times = 1 });
        var order = A.ChargeOf(1_500);

        Assert.Equal("processing", (await till.ChargeAsync(order)).Status);      // the reply hangs; the webhook does not

        Assert.Equal("captured", (await till.ChargeToTheEndAsync(order, TimeSpan.FromSeconds(20))).Status);
        Assert.Equal((1, 1_500), ((await till.TotalsAsync()).Charges, await till.NetPenceAsync()));
        Assert.Single(await till.Payments.EventsAsync<PaymentCaptured>());
    }

    [Fact]
    public async Task Twice_and_in_any_order_they_change_nothing_that_is_settled()
    {
        await using var till = await Till.OpenAsync();
        await till.ProviderAsync("webhooks", new { duplicated = true, reordered = true });
        var paid = A.ChargeOf(1_000);
        var refunded = A.ChargeOf(2_000);
        var declined = A.ChargeOf(3_000, "pm_card_chargeDeclined");
        foreach (var order in (A.Charge[])[paid, refunded, declined])
            await till.ChargeAsync(order);
        await till.RefundAsync(refunded);
        await till.RefundAsync(declined);

        await Eventually.Async(async () => (await till.TotalsAsync()).WebhooksOutstanding == 0, "every webhook is answered");
        await Eventually.Async(
            async () => await till.Payments.ScalarAsync<long>("SELECT count(*) FROM webhooks") is > 0 and var known && known < till.Postman.Letters.Count,
            "the second copy of a webhook finds the row of the first");
        await Eventually.Async(async () => await till.Payments.ScalarAsync<long>("SELECT count(*) FROM webhooks WHERE outcome IS NULL") == 0, "every webhook is settled");

        Assert.Equal("captured", (await till.ChargeAsync(paid)).Status);
        Assert.Equal(("captured", "refunded", "cancelled"), (await till.StatusAsync(paid), await till.StatusAsync(refunded), await till.StatusAsync(declined)));
        Assert.Equal(2, (await till.Payments.EventsAsync<PaymentCaptured>()).Count);
        Assert.Single(await till.Payments.EventsAsync<PaymentRefunded>());
        Assert.Single(await till.Payments.EventsAsync<PaymentFailed>());
        Assert.Equal(1_000, await till.NetPenceAsync());
    }

    [Fact]
    public async Task A_refund_made_at_the_provider_is_taken_over()
    {
        await using var till = await Till.OpenAsync();
        var order = A.ChargeOf(1_000);
        await till.ChargeAsync(order);
        var intentId = await till.Payments.ScalarAsync<string>("SELECT intent_id FROM payment_attempts WHERE order_id = $1", order.OrderId);

        var stripe = new StripeClient(new StripeClientOptions { ApiKey = "sk_test_desk", ApiBase = till.ProviderAddress.ToString().TrimEnd('/') });
        await new RefundService(stripe).CreateAsync(new RefundCreateOptions { PaymentIntent = intentId }, cancellationToken: TestContext.Current.CancellationToken);

        await Eventually.Async(async () => await till.StatusAsync(order) == "refunded", "the webhook tells of it");
        Assert.Single(await till.Payments.EventsAsync<PaymentRefunded>());
        Assert.Equal("refunded", await till.RefundAsync(order));
        Assert.Equal(1, (await till.TotalsAsync()).Refunds);
    }

    [Fact]
    public async Task Only_the_provider_is_believed_and_only_for_the_bytes_it_signed()
    {
        await using var till = await Till.OpenAsync();
        till.Postman.OnStrike = true;
        await till.ChargeAsync(A.ChargeOf(1_000));
        await Eventually.Async(() => till.Postman.Letters.Count > 0, "the provider has sent a webhook");
        var letter = till.Postman.Letters[0];

        async Task<HttpStatusCode> StatusOfAsync(Letter sent)
        {
            using var reply = await till.Postman.DeliverAsync(sent);
            return reply.StatusCode;
        }

        Assert.Equal(HttpStatusCode.BadRequest, await StatusOfAsync(letter with { Signature = "" }));
        Assert.Equal(HttpStatusCode.BadRequest, await StatusOfAsync(letter with { Signature = "t=1,v1=00" }));
        Assert.Equal(HttpStatusCode.BadRequest, await StatusOfAsync(letter with { Body = letter.Body.Replace("1000", "1001", StringComparison.Ordinal) }));
        Assert.Equal(HttpStatusCode.BadRequest, await StatusOfAsync(letter with { Body = letter.Body + " " }));
        Assert.Equal(HttpStatusCode.BadRequest, await StatusOfAsync(letter with { Body = "not json" }));
        Assert.Equal(0, await till.Payments.ScalarAsync<long>("SELECT count(*) FROM webhooks"));
        Assert.Equal(HttpStatusCode.OK, await StatusOfAsync(letter));
        Assert.Equal(HttpStatusCode.OK, await StatusOfAsync(letter));
        Assert.Equal(1, await till.Payments.ScalarAsync<long>("SELECT count(*) FROM webhooks"));
    }

    [Fact]
    public async Task A_webhook_about_somebody_elses_payment_is_recorded_and_left_alone()
    {
        await using var till = await Till.OpenAsync();
        var stripe = new StripeClient(new StripeClientOptions { ApiKey = "sk_test_desk", ApiBase = till.ProviderAddress.ToString().TrimEnd('/') });
        await new PaymentIntentService(stripe).CreateAsync(
            new PaymentIntentCreateOptions { Amount = 5_000, Currency = "gbp", PaymentMethod = "pm_card_visa", Confirm = true }, cancellationToken: TestContext.Current.CancellationToken);

        await Eventually.Async(async () => await till.Payments.ScalarAsync<string>("SELECT outcome FROM webhooks") == "not ours", "it is told apart");
        Assert.Equal(0, await till.Payments.ScalarAsync<long>("SELECT count(*) FROM payment_attempts"));
    }
}
