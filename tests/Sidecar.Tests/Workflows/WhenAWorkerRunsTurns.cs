using Dapr.Workflow.Protocol;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Marketplace.TestKit;
using Xunit;
using EventType = Dapr.Workflow.Protocol.HistoryEvent.EventTypeOneofCase;

namespace Marketplace.Sidecar.Tests.Workflows;

/// <summary>The protocol of a worker, item by item.</summary>
public sealed class WhenAWorkerRunsTurns : IAsyncLifetime
{
    private WorkflowHost host = null!;
    private ScriptedWorker worker = null!;

    public async ValueTask InitializeAsync()
    {
        host = await WorkflowHost.StartAsync();
        worker = await ScriptedWorker.ConnectAsync(host.GrpcPort);
    }

    public async ValueTask DisposeAsync()
    {
        await worker.DisposeAsync();
        await host.DisposeAsync();
    }

    [Fact]
    public async Task The_first_turn_brings_the_start_and_no_past()
    {
        var started = worker.StartAsync("a", "Buy", "\"tea\"");
        var turn = await worker.NextTurnAsync();

        Assert.Equal("a", turn.WorkflowRequest.InstanceId);
        Assert.Empty(turn.WorkflowRequest.PastEvents);
        Assert.Equal([EventType.WorkflowStarted, EventType.ExecutionStarted], Kinds(turn.WorkflowRequest.NewEvents));
        Assert.All(turn.WorkflowRequest.NewEvents, e => Assert.Equal(-1, e.EventId));
        var start = turn.WorkflowRequest.NewEvents[1].ExecutionStarted;
        Assert.Equal(("Buy", "\"tea\"", "a"), (start.Name, start.Input, start.WorkflowInstance.InstanceId));
        Assert.NotEmpty(turn.CompletionToken);
        Assert.Equal(OrchestrationStatus.Pending, (await worker.GetAsync("a")).WorkflowStatus);
        Assert.False(started.IsCompleted);

        await worker.AnswerAsync(turn);
        Assert.Equal("a", (await started).InstanceId);
        Assert.Equal(OrchestrationStatus.Running, (await worker.GetAsync("a")).WorkflowStatus);
    }

    /// <summary>An activity fails once, is retried after a timer, then an event is awaited with a limit: the reference exchange, turn by turn.</summary>
    [Fact]
    public async Task An_exchange_of_five_turns_leaves_the_history_that_daprd_leaves()
    {
        await worker.BeginAsync("a", Do.Activity(0, "Charge", "\"1\""));
        await worker.FailAsync(await worker.NextActivityAsync(), "Timeout");

        var second = await worker.NextTurnAsync();
        Assert.Equal([EventType.WorkflowStarted, EventType.ExecutionStarted, EventType.TaskScheduled], Kinds(second.WorkflowRequest.PastEvents));
        Assert.Equal([EventType.WorkflowStarted, EventType.TaskFailed], Kinds(second.WorkflowRequest.NewEvents));
        Assert.Equal("Timeout", second.WorkflowRequest.NewEvents[1].TaskFailed.FailureDetails.ErrorType);
        await worker.AnswerAsync(second, Do.Timer(1, DateTimeOffset.UtcNow.AddMilliseconds(30)));

        var third = await worker.NextTurnAsync();
        Assert.Equal([EventType.WorkflowStarted, EventType.TimerFired], Kinds(third.WorkflowRequest.NewEvents));
        Assert.Equal(1, third.WorkflowRequest.NewEvents[1].TimerFired.TimerId);
        await worker.AnswerAsync(third, Do.Activity(2, "Charge", "\"1\""));

        var again = await worker.NextActivityAsync();
        Assert.Equal((2, "Charge", "\"1\"", "execution-2"), (again.ActivityRequest.TaskId, again.ActivityRequest.Name, again.ActivityRequest.Input, again.ActivityRequest.TaskExecutionId));
        await worker.AnswerAsync(again, "\"ok\"");

        var fourth = await worker.NextTurnAsync();
        Assert.Equal("\"ok\"", fourth.WorkflowRequest.NewEvents[1].TaskCompleted.Result);
        await worker.AnswerAsync(fourth, Do.WaitTimer(3, "Paid", DateTimeOffset.UtcNow.AddHours(1)));
        await worker.RaiseAsync("a", "paid", "\"yes\"");

        var fifth = await worker.NextTurnAsync();
        Assert.Equal("\"yes\"", fifth.WorkflowRequest.NewEvents[1].EventRaised.Input);
        await worker.AnswerAsync(fifth, Do.Complete("\"done\"", id: 4));

        var state = await worker.CompletionAsync("a");
        Assert.Equal((OrchestrationStatus.Completed, "\"done\""), (state.WorkflowStatus, state.Output));
        Assert.Equal(
            [
                EventType.WorkflowStarted, EventType.ExecutionStarted, EventType.TaskScheduled,
                EventType.WorkflowStarted, EventType.TaskFailed, EventType.TimerCreated,
                EventType.WorkflowStarted, EventType.TimerFired, EventType.TaskScheduled,
                EventType.WorkflowStarted, EventType.TaskCompleted, EventType.TimerCreated,
                EventType.WorkflowStarted, EventType.EventRaised, EventType.ExecutionCompleted,
            ],
            Kinds(await worker.HistoryAsync("a")));
        Assert.Equal([0, 1, 2, 3, 4], (await worker.HistoryAsync("a")).Where(e => e.EventId >= 0).Select(e => e.EventId));
    }

