using System.Diagnostics;
using System.Net;
using Marketplace.TestKit;
using Stripe;
using Xunit;

namespace Marketplace.Local.Tests.Provider;

public sealed class WhenACallComesAgain
{
    [Fact]
    public async Task Under_the_same_key_it_gets_the_same_answer_without_a_second_effect()
    {
        await using var stripe = await Double.StartAsync();
        var first = await stripe.CreateAsync(key: "k1");
        var second = await stripe.CreateAsync(key: "k1");
        Assert.Equal(first.Id, second.Id);
        Assert.Equal("true", second.StripeResponse.Headers.GetValues("Idempotent-Replayed").Single());

        Assert.Equal("succeeded", (await stripe.ConfirmAsync(first.Id, "k2")).Status);
        Assert.Equal("succeeded", (await stripe.ConfirmAsync(first.Id, "k2")).Status);
        Assert.Equal((1, 1), ((await stripe.TotalsAsync()).Charges, (await stripe.TotalsAsync()).IntentsByStatus.Values.Sum()));
    }

    [Fact]
    public async Task Refusals_and_faults_are_kept_too()
    {
        await using var stripe = await Double.StartAsync();
        var declined = await stripe.CreateAsync(method: "pm_card_chargeDeclined");
        var first = await Assert.ThrowsAsync<StripeException>(() => stripe.ConfirmAsync(declined.Id, "k1"));
        var second = await Assert.ThrowsAsync<StripeException>(() => stripe.ConfirmAsync(declined.Id, "k1"));
        Assert.Equal(first.StripeError.Charge, second.StripeError.Charge);
        Assert.Equal(1, (await stripe.TotalsAsync()).DeclinedCharges);

        var intent = await stripe.CreateAsync();
        await stripe.SetAsync("error-after", new { times = 1 });
        for (var i = 0; i < 2; i++)
            Assert.Equal(HttpStatusCode.InternalServerError, (await Assert.ThrowsAsync<StripeException>(() => stripe.ConfirmAsync(intent.Id, "k2"))).HttpStatusCode);
        Assert.Equal("succeeded", (await stripe.Intents.GetAsync(intent.Id, cancellationToken: TestContext.Current.CancellationToken)).Status);
    }

    [Fact]
    public async Task A_call_refused_for_its_parameters_is_not_kept()
    {
        await using var stripe = await Double.StartAsync();
        await Assert.ThrowsAsync<StripeException>(() => stripe.CreateAsync(0, key: "k1"));

        Assert.Equal(500, (await stripe.CreateAsync(500, key: "k1")).Amount);
    }

    [Fact]
    public async Task With_other_parameters_or_for_another_call_the_key_is_refused()
    {
        await using var stripe = await Double.StartAsync();
        var intent = await stripe.CreateAsync(1_000, key: "k1");

        var other = await Assert.ThrowsAsync<StripeException>(() => stripe.CreateAsync(1_001, key: "k1"));
        var elsewhere = await Assert.ThrowsAsync<StripeException>(() => stripe.ConfirmAsync(intent.Id, "k1"));

        Assert.Equal((HttpStatusCode.BadRequest, "idempotency_error"), (other.HttpStatusCode, other.StripeError.Type));
        Assert.Equal((HttpStatusCode.BadRequest, "idempotency_error"), (elsewhere.HttpStatusCode, elsewhere.StripeError.Type));
    }

    [Fact]
    public async Task While_the_first_is_under_way_the_second_conflicts()
    {
        await using var stripe = await Double.StartAsync();
        await stripe.SetAsync("latency", new { ms = 800 });

        Task<PaymentIntent>[] both = [stripe.CreateAsync(key: "k1"), stripe.CreateAsync(key: "k1")];
        await Task.WhenAll(both).ContinueWith(_ => { }, TestContext.Current.CancellationToken, TaskContinuationOptions.None, TaskScheduler.Default);

        var made = await Assert.Single(both, call => call.IsCompletedSuccessfully);
        var refused = Assert.IsType<StripeException>(Assert.Single(both, call => call.IsFaulted).Exception!.InnerException);
        Assert.Equal((HttpStatusCode.Conflict, "idempotency_key_in_use"), (refused.HttpStatusCode, refused.StripeError.Code));
        await stripe.SetAsync("latency", new { ms = 0 });
        Assert.Equal(made.Id, (await stripe.CreateAsync(key: "k1")).Id);
    }

    [Fact]
    public async Task After_a_charge_whose_reply_was_lost_the_key_brings_the_reply_back()
    {
        await using var stripe = await Double.StartAsync();
        var intent = await stripe.CreateAsync();
        await stripe.SetAsync("charge-then-timeout", new { times = 1 });
        using var patience = new CancellationTokenSource(TimeSpan.FromMilliseconds(500));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => stripe.Intents.ConfirmAsync(intent.Id, requestOptions: new RequestOptions { IdempotencyKey = "k1" }, cancellationToken: patience.Token));

        Assert.Equal("succeeded", (await stripe.ConfirmAsync(intent.Id, "k1")).Status);
        Assert.Equal(1, (await stripe.TotalsAsync()).Charges);
    }

    [Fact]
    public async Task All_is_still_known_after_a_kill()
    {
        var folder = Directory.CreateTempSubdirectory("killed-").FullName;
        try
        {
            var port = Ports.Free();
            var client = new StripeClient(new StripeClientOptions { ApiKey = "sk_test_double", ApiBase = $"http://127.0.0.1:{port}" });
            var intents = new PaymentIntentService(client);
            PaymentIntent paid;
            using (var process = await RunAsync(port, folder))
            {
                paid = await intents.CreateAsync(
                    new PaymentIntentCreateOptions { Amount = 700, Currency = "gbp", PaymentMethod = "pm_card_visa", Confirm = true }, new RequestOptions { IdempotencyKey = "k1" }, TestContext.Current.CancellationToken);
                process.Kill();
                await process.WaitForExitAsync(TestContext.Current.CancellationToken);
            }

            // And a line that it died within.
            await System.IO.File.AppendAllTextAsync(Path.Combine(folder, "journal.ndjson"), """{"intents":[{"id":"pi_torn","amo""", TestContext.Current.CancellationToken);
            using (var process = await RunAsync(port, folder))
            {
                Assert.Equal("succeeded", (await intents.GetAsync(paid.Id, cancellationToken: TestContext.Current.CancellationToken)).Status);
                var repeated = await intents.CreateAsync(
                    new PaymentIntentCreateOptions { Amount = 700, Currency = "gbp", PaymentMethod = "pm_card_visa", Confirm = true }, new RequestOptions { IdempotencyKey = "k1" }, TestContext.Current.CancellationToken);
                Assert.Equal(paid.Id, repeated.Id);
                process.Kill();
                await process.WaitForExitAsync(TestContext.Current.CancellationToken);
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task<Process> RunAsync(int port, string folder)
    {
        var process = Process.Start(new ProcessStartInfo("dotnet", [typeof(Local.Provider.ProviderHost).Assembly.Location, "provider", "--port", $"{port}", "--data", folder]) { RedirectStandardOutput = true })!;
        using var http = new HttpClient();
        await Eventually.Async(
            async () =>
            {
                Assert.False(process.HasExited, "The double ended while starting.");
                try
                {
                    return (await http.GetAsync(new Uri($"http://127.0.0.1:{port}/livez"))).IsSuccessStatusCode;
                }
                catch (HttpRequestException)
                {
                    return false;
                }
            }, "the double answers", TimeSpan.FromSeconds(30));
        return process;
    }
}
