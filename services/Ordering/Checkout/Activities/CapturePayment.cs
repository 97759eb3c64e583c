using Dapr.Workflow;
using Marketplace.Ordering.Clients;

namespace Marketplace.Ordering.Checkout.Activities;

public sealed partial class CapturePayment(IPaymentsClient payments, StepLog steps, ILogger<CapturePayment> log) : WorkflowActivity<Charge, PaymentReply>
{
    public override Task<PaymentReply> RunAsync(WorkflowActivityContext context, Charge charge) =>
        steps.NoteAsync(charge.Checkout, nameof(CapturePayment), reply => reply.Processing ? StepNote.Processing : StepNote.Of(reply.Refusal), async () =>
        {
            var checkout = charge.Checkout;
            var reply = await payments.ChargeAsync(new ChargeRequest(
                checkout.OrderId, checkout.Attempt, checkout.BuyerId, checkout.Total, checkout.PaymentMethod, charge.ReservedUntil));
            switch (reply.Status)
            {
                case "captured":
                    return new PaymentReply(null, Processing: false);
                case "processing":
                    return new PaymentReply(null, Processing: true);
                case "refused":
                    var why = reply.Refusal ?? "card_declined";
                    LogRefused(checkout.OrderId, why);
                    return new PaymentReply(why, Processing: false);
                default:
                    throw new HttpRequestException($"Payments answered '{reply.Status}', which means nothing here.");   // a newer word: doubt, not success
            }
        });

    [LoggerMessage(LogLevel.Information, "Payment for order {OrderId} refused: {Refusal}")]
    private partial void LogRefused(Guid orderId, string refusal);
}
