using Dapr.Workflow;
using Marketplace.Ordering.Clients;

namespace Marketplace.Ordering.Checkout.Activities;

public sealed class CommitStock(IInventoryClient inventory, StepLog steps) : WorkflowActivity<CheckoutAttempt, StepReply>
{
    public override Task<StepReply> RunAsync(WorkflowActivityContext context, CheckoutAttempt checkout) =>
        steps.NoteAsync(checkout, nameof(CommitStock), reply => StepNote.Of(reply.Refusal, settles: reply.Refusal is null), async () =>
            new StepReply((await inventory.CommitAsync(checkout.OrderId, checkout.Attempt)).Refusal));
}
