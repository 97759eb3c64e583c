using System.Threading.Channels;
using Dapr.Workflow.Protocol;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Grpc.Net.Client;

namespace Marketplace.Sidecar.Tests.Workflows;

/// <summary>A worker that a test plays by hand: it takes work items as they come and answers what the test says.</summary>
internal sealed class ScriptedWorker : IAsyncDisposable
{
    private readonly GrpcChannel channel;
    private readonly CancellationTokenSource stop = new();
    private readonly Channel<WorkItem> turns = Channel.CreateUnbounded<WorkItem>();
    private readonly Channel<WorkItem> activities = Channel.CreateUnbounded<WorkItem>();
    private Task receiving = Task.CompletedTask;

    private ScriptedWorker(int grpcPort)
    {
        channel = GrpcChannel.ForAddress($"http://127.0.0.1:{grpcPort}", new GrpcChannelOptions { MaxReceiveMessageSize = null });
        Client = new TaskHubSidecarService.TaskHubSidecarServiceClient(channel);
    }

    public TaskHubSidecarService.TaskHubSidecarServiceClient Client { get; }

    public static async Task<ScriptedWorker> ConnectAsync(int grpcPort)
    {
        var worker = new ScriptedWorker(grpcPort);
        var stream = worker.Client.GetWorkItems(new GetWorkItemsRequest(), cancellationToken: worker.stop.Token);
        await stream.ResponseHeadersAsync;
        worker.receiving = worker.ReceiveAsync(stream);
        return worker;
    }

    /// <summary>Only a client; nothing is run through it.</summary>
    public static ScriptedWorker ClientOnly(int grpcPort) => new(grpcPort);

    public async Task<WorkItem> NextTurnAsync() => await turns.Reader.ReadAsync(Limit());

    public async Task<WorkItem> NextActivityAsync() => await activities.Reader.ReadAsync(Limit());

    public bool HasActivity => activities.Reader.Count > 0;
    public bool HasTurn => turns.Reader.Count > 0;

    public async Task AnswerAsync(WorkItem turn, params WorkflowAction[] actions)
    {
        var response = new WorkflowResponse { InstanceId = turn.WorkflowRequest.InstanceId, CompletionToken = turn.CompletionToken };
        response.Actions.AddRange(actions);
        await Client.CompleteOrchestratorTaskAsync(response);
    }

    public async Task AnswerAsync(WorkItem activity, string result) => await Client.CompleteActivityTaskAsync(new ActivityResponse
    {
        InstanceId = activity.ActivityRequest.WorkflowInstance.InstanceId,
        TaskId = activity.ActivityRequest.TaskId,
        Result = result,
        CompletionToken = activity.CompletionToken,
    });

    public async Task FailAsync(WorkItem activity, string errorType) => await Client.CompleteActivityTaskAsync(new ActivityResponse
    {
        InstanceId = activity.ActivityRequest.WorkflowInstance.InstanceId,
        TaskId = activity.ActivityRequest.TaskId,
        FailureDetails = new TaskFailureDetails { ErrorType = errorType, ErrorMessage = "no" },
        CompletionToken = activity.CompletionToken,
    });

    /// <summary>Asks for a start; the returned call ends after the first turn.</summary>
    public Task<CreateInstanceResponse> StartAsync(string id, string name = "Buy", string? input = null, DateTimeOffset? at = null) =>
        Client.StartInstanceAsync(
            new CreateInstanceRequest { InstanceId = id, Name = name, Input = input, ScheduledStartTimestamp = at?.ToTimestamp() },
            deadline: DateTime.UtcNow.AddSeconds(20)).ResponseAsync;

    /// <summary>Starts an instance and answers its first turn.</summary>
    public async Task<WorkItem> BeginAsync(string id, params WorkflowAction[] actions)
    {
        var started = StartAsync(id);
        var turn = await NextTurnAsync();
        await AnswerAsync(turn, actions);
        await started;
        return turn;
    }

    public async Task<WorkflowState> GetAsync(string id) =>
        (await Client.GetInstanceAsync(new GetInstanceRequest { InstanceId = id, GetInputsAndOutputs = true })).WorkflowState;

    public async Task<WorkflowState> CompletionAsync(string id) => (await Client.WaitForInstanceCompletionAsync(
        new GetInstanceRequest { InstanceId = id, GetInputsAndOutputs = true }, deadline: DateTime.UtcNow.AddSeconds(20))).WorkflowState;

    public async Task<IReadOnlyList<HistoryEvent>> HistoryAsync(string id) =>
        (await Client.GetInstanceHistoryAsync(new GetInstanceHistoryRequest { InstanceId = id })).Events;

    public async Task RaiseAsync(string id, string name, string? data = null) =>
        await Client.RaiseEventAsync(new RaiseEventRequest { InstanceId = id, Name = name, Input = data });

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await receiving;
        channel.Dispose();
        stop.Dispose();
    }

    private async Task ReceiveAsync(AsyncServerStreamingCall<WorkItem> stream)
    {
        try
        {
            await foreach (var item in stream.ResponseStream.ReadAllAsync(stop.Token))
                await (item.RequestCase == WorkItem.RequestOneofCase.WorkflowRequest ? turns : activities).Writer.WriteAsync(item);
        }
        catch (Exception e) when (e is RpcException or OperationCanceledException)
        {
            turns.Writer.TryComplete();
            activities.Writer.TryComplete();
        }
        finally
        {
            stream.Dispose();
        }
    }

    private static CancellationToken Limit() => new CancellationTokenSource(TimeSpan.FromSeconds(20)).Token;
}

/// <summary>What a turn may ask for.</summary>
internal static class Do
{
    public static WorkflowAction Activity(int id, string name, string? input = null) => new()
    {
        Id = id,
        ScheduleTask = new ScheduleTaskAction { Name = name, Input = input, TaskExecutionId = $"execution-{id}" },
    };

    public static WorkflowAction Timer(int id, DateTimeOffset fireAt) => new()
    {
        Id = id,
        CreateTimer = new CreateTimerAction { FireAt = fireAt.ToTimestamp(), CreateTimer = new TimerOriginCreateTimer() },
    };

    public static WorkflowAction WaitTimer(int id, string name, DateTimeOffset fireAt) => new()
    {
        Id = id,
        CreateTimer = new CreateTimerAction { FireAt = fireAt.ToTimestamp(), ExternalEvent = new TimerOriginExternalEvent { Name = name } },
    };

    public static WorkflowAction Child(int id, string name, string childId = "", string? input = null) => new()
    {
        Id = id,
        CreateChildWorkflow = new CreateChildWorkflowAction { InstanceId = childId, Name = name, Input = input },
    };

    public static WorkflowAction Complete(string? result = null, int id = 0) => new()
    {
        Id = id,
        CompleteWorkflow = new CompleteWorkflowAction { WorkflowStatus = OrchestrationStatus.Completed, Result = result },
    };

    public static WorkflowAction Fail(string errorType) => new()
    {
        CompleteWorkflow = new CompleteWorkflowAction
        {
            WorkflowStatus = OrchestrationStatus.Failed,
            FailureDetails = new TaskFailureDetails { ErrorType = errorType, ErrorMessage = "no" },
        },
    };

    public static WorkflowAction ContinueAsNew(string input, params HistoryEvent[] carryover)
    {
        var action = new WorkflowAction { CompleteWorkflow = new CompleteWorkflowAction { WorkflowStatus = OrchestrationStatus.ContinuedAsNew, Result = input } };
        action.CompleteWorkflow.CarryoverEvents.AddRange(carryover);
        return action;
    }
}
