using Dapr.Workflow;
using Marketplace.Ordering.Clients;

namespace Marketplace.Ordering.Checkout.Activities;

public sealed partial class RefundPayment(PaymentsClient payments, StepLog steps, ILogger<RefundPayment> log) : WorkflowActivity<Undo, UndoReply>
{
    public override Task<UndoReply> RunAsync(WorkflowActivityContext context, Undo undo) =>
        steps.NoteAsync(undo.Checkout, nameof(RefundPayment), _ => StepNote.Done, async () =>
        {
            var refunded = await payments.RefundAsync(undo.Checkout.OrderId, undo.Checkout.Attempt, undo.Reason);
            if (refunded) LogRefunded(undo.Checkout.OrderId, undo.Reason);
            return new UndoReply(refunded);
        });

    [LoggerMessage(LogLevel.Information, "Payment for order {OrderId} went back: {Reason}")]
    private partial void LogRefunded(Guid orderId, string reason);
}
