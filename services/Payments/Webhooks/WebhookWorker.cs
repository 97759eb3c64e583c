using Marketplace.Payments.Charges;
using Marketplace.Payments.Provider;
using Marketplace.Payments.Refunds;
using Microsoft.Extensions.Options;
using Npgsql;

namespace Marketplace.Payments.Webhooks;

/// <summary>
/// Acts on recorded events. An event is a reason to look, never the truth itself: what is written is what the provider says now, so that twice, late and in any order
/// come to the same.
/// </summary>
public sealed partial class WebhookWorker(
    WebhookLog webhooks, WebhookSignal signal, AttemptStore attempts, ChargeDesk desk, UndoDesk undo, PaymentProvider provider,
    IOptions<ChargeOptions> options, TimeProvider time, ILogger<WebhookWorker> log)
    : BackgroundService
{
    private const int AtOnce = 16;
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            var next = signal.Next;                                  // before the look: what arrives during it is not missed
            try
            {
                while (await webhooks.ClaimDueAsync(AtOnce, Pause, stoppingToken) is { Count: > 0 } due)
                    await Task.WhenAll(due.Select(webhook => ActAsync(webhook, stoppingToken)));
            }
            catch (NpgsqlException away)
            {
                LogDatabaseAway(away.Message);
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }

            await Task.WhenAny(next, Task.Delay(Pause, time, stoppingToken));
        }
    }

    private async Task ActAsync(RecordedWebhook webhook, CancellationToken ct)
    {
        try
        {
            if (await OutcomeOfAsync(webhook, ct) is { } outcome)
                await webhooks.SettledAsync(webhook.EventId, outcome, ct);
        }
        catch (ProviderFaultException fault)
        {
            LogLater(webhook.EventId, webhook.Type, fault.Message);
        }
        catch (Exception fault) when (fault is not NpgsqlException && !ct.IsCancellationRequested)
        {
            LogStuck(webhook.EventId, webhook.Type, webhook.Tries, fault);   // it comes again ever more rarely, and keeps no other from being acted on
        }
    }

    /// <summary>Null: not to be settled yet, look again later.</summary>
    private async Task<string?> OutcomeOfAsync(RecordedWebhook webhook, CancellationToken ct)
    {
        if (webhook is not { OrderId: { } orderId, Attempt: { } attempt, IntentId: { } intentId } || await attempts.FindAsync(orderId, attempt, ct) is not { } row)
            return "not ours";
        if (row.IntentId is not null && row.IntentId != intentId)
            return "another intent";

        switch (webhook.Type)
        {
            case "payment_intent.succeeded" or "payment_intent.payment_failed" or "payment_intent.canceled" when row.Status == AttemptStatus.Charging:
                if (await desk.LearnAsync(row) && row.IntentId is not null)
                    return "settled";
                // Somebody is at it and will learn it from the reply; when nobody is, this is where it goes on.
                if (!row.LeaseIsLive && await attempts.TakeOverAsync(orderId, attempt, options.Value.Lease, ct) is { } mine)
                    await desk.ResumeAsync(mine);
                return null;
            case "payment_intent.succeeded" when row.Status is AttemptStatus.Cancelled or AttemptStatus.Refused && row.IntentId is not null:
                // Refused here and taken there: it goes back.
                return await undo.UndoAsync(orderId, attempt, "charged after it was refused") == Undone.Refunded ? "refunded" : "nothing taken";
            case "charge.refunded" when row.Status == AttemptStatus.Captured:
                return (await provider.LookAsync(intentId, refunds: true)).Refunded
                    ? await attempts.RefundedElsewhereAsync(row, ct) ? "refunded at the provider" : null
                    : "refunded in part";
            default:
                return "known";
        }
    }

    [LoggerMessage(LogLevel.Warning, "Webhook {EventId} ({Type}) cannot be settled yet: {Fault}")]
    private partial void LogLater(string eventId, string type, string fault);

    [LoggerMessage(LogLevel.Error, "Webhook {EventId} ({Type}) cannot be settled (try {Try})")]
    private partial void LogStuck(string eventId, string type, int @try, Exception fault);

    [LoggerMessage(LogLevel.Warning, "Webhooks cannot be looked up: {Reason}")]
    private partial void LogDatabaseAway(string reason);
}
