using Dapr.Workflow.Protocol;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Status = Grpc.Core.Status;

namespace Marketplace.Local.Sidecar.Workflows;

/// <summary>The protocol of workflow workers and their clients, on the gRPC port of every app.</summary>
internal sealed class TaskHubService(WorkflowsBlock workflows) : TaskHubSidecarService.TaskHubSidecarServiceBase
{
    private static readonly CompleteTaskResponse Taken = new();
    private static readonly WriteOptions MoreToCome = new(WriteFlags.BufferHint);

    public override Task<Empty> Hello(Empty request, ServerCallContext context) => Task.FromResult(new Empty());

    public override async Task GetWorkItems(GetWorkItemsRequest request, IServerStreamWriter<WorkItem> responseStream, ServerCallContext context)
    {
        var engine = Engine(context);
        var stream = engine.OpenStream();
        try
        {
            // The headers tell the worker that it is connected, before there is any work.
            await context.WriteResponseHeadersAsync([]);
            while (await stream.Reader.WaitToReadAsync(context.CancellationToken))
            {
                while (stream.Reader.TryRead(out var order))
                {
                    if (order.Stream != stream) continue;
                    responseStream.WriteOptions = stream.Reader.TryPeek(out _) ? MoreToCome : null;
                    await responseStream.WriteAsync(order.Build(), context.CancellationToken);
                }
            }
        }
        catch (OperationCanceledException)
        {
            return;     // the worker is gone; what it had goes to another one
        }
        finally
        {
            engine.Dispatcher.Close(stream);
        }
    }

    public override Task<CompleteTaskResponse> CompleteOrchestratorTask(WorkflowResponse request, ServerCallContext context)
    {
        Engine(context).CompleteTurn(request);
        return Task.FromResult(Taken);
    }

    public override Task<CompleteTaskResponse> CompleteWorkflowTask(WorkflowResponse request, ServerCallContext context) => CompleteOrchestratorTask(request, context);

    public override Task<CompleteTaskResponse> CompleteActivityTask(ActivityResponse request, ServerCallContext context)
    {
        Engine(context).CompleteActivity(request);
        return Task.FromResult(Taken);
    }

    public override async Task<CreateInstanceResponse> StartInstance(CreateInstanceRequest request, ServerCallContext context)
    {
        await Engine(context).StartAsync(
            new ExecutionStartedEvent
            {
                Name = request.Name,
                Input = request.Input,
                WorkflowInstance = new WorkflowInstance { InstanceId = request.InstanceId },
                ParentTraceContext = request.ParentTraceContext,
                ScheduledStartTimestamp = request.ScheduledStartTimestamp,
            },
            untilStarted: true,
            context.CancellationToken);
        return new CreateInstanceResponse { InstanceId = request.InstanceId };
    }

    public override async Task<GetInstanceResponse> GetInstance(GetInstanceRequest request, ServerCallContext context)
    {
        var state = await Engine(context).GetAsync(request.InstanceId, request.GetInputsAndOutputs, context.CancellationToken);
        return new GetInstanceResponse { Exists = state is not null, WorkflowState = state };
    }

    public override Task<GetInstanceResponse> WaitForInstanceStart(GetInstanceRequest request, ServerCallContext context) =>
        WaitAsync(request, context, static status => status != OrchestrationStatus.Pending);

    public override Task<GetInstanceResponse> WaitForInstanceCompletion(GetInstanceRequest request, ServerCallContext context) =>
        WaitAsync(request, context, InstanceState.IsTerminal);

    public override async Task<RaiseEventResponse> RaiseEvent(RaiseEventRequest request, ServerCallContext context)
    {
        await Engine(context).RaiseAsync(
            request.InstanceId, new HistoryEvent { EventRaised = new EventRaisedEvent { Name = request.Name, Input = request.Input } }, context.CancellationToken);
        return new RaiseEventResponse();
    }

