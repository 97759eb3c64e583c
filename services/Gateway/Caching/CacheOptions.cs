using System.ComponentModel.DataAnnotations;

namespace Marketplace.Gateway.Caching;

public sealed class CacheOptions
{
    /// <summary>How long an answer is given without asking its service. A changed price shows at every gateway within this time.</summary>
    public TimeSpan Fresh { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>How old an answer may be and still be better than none, when its service is down.</summary>
    public TimeSpan StaleIfError { get; set; } = TimeSpan.FromMinutes(10);

    /// <summary>After a failure the service is left alone this long for the same address.</summary>
    public TimeSpan PauseAfterFailure { get; set; } = TimeSpan.FromSeconds(1);

    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(5);

    [Range(0, 64L * 1024 * 1024 * 1024)]
    public long Memory { get; set; } = 64L * 1024 * 1024;

    /// <summary>A larger answer passes, and is not kept.</summary>
    [Range(0, 16 * 1024 * 1024)]
    public int LargestKept { get; set; } = 256 * 1024;
}
