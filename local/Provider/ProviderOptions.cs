namespace Marketplace.Local.Provider;

/// <summary>Where the double listens (0: a free port), keeps its journal and sends its webhooks (null: nowhere).</summary>
public sealed record ProviderOptions(int Port, string Folder, Uri? Webhook, string WebhookSecret)
{
    /// <summary>The events a webhook endpoint would be enabled for.</summary>
    public IReadOnlySet<string> Events { get; init; } = new HashSet<string>
    {
        "payment_intent.succeeded", "payment_intent.payment_failed", "payment_intent.canceled", "charge.refunded",
    };
}
