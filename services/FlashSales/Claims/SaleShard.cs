using Marketplace.FlashSales.Sales;
using Microsoft.Extensions.Options;
using Npgsql;

namespace Marketplace.FlashSales.Claims;

/// <summary>
/// Decides for one shard of a sale, one call at a time: loads what it does not know, decides in memory, writes, and only then believes and
/// answers it. Nothing it knows is trusted across a failure: a plan that could not be written makes it read its rows again.
/// </summary>
public sealed partial class SaleShard(
    Guid saleId, int shard, ClaimStore store, SaleMemory sales, TimeProvider time, IOptions<ClaimOptions> options, ClaimMeter meter, ILogger<SaleShard> log)
{
    private const int MissedAtOnce = 500;
    private static readonly IReadOnlyDictionary<Guid, Checkout> NoCheckouts = new Dictionary<Guid, Checkout>();

    private ShardMemory? memory;

    public async Task<Answer[]> DecideAsync(IReadOnlyList<Wish> wishes)
    {
        using var turn = meter.Turn("decide");
        var unreachable = new HashSet<Guid>();
        var answers = await PlannedAsync<Answer[]>(async shard =>
        {
            var elsewhere = shard.Terms.Shards > 1
                ? await store.ElsewhereAsync(shard.Terms, [.. wishes.Where(wish => shard.Of(wish.BuyerId) is null)], default)
                : new Dictionary<(Guid, long), Answer>();
            var open = wishes.Where(wish => !elsewhere.ContainsKey((wish.BuyerId, wish.Rank)) && !unreachable.Contains(wish.BuyerId)).ToList();
            var (plan, decided) = shard.Decide(open, time.GetUtcNow(), options.Value.PayWithin);
            var next = 0;
            return (plan, [.. wishes.Select(wish =>
                elsewhere.TryGetValue((wish.BuyerId, wish.Rank), out var there) ? there
                : unreachable.Contains(wish.BuyerId) ? new Answer(Outcome.NoCheckout)
                : decided[next++])]);
        }, unreachable, whyNot => [.. wishes.Select(_ => new Answer(whyNot))]);
        meter.Decided(wishes.Count);
        return answers;
    }

    /// <summary>What orders came to; with none, what else a look at the shard brings. Answers whether the sale has ended by it.</summary>
    public async Task<bool> SettleAsync(IReadOnlyList<Verdict> verdicts)
    {
        using var turn = meter.Turn("settle");
        var unreachable = new HashSet<Guid>();
        await PlannedAsync(shard =>
        {
            var plan = shard.Settle(verdicts, time.GetUtcNow(), options.Value.PayWithin, unreachable);
            return Task.FromResult((plan, plan));
        }, unreachable, _ => null!);

        // Outside of the plan's transaction: should we die here, the sweep looks too.
        if (memory is not { IsPaidUp: true } || !await store.EndIfSoldOutAsync(saleId, default)) return false;
        LogSoldOut(saleId);
        sales.Forget(saleId);
        await CloseAsync(MissedReason.SoldOut);
        return true;
    }

    /// <summary>The sale is over: who still waits got nothing. Answers how many.</summary>
    public async Task<int> CloseAsync(string reason)
    {
        using var turn = meter.Turn("close");
        memory = null;                                          // what it says of the sale is from before its end
        var missed = 0;
        for (var more = true; more;)
        {
            var plan = await PlannedAsync(shard =>
            {
                var plan = shard.Terms.IsOn && time.GetUtcNow() < shard.Terms.EndsAt ? new ShardPlan(shard.Terms, shard.Version) : shard.Miss(MissedAtOnce, reason);
                return Task.FromResult((plan, plan));
            }, [], _ => null!);
            missed += plan?.Moves.Count ?? 0;
            more = plan is { IsEmpty: false };
        }

        return missed;
    }

    /// <summary>Answers whether the buyer was on the waiting list.</summary>
    public Task<bool> LeaveAsync(Guid buyer) => PlannedAsync(
        shard => Task.FromResult(shard.Leave(buyer) is { } plan ? (plan, true) : (new ShardPlan(shard.Terms, shard.Version), false)), [], _ => false);

    /// <summary>Another shard has units and nobody who waits: ours go on waiting there.</summary>
    public async Task<int> HandOverAsync(int toShard, int atMost)
    {
        var loaded = memory is null ? await store.LoadAsync(saleId, shard, default) : new Loaded(memory, Outcome.Held);
        memory = null;
        if (loaded.Memory is not { HasWaiting: true } known) return 0;
        var moved = await store.HandOverAsync(new ShardPlan(known.Terms, known.Version) { NeedsOpenSale = true }, toShard, atMost, default);
        LogHandedOver(saleId, moved, shard, toShard);
        return moved;
    }

    private async Task<T> PlannedAsync<T>(Func<ShardMemory, Task<(ShardPlan Plan, T Answer)>> decide, HashSet<Guid> unreachable, Func<Outcome, T> cannot)
    {
        for (var tries = 1; ;)
        {
            if (memory is null)
            {
                var loaded = await store.LoadAsync(saleId, shard, default);
                if (loaded.Memory is null) return cannot(loaded.WhyNot);
                memory = loaded.Memory;
            }

            var (plan, answer) = await decide(memory);
            if (plan.IsEmpty)
            {
                // Nothing is written that would tell whether somebody else wrote meanwhile: it has to be asked.
                if (await store.VersionAsync(saleId, shard, default) == memory.Version) return answer;
                memory = null;
                continue;
            }

            try
            {
                var checkouts = await CheckoutsAsync(plan);
                var without = plan.New.Concat(plan.Moves.Select(move => move.To).Where(claim => claim.State == ClaimState.Claimed))
                    .Select(claim => claim.BuyerId).Where(buyer => !checkouts.ContainsKey(buyer)).ToList();
                if (without.Except(unreachable).ToList() is { Count: > 0 } news)
                {
                    unreachable.UnionWith(news);
                    continue;                                   // decided again, without them
                }

                await store.CommitAsync(plan, checkouts, default);
                memory.Take(plan);
                return answer;
            }
            catch (PostgresException conflict) when (ClaimStore.IsConflict(conflict) && tries < options.Value.Tries)
            {
                LogConflict(saleId, shard, conflict.ConstraintName ?? conflict.SqlState);
                meter.Conflict();
                memory = null;
                tries++;
            }
            catch
            {
                memory = null;                                  // whether it was written is not known
                throw;
            }
        }
    }

    private async Task<IReadOnlyDictionary<Guid, Checkout>> CheckoutsAsync(ShardPlan plan)
    {
        var buyers = plan.New.Select(claim => claim.BuyerId)
            .Concat(plan.Moves.Where(move => move.To.State is not ClaimState.Paid).Select(move => move.To.BuyerId)).ToArray();
        return buyers.Length == 0 ? NoCheckouts : await store.CheckoutsAsync(buyers, default);
    }

    [LoggerMessage(LogLevel.Information, "Every unit of sale {SaleId} is paid for")]
    private partial void LogSoldOut(Guid saleId);

    [LoggerMessage(LogLevel.Information, "{Count} people who wait for sale {SaleId} went from shard {From} to shard {To}, which has units")]
    private partial void LogHandedOver(Guid saleId, int count, int from, int to);

    [LoggerMessage(LogLevel.Warning, "Shard {Shard} of sale {SaleId} met another writer ({Conflict}): it reads its rows again")]
    private partial void LogConflict(Guid saleId, int shard, string conflict);
}
