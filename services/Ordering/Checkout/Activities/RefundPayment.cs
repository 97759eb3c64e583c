using Dapr.Workflow;
using Marketplace.Ordering.Clients;

namespace Marketplace.Ordering.Checkout.Activities;

public sealed partial class RefundPayment(IPaymentsClient payments, StepLog steps, ILogger<RefundPayment> log) : WorkflowActivity<Undo, UndoReply>
{
    public override Task<UndoReply> RunAsync(WorkflowActivityContext context, Undo undo) =>
        steps.NoteAsync(undo.Checkout, nameof(RefundPayment), _ => StepNote.Done, async () =>
        {
            var reply = await payments.RefundAsync(new RefundRequest(undo.Checkout.OrderId, undo.Checkout.Attempt, undo.Reason));
            var refunded = reply.Status switch
            {
                "refunded" => true,
                "nothing_to_refund" => false,
                var other => throw new HttpRequestException($"Payments answered '{other}', which means nothing here."),
            };
            if (refunded) LogRefunded(undo.Checkout.OrderId, undo.Reason);
            return new UndoReply(refunded);
        });

    [LoggerMessage(LogLevel.Information, "Payment for order {OrderId} went back: {Reason}")]
    private partial void LogRefunded(Guid orderId, string reason);
}