    [Fact]
    public async Task Events_raised_while_a_turn_is_out_come_together_in_the_next()
    {
        var started = worker.StartAsync("a");
        var first = await worker.NextTurnAsync();
        await worker.RaiseAsync("a", "One");
        await worker.RaiseAsync("a", "Two");
        await worker.AnswerAsync(first);
        await started;

        var second = await worker.NextTurnAsync();
        Assert.Equal(["One", "Two"], second.WorkflowRequest.NewEvents.Skip(1).Select(e => e.EventRaised.Name));
        Assert.Equal([EventType.WorkflowStarted, EventType.ExecutionStarted], Kinds(second.WorkflowRequest.PastEvents));
    }

    [Fact]
    public async Task A_second_answer_to_one_item_changes_nothing()
    {
        await worker.BeginAsync("a", Do.Activity(0, "Charge"));
        var activity = await worker.NextActivityAsync();
        await worker.AnswerAsync(activity, "1");
        await worker.AnswerAsync(activity, "2");

        var turn = await worker.NextTurnAsync();
        Assert.Equal("1", Assert.Single(turn.WorkflowRequest.NewEvents.Skip(1)).TaskCompleted.Result);
        await worker.AnswerAsync(turn, Do.Complete("1", id: 1));
        await worker.AnswerAsync(turn, Do.Complete("2", id: 1));
        Assert.Equal("1", (await worker.CompletionAsync("a")).Output);
    }

    [Fact]
    public async Task An_answer_without_a_token_counts_for_the_item_that_is_out()
    {
        var started = worker.StartAsync("a");
        var turn = await worker.NextTurnAsync();
        turn.CompletionToken = "";
        await worker.AnswerAsync(turn, Do.Activity(0, "Charge"));
        await started;
        var activity = await worker.NextActivityAsync();
        activity.CompletionToken = "";
        await worker.AnswerAsync(activity, "1");
        await worker.AnswerAsync(await worker.NextTurnAsync(), Do.Complete("1", id: 1));
        Assert.Equal(OrchestrationStatus.Completed, (await worker.CompletionAsync("a")).WorkflowStatus);
    }

    [Fact]
    public async Task What_a_closed_stream_had_goes_to_the_next_with_a_new_token()
    {
        await worker.BeginAsync("a", Do.Activity(0, "Charge"), Do.Activity(1, "Ship"));
        var lost = await worker.NextActivityAsync();
        await worker.NextActivityAsync();
        await using var other = await ScriptedWorker.ConnectAsync(host.GrpcPort);
        await worker.DisposeAsync();

        var again = new[] { await other.NextActivityAsync(), await other.NextActivityAsync() };
        Assert.Equal([0, 1], again.Select(item => item.ActivityRequest.TaskId).Order());
        Assert.DoesNotContain(again, item => item.CompletionToken == lost.CompletionToken);

        await other.AnswerAsync(lost, "stale");
        foreach (var item in again) await other.AnswerAsync(item, "fresh");
        var turn = await other.NextTurnAsync();
        if (turn.WorkflowRequest.NewEvents.Count == 2)
        {
            await other.AnswerAsync(turn);
            turn = await other.NextTurnAsync();
        }

        Assert.All(turn.WorkflowRequest.PastEvents.Concat(turn.WorkflowRequest.NewEvents).Where(e => e.TaskCompleted is not null), e => Assert.Equal("fresh", e.TaskCompleted.Result));
        worker = await ScriptedWorker.ConnectAsync(host.GrpcPort);
    }

