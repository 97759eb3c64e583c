using Dapr.Workflow.Protocol;
using Marketplace.Local.Sidecar;
using Xunit;

namespace Marketplace.Sidecar.Tests.Workflows;

/// <summary>The faults that journey tests order on the control port.</summary>
public sealed class WhenActivitiesAreDisturbed : IAsyncLifetime
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
    public async Task Before_fails_it_without_running_it()
    {
        Order("before");
        await worker.BeginAsync("a", Do.Activity(0, "Charge"));
        var turn = await worker.NextTurnAsync();
        Assert.Equal("InjectedFault", turn.WorkflowRequest.NewEvents[1].TaskFailed.FailureDetails.ErrorType);
        Assert.False(worker.HasActivity);
    }

    [Fact]
    public async Task After_runs_it_and_hides_its_success()
    {
        Order("after");
        await worker.BeginAsync("a", Do.Activity(0, "Charge"));
        await worker.AnswerAsync(await worker.NextActivityAsync(), "\"done\"");
        var turn = await worker.NextTurnAsync();
        Assert.Equal("InjectedFault", turn.WorkflowRequest.NewEvents[1].TaskFailed.FailureDetails.ErrorType);
    }

    [Fact]
    public async Task Lost_drops_the_answer_and_asks_again()
    {
        Order("lost");
        await worker.BeginAsync("a", Do.Activity(0, "Charge"));
        await worker.AnswerAsync(await worker.NextActivityAsync(), "\"first\"");
        await worker.AnswerAsync(await worker.NextActivityAsync(), "\"second\"");
        var turn = await worker.NextTurnAsync();
        Assert.Equal("\"second\"", turn.WorkflowRequest.NewEvents[1].TaskCompleted.Result);
    }

    [Fact]
    public async Task Twice_runs_it_two_times_and_takes_the_second_result()
    {
        Order("twice");
        await worker.BeginAsync("a", Do.Activity(0, "Charge"));
        var first = await worker.NextActivityAsync();
        var second = await worker.NextActivityAsync();
        Assert.Equal(first.ActivityRequest.TaskExecutionId, second.ActivityRequest.TaskExecutionId);
        await worker.AnswerAsync(first, "\"first\"");
        await worker.AnswerAsync(second, "\"second\"");
        var turn = await worker.NextTurnAsync();
        Assert.Equal("\"second\"", Assert.Single(turn.WorkflowRequest.NewEvents.Skip(1)).TaskCompleted.Result);
    }

    [Fact]
    public async Task Hold_keeps_it_until_the_fault_is_removed()
    {
        Order("hold");
        await worker.BeginAsync("a", Do.Activity(0, "Charge"), Do.Activity(1, "Ship"));
        Assert.Equal("Ship", (await worker.NextActivityAsync()).ActivityRequest.Name);
        Assert.False(worker.HasActivity);
        host.Sidecars.Faults.Clear();
        Assert.Equal("Charge", (await worker.NextActivityAsync()).ActivityRequest.Name);
    }

    private void Order(string mode) => Assert.Null(host.Sidecars.Faults.TryAdd(new Fault { Kind = "activity", Mode = mode, Name = "Charge" }, out _));
}
