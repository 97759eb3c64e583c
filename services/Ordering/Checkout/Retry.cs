using Dapr.Workflow;

namespace Marketplace.Ordering.Checkout;

public static class Retry
{
    /// <summary>Rides out a restart of a neighbour (some 25 seconds of pauses), then the checkout is refused: a buyer is waiting.</summary>
    public static readonly WorkflowTaskOptions Standard = new(new WorkflowRetryPolicy(
        maxNumberOfAttempts: 10, firstRetryInterval: TimeSpan.FromMilliseconds(200), backoffCoefficient: 2, maxRetryInterval: TimeSpan.FromSeconds(5)));

    /// <summary>
    /// An order of a flash sale has a unit that is its buyer's until payUntil (10 minutes): some eight minutes of pauses, so that only an outage
    /// that would cost the unit anyhow costs it.
    /// </summary>
    public static readonly WorkflowTaskOptions Patient = new(new WorkflowRetryPolicy(
        maxNumberOfAttempts: 100, firstRetryInterval: TimeSpan.FromMilliseconds(200), backoffCoefficient: 2, maxRetryInterval: TimeSpan.FromSeconds(5)));

    public static WorkflowTaskOptions Of(CheckoutAttempt checkout) => checkout.SaleId is null ? Standard : Patient;

    /// <summary>For what must not be given up because money or units are at stake. After some twelve minutes the saga fails and is parked.</summary>
    public static readonly WorkflowTaskOptions UntilDone = new(new WorkflowRetryPolicy(
        maxNumberOfAttempts: 30, firstRetryInterval: TimeSpan.FromMilliseconds(300), backoffCoefficient: 2, maxRetryInterval: TimeSpan.FromSeconds(30)));
}
