using System.ComponentModel.DataAnnotations;

namespace Marketplace.Payments.Provider;

public sealed class ProviderOptions
{
    /// <summary>One call to the provider. Three of them fit into a lease.</summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(6);

    /// <summary>The breaker opens when this share of the calls within the window failed, given that there were enough of them.</summary>
    [Range(0.01, 1.0)]
    public double FailureShare { get; set; } = 0.5;

    [Range(2, 1000)]
    public int EnoughCalls { get; set; } = 4;

    public TimeSpan Window { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>How long an open breaker answers at once before one call may try again.</summary>
    public TimeSpan OpenFor { get; set; } = TimeSpan.FromSeconds(5);
}
