using System.Net;
using System.Net.Http.Json;
using Marketplace.Contracts;
using Marketplace.TestKit;

namespace Marketplace.Payments.Tests;

public sealed class WhenAnOrderIsCharged
{
    [Fact]
    public async Task The_money_is_taken_once_and_announced_once()
    {
        await using var till = await Till.OpenAsync();
        var order = A.ChargeOf(pence: 4_298);

        var reply = await till.ChargeAsync(order);

        Assert.Equal(("captured", null), (reply.Status, reply.Refusal));
        Assert.Equal(4_298, await till.NetPenceAsync());
        var captured = Assert.Single(await till.Payments.EventsAsync<PaymentCaptured>());
        Assert.Equal((order.OrderId, 1, order.BuyerId, Money.Gbp(4_298)), (captured.OrderId, captured.Attempt, captured.BuyerId, captured.Amount));
    }

    [Fact]
    public async Task It_costs_two_calls_to_the_provider_webhook_included()
    {
        await using var till = await Till.OpenAsync();
        await till.ChargeAsync(A.ChargeOf(1_000));
        var before = (await till.TotalsAsync()).Calls;

        await till.ChargeAsync(A.ChargeOf(1_000));
        await Eventually.Async(async () => await till.Payments.ScalarAsync<long>("SELECT count(*) FROM webhooks WHERE outcome IS NOT NULL") == 2, "both webhooks are settled");

        Assert.Equal(2, (await till.TotalsAsync()).Calls - before);
    }

    [Fact]
    public async Task A_repeat_gets_the_answer_of_the_first_time()
    {
        await using var till = await Till.OpenAsync();
        var order = A.ChargeOf(1_000);
        var first = await till.ChargeAsync(order);

        Assert.Equal(first, await till.ChargeAsync(order));
        Assert.Equal(first, await till.ChargeAsync(order));

        Assert.Equal(1, (await till.TotalsAsync()).Charges);
        Assert.Single(await till.Payments.EventsAsync<PaymentCaptured>());
    }

    [Fact]
    public async Task Two_replicas_charging_the_same_attempt_take_the_money_once()
    {
        await using var till = await Till.OpenAsync();
        await using var second = await till.SecondReplicaAsync();
        await till.ProviderAsync("latency", new { ms = 50 });
        var order = A.ChargeOf(2_500);

        var replies = await Task.WhenAll(Enumerable.Range(0, 20).Select(i => Till.ChargeAsync(i % 2 == 0 ? till.Payments.AsNeighbour() : second.AsNeighbour(), order)));

        Assert.All(replies, reply => Assert.Contains(reply.Status, (string[])["captured", "processing"]));
        Assert.Equal("captured", (await till.ChargeToTheEndAsync(order)).Status);
        Assert.Equal((1, 2_500), ((await till.TotalsAsync()).Charges, await till.NetPenceAsync()));
        Assert.Single(await till.Payments.EventsAsync<PaymentCaptured>());
    }

    [Theory]
    [InlineData("pm_card_chargeDeclined")]
    [InlineData("pm_card_visa_chargeDeclinedInsufficientFunds")]
    [InlineData("pm_card_chargeDeclinedExpiredCard")]
    [InlineData("pm_card_authenticationRequired")]
    [InlineData("tok_chargeDeclined")]
    public async Task A_declined_card_is_refused_and_takes_nothing(string card)
    {
        await using var till = await Till.OpenAsync();
        var order = A.ChargeOf(1_000, card);

        var reply = await till.ChargeAsync(order);

        Assert.Equal(("refused", "card_declined"), (reply.Status, reply.Refusal));
        Assert.Equal(reply, await till.ChargeAsync(order));
        Assert.Equal(0, await till.NetPenceAsync());
        Assert.Equal("card_declined", Assert.Single(await till.Payments.EventsAsync<PaymentFailed>()).Reason);
    }

    [Fact]
    public async Task A_retry_with_a_good_card_takes_the_money_once_in_total()
    {
        await using var till = await Till.OpenAsync();
        var order = A.ChargeOf(1_000, "pm_card_chargeDeclined");
        await till.ChargeAsync(order);

        var retry = await till.ChargeAsync(order.Again());

        Assert.Equal("captured", retry.Status);
        Assert.Equal((1, 1_000), ((await till.TotalsAsync()).Charges, await till.NetPenceAsync()));
        Assert.Equal(1, (await till.TotalsAsync()).IntentsByStatus["canceled"]);   // the declined one cannot be paid any more
    }

    [Fact]
    public async Task A_new_attempt_ends_the_one_before_it()
    {
        await using var till = await Till.OpenAsync(("Charges:AnswerWithin", "00:00:00.200"), ("Provider:Timeout", "00:00:02"));
        await till.ProviderAsync("latency", new { ms = 600 });
        var order = A.ChargeOf(1_000);
        Assert.Equal("processing", (await till.ChargeAsync(order)).Status);
        await till.ProviderAsync("latency", new { ms = 0 });

        Assert.Equal("captured", (await till.ChargeToTheEndAsync(order.Again())).Status);

        Assert.Equal("cancelled", (await till.ChargeToTheEndAsync(order)).Refusal);
        await Eventually.Async(async () => await till.NetPenceAsync() == 1_000, "one charge in total is left");
    }

