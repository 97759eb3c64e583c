using Dapr.Workflow;
using Marketplace.Ordering.Clients;

namespace Marketplace.Ordering.Checkout.Activities;

public sealed partial class CapturePayment(PaymentsClient payments, StepLog steps, ILogger<CapturePayment> log) : WorkflowActivity<Charge, PaymentReply>
{
    public override Task<PaymentReply> RunAsync(WorkflowActivityContext context, Charge charge) =>
        steps.NoteAsync(charge.Checkout, nameof(CapturePayment), reply => reply.Processing ? StepNote.Processing : StepNote.Of(reply.Refusal), async () =>
        {
            var reply = await payments.ChargeAsync(charge.Checkout, charge.ReservedUntil);
            if (reply.Refusal is { } why) LogRefused(charge.Checkout.OrderId, why);
            return reply;
        });

    [LoggerMessage(LogLevel.Information, "Payment for order {OrderId} refused: {Refusal}")]
    private partial void LogRefused(Guid orderId, string refusal);
}
