using Dapr.Workflow.Protocol;
using Grpc.Core;
using Marketplace.TestKit;
using Xunit;
using EventType = Dapr.Workflow.Protocol.HistoryEvent.EventTypeOneofCase;

namespace Marketplace.Sidecar.Tests.Workflows;

/// <summary>Starting, watching, pausing, ending and removing, with daprd's answers and error texts.</summary>
public sealed class WhenClientsSteerInstances : IAsyncLifetime
{
    private WorkflowHost host = null!;
    private ScriptedWorker worker = null!;

    public async ValueTask InitializeAsync()
    {
        host = await WorkflowHost.StartAsync(apps: ["shop", "depot"]);
        worker = await ScriptedWorker.ConnectAsync(host.GrpcPort);
    }

    public async ValueTask DisposeAsync()
    {
        await worker.DisposeAsync();
        await host.DisposeAsync();
    }

    [Fact]
    public async Task Nothing_starts_while_no_worker_is_connected()
    {
        var client = ScriptedWorker.ClientOnly(host.Plan.Apps[1].GrpcPort);
        var waiting = client.Client.StartInstanceAsync(new CreateInstanceRequest { InstanceId = "a", Name = "Buy" }, deadline: DateTime.UtcNow.AddMilliseconds(300));
        Assert.Equal(StatusCode.DeadlineExceeded, (await Assert.ThrowsAsync<RpcException>(async () => await waiting)).StatusCode);
        Assert.False((await client.Client.GetInstanceAsync(new GetInstanceRequest { InstanceId = "a" })).Exists);
        await client.DisposeAsync();
    }

    [Fact]
    public async Task A_start_that_the_caller_gave_up_goes_on()
    {
        var waiting = worker.Client.StartInstanceAsync(new CreateInstanceRequest { InstanceId = "a", Name = "Buy" }, deadline: DateTime.UtcNow.AddMilliseconds(1500));
        var turn = await worker.NextTurnAsync();
        await Assert.ThrowsAsync<RpcException>(async () => await waiting);
        await worker.AnswerAsync(turn, Do.Complete("1"));
        Assert.Equal("1", (await worker.CompletionAsync("a")).Output);
    }

    [Fact]
    public async Task An_active_id_is_taken_and_a_finished_one_is_free()
    {
        await worker.BeginAsync("a");
        var taken = await Assert.ThrowsAsync<RpcException>(() => worker.StartAsync("a"));
        Assert.Equal((StatusCode.AlreadyExists, "an active workflow with ID 'a' already exists"), (taken.StatusCode, taken.Status.Detail));

        await worker.RaiseAsync("a", "End");
        await worker.AnswerAsync(await worker.NextTurnAsync(), Do.Complete("1"));
        await worker.CompletionAsync("a");

        await worker.BeginAsync("a");
        Assert.Equal(OrchestrationStatus.Running, (await worker.GetAsync("a")).WorkflowStatus);
        Assert.Equal([EventType.WorkflowStarted, EventType.ExecutionStarted], (await worker.HistoryAsync("a")).Select(e => e.EventTypeCase));
    }

    [Fact]
    public async Task Of_many_starts_of_one_id_one_wins()
    {
        var starts = Enumerable.Range(0, 20).Select(_ => worker.StartAsync("a")).ToList();
        await worker.AnswerAsync(await worker.NextTurnAsync());
        var outcomes = await Task.WhenAll(starts.Select(async start =>
        {
            try
            {
                await start;
                return StatusCode.OK;
            }
            catch (RpcException e)
            {
                return e.StatusCode;
            }
        }));
        Assert.Equal(1, outcomes.Count(code => code == StatusCode.OK));
        Assert.Equal(19, outcomes.Count(code => code == StatusCode.AlreadyExists));
    }

    [Fact]
    public async Task An_id_is_not_free_while_an_activity_of_the_finished_run_is_out()
    {
        await worker.BeginAsync("a", Do.Activity(0, "Tell"), Do.Complete(id: 1));
        var activity = await worker.NextActivityAsync();
        var refused = await Assert.ThrowsAsync<RpcException>(() => worker.StartAsync("a"));
        Assert.Equal("a terminated workflow with ID 'a' is already awaiting an activity result", refused.Status.Detail);

        await worker.AnswerAsync(activity, "1");
        await worker.BeginAsync("a");
    }

