using System.Security.Cryptography;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Net.Http.Headers;

namespace Marketplace.Media.Uploads;

/// <summary>A file as it came in, whole.</summary>
/// <param name="ImageId">SHA-256 of the bytes, lower-case hexadecimal.</param>
/// <param name="Said">The type that came with it.</param>
public sealed record UploadedFile(byte[] Bytes, string ImageId, PictureKind Kind, string? Said);

public enum BodyRefusal
{
    /// <summary>More than <see cref="UploadOptions.LargestFile"/> bytes.</summary>
    TooLarge,

    /// <summary>A form without a field <c>file</c>.</summary>
    NoFile,

    /// <summary>A form that is not put together as it says.</summary>
    Broken,

    /// <summary>By its first bytes nothing we take; the rest was not read.</summary>
    NotTaken,
}

/// <param name="Kind">With <see cref="BodyRefusal.NotTaken"/>: what it is.</param>
public sealed record UploadReading(UploadedFile? File, BodyRefusal? Refusal = null, PictureKind? Kind = null);

/// <summary>Reads the file out of a request, as it arrives: the body itself, or the field <c>file</c> of a form. Nothing goes to disk.</summary>
public static class UploadBody
{
    public const string Field = "file";
    private const int FirstPiece = 64 * 1024;

    public static async Task<UploadReading> ReadAsync(HttpRequest request, CancellationToken ct)
    {
        if (!MediaTypeHeaderValue.TryParse(request.ContentType, out var type) || !type.MediaType.Equals("multipart/form-data", StringComparison.OrdinalIgnoreCase))
            return await ReadFileAsync(request.Body, request.ContentType, request.ContentLength, ct);

        var boundary = HeaderUtilities.RemoveQuotes(type.Boundary).Value;
        if (boundary is not { Length: > 0 and <= 70 })          // RFC 2046
            return new(null, BodyRefusal.Broken);
        try
        {
            var form = new MultipartReader(boundary, request.Body) { HeadersCountLimit = 16, HeadersLengthLimit = 8 * 1024 };
            while (await form.ReadNextSectionAsync(ct) is { } section)
            {
                if (ContentDispositionHeaderValue.TryParse(section.ContentDisposition, out var about) && HeaderUtilities.RemoveQuotes(about.Name).Equals(Field, StringComparison.Ordinal))
                    return await ReadFileAsync(section.Body, section.ContentType, null, ct);
            }

            return new(null, BodyRefusal.NoFile);
        }
        catch (Exception e) when (e is InvalidDataException || (e is IOException and not BadHttpRequestException && !ct.IsCancellationRequested))
        {
            return new(null, BodyRefusal.Broken);
        }
    }

    private static async Task<UploadReading> ReadFileAsync(Stream body, string? said, long? announced, CancellationToken ct)
    {
        if (announced > UploadOptions.LargestFile)
            return new(null, BodyRefusal.TooLarge);

        // The memory grows with what has arrived, not with what was announced.
        var bytes = new byte[FirstPiece];
        var length = 0;
        PictureKind? kind = null;
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        while (true)
        {
            var read = await body.ReadAsync(bytes.AsMemory(length), ct);
            if (read == 0)
                break;
            hash.AppendData(bytes.AsSpan(length, read));
            length += read;
            if (kind is null && length >= PictureKind.Head && (kind = PictureKind.Of(bytes.AsSpan(0, PictureKind.Head))).Refusal is not null)
                return new(null, BodyRefusal.NotTaken, kind);
            if (length > UploadOptions.LargestFile)
                return new(null, BodyRefusal.TooLarge);
            if (length == bytes.Length)
                Array.Resize(ref bytes, (int)Math.Min(bytes.Length * 2L, UploadOptions.LargestFile + 1));
        }

        kind ??= PictureKind.Of(bytes.AsSpan(0, length));
        if (kind.Refusal is not null)
            return new(null, BodyRefusal.NotTaken, kind);
        Array.Resize(ref bytes, length);
        return new(new UploadedFile(bytes, Convert.ToHexStringLower(hash.GetHashAndReset()), kind, said));
    }
}
