using System.Collections.Concurrent;
using System.Security.Cryptography;
using Marketplace.Media.Storage;
using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.Options;

namespace Marketplace.Media.Renditions;

/// <param name="Hash">SHA-256 of the bytes, lower-case hexadecimal.</param>
public sealed record ServedPicture(ReadOnlyMemory<byte> Bytes, string ContentType, string Hash);

/// <summary>Pictures on their way out. What is asked for often stays in memory, and what many ask for at once is read once.</summary>
public sealed class ServedPictures(Workshop workshop, MediaStore store, IOptions<RenditionOptions> options) : IDisposable
{
    private readonly MemoryCache kept = new(new MemoryCacheOptions { SizeLimit = options.Value.ServedFromMemory });
    private readonly ConcurrentDictionary<string, Lazy<Task<ServedPicture?>>> underWay = new();

    public void Dispose() => kept.Dispose();

    /// <summary>Null when there is no such picture, or not yet.</summary>
    public async Task<ServedPicture?> FindAsync(string imageId, int box, string extension, CancellationToken ct)
    {
        var key = $"{imageId}/{box}.{extension}";
        if (kept.TryGetValue<ServedPicture>(key, out var known))
            return known;
        var reading = underWay.GetOrAdd(key, _ => new(() => ReadAsync(key, imageId, box, extension)));
        return await reading.Value.WaitAsync(ct);
    }

    private async Task<ServedPicture?> ReadAsync(string key, string imageId, int box, string extension)
    {
        try
        {
            // Not the first one's to cancel: the others wait for it too.
            if (await ManifestAsync(imageId) is not { } manifest || manifest.Find(box, extension) is not { } file)
                return null;

            var name = Manifest.NameOf(imageId, file);
            if (await store.FindAsync(name, CancellationToken.None) is not { } bytes)
                throw new MediaStoreException($"{name} is not there.");

            // Another replica may be writing the same file once more just now; half of it must not be anybody's for a year.
            if (bytes.Length != file.Bytes || Convert.ToHexStringLower(SHA256.HashData(bytes.Span)) != file.Hash)
                throw new MediaStoreException($"{name} is just being written, or damaged in the store.");

            var picture = new ServedPicture(bytes, file.ContentType, file.Hash);
            kept.Set(key, picture, new MemoryCacheEntryOptions { Size = bytes.Length + 512 });
            return picture;
        }
        finally
        {
            underWay.TryRemove(key, out _);
        }
    }

    private async Task<Manifest?> ManifestAsync(string imageId)
    {
        if (kept.TryGetValue<Manifest>(imageId, out var known))
            return known;
        if (await workshop.FindAsync(imageId, CancellationToken.None) is not { Refusal: null } manifest)
            return null;
        return kept.Set(imageId, manifest, new MemoryCacheEntryOptions { Size = 2_048 });
    }
}