    [Fact]
    public async Task Two_workers_share_the_work()
    {
        await using var other = await ScriptedWorker.ConnectAsync(host.GrpcPort);
        var starts = Enumerable.Range(0, 4).Select(i => worker.StartAsync($"a{i}")).ToList();
        await Eventually.Async(() => worker.HasTurn && other.HasTurn, "both workers get turns");
        for (var i = 0; i < 2; i++)
        {
            await worker.AnswerAsync(await worker.NextTurnAsync());
            await other.AnswerAsync(await other.NextTurnAsync());
        }

        await Task.WhenAll(starts);
    }

    [Fact]
    public async Task The_last_custom_status_is_shown_and_a_missing_one_clears_it()
    {
        var started = worker.StartAsync("a");
        var turn = await worker.NextTurnAsync();
        await worker.Client.CompleteWorkflowTaskAsync(new WorkflowResponse { InstanceId = "a", CompletionToken = turn.CompletionToken, CustomStatus = "\"packing\"" });
        await started;
        Assert.Equal("\"packing\"", (await worker.GetAsync("a")).CustomStatus);

        await worker.RaiseAsync("a", "Go");
        await worker.AnswerAsync(await worker.NextTurnAsync());
        await Eventually.Async(async () => (await worker.GetAsync("a")).CustomStatus is null, "the status is cleared");
    }

    [Fact]
    public async Task The_timer_of_a_wait_ends_with_the_event()
    {
        await worker.BeginAsync("a", Do.WaitTimer(0, "Paid", DateTimeOffset.UtcNow.AddSeconds(2)), Do.WaitTimer(1, "PAID", DateTimeOffset.UtcNow.AddSeconds(2.2)));
        await worker.RaiseAsync("a", "paid");
        await worker.AnswerAsync(await worker.NextTurnAsync());

        // The first wait has its event; only the second one still times out.
        var turn = await worker.NextTurnAsync();
        Assert.Equal(1, Assert.Single(turn.WorkflowRequest.NewEvents.Skip(1)).TimerFired.TimerId);
    }

    [Fact]
    public async Task A_timer_for_the_end_of_time_is_accepted()
    {
        var never = new Timestamp { Seconds = 253402300799, Nanos = 999999999 };
        await worker.BeginAsync("a", new WorkflowAction { CreateTimer = new CreateTimerAction { FireAt = never, ExternalEvent = new TimerOriginExternalEvent { Name = "Paid" } } });
        await worker.RaiseAsync("a", "Paid");
        await worker.AnswerAsync(await worker.NextTurnAsync(), Do.Complete(id: 1));
        await worker.CompletionAsync("a");
    }

    [Fact]
    public async Task A_failure_shows_its_details()
    {
        await worker.BeginAsync("a", Do.Fail("OutOfStock"));
        var state = await worker.CompletionAsync("a");
        Assert.Equal((OrchestrationStatus.Failed, "OutOfStock"), (state.WorkflowStatus, state.FailureDetails.ErrorType));
    }

