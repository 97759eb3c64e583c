using Marketplace.Payments.Provider;
using Marketplace.Payments.Refunds;
using Microsoft.Extensions.Options;
using Npgsql;

namespace Marketplace.Payments.Charges;

/// <summary>Finishes what a crash, a time-out or an outage left behind: attempts in doubt, undos half done, intents that could still be confirmed.</summary>
public sealed partial class UnfinishedPayments(
    AttemptStore attempts, ChargeDesk desk, UndoDesk undo, PaymentProvider provider, IOptions<ChargeOptions> options, TimeProvider time, ILogger<UnfinishedPayments> log)
    : BackgroundService
{
    private const int AtOnce = 8;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(options.Value.SettleEvery, time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
            await SettleDueAsync(stoppingToken);
    }

    private async Task SettleDueAsync(CancellationToken ct)
    {
        try
        {
            while (await attempts.TakeOverDueAsync(AtOnce, options.Value.Lease, ct) is { Count: > 0 } due)
                await Task.WhenAll(due.Select(SettleAsync));
        }
        catch (Exception fault) when (fault is NpgsqlException or TimeoutException)
        {
            LogDatabaseAway(fault.Message);
        }
    }

    private async Task SettleAsync(PaymentAttempt mine)
    {
        try
        {
            if (mine.Status == AttemptStatus.Undoing)
                await undo.FinishAsync(mine);
            else if (mine.CloseIntent)
                await CloseAsync(mine);
            else
                await desk.ResumeAsync(mine);
        }
        catch (ProviderFaultException fault)
        {
            LogLater(mine.OrderId, mine.Attempt, fault.Message);     // the lease we hold is the pause before the next try
        }
        catch (Exception fault) when (fault is not NpgsqlException)
        {
            LogStuck(mine.OrderId, mine.Attempt, fault);             // one attempt nobody can settle must not keep the others from it
        }
    }

    // Refused here because the provider was away. Should it turn out to have been confirmed after all, the money goes back.
    private async Task CloseAsync(PaymentAttempt refused)
    {
        if ((await provider.CancelAsync(refused.IntentId!, refused.Key("cancel", ofThisFence: true))).Status == IntentStatus.Succeeded)
            await undo.UndoAsync(refused.OrderId, refused.Attempt, "charged after it was refused");
        else
            await attempts.IntentClosedAsync(refused, CancellationToken.None);
    }

    [LoggerMessage(LogLevel.Warning, "Order {OrderId} attempt {Attempt} cannot be settled yet: {Fault}")]
    private partial void LogLater(Guid orderId, int attempt, string fault);

    [LoggerMessage(LogLevel.Error, "Order {OrderId} attempt {Attempt} cannot be settled")]
    private partial void LogStuck(Guid orderId, int attempt, Exception fault);

    [LoggerMessage(LogLevel.Warning, "Unfinished payments cannot be looked up: {Reason}")]
    private partial void LogDatabaseAway(string reason);
}
