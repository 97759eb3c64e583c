extern alias local;

using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Contracts;
using local::Marketplace.Local.Provider;
using Marketplace.Payments.Charges;
using Marketplace.Payments.Refunds;
using Marketplace.TestKit;

namespace Marketplace.Payments.Tests;

/// <summary>Payments on a real database, taking money at the provider double, which sends its webhooks back through <see cref="Postman"/>.</summary>
public sealed class Till : IAsyncDisposable
{
    public const string WebhookSecret = "whsec_test";
    private readonly string folder;
    private readonly ProviderHost provider;
    private readonly HttpClient control;

    private Till(string folder, ProviderHost provider, Postman postman, ServiceUnderTest<Program> payments)
    {
        (this.folder, this.provider, Postman, Payments) = (folder, provider, postman, payments);
        control = new HttpClient { BaseAddress = provider.Address };
    }

    public ServiceUnderTest<Program> Payments { get; }
    public Postman Postman { get; }
    public Uri ProviderAddress => provider.Address;

    public static async Task<Till> OpenAsync(params (string Name, string Value)[] settings)
    {
        var folder = Directory.CreateTempSubdirectory("provider-").FullName;
        var postman = await Postman.StartAsync();
        var provider = await ProviderHost.StartAsync(new ProviderOptions(0, folder, postman.Address, WebhookSecret), TestContext.Current.CancellationToken);
        var payments = await ServiceUnderTest<Program>.StartAsync("payments", settings: SettingsFor(provider.Address, settings));
        postman.DeliverTo(payments.As(null));
        return new Till(folder, provider, postman, payments);
    }

    /// <summary>A second replica on the same database.</summary>
    public Task<ServiceUnderTest<Program>> SecondReplicaAsync(params (string Name, string Value)[] settings) =>
        ServiceUnderTest<Program>.StartAsync("payments", settings: SettingsFor(provider.Address, settings), connectionString: Payments.ConnectionString);

    public static Dictionary<string, string?> SettingsFor(Uri provider, params (string Name, string Value)[] settings)
    {
        var all = new Dictionary<string, string?>
        {
            ["Secrets:stripe-key"] = "sk_test_till",
            ["Secrets:stripe-webhook-secret"] = WebhookSecret,
            ["Secrets:stripe-api-base"] = provider.ToString(),
            ["DAPR_GRPC_ENDPOINT"] = "http://127.0.0.1:9",           // no sidecar: the status key is a convenience, and its absence must cost no payment
            ["Logging:LogLevel:Marketplace.Payments.Charges.PaymentStatusKey"] = "Error",
            ["Charges:SettleEvery"] = "00:00:00.100",
        };
        foreach (var (name, value) in settings)
            all[name] = value;
        return all;
    }

    public Task<ChargeReply> ChargeAsync(A.Charge charge) => ChargeAsync(Payments.AsNeighbour(), charge);

    public static async Task<ChargeReply> ChargeAsync(HttpClient payments, A.Charge charge)
    {
        using var reply = await payments.PostAsJsonAsync("/internal/charges", charge.ToRequest(), TestContext.Current.CancellationToken);
        reply.EnsureSuccessStatusCode();
        return (await reply.Content.ReadFromJsonAsync<ChargeReply>(TestContext.Current.CancellationToken))!;
    }

    /// <summary>As the saga does: asks until the answer is no longer "processing".</summary>
    public async Task<ChargeReply> ChargeToTheEndAsync(A.Charge charge, TimeSpan? patience = null)
    {
        ChargeReply? reply = null;
        await Eventually.Async(async () => (reply = await ChargeAsync(charge)).Status != "processing", "the charge comes to an end", patience);
        return reply!;
    }

    public async Task<string> RefundAsync(A.Charge charge, string reason = "order cancelled")
    {
        using var reply = await Payments.AsNeighbour().PostAsJsonAsync("/internal/refunds", new RefundRequest(charge.OrderId, charge.Attempt, reason), TestContext.Current.CancellationToken);
        reply.EnsureSuccessStatusCode();
        return (await reply.Content.ReadFromJsonAsync<RefundReply>(TestContext.Current.CancellationToken))!.Status;
    }

    public async Task ProviderAsync(string what, object wish)
    {
        using var reply = await control.PutAsJsonAsync($"/_control/{what}", wish, TestContext.Current.CancellationToken);
        reply.EnsureSuccessStatusCode();
    }

    public async Task<ProviderTotals> TotalsAsync() => (await control.GetFromJsonAsync<ProviderTotals>("/_control/totals", JsonSerializerOptions.Web, TestContext.Current.CancellationToken))!;

    public async Task<long> NetPenceAsync() => (await TotalsAsync()).Net.GetValueOrDefault("gbp");

    public Task<string?> StatusAsync(A.Charge charge) =>
        Payments.ScalarAsync<string>("SELECT status FROM payment_attempts WHERE order_id = $1 AND attempt = $2", charge.OrderId, (short)charge.Attempt);

    public async ValueTask DisposeAsync()
    {
        await provider.DisposeAsync();                               // first: its webhooks would find a service that is gone
        await Payments.DisposeAsync();
        await Postman.DisposeAsync();
        control.Dispose();
        Directory.Delete(folder, recursive: true);
    }
}

/// <summary>Builders.</summary>
public static class A
{
    public static Charge ChargeOf(long pence, string? method = "pm_card_visa") => new(Guid.CreateVersion7(), 1, Guid.CreateVersion7(), pence, method, DateTimeOffset.UtcNow.AddMinutes(15));

    public sealed record Charge(Guid OrderId, int Attempt, Guid BuyerId, long Pence, string? Method, DateTimeOffset ReservedUntil)
    {
        public ChargeRequest ToRequest() => new(OrderId, Attempt, BuyerId, Money.Gbp(Pence), Method, ReservedUntil);

        public Charge Again(string? method = "pm_card_visa") => this with { Attempt = Attempt + 1, Method = method };
    }
}
