using System.Diagnostics;
using Marketplace.Contracts;
using Marketplace.TestKit;

namespace Marketplace.Payments.Tests;

public sealed class WhenTheProviderMisbehaves
{
    private static readonly (string, string)[] Impatient = [("Provider:Timeout", "00:00:00.400"), ("Charges:AnswerWithin", "00:00:02")];

    [Fact]
    public async Task A_time_out_after_charging_is_settled_by_looking_and_one_charge_is_made()
    {
        await using var till = await Till.OpenAsync(Impatient);
        await till.ProviderAsync("charge-then-timeout", new { times = 1 });

        var reply = await till.ChargeToTheEndAsync(A.ChargeOf(1_999));

        Assert.Equal("captured", reply.Status);
        Assert.Equal((1, 1_999), ((await till.TotalsAsync()).Charges, await till.NetPenceAsync()));
        Assert.Single(await till.Payments.EventsAsync<PaymentCaptured>());
    }

    [Fact]
    public async Task An_error_after_charging_is_settled_by_looking()
    {
        await using var till = await Till.OpenAsync(Impatient);
        await till.ProviderAsync("error-after", new { times = 1 });

        Assert.Equal("captured", (await till.ChargeToTheEndAsync(A.ChargeOf(1_999))).Status);
        Assert.Equal((1, 1_999), ((await till.TotalsAsync()).Charges, await till.NetPenceAsync()));
    }

    [Fact]
    public async Task An_error_before_charging_is_tried_again_although_the_provider_keeps_the_error_under_its_key()
    {
        await using var till = await Till.OpenAsync(Impatient);
        await till.ProviderAsync("error-before", new { times = 1 });

        Assert.Equal("captured", (await till.ChargeToTheEndAsync(A.ChargeOf(1_999))).Status);
        Assert.Equal((1, 1_999), ((await till.TotalsAsync()).Charges, await till.NetPenceAsync()));
    }

    [Fact]
    public async Task Trap_7_a_capture_that_times_out_is_retried_under_the_same_key_and_intent()
    {
        await using var till = await Till.OpenAsync([.. Impatient, ("Charges:Lease", "00:00:02")]);
        await till.ProviderAsync("charge-then-timeout", new { times = 1 });
        var order = A.ChargeOf(1_000);

        await Task.WhenAll(till.ChargeToTheEndAsync(order), till.ChargeToTheEndAsync(order), till.ChargeToTheEndAsync(order));

        var totals = await till.TotalsAsync();
        Assert.Equal((1, 1), (totals.Charges, totals.IntentsByStatus.Values.Sum()));
    }

    [Fact]
    public async Task A_provider_that_is_down_is_refused_at_once_when_the_breaker_is_open_and_used_again_when_it_is_back()
    {
        await using var till = await Till.OpenAsync(("Provider:Timeout", "00:00:01.500"), ("Provider:OpenFor", "00:00:03"));
        await till.ProviderAsync("outage", new { mode = "hang" });
        for (var i = 0; i < 4; i++)
            Assert.Equal("provider_unavailable", (await till.ChargeToTheEndAsync(A.ChargeOf(1_000))).Refusal);

        var order = A.ChargeOf(1_000);
        var clock = Stopwatch.StartNew();
        Assert.Equal("provider_unavailable", (await till.ChargeAsync(order)).Refusal);
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(1), $"with an open breaker the refusal took {clock.Elapsed}");

        await till.ProviderAsync("outage", new { mode = "off" });
        var attempt = order;
        await Eventually.Async(async () => (await till.ChargeAsync(attempt = attempt.Again())).Status == "captured", "a retry works when the provider is back");
        Assert.Equal(1_000, await till.NetPenceAsync());
    }

    [Theory]
    [InlineData("503")]
    [InlineData("reset")]
    public async Task An_outage_refuses_and_a_later_attempt_works(string mode)
    {
        await using var till = await Till.OpenAsync(Impatient);
        await till.ProviderAsync("outage", new { mode });
        var order = A.ChargeOf(1_000);

        Assert.Equal("provider_unavailable", (await till.ChargeToTheEndAsync(order)).Refusal);

        await till.ProviderAsync("outage", new { mode = "off" });
        Assert.Equal("captured", (await till.ChargeToTheEndAsync(order.Again())).Status);
        Assert.Equal((1, 1_000), ((await till.TotalsAsync()).Charges, await till.NetPenceAsync()));
    }

    [Fact]
    public async Task Doubt_outlives_an_outage_and_ends_with_the_truth()
    {
        await using var till = await Till.OpenAsync([.. Impatient, ("Charges:Lease", "00:00:02"), ("Provider:OpenFor", "00:00:00.500"), ("Provider:Timeout", "00:00:03"), ("Charges:AnswerWithin", "00:00:00.200")]);
        await till.ProviderAsync("webhooks", new { paused = true });
        await till.ProviderAsync("charge-then-timeout", new { times = 1 });
        var order = A.ChargeOf(1_000);
        Assert.Equal("processing", (await till.ChargeAsync(order)).Status);
        await Eventually.Async(async () => await till.NetPenceAsync() == 1_000, "the provider has charged");
        await till.ProviderAsync("outage", new { mode = "503" });
        await Eventually.Async(async () => await till.Payments.ScalarAsync<int>("SELECT fence FROM payment_attempts WHERE order_id = $1", order.OrderId) > 1, "the attempt is looked up in vain");
        Assert.Equal("processing", (await till.ChargeAsync(order)).Status);

        await till.ProviderAsync("outage", new { mode = "off" });

        Assert.Equal("captured", (await till.ChargeToTheEndAsync(order)).Status);
        Assert.Equal((1, 1_000), ((await till.TotalsAsync()).Charges, await till.NetPenceAsync()));
    }

    [Fact]
    public async Task The_caller_is_told_processing_while_a_slow_provider_is_at_it()
    {
        await using var till = await Till.OpenAsync(("Charges:AnswerWithin", "00:00:00.100"));
        await till.ProviderAsync("latency", new { ms = 60_000 });
        var order = A.ChargeOf(1_000);

        Assert.Equal("processing", (await till.ChargeAsync(order)).Status);
        Assert.Equal("processing", (await till.ChargeAsync(order)).Status);
        await till.ProviderAsync("latency", new { ms = 0 });
        Assert.Equal("captured", (await till.ChargeToTheEndAsync(order)).Status);
        Assert.Equal(1, (await till.TotalsAsync()).Charges);
    }
}
