using System.ComponentModel.DataAnnotations;

namespace Marketplace.Media.Uploads;

public sealed class UploadOptions
{
    /// <summary>Of the file itself. The way here has limits of its own: the gateway's route, and maxBodySize of the sidecars in dapr.yaml.</summary>
    public const int LargestFile = 15 * 1024 * 1024;

    /// <summary>So many bodies are in memory at a time; the next ones wait, unread.</summary>
    [Range(1, 1_000)]
    public int AtOnce { get; set; } = 16;

    public TimeSpan WaitForSlot { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>A body that takes longer to arrive gives its place to others.</summary>
    public TimeSpan MostTime { get; set; } = TimeSpan.FromMinutes(3);

    /// <summary>Width times height. A small file can promise a picture that fills the memory; it is asked before anything is unpacked.</summary>
    [Range(1, 1_000_000_000)]
    public long MostPixels { get; set; } = 50_000_000;

    /// <summary>Pixels unpacked, with all their channels: sixteen bits a channel count double.</summary>
    [Range(1, 8L * 1024 * 1024 * 1024)]
    public long MostUnpacked { get; set; } = 256L * 1024 * 1024;

    /// <summary>Of a moving picture, of which only the first is shown.</summary>
    [Range(1, 100_000)]
    public int MostFrames { get; set; } = 1_000;
}
