using System.Collections.Concurrent;

namespace Marketplace.FlashSales.Sales;

/// <summary>
/// Sales as this replica knew them at most half a second ago, for the paths that thousands take at once: one read of the table for all of
/// them. Where it must be exact, the transaction reads the row again (<see cref="SaleSql.Hold"/>).
/// </summary>
public sealed class SaleMemory(SaleStore sales, TimeProvider time)
{
    internal static readonly TimeSpan Keeps = TimeSpan.FromMilliseconds(500);
    private const int Most = 10_000;                            // ids that were never sales are remembered too

    private readonly ConcurrentDictionary<Guid, Memory> known = new();

    public async ValueTask<Sale?> FindAsync(Guid saleId, CancellationToken ct)
    {
        if (!known.TryGetValue(saleId, out var memory) || !IsFresh(memory))
        {
            if (known.Count >= Most)
                known.Clear();

            // Whoever comes first reads for all; the rest find the same entry. Read without the token of one of them.
            var read = new Memory(new Lazy<Task<Sale?>>(() => sales.FindAsync(saleId, CancellationToken.None)), time.GetTimestamp());
            memory = known.AddOrUpdate(saleId, read, (_, there) => IsFresh(there) ? there : read);
        }

        return await memory.Sale.Value.WaitAsync(ct);
    }

    /// <summary>As it is now: for those to whom half a second makes a difference.</summary>
    public ValueTask<Sale?> FindAnewAsync(Guid saleId, CancellationToken ct)
    {
        Forget(saleId);
        return FindAsync(saleId, ct);
    }

    /// <summary>This replica changed it.</summary>
    public void Forget(Guid saleId) => known.TryRemove(saleId, out _);

    private bool IsFresh(Memory memory) =>
        time.GetElapsedTime(memory.ReadAt) < Keeps && !(memory.Sale.IsValueCreated && memory.Sale.Value.IsFaulted);

    private sealed record Memory(Lazy<Task<Sale?>> Sale, long ReadAt);
}
