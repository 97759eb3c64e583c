using Marketplace.FlashSales.Clients;
using Marketplace.FlashSales.Sales;
using Microsoft.Extensions.Options;

namespace Marketplace.FlashSales.Claims;

/// <summary>
/// What no request brings about. Claims past their time to be paid: ordering is asked to give the order up, and without an answer the units
/// stay where they are. People who wait although their sale is over or has units again. Sales that were paid for while nobody noticed.
/// </summary>
public sealed partial class ClaimSweep(
    ClaimStore store, IShards shards, Outcomes outcomes, SaleMemory sales, IOrderingClient ordering, TimeProvider time, IOptions<ClaimOptions> options,
    ILogger<ClaimSweep> log) : BackgroundService
{
    private const string TooLate = "not_paid_in_time";
    private const int EnoughSilence = 3;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(options.Value.SweepEvery, time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            try
            {
                await SweepAsync(stoppingToken);
            }
            catch (Exception failure) when (failure is not OperationCanceledException)
            {
                LogFailed(failure);                             // the database or the sidecar was away; all of it is found again
            }
        }
    }

    public async Task SweepAsync(CancellationToken ct)
    {
        await AskOrderingAsync(ct);
        foreach (var sale in (await store.LooseEndsAsync(ct)).GroupBy(shard => shard.SaleId))
        {
            try
            {
                await TieUpAsync(sale.Key, [.. sale], ct);
            }
            catch (ShardAwayException away)
            {
                LogShardAway(sale.Key, away.Message);           // found again by the next sweep; other sales do not wait for it
            }
        }
    }

    private async Task AskOrderingAsync(CancellationToken ct)
    {
        var unanswered = 0;
        foreach (var claim in await store.TakeDueAsync(options.Value.SweepBatch, options.Value.AskOrderingAgainAfter, ct))
        {
            try
            {
                switch ((await ordering.AbandonAsync(claim.OrderId, new AbandonmentRequest(TooLate), ct)).Status)
                {
                    case "abandoned":
                        LogAbandoned(claim.OrderId);
                        await outcomes.HeardAsync(claim.OrderId, paid: false, TooLate, ct);
                        break;
                    case "failed" or "cancelled":               // its event is on the way, or was lost
                        await outcomes.HeardAsync(claim.OrderId, paid: false, TooLate, ct);
                        break;
                    case "confirmed":
                        await outcomes.HeardAsync(claim.OrderId, paid: true, "", ct);
                        break;
                    default:
                        LogPending(claim.OrderId);
                        break;
                }

                unanswered = 0;
            }
            catch (Exception noAnswer) when (noAnswer is HttpRequestException || (noAnswer is TaskCanceledException && !ct.IsCancellationRequested))
            {
                LogNoAnswer(claim.OrderId);
                if (++unanswered == EnoughSilence) return;      // ordering is away: the rest comes due again by itself
            }
            catch (ShardAwayException away)
            {
                LogShardAway(claim.SaleId, away.Message);       // comes due again
            }
        }
    }

    private async Task TieUpAsync(Guid saleId, List<Loose> ofSale, CancellationToken ct)
    {
        if (ofSale[0].IsPaidUp && await store.EndIfSoldOutAsync(saleId, ct)) sales.Forget(saleId);
        if (ofSale[0].IsOver || ofSale[0].IsPaidUp)
        {
            foreach (var shard in ofSale.Where(shard => shard.HasWaiting))
            {
                var reason = ofSale[0].EndReason == SaleEnd.SoldOut || ofSale[0].IsPaidUp ? MissedReason.SoldOut : MissedReason.Ended;
                LogMissed(saleId, await shards.CloseAsync(saleId, shard.Shard, reason));
            }

            return;
        }

        var crowded = new Queue<Loose>(ofSale.Where(shard => shard.HasWaiting && shard.Free == 0));
        foreach (var shard in ofSale.Where(shard => shard.Free > 0))
        {
            if (!shard.HasWaiting)
            {
                if (!crowded.TryDequeue(out var other)) continue;
                await shards.HandOverAsync(saleId, other.Shard, new HandOver(shard.Shard, shard.Free));
            }

            await shards.SettleAsync(saleId, shard.Shard, []);
        }
    }

    [LoggerMessage(LogLevel.Information, "Order {OrderId} was not paid in time: its units go to the next")]
    private partial void LogAbandoned(Guid orderId);

    [LoggerMessage(LogLevel.Information, "Order {OrderId} is past its time and still under way: asked again later")]
    private partial void LogPending(Guid orderId);

    [LoggerMessage(LogLevel.Warning, "Ordering did not say what became of order {OrderId}: its units stay where they are")]
    private partial void LogNoAnswer(Guid orderId);

    [LoggerMessage(LogLevel.Information, "Sale {SaleId} is over: {Count} people on its waiting list got nothing and are told")]
    private partial void LogMissed(Guid saleId, int count);

    [LoggerMessage(LogLevel.Warning, "Sale {SaleId} has to wait for the next sweep: {Reason}")]
    private partial void LogShardAway(Guid saleId, string reason);

    [LoggerMessage(LogLevel.Error, "Sweeping claims failed")]
    private partial void LogFailed(Exception failure);
}
