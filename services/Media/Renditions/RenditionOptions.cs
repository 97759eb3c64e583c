using System.ComponentModel.DataAnnotations;

namespace Marketplace.Media.Renditions;

public sealed class RenditionOptions
{
    /// <summary>The squares that pictures are fitted into, pixels a side, largest first.</summary>
    public static readonly int[] Boxes = [2000, 800, 200];

    /// <summary>Pictures made at a time, each on one processor; 0 is as many as there are processors.</summary>
    [Range(0, 256)]
    public int AtOnce { get; set; }

    /// <summary>Bytes of pictures kept in memory for those who ask next.</summary>
    [Range(0, 64L * 1024 * 1024 * 1024)]
    public long ServedFromMemory { get; set; } = 64L * 1024 * 1024;
}
