using Marketplace.FlashSales.Sales;
using Marketplace.WaitingRoom;
using Microsoft.Extensions.Options;
using Npgsql;

namespace Marketplace.FlashSales.WaitingRoom;

/// <summary>Makes the draws when sales start and moves admission on. Every replica tries; the tables let one succeed.</summary>
public sealed partial class Doorkeeper(
    AdmissionBoard board, AdmissionStore store, SaleMemory sales, QueueMeter meter, TimeProvider time, IOptions<WaitingRoomOptions> options, ILogger<Doorkeeper> log)
    : BackgroundService
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(5);

    /// <summary>What is to be done now. True: something runs or starts soon.</summary>
    public async Task<bool> RoundAsync(CancellationToken ct)
    {
        var awake = false;
        foreach (var sale in (await board.ReadAsync(ct)).Sales)
        {
            var now = time.GetUtcNow();
            if (sale.Phase == SalePhase.Ended || now >= sale.EndsAt || now + Soon < sale.StartsAt)
                continue;
            awake = true;
            if (now < sale.StartsAt)
                continue;
            if (!sale.IsDrawn)
                await DrawAsync(sale.SaleId, ct);
            else if (sale.Phase != SalePhase.SoldOut && now - sale.At >= options.Value.StepEvery && await store.StepAsync(sale.SaleId, now, ct) is { } step)
                meter.Stepped(sale, step);
        }

        return awake;
    }

    /// <summary>Whoever comes first: a join that finds the sale started does not wait for the next round.</summary>
    public async Task DrawAsync(Guid saleId, CancellationToken ct)
    {
        if (await store.DrawAsync(saleId, time.GetUtcNow(), ct))
            LogDrawn(saleId);
        sales.Forget(saleId);
        board.Forget();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var awake = true;
        try
        {
            while (true)
            {
                await Task.Delay(awake ? options.Value.LookEvery : 10 * options.Value.LookEvery, time, stoppingToken);
                try
                {
                    awake = await RoundAsync(stoppingToken);
                }
                catch (Exception away) when (away is NpgsqlException or TimeoutException)   // readiness reports it; the next round finds the same work
                {
                    LogSkipped(away.Message);
                }
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            return;                                             // the host stops
        }
    }

    [LoggerMessage(LogLevel.Information, "Sale {SaleId} has started: those who came before are shuffled")]
    private partial void LogDrawn(Guid saleId);

    [LoggerMessage(LogLevel.Warning, "Admission skipped a round: {Reason}")]
    private partial void LogSkipped(string reason);
}
