using Dapr.Workflow;
using Grpc.Core;
using Marketplace.Ordering.Orders;
using Npgsql;

namespace Marketplace.Ordering.Checkout;

/// <summary>
/// No order is ever stuck without a visible reason: whatever is not settled in time has its saga asked after. One that failed is parked
/// with what it failed of, one that is missing is started, one that takes too long is shown.
/// </summary>
public sealed partial class SagaWatch(
    SagaStore sagas, ISagaRuntime runtime, TimeProvider time, CheckoutOptions options, ILogger<SagaWatch> log) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(options.WatchEvery, time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            try
            {
                await LookAsync(stoppingToken);
            }
            catch (Exception away) when (away is NpgsqlException or RpcException)
            {
                LogAway(away);   // database or sidecar; what was claimed comes due again
            }
        }
    }

    public async Task LookAsync(CancellationToken ct)
    {
        foreach (var saga in await sagas.ClaimLateAsync(ct))
        {
            var standing = await runtime.AskAsync(saga, ct);
            switch (standing.Status)
            {
                case WorkflowRuntimeStatus.Unknown when await sagas.StartAgainAsync(saga, ct):
                    LogMissing(saga.Checkout.OrderId, saga.Checkout.Attempt);
                    break;
                case WorkflowRuntimeStatus.Completed when saga.AttemptStatus != AttemptStatus.Pending:
                    await sagas.SettleAsync(saga, ct);
                    break;
                case WorkflowRuntimeStatus.Completed:
                    await ParkAsync(saga, "The saga ended without a verdict on the order.", ct);
                    break;
                case WorkflowRuntimeStatus.Failed or WorkflowRuntimeStatus.Terminated or WorkflowRuntimeStatus.Canceled or WorkflowRuntimeStatus.Stalled:
                    await ParkAsync(saga, $"The {saga.Name} saga {standing.Status.ToString().ToLowerInvariant()}: {standing.Failure ?? "no details"}", ct);
                    break;
                default:                                       // under way, or its command still waits in the lane
                    if (time.GetUtcNow() - saga.StartedAt > options.StuckAfter)
                        await ParkAsync(saga, $"The {saga.Name} saga has been under way since {saga.StartedAt:O}; see its steps.", ct);
                    break;
            }
        }
    }

    private async Task ParkAsync(Saga saga, string reason, CancellationToken ct)
    {
        if (await sagas.ParkAsync(saga, reason, ct)) LogParked(saga.Checkout.OrderId, reason);
    }

    [LoggerMessage(LogLevel.Error, "Order {OrderId} is parked and needs a person: {Reason}")]
    private partial void LogParked(Guid orderId, string reason);

    [LoggerMessage(LogLevel.Warning, "Order {OrderId}, attempt {Attempt}, has no saga: it is started again")]
    private partial void LogMissing(Guid orderId, int attempt);

    [LoggerMessage(LogLevel.Warning, "Sagas cannot be asked after right now")]
    private partial void LogAway(Exception away);
}