    [Fact]
    public async Task An_older_attempt_that_arrives_late_is_refused()
    {
        await using var till = await Till.OpenAsync();
        var first = A.ChargeOf(1_000);
        await till.ChargeAsync(first.Again());

        Assert.Equal("cancelled", (await till.ChargeAsync(first)).Refusal);
        Assert.Equal(1_000, await till.NetPenceAsync());
    }

    [Theory]
    [InlineData(59, "reservation_expiring")]
    [InlineData(90, null)]
    public async Task Within_the_last_minute_of_the_reservation_nothing_is_charged(int secondsLeft, string? refusal)
    {
        await using var till = await Till.OpenAsync();
        var order = A.ChargeOf(1_000) with { ReservedUntil = DateTimeOffset.UtcNow.AddSeconds(secondsLeft) };

        Assert.Equal(refusal, (await till.ChargeAsync(order)).Refusal);
        Assert.Equal(refusal, (await till.ChargeAsync(order)).Refusal);
        Assert.Equal(refusal is null ? 1_000 : 0, await till.NetPenceAsync());
        Assert.Equal(refusal is null ? [] : [refusal], (await till.Payments.EventsAsync<PaymentFailed>()).Select(failed => failed.Reason));
    }

    [Fact]
    public async Task An_attempt_taken_over_too_late_for_its_reservation_is_refused_and_its_intent_closed()
    {
        await using var till = await Till.OpenAsync(("Charges:Lease", "00:00:00.300"), ("Charges:ReservationMargin", "00:00:01"), ("Provider:Timeout", "00:00:00.200"));
        await till.ProviderAsync("outage", new { mode = "hang" });
        var order = A.ChargeOf(1_000) with { ReservedUntil = DateTimeOffset.UtcNow.AddSeconds(2) };
        await till.Payments.ScalarAsync<int>("""
            INSERT INTO payment_attempts (order_id, attempt, payment_id, buyer_id, amount_minor, currency, payment_method, reservation_expires_at, status, lease_until, created_at, updated_at)
            VALUES ($1, 1, $1, $2, 1000, 'GBP', 'pm_card_visa', now(), 'charging', now(), now(), now())
            """, order.OrderId, order.BuyerId);
        await till.ProviderAsync("outage", new { mode = "off" });

        await Eventually.Async(async () => await till.StatusAsync(order) == "refused", "the worker settles what nobody is at");

        Assert.Equal("reservation_expiring", (await till.ChargeAsync(order)).Refusal);
        await Eventually.Async(async () => (await till.TotalsAsync()).IntentsByStatus.GetValueOrDefault("requires_confirmation") == 0, "no intent is left that could be confirmed");
        Assert.Equal(0, await till.NetPenceAsync());
    }

    [Theory]
    [InlineData("4242 4242 4242 4242")]
    [InlineData("4000000000000002")]
    [InlineData("pm_4242424242424242")]
    [InlineData("pm_nobody_knows")]
    [InlineData("robert'); DROP TABLE payment_attempts;--")]
    [InlineData(null)]
    public async Task What_is_no_payment_method_is_refused_and_a_card_number_is_kept_nowhere(string? method)
    {
        await using var till = await Till.OpenAsync();
        var order = A.ChargeOf(1_000, method);

        var reply = await till.ChargeAsync(order);

        Assert.Equal(("refused", "payment_method_missing"), (reply.Status, reply.Refusal));
        Assert.Equal(0, await till.Payments.ScalarAsync<long>("SELECT count(*) FROM payment_attempts WHERE payment_method ~ '4242|4000'"));
    }

    [Fact]
    public async Task A_charge_that_makes_no_sense_is_named()
    {
        await using var till = await Till.OpenAsync();
        using var payments = till.Payments.AsNeighbour();

        using var reply = await payments.PostAsJsonAsync("/internal/charges", A.ChargeOf(0).ToRequest(), TestContext.Current.CancellationToken);

        Assert.Equal(HttpStatusCode.UnprocessableEntity, reply.StatusCode);
        Assert.Contains("amount", await reply.Content.ReadAsStringAsync(TestContext.Current.CancellationToken), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_the_app_token_nobody_charges()
    {
        await using var till = await Till.OpenAsync();
        using var stranger = till.Payments.As(TestTokens.Buyer(Guid.CreateVersion7()));

        using var reply = await stranger.PostAsJsonAsync("/internal/charges", A.ChargeOf(1_000).ToRequest(), TestContext.Current.CancellationToken);

        Assert.Equal(HttpStatusCode.Unauthorized, reply.StatusCode);
        Assert.Equal(0, (await till.TotalsAsync()).Charges);
    }
}
