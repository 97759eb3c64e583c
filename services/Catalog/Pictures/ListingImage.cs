using System.Text.Json.Serialization;
using Marketplace.Contracts;

namespace Marketplace.Catalog.Pictures;

public sealed record ListingRendition(int Box, string Format, int Width, int Height, string Url);

/// <param name="Status">processing, ready or rejected.</param>
/// <param name="Reason">Why it was rejected, for the seller.</param>
public sealed record ListingImage(
    string ImageId,
    string Status,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Reason,
    IReadOnlyList<ListingRendition> Renditions)
{
    /// <summary>Media asks before it takes another.</summary>
    public const int MostOnAListing = 24;

    public const string Processing = "processing";
    public const string Ready = "ready";
    public const string Rejected = "rejected";

    /// <summary>Where media serves what it made of sellers' pictures.</summary>
    public const string OwnAddresses = "/api/v1/media/";

    /// <summary>What stands for the listing in lists and results.</summary>
    [JsonIgnore]
    public string? Cover => Status == Ready
        ? (Renditions.FirstOrDefault(rendition => rendition is { Box: 800, Format: "jpeg" }) ?? Renditions.FirstOrDefault(rendition => rendition.Format == "jpeg"))?.Url
        : null;
}
