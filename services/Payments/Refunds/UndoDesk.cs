using System.Diagnostics;
using Marketplace.Payments.Charges;
using Marketplace.Payments.Provider;
using Microsoft.Extensions.Options;

namespace Marketplace.Payments.Refunds;

public enum Undone
{
    NothingTaken,
    Refunded,
}

/// <summary>
/// Takes a charge back. The row is closed to charging first; then the intent is cancelled, and where that comes too late, paid back. Whichever of a
/// confirmation and a cancellation reaches the provider first wins there, so money is never both taken and thought untaken.
/// </summary>
public sealed partial class UndoDesk(AttemptStore attempts, PaymentProvider provider, PaymentStatusKey status, IOptions<ChargeOptions> options, ILogger<UndoDesk> log)
{
    public async Task<Undone> UndoAsync(Guid orderId, int attempt, string reason)
    {
        var row = await attempts.ForbidAsync(orderId, attempt, reason, options.Value.Lease, CancellationToken.None);
        await status.ForgetAsync(orderId, CancellationToken.None);
        return row.Status switch
        {
            AttemptStatus.Cancelled => Undone.NothingTaken,
            AttemptStatus.Refunded => Undone.Refunded,
            AttemptStatus.Undoing => await FinishAsync(row),
            var other => throw new UnreachableException($"{other}"),
        };
    }

    public async Task<Undone> FinishAsync(PaymentAttempt undoing)
    {
        var refund = undoing.WasCaptured;
        if (!refund)
        {
            var state = await provider.CancelAsync(undoing.IntentId!, undoing.Key("cancel", ofThisFence: true));
            refund = state.Status switch
            {
                IntentStatus.Cancelled => false,
                IntentStatus.Succeeded => true,
                // A confirmation is under way there: the worker asks again when it is decided.
                _ => throw new ProviderFaultException($"The provider will not cancel yet ({state.Status}).", reached: true),
            };
        }

        if (refund)
            await provider.RefundAsync(undoing.IntentId!, undoing.Key("refund", ofThisFence: true));
        if (await attempts.UndoneAsync(undoing, refund, CancellationToken.None))
            LogUndone(undoing.OrderId, undoing.Attempt, refund ? "refunded" : "cancelled before it was taken");
        return refund ? Undone.Refunded : Undone.NothingTaken;
    }

    [LoggerMessage(LogLevel.Information, "Order {OrderId} attempt {Attempt}: payment {Outcome}")]
    private partial void LogUndone(Guid orderId, int attempt, string outcome);
}
