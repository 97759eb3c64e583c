using System.Collections.Concurrent;
using System.Net.Http.Json;
using System.Text.Json;
using Marketplace.Local.Provider;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Stripe;
using Xunit;

namespace Marketplace.Local.Tests.Provider;

/// <summary>The provider double in this process, Stripe.net as its client and a webhook endpoint that keeps what arrives.</summary>
public sealed class Double : IAsyncDisposable
{
    public const string Secret = "whsec_double";
    private readonly string folder = Directory.CreateTempSubdirectory("double-").FullName;
    private readonly ConcurrentQueue<(string Body, string Signature)> webhooks = new();
    private ProviderHost host = null!;
    private WebApplication endpoint = null!;
    private HttpClient control = null!;

    public StripeClient Client { get; private set; } = null!;
    public PaymentIntentService Intents => new(Client);
    public RefundService Refunds => new(Client);
    public PaymentMethodService Methods => new(Client);
    public CustomerService Customers => new(Client);
    public Uri Address => host.Address;
    public string Folder => folder;

    /// <summary>What the webhook endpoint answers.</summary>
    public int EndpointStatus { get; set; } = 200;

    public IReadOnlyList<Event> Events => [.. webhooks.Select(w => EventUtility.ConstructEvent(w.Body, w.Signature, Secret))];

    public IReadOnlyList<string> EventBodies => [.. webhooks.Select(w => w.Body)];

    public static async Task<Double> StartAsync()
    {
        var started = new Double();
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        started.endpoint = builder.Build();
        started.endpoint.Run(started.TakeAsync);
        await started.endpoint.StartAsync();
        await started.HostAsync();
        return started;
    }

    public async Task RestartAsync()
    {
        await host.DisposeAsync();
        await HostAsync();
    }

    public async Task SetAsync(string what, object wish)
    {
        using var reply = await control.PutAsJsonAsync($"/_control/{what}", wish, TestContext.Current.CancellationToken);
        reply.EnsureSuccessStatusCode();
    }

    public async Task ResetAsync()
    {
        using var reply = await control.PostAsync("/_control/reset", null, TestContext.Current.CancellationToken);
        reply.EnsureSuccessStatusCode();
    }

    public async Task<ProviderTotals> TotalsAsync() => (await control.GetFromJsonAsync<ProviderTotals>("/_control/totals", JsonSerializerOptions.Web, TestContext.Current.CancellationToken))!;

    public Task<PaymentIntent> CreateAsync(long amount = 1_000, string? method = "pm_card_visa", string? key = null, bool confirm = false, Dictionary<string, string>? metadata = null) =>
        Intents.CreateAsync(
            new PaymentIntentCreateOptions { Amount = amount, Currency = "gbp", PaymentMethod = method, Confirm = confirm ? true : null, Metadata = metadata },
            key is null ? null : new RequestOptions { IdempotencyKey = key }, TestContext.Current.CancellationToken);

    public Task<PaymentIntent> ConfirmAsync(string id, string? key = null) =>
        Intents.ConfirmAsync(id, new PaymentIntentConfirmOptions(), key is null ? null : new RequestOptions { IdempotencyKey = key }, TestContext.Current.CancellationToken);

    public async ValueTask DisposeAsync()
    {
        await host.DisposeAsync();
        await endpoint.DisposeAsync();
        control.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    private async Task HostAsync()
    {
        host = await ProviderHost.StartAsync(new ProviderOptions(0, folder, new Uri(endpoint.Urls.Single() + "/hook"), Secret), TestContext.Current.CancellationToken);
        control?.Dispose();
        control = new HttpClient { BaseAddress = host.Address };
        Client = new StripeClient(new StripeClientOptions
        {
            ApiKey = "sk_test_double",
            ApiBase = host.Address.ToString().TrimEnd('/'),
            HttpClient = new SystemNetHttpClient(new HttpClient { Timeout = TimeSpan.FromSeconds(5) }, maxNetworkRetries: 0),
        });
        await SetAsync("webhooks", new { delayMs = 0 });
    }

    private async Task TakeAsync(HttpContext http)
    {
        using var reader = new StreamReader(http.Request.Body);
        webhooks.Enqueue((await reader.ReadToEndAsync(), http.Request.Headers["Stripe-Signature"].ToString()));
        http.Response.StatusCode = EndpointStatus;
    }
}
