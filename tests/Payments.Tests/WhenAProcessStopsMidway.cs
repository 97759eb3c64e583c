using Marketplace.Contracts;
using Marketplace.TestKit;

namespace Marketplace.Payments.Tests;

/// <summary>The service as processes of its own, stopped and killed by signals.</summary>
public sealed class WhenAProcessStopsMidway
{
    private static readonly (string, string)[] Patient = [("Charges:SettleEvery", "01:00:00"), ("Charges:AnswerWithin", "00:01:00"), ("Provider:Timeout", "00:01:00")];

    [Fact]
    public async Task Stopped_past_its_lease_while_making_the_intent_it_charges_nothing_when_it_wakes()
    {
        await using var till = await Till.OpenAsync(Patient);
        await using var sleeper = await PaymentsProcess.StartAsync(till, Patient);
        await till.ProviderAsync("latency", new { ms = 60_000 });
        var order = A.ChargeOf(1_000);

        var asleep = sleeper.ChargeAsync(order);
        await Eventually.Async(async () => await till.StatusAsync(order) == "charging", "the sleeper has begun");
        await sleeper.SignalAsync("STOP");
        await LeaseRunsOutAsync(till, order);
        await till.ProviderAsync("latency", new { ms = 0 });
        Assert.Equal("captured", (await till.ChargeToTheEndAsync(order)).Status);
        await sleeper.SignalAsync("CONT");

        Assert.Equal("captured", (await asleep).Status);
        var totals = await till.TotalsAsync();
        Assert.Equal((1, 1_000, 1), (totals.Charges, totals.Net["gbp"], totals.IntentsByStatus.Values.Sum()));
        Assert.Single(await till.Payments.EventsAsync<PaymentCaptured>());
    }

    [Fact]
    public async Task Stopped_past_its_lease_while_confirming_there_is_one_charge()
    {
        await using var till = await Till.OpenAsync(Patient);
        await till.ProviderAsync("webhooks", new { paused = true });
        await using var sleeper = await PaymentsProcess.StartAsync(till, Patient);
        await till.ProviderAsync("latency", new { ms = 500 });
        var order = A.ChargeOf(1_000);

        var asleep = sleeper.ChargeAsync(order);
        await Eventually.Async(
            async () => await till.Payments.ScalarAsync<string>("SELECT intent_id FROM payment_attempts WHERE order_id = $1", order.OrderId) is not null, "the sleeper is about to confirm");
        await till.ProviderAsync("latency", new { ms = 60_000 });
        await sleeper.SignalAsync("STOP");
        await LeaseRunsOutAsync(till, order);
        await till.ProviderAsync("latency", new { ms = 0 });
        Assert.Equal("captured", (await till.ChargeToTheEndAsync(order)).Status);
        await sleeper.SignalAsync("CONT");

        Assert.Equal("captured", (await asleep).Status);
        Assert.Equal((1, 1_000), ((await till.TotalsAsync()).Charges, await till.NetPenceAsync()));
        Assert.Single(await till.Payments.EventsAsync<PaymentCaptured>());
    }

    [Fact]
    public async Task Stopped_while_its_attempt_is_undone_and_replaced_it_charges_nothing_when_it_wakes()
    {
        await using var till = await Till.OpenAsync(Patient);
        await using var sleeper = await PaymentsProcess.StartAsync(till, Patient);
        await till.ProviderAsync("latency", new { ms = 60_000 });
        var order = A.ChargeOf(1_000);

        var asleep = sleeper.ChargeAsync(order);
        await Eventually.Async(async () => await till.StatusAsync(order) == "charging", "the sleeper has begun");
        await sleeper.SignalAsync("STOP");
        await till.ProviderAsync("latency", new { ms = 0 });
        Assert.Equal("nothing_to_refund", await till.RefundAsync(order));
        Assert.Equal("captured", (await till.ChargeToTheEndAsync(order.Again())).Status);
        await sleeper.SignalAsync("CONT");

        Assert.Equal("cancelled", (await asleep).Refusal);
        Assert.Equal((1, 1_000), ((await till.TotalsAsync()).Charges, await till.NetPenceAsync()));
        Assert.Equal(2, Assert.Single(await till.Payments.EventsAsync<PaymentCaptured>()).Attempt);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Killed_midway_the_worker_of_another_replica_finishes_the_charge(bool afterIntent)
    {
        await using var till = await Till.OpenAsync([.. Patient, ("Charges:SettleEvery", "00:00:00.100")]);
        await till.ProviderAsync("webhooks", new { paused = true });
        await using var victim = await PaymentsProcess.StartAsync(till, Patient);
        await till.ProviderAsync("latency", new { ms = 500 });
        var order = A.ChargeOf(1_000);

        var broken = victim.ChargeAsync(order);
        await Eventually.Async(
            async () => await till.StatusAsync(order) == "charging"
                && (!afterIntent || await till.Payments.ScalarAsync<string>("SELECT intent_id FROM payment_attempts WHERE order_id = $1", order.OrderId) is not null),
            "the victim is midway");
        await till.ProviderAsync("latency", new { ms = 60_000 });
        await victim.SignalAsync("KILL");
        await Assert.ThrowsAsync<HttpRequestException>(() => broken);
        await LeaseRunsOutAsync(till, order);
        await till.ProviderAsync("latency", new { ms = 0 });

        await Eventually.Async(async () => await till.StatusAsync(order) == "captured", "the worker finishes it without being asked");
        Assert.Equal((1, 1_000), ((await till.TotalsAsync()).Charges, await till.NetPenceAsync()));
        Assert.Equal("captured", (await till.ChargeAsync(order)).Status);
    }

    // Half a minute goes by. Leases run by the database's clock, so that is all there is to it.
    private static Task LeaseRunsOutAsync(Till till, A.Charge order) => till.Payments.ScalarAsync<int>(
        "UPDATE payment_attempts SET lease_until = now() WHERE order_id = $1 AND attempt = $2", order.OrderId, (short)order.Attempt);
}
