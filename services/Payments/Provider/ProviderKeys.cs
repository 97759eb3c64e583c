using Marketplace.Hosting;

namespace Marketplace.Payments.Provider;

/// <summary>Who we are at the provider, from the secret store, read once before the service takes traffic.</summary>
public sealed class ProviderKeys(SecretStore secrets)
{
    public string ApiKey { get; private set; } = "";

    public string WebhookSecret { get; private set; } = "";

    /// <summary>The double's address; null is Stripe itself.</summary>
    public string? ApiBase { get; private set; }

    public async Task LoadAsync(CancellationToken ct)
    {
        ApiKey = await secrets.GetAsync("stripe-key", ct);
        WebhookSecret = await secrets.GetAsync("stripe-webhook-secret", ct);
        ApiBase = await secrets.GetAsync("stripe-api-base", ct) is { Length: > 0 } address ? address.TrimEnd('/') : null;
    }
}
