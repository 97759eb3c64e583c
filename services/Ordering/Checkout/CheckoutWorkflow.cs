using Dapr.Workflow;
using Marketplace.Contracts;
using Marketplace.Ordering.Checkout.Activities;

namespace Marketplace.Ordering.Checkout;

/// <summary>
/// Selling an order: hold the units, take the money, confirm, let the units go. Until the money is taken every way out undoes
/// what was done; after it a fault is retried and then parked, and only a clear no is undone.
/// </summary>
public sealed class CheckoutWorkflow : Workflow<CheckoutAttempt, CheckoutOutcome>
{
    public override async Task<CheckoutOutcome> RunAsync(WorkflowContext context, CheckoutAttempt checkout)
    {
        var undo = new Compensations(context, checkout);
        string? refusal;
        IReadOnlyList<Allocation> allocations = [];
        try
        {
            undo.Add(nameof(ReleaseStock));                    // before the step: a lost reply may hide a success
            var stock = await context.CallActivityAsync<StockReply>(nameof(ReserveStock), checkout, Retry.Of(checkout));
            (refusal, allocations) = (stock.Refusal, stock.Allocations);

            // "Released" and "cancelled" do not say whether an earlier run of this attempt took money.
            if (refusal is null or Refusals.Released or Refusals.Cancelled) undo.Add(nameof(RefundPayment));
            refusal ??= await PayAsync(context, new Charge(checkout, stock.ExpiresAt ?? context.CurrentUtcDateTime));
        }
        catch (WorkflowTaskFailedException)
        {
            refusal = Refusals.Unavailable;
        }

        // Outside the try: an undo that fails must surface, not be taken for a step that failed.
        if (refusal is not null) return await undo.RefuseAsync(refusal);

        // The money is taken. From here only forward.
        var order = await context.CallActivityAsync<StepReply>(nameof(ConfirmOrder), new Confirmation(checkout, allocations), Retry.UntilDone);
        if (order.Refusal is { } cancelledMeanwhile) return await undo.RefuseAsync(cancelledMeanwhile);

        var units = await context.CallActivityAsync<StepReply>(nameof(CommitStock), checkout, Retry.UntilDone);
        if (units.Refusal is { } goneMeanwhile) return await undo.RefuseAsync(goneMeanwhile);
        return CheckoutOutcome.Confirmed;
    }

    // "Processing" is doubt, and payments settles it by asking the provider when asked again. It says no itself a minute before the
    // units would be let go; the bound here is for a payments service that never makes up its mind.
    private static async Task<string?> PayAsync(WorkflowContext context, Charge charge)
    {
        for (var pause = TimeSpan.FromSeconds(1); ; pause = pause < TimeSpan.FromSeconds(8) ? pause * 2 : pause)
        {
            var payment = await context.CallActivityAsync<PaymentReply>(nameof(CapturePayment), charge, Retry.Of(charge.Checkout));
            if (!payment.Processing) return payment.Refusal;
            if (context.CurrentUtcDateTime >= charge.ReservedUntil.UtcDateTime) return Refusals.PaymentTimedOut;
            await context.CreateTimer(pause);
        }
    }
}
