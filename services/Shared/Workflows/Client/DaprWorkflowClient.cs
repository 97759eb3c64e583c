using Dapr.Workflow.Protocol;
using Dapr.Workflow.Worker;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;

namespace Dapr.Workflow;

/// <summary>Starts, watches and steers workflow instances of this app through its sidecar.</summary>
public sealed class DaprWorkflowClient
{
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(15);
    private readonly TaskHub hub;

    internal DaprWorkflowClient(TaskHub hub) => this.hub = hub;

    /// <summary>
    /// Starts an instance; without a start time the call lasts until a worker has taken it up, so give it a deadline.
    /// </summary>
    /// <returns>The instance id (a new GUID when none was given).</returns>
    /// <exception cref="RpcException">AlreadyExists (or Unknown with that text) when an instance of this id is under way.</exception>
    public async Task<string> ScheduleNewWorkflowAsync(
        string name, string? instanceId = null, object? input = null, DateTimeOffset? startTime = null, CancellationToken cancellation = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        var request = new CreateInstanceRequest
        {
            InstanceId = instanceId ?? Guid.NewGuid().ToString("N"),
            Name = name,
            Input = WorkflowJson.Write(input),
            ScheduledStartTimestamp = startTime is { } at ? Timestamp.FromDateTimeOffset(at) : null,
        };
        return (await hub.Client.StartInstanceAsync(request, hub.Headers, cancellationToken: cancellation)).InstanceId;
    }

    public async Task<WorkflowState> GetWorkflowStateAsync(string instanceId, bool getInputsAndOutputs = true, CancellationToken cancellation = default) =>
        new(await hub.Client.GetInstanceAsync(Instance(instanceId, getInputsAndOutputs), hub.Headers, cancellationToken: cancellation));

    public Task<WorkflowState> WaitForWorkflowStartAsync(string instanceId, bool getInputsAndOutputs = true, CancellationToken cancellation = default) =>
        WaitAsync(() => hub.Client.WaitForInstanceStartAsync(Instance(instanceId, getInputsAndOutputs), hub.Headers, cancellationToken: cancellation), cancellation);

    public Task<WorkflowState> WaitForWorkflowCompletionAsync(string instanceId, bool getInputsAndOutputs = true, CancellationToken cancellation = default) =>
        WaitAsync(() => hub.Client.WaitForInstanceCompletionAsync(Instance(instanceId, getInputsAndOutputs), hub.Headers, cancellationToken: cancellation), cancellation);

    public async Task RaiseEventAsync(string instanceId, string eventName, object? eventPayload = null, CancellationToken cancellation = default) =>
        await hub.Client.RaiseEventAsync(
            new RaiseEventRequest { InstanceId = instanceId, Name = eventName, Input = WorkflowJson.Write(eventPayload) }, hub.Headers, cancellationToken: cancellation);

    /// <summary>Ends the instance and its children where they stand; undoes nothing.</summary>
    public async Task TerminateWorkflowAsync(string instanceId, object? output = null, CancellationToken cancellation = default) =>
        await hub.Client.TerminateInstanceAsync(
            new TerminateRequest { InstanceId = instanceId, Output = WorkflowJson.Write(output), Recursive = true }, hub.Headers, cancellationToken: cancellation);

    public async Task SuspendWorkflowAsync(string instanceId, string? reason = null, CancellationToken cancellation = default) =>
        await hub.Client.SuspendInstanceAsync(new SuspendRequest { InstanceId = instanceId, Reason = reason }, hub.Headers, cancellationToken: cancellation);

    public async Task ResumeWorkflowAsync(string instanceId, string? reason = null, CancellationToken cancellation = default) =>
        await hub.Client.ResumeInstanceAsync(new ResumeRequest { InstanceId = instanceId, Reason = reason }, hub.Headers, cancellationToken: cancellation);

    /// <summary>Removes all traces of a finished instance and its children.</summary>
    /// <returns>Whether anything was removed.</returns>
    public async Task<bool> PurgeInstanceAsync(string instanceId, CancellationToken cancellation = default) =>
        (await hub.Client.PurgeInstancesAsync(new PurgeInstancesRequest { InstanceId = instanceId, Recursive = true }, hub.Headers, cancellationToken: cancellation))
        .DeletedInstanceCount > 0;

    private static GetInstanceRequest Instance(string instanceId, bool payloads) => new() { InstanceId = instanceId, GetInputsAndOutputs = payloads };

    /// <summary>The sidecar may end a long wait (restart, deadline): ask again.</summary>
    private static async Task<WorkflowState> WaitAsync(Func<AsyncUnaryCall<GetInstanceResponse>> call, CancellationToken ct)
    {
        for (var pause = TimeSpan.FromMilliseconds(50); ; pause = pause * 2 < LongestPause ? pause * 2 : LongestPause)
        {
            try
            {
                using var waiting = call();
                return new WorkflowState(await waiting);
            }
            catch (RpcException e) when (e.StatusCode is StatusCode.Unavailable or StatusCode.DeadlineExceeded && !ct.IsCancellationRequested)
            {
                await Task.Delay(pause, ct);
            }
        }
    }
}
