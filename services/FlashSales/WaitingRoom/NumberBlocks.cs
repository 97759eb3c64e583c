using Npgsql;

namespace Marketplace.FlashSales.WaitingRoom;

/// <summary>
/// The numbers of one sale that this replica has to hand out: early or late ones. Used by one lot of joins at a time. What is not handed
/// out is lost with the replica, never handed out by another.
/// </summary>
public sealed class NumberBlocks(NpgsqlDataSource database, Guid saleId, bool late, TimeProvider time, WaitingRoomOptions options)
{
    private Queue<long> spare = new();
    private long takenAt;
    private int usedSince;
    private readonly List<long> lost = [];

    /// <summary>So many can be handed out without taking another block.</summary>
    public bool Holds(int count) => spare.Count >= count && !IsStale();

    /// <summary>Takes another block when there are not enough: for a quarter of the time that a block lasts, at the pace of the last one.</summary>
    public async Task<long[]> TakeAsync(int count, CancellationToken ct)
    {
        if (spare.Count > 0 && IsStale())
        {
            // Others have queued behind them since.
            lost.AddRange(spare);
            spare.Clear();
        }

        if (spare.Count < count)
        {
            var age = time.GetElapsedTime(takenAt);
            var pace = takenAt != 0 && age > TimeSpan.Zero ? usedSince * (options.NumbersLast / 4 / age) : 0;
            await LeaseAsync(Math.Max(count - spare.Count, (int)Math.Min(pace, options.LargestBlock)), ct);
        }

        usedSince += count;
        var numbers = new long[count];
        for (var i = 0; i < count; i++) numbers[i] = spare.Dequeue();
        return numbers;
    }

    /// <summary>Nobody was given them after all, and it is certain that nothing was written.</summary>
    public void Return(IReadOnlyCollection<long> unused)
    {
        if (unused.Count == 0)
            return;
        usedSince -= unused.Count;
        spare = new Queue<long>(unused.Concat(spare));
    }

    /// <summary>Numbers that nobody will get; each is told once.</summary>
    public long[] TakeLost()
    {
        long[] taken = [.. lost];
        lost.Clear();
        return taken;
    }

    private bool IsStale() => late && time.GetElapsedTime(takenAt) > options.NumbersLast;

    private async Task LeaseAsync(int count, CancellationToken ct)
    {
        // A statement of its own: the row is locked for this one step only, whatever the join that follows takes.
        await using var lease = database.CreateCommand("""
            INSERT INTO queue_numbers AS q (sale_id, late, next) VALUES ($1, $2, $3)
            ON CONFLICT (sale_id, late) DO UPDATE SET next = q.next + $3
            RETURNING next
            """);
        lease.Parameters.Add(new() { Value = saleId });
        lease.Parameters.Add(new() { Value = late });
        lease.Parameters.Add(new() { Value = (long)count });
        var end = (long)(await lease.ExecuteScalarAsync(ct))!;
        for (var number = end - count; number < end; number++) spare.Enqueue(number);
        (takenAt, usedSince) = (time.GetTimestamp(), 0);
    }
}
