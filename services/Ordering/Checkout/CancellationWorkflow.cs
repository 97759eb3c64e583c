using Dapr.Workflow;
using Marketplace.Ordering.Checkout.Activities;

namespace Marketplace.Ordering.Checkout;

/// <summary>
/// Calling off what was sold and not yet sent, or what stands still: the undos of the checkout, in its order, then the order is
/// cancelled. Each undo leaves a tombstone, so a checkout still on its way to the same attempt comes too late.
/// </summary>
public sealed class CancellationWorkflow : Workflow<CheckoutAttempt, CheckoutOutcome>
{
    public override async Task<CheckoutOutcome> RunAsync(WorkflowContext context, CheckoutAttempt checkout)
    {
        var undo = new Compensations(context, checkout);
        undo.Add(nameof(ReleaseStock));
        undo.Add(nameof(RefundPayment));
        return await undo.RefuseAsync(Refusals.Cancelled);
    }
}
