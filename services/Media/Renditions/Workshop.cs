using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text.Json;
using Marketplace.Media.Storage;
using Microsoft.Extensions.Options;

namespace Marketplace.Media.Renditions;

/// <summary>
/// Makes the sizes of an original, once: a manifest that is there ends the matter. Several deliveries of one event in this process share
/// the work; in two processes both may do it, and write the same files.
/// </summary>
public sealed partial class Workshop(MediaStore store, IOptions<RenditionOptions> options, ILogger<Workshop> log) : IDisposable
{
    public static readonly string Version = $"libvips {NetVips.NetVips.Version(0)}.{NetVips.NetVips.Version(1)}.{NetVips.NetVips.Version(2)}";

    private readonly SemaphoreSlim benches = new(options.Value.AtOnce > 0 ? options.Value.AtOnce : Environment.ProcessorCount);
    private readonly SemaphoreSlim largeBench = new(1);
    private readonly ConcurrentDictionary<string, Lazy<Task<Manifest>>> underWay = new();

    public void Dispose()
    {
        benches.Dispose();
        largeBench.Dispose();
    }

    /// <summary>What becomes of this original. Throws when it cannot be told now.</summary>
    public async Task<Manifest> MakeAsync(string imageId, CancellationToken ct)
    {
        var work = underWay.GetOrAdd(imageId, id => new(() => FinishAsync(id)));
        return await work.Value.WaitAsync(ct);
    }

    /// <summary>Null when it is not made yet, or when the manifest is just being written.</summary>
    public async Task<Manifest?> FindAsync(string imageId, CancellationToken ct)
    {
        if (await store.FindAsync(MediaNames.Manifest(imageId), ct) is not { } written)
            return null;
        try
        {
            return JsonSerializer.Deserialize<Manifest>(written.Span, JsonSerializerOptions.Web) is { Files: not null } manifest ? manifest : null;
        }
        catch (JsonException)
        {
            return null;                                        // half written, by somebody else or by a process that died: it is made again
        }
    }

    // Not the first deliverer's to cancel: others may be waiting, and half a picture is of no use.
    private async Task<Manifest> FinishAsync(string imageId)
    {
        try
        {
            return await FindAsync(imageId, CancellationToken.None) is { } known && (known.Refusal is null || known.MadeBy == Version)
                ? known
                : await MakeNowAsync(imageId, CancellationToken.None);
        }
        finally
        {
            underWay.TryRemove(imageId, out _);
        }
    }

    private async Task<Manifest> MakeNowAsync(string imageId, CancellationToken ct)
    {
        Making making;
        await benches.WaitAsync(ct);
        try
        {
            var original = await store.FindAsync(MediaNames.Original(imageId), ct) ?? throw new MediaStoreException($"The original {imageId} is not there.");
            if (Convert.ToHexStringLower(SHA256.HashData(original.Span)) != imageId)
                throw new MediaStoreException($"The original {imageId} is just being written, or damaged in the store.");

            making = await MakeSizesAsync(original.ToArray(), ct);
        }
        finally
        {
            benches.Release();
        }

        var files = making.Pictures.Select(picture => (
            File: new RenditionFile(picture.Box, picture.Format, picture.Width, picture.Height, picture.Bytes.Length, Convert.ToHexStringLower(SHA256.HashData(picture.Bytes))),
            picture.Bytes)).ToList();
        await Task.WhenAll(files.Select(made => store.PutAsync(Manifest.NameOf(imageId, made.File), made.Bytes, ct)));

        // Last: what is named in it can be read.
        var manifest = new Manifest(making.Width, making.Height, [.. files.Select(made => made.File)], Version, making.Refusal);
        await store.PutAsync(MediaNames.Manifest(imageId), JsonSerializer.SerializeToUtf8Bytes(manifest, JsonSerializerOptions.Web), ct);
        if (manifest.Refusal is { } why)
            LogRefused(imageId, why);
        else
            LogMade(imageId, manifest.Files.Sum(file => file.Bytes));
        return manifest;
    }

    private async Task<Making> MakeSizesAsync(byte[] original, CancellationToken ct)
    {
        var large = PictureMaker.IsLarge(original);
        if (large)
            await largeBench.WaitAsync(ct);
        try
        {
            // A thread of its own: the pool's are few and answer requests.
            return await Task.Factory.StartNew(() => PictureMaker.Make(original), ct, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        }
        finally
        {
            if (large)
                largeBench.Release();
        }
    }

    [LoggerMessage(LogLevel.Information, "Picture {ImageId} is made in all sizes: {Bytes} bytes together")]
    private partial void LogMade(string imageId, long bytes);

    [LoggerMessage(LogLevel.Warning, "Nothing can be made of picture {ImageId}: {Why}")]
    private partial void LogRefused(string imageId, string why);
}