    public override async Task<TerminateResponse> TerminateInstance(TerminateRequest request, ServerCallContext context)
    {
        var engine = Engine(context);
        try
        {
            await engine.RaiseAsync(
                request.InstanceId,
                new HistoryEvent { ExecutionTerminated = new ExecutionTerminatedEvent { Input = request.Output, Recurse = request.Recursive } },
                context.CancellationToken);
        }
        catch (RpcException e)
        {
            throw new RpcException(new Status(e.StatusCode, $"failed to submit termination request: {e.Status.Detail}"));
        }

        await engine.WaitAsync(request.InstanceId, InstanceState.IsTerminal, inputsAndOutputs: false, context.CancellationToken);
        return new TerminateResponse();
    }

    public override async Task<SuspendResponse> SuspendInstance(SuspendRequest request, ServerCallContext context)
    {
        var engine = Engine(context);
        await engine.RaiseAsync(
            request.InstanceId, new HistoryEvent { ExecutionSuspended = new ExecutionSuspendedEvent { Input = NullIfEmpty(request.Reason) } }, context.CancellationToken);
        await engine.WaitAsync(request.InstanceId, static status => status == OrchestrationStatus.Suspended || InstanceState.IsTerminal(status), false, context.CancellationToken);
        return new SuspendResponse();
    }

    public override async Task<ResumeResponse> ResumeInstance(ResumeRequest request, ServerCallContext context)
    {
        var engine = Engine(context);
        await engine.RaiseAsync(
            request.InstanceId, new HistoryEvent { ExecutionResumed = new ExecutionResumedEvent { Input = NullIfEmpty(request.Reason) } }, context.CancellationToken);
        await engine.WaitAsync(request.InstanceId, static status => status == OrchestrationStatus.Running || InstanceState.IsTerminal(status), false, context.CancellationToken);
        return new ResumeResponse();
    }

    public override async Task<PurgeInstancesResponse> PurgeInstances(PurgeInstancesRequest request, ServerCallContext context)
    {
        if (request.RequestCase == PurgeInstancesRequest.RequestOneofCase.PurgeInstanceFilter)
            throw new RpcException(new Status(StatusCode.Unknown, "multi-instance purge is not implemented"));
        try
        {
            var count = await Engine(context).PurgeAsync(request.InstanceId, request.Recursive, request.Force, context.CancellationToken);
            return new PurgeInstancesResponse { DeletedInstanceCount = count };
        }
        catch (RpcException e)
        {
            throw new RpcException(new Status(e.StatusCode, $"failed to purge workflow state: {e.Status.Detail}"));
        }
    }

    public override async Task<ListInstanceIDsResponse> ListInstanceIDs(ListInstanceIDsRequest request, ServerCallContext context)
    {
        var size = request.HasPageSize && request.PageSize > 0 ? (int)Math.Min(request.PageSize, 10_000) : 1024;
        var (ids, next) = await Engine(context).ListAsync(request.HasContinuationToken ? request.ContinuationToken : null, size, context.CancellationToken);
        var response = new ListInstanceIDsResponse { InstanceIds = { ids } };
        if (next is not null) response.ContinuationToken = next;
        return response;
    }

    public override async Task<GetInstanceHistoryResponse> GetInstanceHistory(GetInstanceHistoryRequest request, ServerCallContext context) =>
        new() { Events = { await Engine(context).HistoryAsync(request.InstanceId, context.CancellationToken) } };

    private WorkflowEngine Engine(ServerCallContext context) => workflows.EngineOf(SidecarInstance.Of(context.GetHttpContext()));

    private async Task<GetInstanceResponse> WaitAsync(GetInstanceRequest request, ServerCallContext context, Func<OrchestrationStatus, bool> condition) => new()
    {
        Exists = true,
        WorkflowState = await Engine(context).WaitAsync(request.InstanceId, condition, request.GetInputsAndOutputs, context.CancellationToken),
    };

    private static string? NullIfEmpty(string? text) => string.IsNullOrEmpty(text) ? null : text;
}
