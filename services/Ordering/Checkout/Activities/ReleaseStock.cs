using Dapr.Workflow;
using Marketplace.Ordering.Clients;

namespace Marketplace.Ordering.Checkout.Activities;

/// <summary>Undoes ReserveStock and CommitStock alike: held units become free, committed ones come back into the house.</summary>
public sealed class ReleaseStock(IInventoryClient inventory, StepLog steps) : WorkflowActivity<Undo, UndoReply>
{
    public override Task<UndoReply> RunAsync(WorkflowActivityContext context, Undo undo) =>
        steps.NoteAsync(undo.Checkout, nameof(ReleaseStock), _ => StepNote.Done, async () =>
        {
            await inventory.ReleaseAsync(undo.Checkout.OrderId, undo.Checkout.Attempt, new ReleaseRequest(undo.Reason));
            return new UndoReply(MoneyWentBack: false);
        });
}