    [Fact]
    public async Task An_unknown_instance_does_not_exist_and_takes_no_events()
    {
        Assert.False((await worker.Client.GetInstanceAsync(new GetInstanceRequest { InstanceId = "nobody" })).Exists);
        var refused = await Assert.ThrowsAsync<RpcException>(() => worker.RaiseAsync("nobody", "Paid"));
        Assert.Equal(StatusCode.Unknown, refused.StatusCode);
        Assert.EndsWith("no such instance exists", refused.Status.Detail, StringComparison.Ordinal);
        var history = await Assert.ThrowsAsync<RpcException>(() => worker.HistoryAsync("nobody"));
        Assert.Equal(StatusCode.NotFound, history.StatusCode);
        var purge = await Assert.ThrowsAsync<RpcException>(async () => await worker.Client.PurgeInstancesAsync(new PurgeInstancesRequest { InstanceId = "nobody" }));
        Assert.EndsWith("no such instance exists", purge.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_finished_instance_swallows_events()
    {
        await worker.BeginAsync("a", Do.Complete("1"));
        await worker.CompletionAsync("a");
        await worker.RaiseAsync("a", "Paid");
        await worker.Client.SuspendInstanceAsync(new SuspendRequest { InstanceId = "a" });
        await worker.Client.TerminateInstanceAsync(new TerminateRequest { InstanceId = "a" });
        Assert.Equal(OrchestrationStatus.Completed, (await worker.GetAsync("a")).WorkflowStatus);
    }

    [Fact]
    public async Task Waiting_for_an_id_that_comes_later_ends_when_it_does()
    {
        var started = worker.Client.WaitForInstanceStartAsync(new GetInstanceRequest { InstanceId = "a" }).ResponseAsync;
        var completed = worker.CompletionAsync("a");
        await worker.BeginAsync("a");
        Assert.Equal(OrchestrationStatus.Running, (await started).WorkflowState.WorkflowStatus);
        await worker.RaiseAsync("a", "End");
        await worker.AnswerAsync(await worker.NextTurnAsync(), Do.Complete("1"));
        Assert.Equal("1", (await completed).Output);
        Assert.Null((await worker.Client.WaitForInstanceCompletionAsync(new GetInstanceRequest { InstanceId = "a" })).WorkflowState.Output);
    }

    [Fact]
    public async Task A_scheduled_start_is_acknowledged_at_once_and_runs_in_time()
    {
        var due = DateTimeOffset.UtcNow.AddMilliseconds(500);
        await worker.StartAsync("a", at: due);
        Assert.Equal(OrchestrationStatus.Pending, (await worker.GetAsync("a")).WorkflowStatus);
        var turn = await worker.NextTurnAsync();
        Assert.True(DateTimeOffset.UtcNow >= due);
        await worker.AnswerAsync(turn, Do.Complete());
        await worker.CompletionAsync("a");
    }

    [Fact]
    public async Task A_paused_instance_still_gets_turns_and_shows_that_it_is_paused()
    {
        await worker.BeginAsync("a");
        var suspended = worker.Client.SuspendInstanceAsync(new SuspendRequest { InstanceId = "a", Reason = "\"stocktaking\"" });
        var turn = await worker.NextTurnAsync();
        Assert.Equal("\"stocktaking\"", turn.WorkflowRequest.NewEvents[1].ExecutionSuspended.Input);
        await worker.AnswerAsync(turn);
        await suspended;
        Assert.Equal(OrchestrationStatus.Suspended, (await worker.GetAsync("a")).WorkflowStatus);

        await worker.RaiseAsync("a", "Paid");
        await worker.AnswerAsync(await worker.NextTurnAsync());
        var resumed = worker.Client.ResumeInstanceAsync(new ResumeRequest { InstanceId = "a" });
        await worker.AnswerAsync(await worker.NextTurnAsync());
        await resumed;
        Assert.Equal(OrchestrationStatus.Running, (await worker.GetAsync("a")).WorkflowStatus);
    }

    [Fact]
    public async Task A_worker_that_ignores_a_terminate_is_overruled()
    {
        await worker.BeginAsync("a");
        var terminated = worker.Client.TerminateInstanceAsync(new TerminateRequest { InstanceId = "a", Output = "\"fraud\"" });
        await worker.AnswerAsync(await worker.NextTurnAsync(), Do.Activity(0, "Ship"), Do.ContinueAsNew("\"again\""));
        await terminated;

        var state = await worker.GetAsync("a");
        Assert.Equal((OrchestrationStatus.Terminated, "\"fraud\""), (state.WorkflowStatus, state.Output));
        Assert.False(worker.HasActivity);
    }

    [Fact]
    public async Task A_recursive_terminate_reaches_the_children()
    {
        await worker.BeginAsync("a", Do.Child(0, "Pack", "b"));
        var child = await worker.NextTurnAsync();
        await worker.AnswerAsync(child);
        await Eventually.Async(async () => (await worker.GetAsync("b"))?.WorkflowStatus == OrchestrationStatus.Running, "the child runs");

        var terminated = worker.Client.TerminateInstanceAsync(new TerminateRequest { InstanceId = "a", Recursive = true });
        await worker.AnswerAsync(await worker.NextTurnAsync());
        await terminated;
        await worker.AnswerAsync(await worker.NextTurnAsync());
        Assert.Equal(OrchestrationStatus.Terminated, (await worker.CompletionAsync("b")).WorkflowStatus);
    }

    [Fact]
    public async Task Children_get_their_ids_from_the_parent_and_tell_it_how_they_ended()
    {
        await worker.BeginAsync("a", Do.Child(0, "Pack", input: "\"box\""), Do.Child(26, "Pack"));
        var first = await worker.NextTurnAsync();
        var second = await worker.NextTurnAsync();
        Assert.Equal(["a:0000", "a:001a"], new[] { first, second }.Select(turn => turn.WorkflowRequest.InstanceId).Order());
        if (first.WorkflowRequest.InstanceId == "a:001a") (first, second) = (second, first);
        var start = first.WorkflowRequest.NewEvents[1].ExecutionStarted;
        Assert.Equal(("\"box\"", "a", 0, "Buy"), (start.Input, start.ParentInstance.WorkflowInstance.InstanceId, start.ParentInstance.TaskScheduledId, start.ParentInstance.Name));
        Assert.Equal("a", (await worker.GetAsync("a:0000")).ParentInstanceId);

        await worker.AnswerAsync(first, Do.Complete("\"packed\""));
        var parent = await worker.NextTurnAsync();
        Assert.Equal("\"packed\"", parent.WorkflowRequest.NewEvents[1].ChildWorkflowInstanceCompleted.Result);
        await worker.AnswerAsync(parent);
        await worker.AnswerAsync(second, Do.Fail("Broken"));
        parent = await worker.NextTurnAsync();
        Assert.Equal((26, "Broken"), (parent.WorkflowRequest.NewEvents[1].ChildWorkflowInstanceFailed.TaskScheduledId, parent.WorkflowRequest.NewEvents[1].ChildWorkflowInstanceFailed.FailureDetails.ErrorType));
    }

    [Fact]
    public async Task A_child_whose_id_is_taken_fails()
    {
        await worker.BeginAsync("b");
        await worker.BeginAsync("a", Do.Child(0, "Pack", "b"));
        var turn = await worker.NextTurnAsync();
        var failed = turn.WorkflowRequest.NewEvents[1].ChildWorkflowInstanceFailed;
        Assert.Equal("WorkflowInstanceAlreadyExists", failed.FailureDetails.ErrorType);
        Assert.Equal("an active workflow with ID 'b' already exists", failed.FailureDetails.ErrorMessage);
    }

    [Fact]
    public async Task Purge_refuses_what_runs_and_counts_children()
    {
        await worker.BeginAsync("a", Do.Child(0, "Pack", "b"));
        var refused = await Assert.ThrowsAsync<RpcException>(async () => await worker.Client.PurgeInstancesAsync(new PurgeInstancesRequest { InstanceId = "a" }));
        Assert.EndsWith("orchestration has not yet completed", refused.Status.Detail, StringComparison.Ordinal);

        await worker.AnswerAsync(await worker.NextTurnAsync(), Do.Complete());
        await worker.AnswerAsync(await worker.NextTurnAsync(), Do.Complete(id: 1));
        await worker.CompletionAsync("a");
        var purged = await worker.Client.PurgeInstancesAsync(new PurgeInstancesRequest { InstanceId = "a", Recursive = true });
        Assert.Equal(2, purged.DeletedInstanceCount);
        Assert.Null(await worker.GetAsync("a"));
        Assert.Null(await worker.GetAsync("b"));
    }

    [Fact]
    public async Task Force_purges_a_running_instance_and_its_late_answers_are_dropped()
    {
        await worker.BeginAsync("a", Do.Activity(0, "Charge"));
        var activity = await worker.NextActivityAsync();
        await worker.Client.PurgeInstancesAsync(new PurgeInstancesRequest { InstanceId = "a", Force = true });
        Assert.Null(await worker.GetAsync("a"));
        await worker.AnswerAsync(activity, "1");
        Assert.Null(await worker.GetAsync("a"));
        await worker.BeginAsync("a");
    }

    [Fact]
    public async Task Ids_are_listed_in_pages()
    {
        foreach (var id in (string[])["c", "a", "b"]) await worker.BeginAsync(id, Do.Complete());
        var first = await worker.Client.ListInstanceIDsAsync(new ListInstanceIDsRequest { PageSize = 2 });
        var second = await worker.Client.ListInstanceIDsAsync(new ListInstanceIDsRequest { PageSize = 2, ContinuationToken = first.ContinuationToken });
        Assert.Equal(["a", "b"], first.InstanceIds);
        Assert.Equal(["c"], second.InstanceIds);
        Assert.False(second.HasContinuationToken);
    }

    [Fact]
    public async Task Another_app_neither_sees_nor_runs_our_instances()
    {
        await using var depot = await ScriptedWorker.ConnectAsync(host.Plan.Apps[1].GrpcPort);
        await worker.BeginAsync("a");
        Assert.Null(await depot.GetAsync("a"));
        await depot.BeginAsync("a");
        Assert.Equal(["a"], (await depot.Client.ListInstanceIDsAsync(new ListInstanceIDsRequest())).InstanceIds);
        Assert.False(depot.HasTurn || worker.HasTurn);
    }

    [Fact]
    public async Task Two_instances_of_an_app_share_workflows_and_one_takes_over_from_the_other()
    {
        await using var pair = await WorkflowHost.StartAsync(apps: ["shop", "shop"]);
        var first = await ScriptedWorker.ConnectAsync(pair.Plan.Apps[0].GrpcPort);
        await using var second = await ScriptedWorker.ConnectAsync(pair.Plan.Apps[1].GrpcPort);
        var starts = Enumerable.Range(0, 6).Select(i => first.StartAsync($"a{i}")).ToList();
        await Eventually.Async(() => first.HasTurn && second.HasTurn, "both instances get turns");
        await first.DisposeAsync();
        for (var i = 0; i < 6; i++) await second.AnswerAsync(await second.NextTurnAsync(), Do.Complete());
        Assert.All(await Task.WhenAll(Enumerable.Range(0, 6).Select(i => second.CompletionAsync($"a{i}"))), state => Assert.Equal(OrchestrationStatus.Completed, state.WorkflowStatus));
        await Task.WhenAll(starts.Select(start => ((Task)start).ContinueWith(_ => { }, TaskScheduler.Default)));
    }

    [Fact]
    public async Task An_action_that_daprd_cannot_carry_out_loses_the_turn()
    {
        await worker.BeginAsync("a");
        await worker.RaiseAsync("a", "Go");
        await worker.AnswerAsync(await worker.NextTurnAsync(), new WorkflowAction { SendEvent = new SendEventAction { Instance = new WorkflowInstance { InstanceId = "b" }, Name = "Hi" } });
        await worker.RaiseAsync("a", "Again");
        var turn = await worker.NextTurnAsync();
        Assert.Equal(["Go", "Again"], turn.WorkflowRequest.NewEvents.Skip(1).Select(e => e.EventRaised.Name));
    }

    [Fact]
    public async Task A_finished_instance_is_rerun_from_one_of_its_activities_with_another_input()
    {
        await worker.BeginAsync("a", Do.Activity(0, "Reserve"));
        var request = new RerunWorkflowFromEventRequest { SourceInstanceID = "a", EventID = 1, NewInstanceID = "b", OverwriteInput = true, Input = "\"2\"" };
        Assert.Equal("'a' is not in a terminal state", (await Assert.ThrowsAsync<RpcException>(async () => await worker.Client.RerunWorkflowFromEventAsync(request))).Status.Detail);

        await worker.AnswerAsync(await worker.NextActivityAsync(), "\"held\"");
        await worker.AnswerAsync(await worker.NextTurnAsync(), Do.Activity(1, "Charge", "\"1\""));
        await worker.FailAsync(await worker.NextActivityAsync(), "Declined");
        await worker.AnswerAsync(await worker.NextTurnAsync(), Do.Fail("Declined"));
        await worker.CompletionAsync("a");

        Assert.Equal("b", (await worker.Client.RerunWorkflowFromEventAsync(request)).NewInstanceID);
        var activity = await worker.NextActivityAsync();
        Assert.Equal(("b", 1, "\"2\""), (activity.ActivityRequest.WorkflowInstance.InstanceId, activity.ActivityRequest.TaskId, activity.ActivityRequest.Input));
        await worker.AnswerAsync(activity, "\"paid\"");
        var turn = await worker.NextTurnAsync();
        Assert.Equal(
            [EventType.WorkflowStarted, EventType.ExecutionStarted, EventType.TaskScheduled, EventType.WorkflowStarted, EventType.TaskCompleted, EventType.TaskScheduled],
            turn.WorkflowRequest.PastEvents.Select(e => e.EventTypeCase));
        await worker.AnswerAsync(turn, Do.Complete("\"sold\"", id: 2));
        Assert.Equal("\"sold\"", (await worker.CompletionAsync("b")).Output);
        Assert.Equal(StatusCode.AlreadyExists, (await Assert.ThrowsAsync<RpcException>(async () => await worker.Client.RerunWorkflowFromEventAsync(request))).StatusCode);
    }

    [Theory]
    [InlineData("")]
    [InlineData("a||b")]
    [InlineData("a\u0000b")]
    public async Task An_id_that_no_store_can_keep_apart_is_refused(string id)
    {
        var refused = await Assert.ThrowsAsync<RpcException>(() => worker.StartAsync(id));
        Assert.Equal(StatusCode.InvalidArgument, refused.StatusCode);
    }
}
