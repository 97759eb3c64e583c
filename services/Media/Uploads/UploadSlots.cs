using Microsoft.Extensions.Options;

namespace Marketplace.Media.Uploads;

/// <summary>Bounds the memory that bodies take: what has no slot is not read.</summary>
public sealed class UploadSlots(IOptions<UploadOptions> options) : IDisposable
{
    private readonly SemaphoreSlim slots = new(options.Value.AtOnce);

    /// <summary>Null when none came free in time; else dispose of it when the file is stored.</summary>
    public async Task<IDisposable?> EnterAsync(CancellationToken ct) => await slots.WaitAsync(options.Value.WaitForSlot, ct) ? new Slot(slots) : null;

    public void Dispose() => slots.Dispose();

    private sealed class Slot(SemaphoreSlim slots) : IDisposable
    {
        public void Dispose() => slots.Release();
    }
}
