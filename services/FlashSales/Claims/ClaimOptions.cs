using System.ComponentModel.DataAnnotations;

namespace Marketplace.FlashSales.Claims;

public sealed class ClaimOptions
{
    /// <summary>Claims that reach a replica within this time are decided together.</summary>
    public TimeSpan GatherFor { get; init; } = TimeSpan.FromMilliseconds(3);

    [Range(1, 10_000)]
    public int BatchSize { get; init; } = 256;

    /// <summary>How long a replica answers "sold out" without asking the shard again.</summary>
    public TimeSpan SoldOutFor { get; init; } = TimeSpan.FromMilliseconds(250);

    /// <summary>From the claim until its order must be settled; then ordering is asked to abandon it.</summary>
    public TimeSpan PayWithin { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>A shard whose batch met another writer reads its rows again and decides again, as often as this.</summary>
    [Range(1, 100)]
    public int Tries { get; init; } = 5;

    /// <summary>A shard that did not answer is asked again as often: an actor that moves to another replica is away for a moment.</summary>
    [Range(1, 20)]
    public int AskTries { get; init; } = 4;

    public TimeSpan AskPause { get; init; } = TimeSpan.FromMilliseconds(200);

    public TimeSpan ShardTimeout { get; init; } = TimeSpan.FromSeconds(5);

    public TimeSpan SweepEvery { get; init; } = TimeSpan.FromSeconds(1);

    [Range(1, 1000)]
    public int SweepBatch { get; init; } = 100;

    /// <summary>When to ask again about an order that ordering had no verdict on.</summary>
    public TimeSpan AskOrderingAgainAfter { get; init; } = TimeSpan.FromSeconds(15);
}