    [Fact]
    public async Task Continue_as_new_starts_a_fresh_history_with_what_was_carried_over()
    {
        var first = await worker.BeginAsync("a", Do.Activity(0, "Charge"), Do.Timer(1, DateTimeOffset.UtcNow.AddMilliseconds(200)));
        var orphan = await worker.NextActivityAsync();
        await worker.RaiseAsync("a", "Later", "\"kept\"");
        var second = await worker.NextTurnAsync();
        await worker.AnswerAsync(second, Do.ContinueAsNew("\"again\"", second.WorkflowRequest.NewEvents[1]));

        var fresh = await worker.NextTurnAsync();
        Assert.Empty(fresh.WorkflowRequest.PastEvents);
        Assert.Equal([EventType.WorkflowStarted, EventType.ExecutionStarted, EventType.EventRaised], Kinds(fresh.WorkflowRequest.NewEvents));
        Assert.Equal(("Buy", "\"again\""), (fresh.WorkflowRequest.NewEvents[1].ExecutionStarted.Name, fresh.WorkflowRequest.NewEvents[1].ExecutionStarted.Input));
        Assert.NotEqual(
            first.WorkflowRequest.NewEvents[1].ExecutionStarted.WorkflowInstance.ExecutionId,
            fresh.WorkflowRequest.NewEvents[1].ExecutionStarted.WorkflowInstance.ExecutionId);
        Assert.Equal(OrchestrationStatus.Running, (await worker.GetAsync("a")).WorkflowStatus);

        // Neither the result nor the timer of the old execution reach the new one, which uses the same ids.
        await worker.AnswerAsync(fresh, Do.Activity(0, "Ship"), Do.Timer(1, DateTimeOffset.UtcNow.AddHours(1)));
        await worker.AnswerAsync(orphan, "\"old\"");
        await worker.AnswerAsync(await worker.NextActivityAsync(), "\"new\"");
        var next = await worker.NextTurnAsync();
        Assert.Equal("\"new\"", Assert.Single(next.WorkflowRequest.NewEvents.Skip(1)).TaskCompleted.Result);
        await worker.AnswerAsync(next, Do.Complete(id: 2));
        await worker.CompletionAsync("a");
    }

    [Fact]
    public async Task Activities_asked_for_with_the_end_still_run()
    {
        await worker.BeginAsync("a", Do.Activity(0, "Tell"), Do.Complete(id: 1));
        Assert.Equal("Tell", (await worker.NextActivityAsync()).ActivityRequest.Name);
        Assert.Equal(OrchestrationStatus.Completed, (await worker.GetAsync("a")).WorkflowStatus);
    }

    [Fact]
    public async Task An_instance_grown_too_big_for_a_message_stalls_and_can_be_purged()
    {
        await using var small = await WorkflowHost.StartAsync(maxBody: 20_000);
        await using var one = await ScriptedWorker.ConnectAsync(small.GrpcPort);
        await one.BeginAsync("a");
        var half = new string('x', 9_000);
        await one.RaiseAsync("a", "Half", half);
        await one.AnswerAsync(await one.NextTurnAsync());
        await one.RaiseAsync("a", "Half", half);
        await one.AnswerAsync(await one.NextTurnAsync());
        await one.RaiseAsync("a", "Half", half);

        await Eventually.Async(async () => (await one.GetAsync("a")).WorkflowStatus == OrchestrationStatus.Stalled, "three halves are too many");
        var refused = await Assert.ThrowsAsync<RpcException>(() => one.RaiseAsync("a", "More"));
        Assert.Equal("workflow is stalled", refused.Status.Detail);
        await Assert.ThrowsAsync<RpcException>(async () => await one.Client.PurgeInstancesAsync(new PurgeInstancesRequest { InstanceId = "a" }));
        Assert.Equal(1, (await one.Client.PurgeInstancesAsync(new PurgeInstancesRequest { InstanceId = "a", Force = true })).DeletedInstanceCount);
    }

    [Fact]
    public async Task An_activity_too_big_for_a_message_stalls_its_workflow_and_not_the_stream()
    {
        await using var small = await WorkflowHost.StartAsync(maxBody: 20_000);
        await using var one = await ScriptedWorker.ConnectAsync(small.GrpcPort);
        await one.BeginAsync("a");
        await one.RaiseAsync("a", "Go");
        await one.AnswerAsync(await one.NextTurnAsync(), Do.Activity(0, "Big", new string('x', 19_200)));
        await Eventually.Async(async () => (await one.GetAsync("a")).WorkflowStatus == OrchestrationStatus.Stalled, "the activity cannot be sent");
        Assert.Contains("activity 'Big::0' payload", (await one.HistoryAsync("a"))[^1].ExecutionStalled.Description, StringComparison.Ordinal);
        await one.BeginAsync("b");
    }

