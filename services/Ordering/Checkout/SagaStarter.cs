using Dapr.Workflow;
using Grpc.Core;

namespace Marketplace.Ordering.Checkout;

/// <summary>
/// Handles the lane that starts sagas. Starting an id again would run a finished saga once more, so the table decides whether there is
/// anything to start; that one is already running is what was asked for.
/// </summary>
public sealed partial class SagaStarter(SagaStore sagas, ISagaRuntime runtime, CheckoutOptions options, TimeProvider time, ILogger<SagaStarter> log)
{
    /// <summary>True when the saga is under way now, false when there is nothing to start.</summary>
    public async Task<bool> StartAsync(StartSaga command, CancellationToken ct)
    {
        if (await sagas.ToStartAsync(command, ct) is not { } saga)
        {
            LogNothingToStart(command.OrderId, command.Attempt);
            return false;
        }

        using var deadline = new CancellationTokenSource(options.StartWithin, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(ct, deadline.Token);
        if (!await runtime.StartAsync(saga, either.Token)) LogAlreadyRunning(command.OrderId, command.Attempt);
        return true;
    }

    [LoggerMessage(LogLevel.Information, "The saga of order {OrderId}, attempt {Attempt}, has ended or is parked: not started again")]
    private partial void LogNothingToStart(Guid orderId, int attempt);

    [LoggerMessage(LogLevel.Debug, "The saga of order {OrderId}, attempt {Attempt}, is already under way")]
    private partial void LogAlreadyRunning(Guid orderId, int attempt);
}

/// <summary>Where sagas run: the sidecar, across a process border.</summary>
public interface ISagaRuntime
{
    /// <summary>False when it is already under way.</summary>
    Task<bool> StartAsync(Saga saga, CancellationToken ct);

    Task<SagaStanding> AskAsync(Saga saga, CancellationToken ct);
}

/// <summary>What the runtime knows of a saga; <see cref="Failure"/> when it failed.</summary>
public sealed record SagaStanding(WorkflowRuntimeStatus Status, string? Failure)
{
    public static readonly SagaStanding Absent = new(WorkflowRuntimeStatus.Unknown, null);
}

public sealed class DaprSagaRuntime(DaprWorkflowClient workflows) : ISagaRuntime
{
    public async Task<bool> StartAsync(Saga saga, CancellationToken ct)
    {
        try
        {
            await workflows.ScheduleNewWorkflowAsync(saga.Workflow, saga.Id, saga.Checkout, cancellation: ct);
            return true;
        }
        catch (RpcException running) when (running.StatusCode == StatusCode.AlreadyExists
            || (running.StatusCode == StatusCode.Unknown && running.Status.Detail.Contains("already exists", StringComparison.OrdinalIgnoreCase)))
        {
            return false;
        }
    }

    public async Task<SagaStanding> AskAsync(Saga saga, CancellationToken ct)
    {
        var state = await workflows.GetWorkflowStateAsync(saga.Id, getInputsAndOutputs: false, ct);
        return state.Exists ? new SagaStanding(state.RuntimeStatus, state.FailureDetails?.ToString()) : SagaStanding.Absent;
    }
}
