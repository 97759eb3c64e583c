using System.Net;
using Marketplace.TestKit;
using Stripe;
using Xunit;

namespace Marketplace.Local.Tests.Provider;

public sealed class StripeNetAgainstTheDouble
{
    [Fact]
    public async Task An_intent_is_created_confirmed_and_found_again()
    {
        await using var stripe = await Double.StartAsync();

        var created = await stripe.CreateAsync(2_500, metadata: new() { ["order_id"] = "o-1", ["note"] = "Ä & b=c" });
        Assert.Equal(("requires_confirmation", 2_500L, "gbp", 0L), (created.Status, created.Amount, created.Currency, created.AmountReceived));
        Assert.Equal("Ä & b=c", created.Metadata["note"]);

        var confirmed = await stripe.ConfirmAsync(created.Id);
        Assert.Equal(("succeeded", 2_500L), (confirmed.Status, confirmed.AmountReceived));

        var found = await stripe.Intents.GetAsync(created.Id, new PaymentIntentGetOptions { Expand = ["latest_charge", "payment_method"] }, cancellationToken: TestContext.Current.CancellationToken);
        Assert.True(found.LatestCharge is { Paid: true, Captured: true, Refunded: false, Amount: 2_500 });
        Assert.Equal(("visa", "4242"), (found.PaymentMethod.Card.Brand, found.PaymentMethod.Card.Last4));
        Assert.Equal("o-1", found.LatestCharge.Metadata["order_id"]);
    }

