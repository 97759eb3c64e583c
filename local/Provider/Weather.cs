namespace Marketplace.Local.Provider;

/// <summary>What goes wrong on purpose. Not kept over a restart.</summary>
internal sealed class Weather
{
    private const int UsualWebhookDelayMs = 250;
    private int chargeThenTimeout;
    private int errorAfter;
    private int errorBefore;

    private long calls;

    /// <summary>Calls to the API since the start.</summary>
    public long Calls => Volatile.Read(ref calls);

    public void Called() => Interlocked.Increment(ref calls);

    /// <summary><c>off</c>, <c>503</c>, <c>hang</c> or <c>reset</c>.</summary>
    public string Outage { get; set; } = "off";

    public int LatencyMs { get; set; }

    /// <summary>As at Stripe an event takes a while; without it, it would overtake nearly every reply.</summary>
    public int WebhookDelayMs { get; set; } = UsualWebhookDelayMs;

    public bool WebhooksPaused { get; set; }
    public bool WebhooksDuplicated { get; set; }
    public bool WebhooksReordered { get; set; }

    public int ChargeThenTimeout { get => chargeThenTimeout; set => chargeThenTimeout = value; }
    public int ErrorAfter { get => errorAfter; set => errorAfter = value; }
    public int ErrorBefore { get => errorBefore; set => errorBefore = value; }

    public bool TakeChargeThenTimeout() => Take(ref chargeThenTimeout);

    public bool TakeErrorAfter() => Take(ref errorAfter);

    public bool TakeErrorBefore() => Take(ref errorBefore);

    public void Clear()
    {
        (Outage, LatencyMs) = ("off", 0);
        (WebhooksPaused, WebhooksDuplicated, WebhooksReordered, WebhookDelayMs) = (false, false, false, UsualWebhookDelayMs);
        (ChargeThenTimeout, ErrorAfter, ErrorBefore) = (0, 0, 0);
    }

    private static bool Take(ref int left)
    {
        while (Volatile.Read(ref left) is var seen and > 0)
        {
            if (Interlocked.CompareExchange(ref left, seen - 1, seen) == seen)
                return true;
        }

        return false;
    }
}
