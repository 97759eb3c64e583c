using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Marketplace.Local.Sidecar.Resources;

namespace Marketplace.Local.Sidecar.PubSub.Redis;

/// <summary>The metadata of pubsub.redis beyond the connection. Without a unit, its durations are milliseconds.</summary>
internal sealed record RedisStreamSettings(
    string Group,
    string Consumer,
    int Database,
    TimeSpan ProcessingTimeout,
    TimeSpan RedeliverInterval,
    int QueueDepth,
    int Concurrency,
    long? MaxLength,
    TimeSpan StreamTtl)
{
    /// <summary>Either duration being zero switches redelivery off.</summary>
    public bool Redelivers => ProcessingTimeout > TimeSpan.Zero && RedeliverInterval > TimeSpan.Zero;

    public static RedisStreamSettings Of(Component component, string dataFolder, string app)
    {
        var group = component.Get("consumerID")?.Trim() ?? app;
        var home = SHA256.HashData(Encoding.UTF8.GetBytes($"{Environment.MachineName}:{Path.GetFullPath(dataFolder)}:{component.Name}"));
        var settings = new RedisStreamSettings(
            group,
            $"{group}@{Convert.ToHexStringLower(home.AsSpan(0, 6))}",
            component.Int("redisDB", 0),
            Milliseconds(component, "processingTimeout", TimeSpan.FromSeconds(60)),
            Milliseconds(component, "redeliverInterval", TimeSpan.FromSeconds(15)),
            Positive(component, "queueDepth", 100),
            Positive(component, "concurrency", 10),
            component.Int("maxLenApprox", 0) is > 0 and var length ? length : null,
            component.Duration("streamTTL", TimeSpan.Zero));
        return settings.MaxLength is not null && settings.StreamTtl > TimeSpan.Zero
            ? throw component.Error("streamTTL", "cannot stand beside maxLenApprox; a stream is trimmed by age or by length.")
            : settings;
    }

    private static TimeSpan Milliseconds(Component component, string name, TimeSpan otherwise) =>
        uint.TryParse(component.Get(name), NumberStyles.None, CultureInfo.InvariantCulture, out var bare) ? TimeSpan.FromMilliseconds(bare) : component.Duration(name, otherwise);

    private static int Positive(Component component, string name, int otherwise) =>
        component.Int(name, otherwise) is > 0 and var number ? number : throw component.Error(name, "must be at least 1.");
}