    [Fact]
    public async Task Work_for_another_app_fails_and_says_why()
    {
        var elsewhere = new TaskRouter { TargetAppID = "depot" };
        var (activity, child) = (Do.Activity(0, "Charge"), Do.Child(1, "Pack"));
        (activity.Router, child.Router) = (elsewhere, elsewhere);
        await worker.BeginAsync("a", activity, child);
        var turn = await worker.NextTurnAsync();
        Assert.Contains("'depot'", turn.WorkflowRequest.NewEvents[1].TaskFailed.FailureDetails.ErrorMessage, StringComparison.Ordinal);
        await worker.AnswerAsync(turn);
        turn = turn.WorkflowRequest.NewEvents.Count > 2 ? turn : await worker.NextTurnAsync();
        Assert.Contains(turn.WorkflowRequest.NewEvents, e => e.ChildWorkflowInstanceFailed?.FailureDetails.ErrorType == "TargetAppNotSupported");
    }

    [Fact]
    public async Task No_more_goes_out_than_the_configuration_allows()
    {
        await using var narrow = await WorkflowHost.StartAsync(configuration: """
            apiVersion: dapr.io/v1alpha1
            kind: Configuration
            metadata: { name: appconfig }
            spec:
              workflow:
                maxConcurrentActivityInvocations: 2
            """);
        await using var one = await ScriptedWorker.ConnectAsync(narrow.GrpcPort);
        await one.BeginAsync("a", [.. Enumerable.Range(0, 5).Select(id => Do.Activity(id, "Charge"))]);
        var out1 = await one.NextActivityAsync();
        await one.NextActivityAsync();
        await one.BeginAsync("b");
        Assert.False(one.HasActivity);
        await one.AnswerAsync(out1, "1");
        Assert.Equal(2, (await one.NextActivityAsync()).ActivityRequest.TaskId);
        Assert.False(one.HasActivity);
    }

    [Fact]
    public async Task The_metadata_counts_the_connected_workers()
    {
        using var http = new HttpClient { BaseAddress = host.Http };
        await using (await ScriptedWorker.ConnectAsync(host.GrpcPort))
            Assert.Equal(2, await WorkersAsync());
        await Eventually.Async(async () => await WorkersAsync() == 1, "the second one left");

        async Task<int> WorkersAsync() => System.Text.Json.Nodes.JsonNode.Parse(await http.GetStringAsync(new Uri("/v1.0/metadata", UriKind.Relative)))!
            ["workflows"]!["connectedWorkers"]!.GetValue<int>();
    }

    [Fact]
    public async Task Patches_that_a_worker_forgot_stall_the_instance_until_a_better_worker_comes()
    {
        var started = worker.StartAsync("a");
        var turn = await worker.NextTurnAsync();
        await AnswerWithPatchesAsync(worker, turn, "discounts", "gifts");
        await started;

        await worker.RaiseAsync("a", "Go");
        await AnswerWithPatchesAsync(worker, await worker.NextTurnAsync(), "discounts");
        await Eventually.Async(async () => (await worker.GetAsync("a")).WorkflowStatus == OrchestrationStatus.Stalled, "the worker lacks a patch");

        await worker.DisposeAsync();
        worker = await ScriptedWorker.ConnectAsync(host.GrpcPort);
        var again = await worker.NextTurnAsync();
        Assert.Equal("Go", again.WorkflowRequest.NewEvents[1].EventRaised.Name);
        await AnswerWithPatchesAsync(worker, again, "discounts", "gifts", "vouchers");
        await Eventually.Async(async () => (await worker.GetAsync("a")).WorkflowStatus == OrchestrationStatus.Running, "it goes on");
        Assert.Equal(
            ["discounts", "gifts", "vouchers"],
            (await worker.HistoryAsync("a")).Where(e => e.WorkflowStarted?.Version is not null).SelectMany(e => e.WorkflowStarted.Version.Patches));
    }

    private static async Task AnswerWithPatchesAsync(ScriptedWorker worker, WorkItem turn, params string[] patches) =>
        await worker.Client.CompleteOrchestratorTaskAsync(new WorkflowResponse
        {
            InstanceId = turn.WorkflowRequest.InstanceId,
            CompletionToken = turn.CompletionToken,
            Version = new WorkflowVersion { Patches = { patches } },
        });

    private static IEnumerable<EventType> Kinds(IEnumerable<HistoryEvent> events) => events.Select(e => e.EventTypeCase);
}
