using Dapr.Workflow;
using Marketplace.Ordering.Clients;

namespace Marketplace.Ordering.Checkout.Activities;

public sealed class ReserveStock(CheckoutStore orders, IInventoryClient inventory, StepLog steps) : WorkflowActivity<CheckoutAttempt, StockReply>
{
    public override Task<StockReply> RunAsync(WorkflowActivityContext context, CheckoutAttempt checkout) =>
        steps.NoteAsync(checkout, nameof(ReserveStock), reply => StepNote.Of(reply.Refusal), async () =>
        {
            if (await orders.WantedAsync(checkout.OrderId) is not { } wanted) return new StockReply(Refusals.Cancelled, [], null);   // nobody pays for what they called off
            var reply = await inventory.ReserveAsync(new ReserveRequest(checkout.OrderId, checkout.Attempt, wanted, checkout.SaleId));
            return new StockReply(reply.Refusal, reply.Allocations ?? [], reply.ExpiresAt);
        });
}
