using Marketplace.Inventory.Clients;
using Microsoft.Extensions.Options;

namespace Marketplace.Inventory.Reservations;

/// <summary>
/// Frees what nobody will pay for any more. Time alone does not decide: a capture may be slow, so ordering is asked, and without
/// an answer the units stay where they are.
/// </summary>
public sealed partial class ExpirySweep(
    ReservationStore reservations, IOrderingClient ordering, TimeProvider time, IOptions<ReservationOptions> options, ILogger<ExpirySweep> log) : BackgroundService
{
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
                LogFailed(failure);   // the database was away; whatever was claimed comes due again
            }
        }
    }

    public async Task<int> SweepAsync(CancellationToken ct)
    {
        var (freed, unanswered) = (0, 0);
        foreach (var key in await reservations.ClaimExpiredAsync(ct))
        {
            switch (await ordering.NeedsStockAsync(key.OrderId, key.Attempt, ct))
            {
                case true:
                    LogKept(key.OrderId, key.Attempt);
                    unanswered = 0;
                    break;
                case null:
                    LogNoAnswer(key.OrderId, key.Attempt);
                    unanswered++;
                    break;
                case false:
                    if (await reservations.ExpireAsync(key, ct)) freed++;
                    unanswered = 0;
                    break;
            }

            if (unanswered == EnoughSilence) break;            // ordering is away: the rest comes due again by itself
        }

        if (freed > 0) LogFreed(freed);
        return freed;
    }

    [LoggerMessage(LogLevel.Information, "{Count} expired reservations were freed")]
    private partial void LogFreed(int count);

    [LoggerMessage(LogLevel.Information, "Units of order {OrderId}, attempt {Attempt}, are past their time and still needed: kept")]
    private partial void LogKept(Guid orderId, int attempt);

    [LoggerMessage(LogLevel.Warning, "Ordering did not say whether order {OrderId}, attempt {Attempt}, needs its units: kept")]
    private partial void LogNoAnswer(Guid orderId, int attempt);

    [LoggerMessage(LogLevel.Error, "Sweeping expired reservations failed")]
    private partial void LogFailed(Exception failure);
}
