using System.ComponentModel.DataAnnotations;
using System.Threading.RateLimiting;
using Microsoft.Extensions.Options;

namespace Marketplace.Identity.Accounts;

public sealed class SignInLimitOptions
{
    [Range(1, 1_000_000)]
    public int PerEmail { get; set; } = 10;

    [Range(1, 1_000_000)]
    public int PerAddress { get; set; } = 60;

    public TimeSpan Window { get; set; } = TimeSpan.FromMinutes(1);
}

/// <summary>
/// Slows down guessing: so many tries per account and per network address in a sliding window, whether they succeed or not. Each replica
/// counts for itself; the gateway has a limit of its own before it.
/// </summary>
public sealed class SignInLimits(IOptions<SignInLimitOptions> options) : IDisposable
{
    private readonly PartitionedRateLimiter<string> emails = Limiter(options.Value.PerEmail, options.Value.Window);
    private readonly PartitionedRateLimiter<string> addresses = Limiter(options.Value.PerAddress, options.Value.Window);

    /// <summary>Null when the try may go on, else how long to wait.</summary>
    public TimeSpan? Hold(EmailAddress email, string address) => Hold(addresses, address) ?? Hold(emails, email.Value);

    public void Dispose()
    {
        emails.Dispose();
        addresses.Dispose();
    }

    private static TimeSpan? Hold(PartitionedRateLimiter<string> limiter, string key)
    {
        using var lease = limiter.AttemptAcquire(key);
        if (lease.IsAcquired)
            return null;
        return lease.TryGetMetadata(MetadataName.RetryAfter, out var wait) ? wait : TimeSpan.FromSeconds(10);
    }

    private static PartitionedRateLimiter<string> Limiter(int permits, TimeSpan window) =>
        PartitionedRateLimiter.Create<string, string>(key => RateLimitPartition.GetSlidingWindowLimiter(
            key, _ => new() { PermitLimit = permits, Window = window, SegmentsPerWindow = 6, QueueLimit = 0 }));
}
