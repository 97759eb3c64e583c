using Dapr.Workflow;
using Marketplace.Ordering.Clients;

namespace Marketplace.Ordering.Checkout.Activities;

public sealed class ReserveStock(CheckoutStore orders, InventoryClient inventory, StepLog steps) : WorkflowActivity<CheckoutAttempt, StockReply>
{
    public override Task<StockReply> RunAsync(WorkflowActivityContext context, CheckoutAttempt checkout) =>
        steps.NoteAsync(checkout, nameof(ReserveStock), reply => StepNote.Of(reply.Refusal), async () =>
            await inventory.ReserveAsync(checkout.OrderId, checkout.Attempt, await orders.WantedAsync(checkout.OrderId)));
}
