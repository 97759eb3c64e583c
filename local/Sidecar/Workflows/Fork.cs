using Dapr.Workflow.Protocol;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Status = Grpc.Core.Status;

namespace Marketplace.Local.Sidecar.Workflows;

/// <summary>The history of a rerun: that of the source up to the event, which is written anew.</summary>
internal static class Fork
{
    public static List<HistoryEvent> Build(IReadOnlyList<HistoryEvent> source, RerunWorkflowFromEventRequest request, string newId, Timestamp now)
    {
        var history = new List<HistoryEvent>();
        foreach (var e in source)
        {
            if (e.ExecutionStarted is { ParentInstance: not null })
                throw Invalid($"'{request.SourceInstanceID}': cannot rerun from child-workflows");
            if (e.EventId == (int)request.EventID)
            {
                RenameOpenChildren(history, newId);
                history.Add(Again(e, request, newId, now));
                return history;
            }

            history.Add(e.ExecutionStarted is null ? e : Renamed(e, newId));
        }

        throw new RpcException(new Status(StatusCode.NotFound, $"does not have history event with ID '{request.EventID}'"));
    }

    /// <summary>Children that had not ended by then run again too, beside those of the source.</summary>
    private static void RenameOpenChildren(List<HistoryEvent> history, string newId)
    {
        var ended = history.Select(InstanceState.ResolvedId).ToHashSet();
        for (var i = 0; i < history.Count; i++)
        {
            if (history[i].ChildWorkflowInstanceCreated is null || ended.Contains(history[i].EventId)) continue;
            history[i] = history[i].Clone();
            history[i].ChildWorkflowInstanceCreated.InstanceId = $"{newId}:{history[i].EventId:x4}";
        }
    }

    private static HistoryEvent Renamed(HistoryEvent start, string newId)
    {
        var renamed = start.Clone();
        renamed.ExecutionStarted.WorkflowInstance = new WorkflowInstance { InstanceId = newId, ExecutionId = Guid.NewGuid().ToString() };
        return renamed;
    }

    private static HistoryEvent Again(HistoryEvent e, RerunWorkflowFromEventRequest request, string newId, Timestamp now)
    {
        var again = e.Clone();
        var origin = new RerunParentInstanceInfo { InstanceID = request.SourceInstanceID };
        again.Timestamp = now;
        switch (again.EventTypeCase)
        {
            case HistoryEvent.EventTypeOneofCase.TaskScheduled when request.HasNewChildWorkflowInstanceID:
                throw Invalid($"cannot set new child workflow instance ID on activity event '{request.EventID}'");
            case HistoryEvent.EventTypeOneofCase.TaskScheduled:
                again.TaskScheduled.RerunParentInstanceInfo = origin;
                if (request.OverwriteInput) again.TaskScheduled.Input = request.Input;
                return again;

            case HistoryEvent.EventTypeOneofCase.TimerCreated when request.OverwriteInput:
                throw Invalid($"cannot write input to timer event '{request.EventID}'");
            case HistoryEvent.EventTypeOneofCase.TimerCreated when request.HasNewChildWorkflowInstanceID:
                throw Invalid($"cannot set new child workflow instance ID on timer event '{request.EventID}'");
            case HistoryEvent.EventTypeOneofCase.TimerCreated:
                again.TimerCreated.RerunParentInstanceInfo = origin;
                return again;

            case HistoryEvent.EventTypeOneofCase.ChildWorkflowInstanceCreated:
                again.ChildWorkflowInstanceCreated.RerunParentInstanceInfo = origin;
                again.ChildWorkflowInstanceCreated.InstanceId = request.HasNewChildWorkflowInstanceID ? request.NewChildWorkflowInstanceID : $"{newId}:{e.EventId:x4}";
                if (request.OverwriteInput) again.ChildWorkflowInstanceCreated.Input = request.Input;
                return again;

            default:
                throw new RpcException(new Status(StatusCode.NotFound, $"target event '{e.EventTypeCase}' with ID '{request.EventID}' is not an event that can be rerun"));
        }
    }

    private static RpcException Invalid(string detail) => new(new Status(StatusCode.InvalidArgument, detail));
}
