using System.Buffers.Binary;
using System.Collections.Concurrent;
using Marketplace.FlashSales.Sales;
using Microsoft.Extensions.Options;

namespace Marketplace.FlashSales.Claims;

/// <summary>
/// Where a replica's claims come together on their way to the shards. Whoever has a claim already is told the same again, also while the
/// replica remembers that there is nothing left.
/// </summary>
public sealed class ClaimDesk
{
    private readonly IShards shards;
    private readonly ClaimStore store;
    private readonly TimeProvider time;
    private readonly ClaimMeter meter;
    private readonly ClaimOptions options;
    private readonly ConcurrentDictionary<(Guid SaleId, int Shard), Batcher<Wish, Decided>> queues = new();
    private readonly ConcurrentDictionary<(Guid SaleId, int Shard, bool MayWait), long> nothingLeft = new();
    private readonly Batcher<(Guid SaleId, Guid BuyerId), LastClaim?> lastClaims;

    public ClaimDesk(IShards shards, ClaimStore store, TimeProvider time, ClaimMeter meter, IOptions<ClaimOptions> options)
    {
        (this.shards, this.store, this.time, this.meter, this.options) = (shards, store, time, meter, options.Value);
        lastClaims = new(this.options.BatchSize, this.options.GatherFor, ReadLastClaimsAsync);
    }

    /// <exception cref="ShardAwayException">No decision; the same claim may be made again.</exception>
    /// <param name="rank">Of the buyer's place in the queue.</param>
    public async Task<Decided> DecideAsync(Sale sale, Guid buyer, long rank, int quantity, CancellationToken ct)
    {
        // Buyers are spread over the shards; who finds none of their own shard's units looks for another shard's. Only when none has any they wait.
        var count = ShardTerms.ShardsOf(sale);
        var home = HomeOf(buyer, count);
        var asked = false;
        for (var step = count == 1 ? 1 : 0; step < 2 * count; step++)
        {
            var (shard, mayWait) = ((home + step) % count, step >= count);
            if (RemembersNothingLeft(sale.SaleId, shard, mayWait)) continue;
            asked = true;
            var decided = await QueueOf(sale.SaleId, shard).AskAsync(new Wish(buyer, rank, quantity, mayWait), ct);
            if (decided.Outcome is not (Outcome.NoneHere or Outcome.SoldOut)) return decided;

            // For two units there may be none left where there is still one.
            if (quantity == 1) nothingLeft[(sale.SaleId, shard, mayWait)] = time.GetTimestamp();
        }

        if (asked) return new Decided(Outcome.SoldOut);
        meter.Remembered();
        return await LastClaimAsync(sale.SaleId, buyer, ct) switch
        {
            { Claim: { State: not (ClaimState.Released or ClaimState.Missed) } claim } standing => Decided.Of(new Answer(claim, standing.Position)),
            { Claim.Rank: var used } when used == rank => new Decided(Outcome.UsedUp),
            _ => new Decided(Outcome.SoldOut),
        };
    }

    /// <summary>The buyer's last claim in the sale, over or not; null: they never made one.</summary>
    public Task<LastClaim?> LastClaimAsync(Guid saleId, Guid buyer, CancellationToken ct) => lastClaims.AskAsync((saleId, buyer), ct);

    /// <summary>Gives up a place on the waiting list. False: the buyer has units, or nothing at all.</summary>
    public async Task<bool> LeaveAsync(LastClaim standing, Guid saleId) =>
        standing.Claim.State == ClaimState.Waiting && await shards.LeaveAsync(saleId, standing.Shard, standing.Claim.BuyerId);

    // Not GetHashCode, which is another in every process; the tail of an id is random.
    internal static int HomeOf(Guid buyer, int shards)
    {
        Span<byte> bytes = stackalloc byte[16];
        buyer.TryWriteBytes(bytes);
        return (int)(BinaryPrimitives.ReadUInt32LittleEndian(bytes[12..]) % (uint)shards);
    }

    private Batcher<Wish, Decided> QueueOf(Guid saleId, int shard) => queues.GetOrAdd((saleId, shard), static (key, desk) => new(
        desk.options.BatchSize, desk.options.GatherFor,
        async wishes => await desk.shards.DecideAsync(key.SaleId, key.Shard, [.. wishes])), this);

    private bool RemembersNothingLeft(Guid saleId, int shard, bool mayWait) =>
        nothingLeft.TryGetValue((saleId, shard, mayWait), out var since) && time.GetElapsedTime(since) < options.SoldOutFor;

    private async Task<IReadOnlyList<LastClaim?>> ReadLastClaimsAsync(IReadOnlyList<(Guid SaleId, Guid BuyerId)> whose)
    {
        var found = await store.LastClaimsAsync([.. whose.Distinct()], default);
        return [.. whose.Select(one => found.GetValueOrDefault(one))];
    }
}
