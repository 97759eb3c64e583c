using Dapr.Workflow;

namespace Marketplace.Ordering.Checkout.Activities;

/// <summary>The end of a checkout that came to nothing: whatever it held went back before this.</summary>
public sealed class RefuseOrder(CheckoutStore orders, StepLog steps) : WorkflowActivity<RefusedCheckout, StepReply>
{
    public override Task<StepReply> RunAsync(WorkflowActivityContext context, RefusedCheckout refused) =>
        steps.NoteFaultsAsync(refused.Checkout, nameof(RefuseOrder), () => orders.RefuseAsync(refused));
}
