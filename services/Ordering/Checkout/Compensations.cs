using Dapr.Workflow;

namespace Marketplace.Ordering.Checkout;

/// <summary>
/// What has to be undone should the checkout come to nothing, newest first. An undo that fails for good fails the saga: it must not
/// say "refused" while money or units are still held. A failed saga is parked for a person by the watch.
/// </summary>
public sealed class Compensations(WorkflowContext context, CheckoutAttempt checkout)
{
    private readonly Stack<string> undos = new();

    /// <summary>Call it before the step: a lost reply may hide a success.</summary>
    public void Add(string undo) => undos.Push(undo);

    public async Task<CheckoutOutcome> RefuseAsync(string reason)
    {
        var refunded = false;
        while (undos.TryPop(out var undo))
        {
            var reply = await context.CallActivityAsync<UndoReply>(undo, new Undo(checkout, reason), Retry.UntilDone);
            refunded |= reply.MoneyWentBack;
        }

        await context.CallActivityAsync<StepReply>(nameof(Activities.RefuseOrder), new RefusedCheckout(checkout, reason, refunded), Retry.UntilDone);
        return CheckoutOutcome.Refused(reason);
    }
}
