using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Options;

namespace Marketplace.Gateway.FlashSales;

public sealed class FlashSaleOptions
{
    /// <summary>How often the service is asked how far admission has come, while somebody polls.</summary>
    public TimeSpan Refresh { get; set; } = TimeSpan.FromMilliseconds(500);

    /// <summary>A service that is silent for this long counts as away.</summary>
    public TimeSpan Patience { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>How long what it said last still tells people where they stand when it is away: admission goes on by the clock within the room it gave.</summary>
    public TimeSpan KeptFor { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Nobody has polled for this long: the service is left alone.</summary>
    public TimeSpan QuietAfter { get; set; } = TimeSpan.FromSeconds(5);

    [ValidateObjectMembers]
    public StreamOptions Streams { get; set; } = new();

    [ValidateObjectMembers]
    public BulkheadOptions Joins { get; set; } = new() { AtATime = 128, Waiting = 1_024 };

    [ValidateObjectMembers]
    public BulkheadOptions Claims { get; set; } = new() { AtATime = 256, Waiting = 1_024 };
}

public sealed class StreamOptions
{
    [Range(1, 100_000)]
    public int PerAddress { get; set; } = 20;

    [Range(1, 1_000_000)]
    public int InAll { get; set; } = 20_000;

    /// <summary>Something is sent at least this often, so that whoever stands between does not take the stream for dead.</summary>
    public TimeSpan Heartbeat { get; set; } = TimeSpan.FromSeconds(15);
}

/// <summary>How many calls may be under way at a time, how many wait for one of those places, and for how long.</summary>
public sealed class BulkheadOptions
{
    [Range(1, 100_000)]
    public int AtATime { get; set; } = 128;

    [Range(0, 1_000_000)]
    public int Waiting { get; set; } = 1_024;

    public TimeSpan Patience { get; set; } = TimeSpan.FromSeconds(2);
}

[OptionsValidator]
internal sealed partial class FlashSaleOptionsValidator : IValidateOptions<FlashSaleOptions>;
