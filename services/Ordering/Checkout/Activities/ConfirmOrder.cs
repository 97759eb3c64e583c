using Dapr.Workflow;

namespace Marketplace.Ordering.Checkout.Activities;

public sealed class ConfirmOrder(CheckoutStore orders, StepLog steps) : WorkflowActivity<Confirmation, StepReply>
{
    public override Task<StepReply> RunAsync(WorkflowActivityContext context, Confirmation confirmation) =>
        steps.NoteFaultsAsync(confirmation.Checkout, nameof(ConfirmOrder), () => orders.ConfirmAsync(confirmation));
}
