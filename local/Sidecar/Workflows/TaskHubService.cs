using Dapr.Workflow.Protocol;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Status = Grpc.Core.Status;

namespace Marketplace.Local.Sidecar.Workflows;

/// <summary>The protocol of workflow workers and their clients, on the gRPC port of every app.</summary>
internal sealed class TaskHubService(WorkflowsBlock workflows, IHostApplicationLifetime lifetime) : TaskHubSidecarService.TaskHubSidecarServiceBase
{
    private static readonly CompleteTaskResponse Taken = new();
    private static readonly WriteOptions MoreToCome = new(WriteFlags.BufferHint);

    public override Task<Empty> Hello(Empty request, ServerCallContext context) => Task.FromResult(new Empty());

    public override async Task GetWorkItems(GetWorkItemsRequest request, IServerStreamWriter<WorkItem> responseStream, ServerCallContext context)
    {
        var engine = Engine(context);
        var stream = engine.OpenStream();
        using var end = Lasting(context);
        try
        {
            // The headers tell the worker that it is connected, before there is any work.
            await context.WriteResponseHeadersAsync([]);
            while (await stream.Reader.WaitToReadAsync(end.Token))
            {
                while (stream.Reader.TryRead(out var order))
                {
                    if (order.Stream != stream) continue;
                    responseStream.WriteOptions = stream.Reader.TryPeek(out _) ? MoreToCome : null;
                    await responseStream.WriteAsync(order.Build(), end.Token);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // The worker is gone, and what it had goes to another one; or we are, and it looks for us again.
            if (!context.CancellationToken.IsCancellationRequested) throw Leaving();
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
        using var end = Lasting(context);
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
            end.Token);
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

        await WaitAsync(context, request.InstanceId, InstanceState.IsTerminal);
        return new TerminateResponse();
    }

    public override async Task<SuspendResponse> SuspendInstance(SuspendRequest request, ServerCallContext context)
    {
        var engine = Engine(context);
        await engine.RaiseAsync(
            request.InstanceId, new HistoryEvent { ExecutionSuspended = new ExecutionSuspendedEvent { Input = NullIfEmpty(request.Reason) } }, context.CancellationToken);
        await WaitAsync(context, request.InstanceId, static status => status == OrchestrationStatus.Suspended || InstanceState.IsTerminal(status));
        return new SuspendResponse();
    }

    public override async Task<ResumeResponse> ResumeInstance(ResumeRequest request, ServerCallContext context)
    {
        var engine = Engine(context);
        await engine.RaiseAsync(
            request.InstanceId, new HistoryEvent { ExecutionResumed = new ExecutionResumedEvent { Input = NullIfEmpty(request.Reason) } }, context.CancellationToken);
        await WaitAsync(context, request.InstanceId, static status => status == OrchestrationStatus.Running || InstanceState.IsTerminal(status));
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

    public override async Task<RerunWorkflowFromEventResponse> RerunWorkflowFromEvent(RerunWorkflowFromEventRequest request, ServerCallContext context)
    {
        using var end = Lasting(context);
        return new RerunWorkflowFromEventResponse { NewInstanceID = await Engine(context).RerunAsync(request, end.Token) };
    }

    private WorkflowEngine Engine(ServerCallContext context)
    {
        try
        {
            return workflows.EngineOf(SidecarInstance.Of(context.GetHttpContext()));
        }
        catch (DaprApiException e)
        {
            throw e.ToRpc();
        }
    }

    private async Task<GetInstanceResponse> WaitAsync(GetInstanceRequest request, ServerCallContext context, Func<OrchestrationStatus, bool> condition) => new()
    {
        Exists = true,
        WorkflowState = await WaitAsync(context, request.InstanceId, condition, request.GetInputsAndOutputs),
    };

    private async Task<WorkflowState> WaitAsync(ServerCallContext context, string id, Func<OrchestrationStatus, bool> condition, bool inputsAndOutputs = false)
    {
        using var end = Lasting(context);
        try
        {
            return await Engine(context).WaitAsync(id, condition, inputsAndOutputs, end.Token);
        }
        catch (OperationCanceledException) when (!context.CancellationToken.IsCancellationRequested)
        {
            throw Leaving();
        }
    }

    /// <summary>A call that may last must not hold up the stop of the host.</summary>
    private CancellationTokenSource Lasting(ServerCallContext context) =>
        CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, lifetime.ApplicationStopping);

    private static RpcException Leaving() => new(new Status(StatusCode.Unavailable, "the sidecar is shutting down"));

    private static string? NullIfEmpty(string? text) => string.IsNullOrEmpty(text) ? null : text;
}