    [Theory]
    [InlineData("pm_card_chargeDeclined", "card_declined", "generic_decline")]
    [InlineData("pm_card_visa_chargeDeclined", "card_declined", "generic_decline")]
    [InlineData("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds")]
    [InlineData("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds")]
    [InlineData("pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card")]
    [InlineData("pm_card_visa_chargeDeclinedExpiredCard", "expired_card", null)]
    [InlineData("pm_card_chargeDeclinedExpiredCard", "expired_card", null)]
    [InlineData("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", null)]
    [InlineData("pm_card_chargeDeclinedProcessingError", "processing_error", null)]
    public async Task A_declined_card_answers_402_with_the_intent_and_leaves_it_open_for_another_card(string card, string code, string? declineCode)
    {
        await using var stripe = await Double.StartAsync();
        var intent = await stripe.CreateAsync(method: card);

        var refused = await Assert.ThrowsAsync<StripeException>(() => stripe.ConfirmAsync(intent.Id));

        Assert.Equal((HttpStatusCode.PaymentRequired, "card_error", code, declineCode), (refused.HttpStatusCode, refused.StripeError.Type, refused.StripeError.Code, refused.StripeError.DeclineCode));
        Assert.Equal((intent.Id, "requires_payment_method"), (refused.StripeError.PaymentIntent.Id, refused.StripeError.PaymentIntent.Status));
        var after = await stripe.Intents.GetAsync(intent.Id, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal((code, declineCode), (after.LastPaymentError.Code, after.LastPaymentError.DeclineCode));
        var paid = await stripe.Intents.ConfirmAsync(intent.Id, new PaymentIntentConfirmOptions { PaymentMethod = "pm_card_mastercard" }, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal("succeeded", paid.Status);
        Assert.Equal((1, 1), ((await stripe.TotalsAsync()).Charges, (await stripe.TotalsAsync()).DeclinedCharges));
    }

    [Fact]
    public async Task Confirmed_in_one_call_and_by_token()
    {
        await using var stripe = await Double.StartAsync();
        Assert.Equal("succeeded", (await stripe.CreateAsync(confirm: true)).Status);

        var method = await stripe.Methods.CreateAsync(new PaymentMethodCreateOptions { Type = "card", Card = new PaymentMethodCardOptions { Token = "tok_mastercard" } }, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal("mastercard", method.Card.Brand);
        Assert.Equal("succeeded", (await stripe.CreateAsync(method: method.Id, confirm: true)).Status);

        var number = await Assert.ThrowsAsync<StripeException>(() => stripe.Methods.CreateAsync(
            new PaymentMethodCreateOptions { Type = "card", Card = new PaymentMethodCardOptions { Number = "4242424242424242", ExpMonth = 1, ExpYear = 2030, Cvc = "123" } }, cancellationToken: TestContext.Current.CancellationToken));
        Assert.Equal(HttpStatusCode.PaymentRequired, number.HttpStatusCode);
    }

    [Fact]
    public async Task An_intent_moves_only_where_it_may()
    {
        await using var stripe = await Double.StartAsync();
        var paid = await stripe.CreateAsync(confirm: true);
        var open = await stripe.CreateAsync();
        var canceled = await stripe.Intents.CancelAsync(open.Id, new PaymentIntentCancelOptions { CancellationReason = "abandoned" }, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(("canceled", "abandoned"), (canceled.Status, canceled.CancellationReason));
        Assert.NotNull(canceled.CanceledAt);

        foreach (var (id, status) in ((string, string)[])[(paid.Id, "succeeded"), (open.Id, "canceled")])
        {
            var confirm = await Assert.ThrowsAsync<StripeException>(() => stripe.ConfirmAsync(id));
            var cancel = await Assert.ThrowsAsync<StripeException>(() => stripe.Intents.CancelAsync(id, cancellationToken: TestContext.Current.CancellationToken));
            Assert.Equal(("payment_intent_unexpected_state", status), (confirm.StripeError.Code, confirm.StripeError.PaymentIntent.Status));
            Assert.Equal(("payment_intent_unexpected_state", status), (cancel.StripeError.Code, cancel.StripeError.PaymentIntent.Status));
        }

        var nothing = await stripe.CreateAsync(method: null);
        Assert.Equal("requires_payment_method", nothing.Status);
        await Assert.ThrowsAsync<StripeException>(() => stripe.ConfirmAsync(nothing.Id));
        var action = await stripe.CreateAsync(method: "pm_card_threeDSecure2Required", confirm: true);
        Assert.Equal(("requires_action", "use_stripe_sdk"), (action.Status, action.NextAction.Type));
    }

    [Fact]
    public async Task Refunds_come_in_parts_and_never_exceed_the_charge()
    {
        await using var stripe = await Double.StartAsync();
        var intent = await stripe.CreateAsync(1_000, confirm: true);
        Task<Refund> RefundAsync(long? amount) => stripe.Refunds.CreateAsync(new RefundCreateOptions { PaymentIntent = intent.Id, Amount = amount, Reason = "requested_by_customer" }, cancellationToken: TestContext.Current.CancellationToken);

        Assert.Equal(400, (await RefundAsync(400)).Amount);
        await Assert.ThrowsAsync<StripeException>(() => RefundAsync(601));
        Assert.Equal((600L, "succeeded"), await RefundAsync(null) is var rest ? (rest.Amount, rest.Status) : default);
        Assert.Equal("charge_already_refunded", (await Assert.ThrowsAsync<StripeException>(() => RefundAsync(null))).StripeError.Code);

        Assert.Equal(2, (await stripe.Refunds.ListAsync(new RefundListOptions { PaymentIntent = intent.Id }, cancellationToken: TestContext.Current.CancellationToken)).Data.Count);
        var charge = (await stripe.Intents.GetAsync(intent.Id, new PaymentIntentGetOptions { Expand = ["latest_charge"] }, cancellationToken: TestContext.Current.CancellationToken)).LatestCharge;
        Assert.Equal((true, 1_000L), (charge.Refunded, charge.AmountRefunded));
        var unpaid = await stripe.CreateAsync();
        await Assert.ThrowsAsync<StripeException>(() => stripe.Refunds.CreateAsync(new RefundCreateOptions { PaymentIntent = unpaid.Id }, cancellationToken: TestContext.Current.CancellationToken));
        Assert.Equal((1_000, 1_000, 0), await stripe.TotalsAsync() is var t ? (t.Captured["gbp"], t.Refunded["gbp"], t.Net["gbp"]) : default);
    }

    [Fact]
    public async Task A_card_belongs_to_one_customer()
    {
        await using var stripe = await Double.StartAsync();
        var ada = await stripe.Customers.CreateAsync(new CustomerCreateOptions { Email = "ada@example.com" }, cancellationToken: TestContext.Current.CancellationToken);
        var bruno = await stripe.Customers.CreateAsync(new CustomerCreateOptions(), cancellationToken: TestContext.Current.CancellationToken);
        var card = await stripe.Methods.AttachAsync("pm_card_visa", new PaymentMethodAttachOptions { Customer = ada.Id }, cancellationToken: TestContext.Current.CancellationToken);
        Task<PaymentIntent> PayAsync(string? customer) => stripe.Intents.CreateAsync(
            new PaymentIntentCreateOptions { Amount = 100, Currency = "gbp", Customer = customer, PaymentMethod = card.Id, Confirm = true }, cancellationToken: TestContext.Current.CancellationToken);

        Assert.NotEqual("pm_card_visa", card.Id);
        Assert.Equal("succeeded", (await PayAsync(ada.Id)).Status);
        await Assert.ThrowsAsync<StripeException>(() => PayAsync(null));
        await Assert.ThrowsAsync<StripeException>(() => PayAsync(bruno.Id));
        await Assert.ThrowsAsync<StripeException>(() => stripe.Methods.AttachAsync(card.Id, new PaymentMethodAttachOptions { Customer = bruno.Id }, cancellationToken: TestContext.Current.CancellationToken));
        Assert.Equal(card.Id, Assert.Single((await stripe.Methods.ListAsync(new PaymentMethodListOptions { Customer = ada.Id, Type = "card" }, cancellationToken: TestContext.Current.CancellationToken)).Data).Id);

        Assert.Null((await stripe.Methods.DetachAsync(card.Id, cancellationToken: TestContext.Current.CancellationToken)).CustomerId);
        Assert.Empty((await stripe.Methods.ListAsync(new PaymentMethodListOptions { Customer = ada.Id }, cancellationToken: TestContext.Current.CancellationToken)).Data);
        var declined = await Assert.ThrowsAsync<StripeException>(() => stripe.Methods.AttachAsync("pm_card_chargeDeclined", new PaymentMethodAttachOptions { Customer = ada.Id }, cancellationToken: TestContext.Current.CancellationToken));
        Assert.Equal("card_declined", declined.StripeError.Code);
        Assert.Equal("ada@example.com", (await stripe.Customers.GetAsync(ada.Id, cancellationToken: TestContext.Current.CancellationToken)).Email);
    }

    [Fact]
    public async Task Lists_page_newest_first()
    {
        await using var stripe = await Double.StartAsync();
        var ids = new List<string>();
        for (var i = 0; i < 25; i++)
            ids.Add((await stripe.CreateAsync(100 + i)).Id);
        ids.Reverse();

        var first = await stripe.Intents.ListAsync(new PaymentIntentListOptions { Limit = 10 }, cancellationToken: TestContext.Current.CancellationToken);
        var second = await stripe.Intents.ListAsync(new PaymentIntentListOptions { Limit = 10, StartingAfter = first.Data[^1].Id }, cancellationToken: TestContext.Current.CancellationToken);
        var back = await stripe.Intents.ListAsync(new PaymentIntentListOptions { Limit = 10, EndingBefore = second.Data[0].Id }, cancellationToken: TestContext.Current.CancellationToken);
        var all = await stripe.Intents.ListAutoPagingAsync(new PaymentIntentListOptions { Limit = 7 }, cancellationToken: TestContext.Current.CancellationToken).ToListAsync(TestContext.Current.CancellationToken);
        var none = await stripe.Intents.ListAsync(new PaymentIntentListOptions { Created = new DateRangeOptions { GreaterThan = DateTime.UtcNow.AddMinutes(1) } }, cancellationToken: TestContext.Current.CancellationToken);

        Assert.Equal(ids[..10], first.Data.Select(intent => intent.Id));
        Assert.Equal(ids[10..20], second.Data.Select(intent => intent.Id));
        Assert.Equal(ids[..10], back.Data.Select(intent => intent.Id));
        Assert.Equal(ids, all.Select(intent => intent.Id));
        Assert.True(first.HasMore && second.HasMore);
        Assert.Empty(none.Data);
        await Assert.ThrowsAsync<StripeException>(() => stripe.Intents.ListAsync(new PaymentIntentListOptions { Limit = 101 }, cancellationToken: TestContext.Current.CancellationToken));
        Assert.Equal("resource_missing", (await Assert.ThrowsAsync<StripeException>(() => stripe.Intents.ListAsync(new PaymentIntentListOptions { StartingAfter = "pi_nobody" }, cancellationToken: TestContext.Current.CancellationToken))).StripeError.Code);
    }

    [Fact]
    public async Task What_it_does_not_know_is_an_error_and_not_ignored()
    {
        await using var stripe = await Double.StartAsync();
        Assert.Equal("resource_missing", (await Assert.ThrowsAsync<StripeException>(() => stripe.Intents.GetAsync("pi_nobody", cancellationToken: TestContext.Current.CancellationToken))).StripeError.Code);
        Assert.Equal("resource_missing", (await Assert.ThrowsAsync<StripeException>(() => stripe.CreateAsync(method: "pm_nobody"))).StripeError.Code);
        Assert.Equal("parameter_unknown", (await Assert.ThrowsAsync<StripeException>(() => stripe.Intents.CreateAsync(
            new PaymentIntentCreateOptions { Amount = 100, Currency = "gbp", OnBehalfOf = "acct_1" }, cancellationToken: TestContext.Current.CancellationToken))).StripeError.Code);
        Assert.Equal("amount", (await Assert.ThrowsAsync<StripeException>(() => stripe.CreateAsync(0))).StripeError.Param);

        var keyless = new StripeClient(new StripeClientOptions { ApiKey = "sk_live_real", ApiBase = stripe.Address.ToString().TrimEnd('/') });
        Assert.Equal(HttpStatusCode.Unauthorized, (await Assert.ThrowsAsync<StripeException>(() => new PaymentIntentService(keyless).GetAsync("pi_1", cancellationToken: TestContext.Current.CancellationToken))).HttpStatusCode);
    }
}
