using System.ComponentModel.DataAnnotations;

namespace Marketplace.Ordering.Checkout;

public sealed class CheckoutOptions
{
    /// <summary>How long starting a saga may take. The sidecar holds the call while no worker is connected.</summary>
    public TimeSpan StartWithin { get; init; } = TimeSpan.FromSeconds(5);

    public TimeSpan WatchEvery { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>An attempt that is not settled by then is asked after. Most are in a fraction of a second.</summary>
    public TimeSpan WatchAfter { get; init; } = TimeSpan.FromSeconds(45);

    public TimeSpan WatchAgainAfter { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>A saga still under way after this long is shown to the operator, whatever it is waiting for.</summary>
    public TimeSpan StuckAfter { get; init; } = TimeSpan.FromMinutes(30);

    [Range(1, 1000)]
    public int WatchBatch { get; init; } = 100;
}
