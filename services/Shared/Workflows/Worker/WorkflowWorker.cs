using System.Diagnostics;
using Dapr.Workflow.Abstractions;
using Dapr.Workflow.Protocol;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Dapr.Workflow.Worker;

/// <summary>
/// Keeps one stream of work items open to the sidecar, runs them, and answers each once. A stream that ends is opened again for ever: the
/// sidecar gives unanswered items to the next stream.
/// </summary>
internal sealed partial class WorkflowWorker(
    WorkflowRuntimeOptions options, TaskHub hub, IServiceScopeFactory scopes, ILoggerFactory loggers, TimeProvider time, ILogger<WorkflowWorker> log) : BackgroundService
{
    internal static readonly ActivitySource Tracing = new("Dapr.Workflow");

    private static readonly TimeSpan KeepAlive = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan FirstReconnect = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan LongestReconnect = TimeSpan.FromSeconds(5);

    private readonly SemaphoreSlim workflowSlots = new(options.MaxConcurrentWorkflows);
    private readonly SemaphoreSlim activitySlots = new(options.MaxConcurrentActivities);
    private readonly List<Task> running = [];

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var delay = FirstReconnect;
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                await hub.Client.HelloAsync(new Empty(), hub.Headers, cancellationToken: stoppingToken);
                delay = FirstReconnect;
                await ReceiveAsync(stoppingToken);
            }
            catch (RpcException e) when (!stoppingToken.IsCancellationRequested)
            {
                LogDisconnected(e.Status.Detail, delay);
            }
            catch (Exception) when (stoppingToken.IsCancellationRequested)
            {
                break;
            }

            try
            {
                await Task.Delay(delay, time, stoppingToken);
            }
            catch (OperationCanceledException)
            {
                break;
            }

            delay = delay * 2 < LongestReconnect ? delay * 2 : LongestReconnect;
        }

        // Items under way may still be answered: the sidecar repeats those that are not.
        Task[] left;
        lock (running) left = [.. running];
        await Task.WhenAll(left);
    }

    private async Task ReceiveAsync(CancellationToken ct)
    {
        using var stream = hub.Client.GetWorkItems(new GetWorkItemsRequest(), hub.Headers, cancellationToken: ct);
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(ct);
        var keepAlive = KeepAliveAsync(ended.Token);
        LogConnected(options.Workflows.Count, options.Activities.Count);
        try
        {
            await foreach (var item in stream.ResponseStream.ReadAllAsync(ct))
            {
                switch (item.RequestCase)
                {
                    case WorkItem.RequestOneofCase.WorkflowRequest:
                        await workflowSlots.WaitAsync(ct);
                        Track(Task.Run(() => RunTurnAsync(item.WorkflowRequest, item.CompletionToken), CancellationToken.None));
                        break;
                    case WorkItem.RequestOneofCase.ActivityRequest:
                        await activitySlots.WaitAsync(ct);
                        Track(Task.Run(() => RunActivityAsync(item.ActivityRequest, item.CompletionToken), CancellationToken.None));
                        break;
                    default:
                        break;      // older sidecars send health pings here
                }
            }
        }
        finally
        {
            await ended.CancelAsync();
            await keepAlive;
        }
    }

    private async Task KeepAliveAsync(CancellationToken ct)
    {
        using var timer = new PeriodicTimer(KeepAlive, time);
        try
        {
            while (await timer.WaitForNextTickAsync(ct)) await hub.Client.HelloAsync(new Empty(), hub.Headers, time.GetUtcNow().AddSeconds(5).UtcDateTime, ct);
        }
        catch (Exception e) when (e is OperationCanceledException or RpcException)
        {
            // The stream itself reports a lost connection.
        }
    }

    private void Track(Task item)
    {
        lock (running)
        {
            running.RemoveAll(task => task.IsCompleted);
            running.Add(item);
        }
    }

    private async Task RunTurnAsync(WorkflowRequest request, string completionToken)
    {
        try
        {
            WorkflowResponse response;
            await using (var scope = scopes.CreateAsyncScope())
            {
                var turn = new WorkflowTurn(request.InstanceId, name => options.Workflows.GetValueOrDefault(name)?.Invoke(scope.ServiceProvider), loggers);
                response = turn.Run(request);
            }

            response.CompletionToken = completionToken;
            // The deprecated name is the one that every sidecar since 1.15 serves.
            await hub.Client.CompleteOrchestratorTaskAsync(response, hub.Headers);
        }
        catch (RpcException e)
        {
            LogAnswerLost(request.InstanceId, e.Status.Detail);
        }
        catch (Exception e)
        {
            // Not the workflow's own failure (that is part of the answer): the item is left unanswered and comes again.
            LogTurnBroken(e, request.InstanceId);
        }
        finally
        {
            workflowSlots.Release();
        }
    }

    private async Task RunActivityAsync(ActivityRequest request, string completionToken)
    {
        var instanceId = request.WorkflowInstance.InstanceId;
        var response = new ActivityResponse { InstanceId = instanceId, TaskId = request.TaskId, CompletionToken = completionToken };
        try
        {
            try
            {
                ActivityContext.TryParse(request.ParentTraceContext?.TraceParent, request.ParentTraceContext?.TraceState, out var parent);
                using var trace = Tracing.StartActivity(request.Name, ActivityKind.Internal, parent);
                await using var scope = scopes.CreateAsyncScope();
                if (options.Activities.TryGetValue(request.Name, out var create))
                {
                    var activity = create(scope.ServiceProvider);
                    var result = await activity.RunAsync(new CallContext(request), WorkflowJson.Read(request.Input, activity.InputType));
                    response.Result = WorkflowJson.Write(result);
                }
                else
                {
                    response.FailureDetails = WorkflowTurn.ToProto(new WorkflowTaskFailureDetails(
                        "ActivityNotFoundException", $"This worker has no activity named '{request.Name}'. Register it with AddDaprWorkflow."));
                }
            }
            catch (Exception e)
            {
                LogActivityFailed(e, request.Name, instanceId);
                response.FailureDetails = WorkflowTurn.ToProto(WorkflowTurn.Details(e));
            }

            await hub.Client.CompleteActivityTaskAsync(response, hub.Headers);
        }
        catch (RpcException e)
        {
            LogAnswerLost(instanceId, e.Status.Detail);
        }
        finally
        {
            activitySlots.Release();
        }
    }

    public override void Dispose()
    {
        workflowSlots.Dispose();
        activitySlots.Dispose();
        base.Dispose();
    }

    [LoggerMessage(LogLevel.Information, "Workflow worker connected with {Workflows} workflows and {Activities} activities")]
    private partial void LogConnected(int workflows, int activities);

    [LoggerMessage(LogLevel.Warning, "Workflow stream lost ({Reason}), connecting again in {Delay}")]
    private partial void LogDisconnected(string reason, TimeSpan delay);

    [LoggerMessage(LogLevel.Warning, "Answer for workflow {InstanceId} did not reach the sidecar ({Reason}); the item will come again")]
    private partial void LogAnswerLost(string instanceId, string reason);

    [LoggerMessage(LogLevel.Error, "A turn of workflow {InstanceId} could not be run")]
    private partial void LogTurnBroken(Exception exception, string instanceId);

    [LoggerMessage(LogLevel.Warning, "Activity {Activity} of workflow {InstanceId} failed")]
    private partial void LogActivityFailed(Exception exception, string activity, string instanceId);

    private sealed class CallContext(ActivityRequest request) : WorkflowActivityContext
    {
        public override TaskIdentifier Identifier => request.Name;

        public override string TaskExecutionKey => request.TaskExecutionId;

        public override string InstanceId => request.WorkflowInstance.InstanceId;
    }
}
