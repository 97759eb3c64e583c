namespace Marketplace.Contracts;

/// <summary>A seller's picture is stored and waits for its sizes. The same picture may belong to several listings: one event each.</summary>
/// <param name="ImageId">SHA-256 of the original's bytes, lower-case hexadecimal.</param>
public sealed record ImageUploaded(Guid ProductId, Guid SellerId, string ImageId, string ContentType, long Bytes) : DomainEvent
{
    public const string Topic = "image.uploaded";
}

/// <summary>A picture in one size and format.</summary>
/// <param name="Box">The square it was fitted into, pixels a side: 200, 800 or 2000. Never enlarged.</param>
/// <param name="Format">webp or jpeg.</param>
/// <param name="Url">A path of the gateway; what it answers never changes.</param>
public sealed record ImageRendition(int Box, string Format, int Width, int Height, long Bytes, string Url);

/// <summary>All sizes of a picture are there.</summary>
/// <param name="Width">Of the original as it is looked at, after its orientation was applied.</param>
public sealed record ImageProcessed(Guid ProductId, string ImageId, int Width, int Height, IReadOnlyList<ImageRendition> Renditions) : DomainEvent
{
    public const string Topic = "image.processed";
}

/// <summary>A picture that cannot be read and never will be.</summary>
/// <param name="Reason">For the seller.</param>
public sealed record ImageRejected(Guid ProductId, string ImageId, string Reason) : DomainEvent
{
    public const string Topic = "image.rejected";
}
