using Dapr.Workflow.Protocol;
using Marketplace.Local.Redis;
using Marketplace.TestKit;
using Xunit;
using EventType = Dapr.Workflow.Protocol.HistoryEvent.EventTypeOneofCase;

namespace Marketplace.Sidecar.Tests.Workflows;

/// <summary>A host is killed where it stands; the next one, on the same store, must go on as if nothing had been.</summary>
public abstract class WhenTheHostRestarts : IAsyncLifetime
{
    private WorkflowHost host = null!;
    private SidecarProcess process = null!;
    private ScriptedWorker worker = null!;

    private protected abstract Task<WorkflowHost> PrepareAsync();

    public async ValueTask InitializeAsync()
    {
        host = await PrepareAsync();
        process = new SidecarProcess(host.Plan);
        await process.StartAsync();
        worker = await ScriptedWorker.ConnectAsync(host.GrpcPort);
    }

    public virtual async ValueTask DisposeAsync()
    {
        if (worker is not null) await worker.DisposeAsync();
        if (process is not null) await process.DisposeAsync();
        if (host is not null) await host.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Everything_acknowledged_is_still_there()
    {
        var soon = DateTimeOffset.UtcNow.AddSeconds(8);      // after the restart, also on a slow machine
        await worker.BeginAsync("activity", Do.Activity(0, "Charge", "\"1\""), Do.Activity(1, "Pack"));
        var done = await worker.NextActivityAsync();
        await worker.AnswerAsync(done, "\"done\"");
        await worker.AnswerAsync(await worker.NextTurnAsync(), Do.Activity(2, "Ship"));
        await worker.BeginAsync("timer", Do.Timer(0, soon));
        await worker.BeginAsync("late-timer", Do.Timer(0, DateTimeOffset.UtcNow.AddHours(1)));
        await worker.BeginAsync("event", Do.WaitTimer(0, "Paid", DateTimeOffset.UtcNow.AddHours(1)));
        await worker.StartAsync("scheduled", at: soon);
        await worker.StartAsync("scheduled-late", at: DateTimeOffset.UtcNow.AddHours(1));
        await worker.BeginAsync("finished", Do.Complete("\"1\""));
        await worker.BeginAsync("parent", Do.Child(0, "Pack"));
        await worker.AnswerAsync(await worker.NextTurnAsync(), Do.Activity(0, "Fold"));
        await worker.BeginAsync("again", Do.ContinueAsNew("\"2\""));
        await worker.AnswerAsync(await worker.NextTurnAsync(), Do.Activity(0, "Again"));
        await Eventually.Async(async () => (await worker.HistoryAsync("again")).Any(e => e.TaskScheduled is not null), "the second run is stored");
        await worker.RaiseAsync("event", "Paid", "\"yes\"");
        await Eventually.Async(async () => (await worker.HistoryAsync("activity")).Count > 4, "the second turn is stored");
        var before = await worker.HistoryAsync("activity");

        await RestartAsync();

        Assert.Equal("\"1\"", (await worker.GetAsync("finished")).Output);
        Assert.Equal(before, await worker.HistoryAsync("activity"));
        Assert.Equal(OrchestrationStatus.Pending, (await worker.GetAsync("scheduled-late")).WorkflowStatus);
        Assert.Equal(OrchestrationStatus.Running, (await worker.GetAsync("late-timer")).WorkflowStatus);

        // Open activities come again, the one with a result does not.
        var names = new List<string>();
        for (var i = 0; i < 4; i++)
        {
            var activity = await worker.NextActivityAsync();
            names.Add($"{activity.ActivityRequest.WorkflowInstance.InstanceId}/{activity.ActivityRequest.Name}");
            await worker.AnswerAsync(activity, "\"ok\"");
        }

        var other = done.ActivityRequest.Name == "Charge" ? "Pack" : "Charge";
        Assert.Equal([$"activity/{other}", "activity/Ship", "again/Again", "parent:0000/Fold"], names.Order(StringComparer.Ordinal));

        var seen = new Dictionary<string, EventType>();
        while (!(seen.ContainsKey("event") && seen.ContainsKey("timer") && seen.ContainsKey("scheduled") && seen.ContainsKey("parent")))
        {
            var turn = await worker.NextTurnAsync();
            var id = turn.WorkflowRequest.InstanceId;
            seen[id] = turn.WorkflowRequest.NewEvents[^1].EventTypeCase;
            await worker.AnswerAsync(turn, id.StartsWith("parent:", StringComparison.Ordinal) ? [Do.Complete(id: 1)] : []);
        }

        Assert.Equal(EventType.EventRaised, seen["event"]);
        Assert.Equal(EventType.TimerFired, seen["timer"]);
        Assert.Equal(EventType.ExecutionStarted, seen["scheduled"]);
        Assert.Equal(EventType.ChildWorkflowInstanceCompleted, seen["parent"]);
    }

    [Fact]
    public async Task A_result_whose_turn_was_not_stored_is_asked_for_again()
    {
        await worker.BeginAsync("a", Do.Activity(0, "Charge"));
        await worker.AnswerAsync(await worker.NextActivityAsync(), "\"lost\"");
        var unanswered = await worker.NextTurnAsync();

        await RestartAsync();

        await worker.AnswerAsync(unanswered, Do.Complete("\"stale\"", id: 1));
        await worker.AnswerAsync(await worker.NextActivityAsync(), "\"again\"");
        var turn = await worker.NextTurnAsync();
        Assert.Equal("\"again\"", turn.WorkflowRequest.NewEvents[1].TaskCompleted.Result);
    }

    [Fact]
    public async Task A_child_that_ended_unheard_is_heard_after_the_restart()
    {
        await worker.BeginAsync("a", Do.Child(0, "Pack"));
        await worker.AnswerAsync(await worker.NextTurnAsync(), Do.Complete("\"packed\""));
        await worker.NextTurnAsync();       // the parent's turn with the result, never answered

        await RestartAsync();

        var turn = await worker.NextTurnAsync();
        Assert.Equal(("a", "\"packed\""), (turn.WorkflowRequest.InstanceId, turn.WorkflowRequest.NewEvents[1].ChildWorkflowInstanceCompleted.Result));
        await worker.AnswerAsync(turn, Do.Complete(id: 1));
        await worker.CompletionAsync("a");
        Assert.Equal("\"packed\"", (await worker.GetAsync("a:0000")).Output);
    }

    [Fact]
    public async Task A_shorter_second_run_under_one_id_leaves_nothing_of_the_first()
    {
        await worker.BeginAsync("a");
        for (var i = 0; i < 5; i++)
        {
            await worker.RaiseAsync("a", "Go");
            await worker.AnswerAsync(await worker.NextTurnAsync(), i < 4 ? [] : [Do.Complete()]);
        }

        await worker.CompletionAsync("a");
        await worker.BeginAsync("a");
        await RestartAsync();
        Assert.Equal([EventType.WorkflowStarted, EventType.ExecutionStarted], (await worker.HistoryAsync("a")).Select(e => e.EventTypeCase));
        Assert.Equal(OrchestrationStatus.Running, (await worker.GetAsync("a")).WorkflowStatus);

        await worker.Client.PurgeInstancesAsync(new PurgeInstancesRequest { InstanceId = "a", Force = true });
        await RestartAsync();
        Assert.Null(await worker.GetAsync("a"));
        Assert.Empty((await worker.Client.ListInstanceIDsAsync(new ListInstanceIDsRequest())).InstanceIds);
    }

    private async Task RestartAsync()
    {
        await process.KillAsync();
        await worker.DisposeAsync();
        await process.StartAsync();
        worker = await ScriptedWorker.ConnectAsync(host.GrpcPort);
    }
}

public sealed class WhenTheHostRestartsOnPostgres(PostgresFixture postgres) : WhenTheHostRestarts, IClassFixture<PostgresFixture>
{
    private protected override async Task<WorkflowHost> PrepareAsync()
    {
        Assert.NotNull(postgres);
        return WorkflowHost.Prepare(await TestDatabase.CreateAsync(), ["shop"]);
    }
}

public sealed class WhenTheHostRestartsOnRedis : WhenTheHostRestarts
{
    private readonly string folder = Directory.CreateTempSubdirectory("workflows-redis-").FullName;
    private Garnet.GarnetServer? server;

    private protected override Task<WorkflowHost> PrepareAsync()
    {
        var port = Ports.Free();
        server = RedisCommand.Start(port, folder, "secret");
        return Task.FromResult(WorkflowHost.Prepare(database: null, ["shop"], redis: $"127.0.0.1:{port}"));
    }

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        server?.Dispose();
        Directory.Delete(folder, recursive: true);
    }
}
