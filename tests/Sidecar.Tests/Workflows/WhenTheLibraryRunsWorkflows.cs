using System.Collections.Concurrent;
using Dapr.Workflow;
using Marketplace.TestKit;
using Xunit;

namespace Marketplace.Sidecar.Tests.Workflows;

/// <summary>Workflows as services write them, through the project's own library.</summary>
[EverySidecar]
public sealed class WhenTheLibraryRunsWorkflows : IAsyncLifetime
{
    private readonly ConcurrentDictionary<string, int> calls = new();
    private WorkflowHost host = null!;
    private WorkerApp app = null!;

    public async ValueTask InitializeAsync()
    {
        host = await WorkflowHost.StartAsync();
        app = await WorkerApp.StartAsync(host.GrpcPort, Register);
    }

    public async ValueTask DisposeAsync()
    {
        await app.DisposeAsync();
        await host.DisposeAsync();
    }

    private void Register(WorkflowRuntimeOptions options)
    {
        options.RegisterActivity<string, int>("Count", (_, key) => Task.FromResult(calls.AddOrUpdate(key, 1, (_, n) => n + 1)));
        options.RegisterActivity<string, int>("FailTwice", (_, key) => calls.AddOrUpdate(key, 1, (_, n) => n + 1) is var n && n <= 2
            ? throw new InvalidOperationException($"no {n}")
            : Task.FromResult(n));
        options.RegisterActivity<int, int>("Double", (_, n) => Task.FromResult(n * 2));

        options.RegisterWorkflow<string, int>("Retried", (context, key) => context.CallActivityAsync<int>(
            "FailTwice", key, new WorkflowTaskOptions(new WorkflowRetryPolicy(3, TimeSpan.FromMilliseconds(20), 2))));
        options.RegisterWorkflow<string, string>("Hopeless", async (context, key) =>
        {
            try
            {
                await context.CallActivityAsync<int>("FailTwice", key, new WorkflowTaskOptions(new WorkflowRetryPolicy(2, TimeSpan.FromMilliseconds(20))));
                return "fine";
            }
            catch (WorkflowTaskFailedException e)
            {
                return e.FailureDetails.ErrorMessage;
            }
        });
        options.RegisterWorkflow<int, string>("Patient", async (context, milliseconds) =>
        {
            try
            {
                return await context.WaitForExternalEventAsync<string>("Paid", TimeSpan.FromMilliseconds(milliseconds));
            }
            catch (TaskCanceledException)
            {
                return "nobody paid";
            }
        });
        options.RegisterWorkflow<int, int>("Family", async (context, children) =>
            (await Task.WhenAll(Enumerable.Range(1, children).Select(n => context.CallChildWorkflowAsync<int>("Child", n)))).Sum());
        options.RegisterWorkflow<int, int>("Child", (context, n) => context.CallActivityAsync<int>("Double", n));
        options.RegisterWorkflow<int, int>("Loop", async (context, round) =>
        {
            await context.CallActivityAsync<int>("Count", $"loop-{context.InstanceId}");
            if (round == 30) return round;
            await context.WaitForExternalEventAsync<int>("Next");
            context.ContinueAsNew(round + 1);
            return 0;
        });
        options.RegisterWorkflow<int, int>("Chain", async (context, steps) =>
        {
            var sum = 0;
            for (var i = 0; i < steps; i++) sum += await context.CallActivityAsync<int>("Double", i);
            return sum;
        });
        options.RegisterWorkflow<int, int>("Sleeper", async (context, milliseconds) =>
        {
            await context.CreateTimer(TimeSpan.FromMilliseconds(milliseconds));
            return milliseconds;
        });
    }

    [Fact]
    public async Task A_failing_activity_is_retried_as_often_as_the_policy_says()
    {
        Assert.Equal(3, await RunAsync<int>("Retried", "a"));
        Assert.Equal(3, calls["a"]);
        Assert.Equal("no 2", await RunAsync<string>("Hopeless", "b"));
    }

    [Fact]
    public async Task An_event_wins_over_its_limit_and_the_limit_over_no_event()
    {
        Assert.Equal("nobody paid", await RunAsync<string>("Patient", 100));
        var id = await app.Client.ScheduleNewWorkflowAsync("Patient", input: 60_000);
        await app.Client.RaiseEventAsync(id, "paid", "by card");
        Assert.Equal("by card", (await CompletedAsync(id)).ReadOutputAs<string>());
    }

    [Fact]
    public async Task Children_run_side_by_side() => Assert.Equal(110, await RunAsync<int>("Family", 10));

    [Fact]
    public async Task A_loop_keeps_the_events_that_came_too_early()
    {
        var id = await app.Client.ScheduleNewWorkflowAsync("Loop", input: 0);
        await Task.WhenAll(Enumerable.Range(0, 30).Select(n => app.Client.RaiseEventAsync(id, "Next", n)));
        Assert.Equal(30, (await CompletedAsync(id)).ReadOutputAs<int>());
        Assert.Equal(31, calls[$"loop-{id}"]);
    }

    [Fact]
    public async Task A_paused_workflow_stands_still_until_it_is_resumed()
    {
        var id = await app.Client.ScheduleNewWorkflowAsync("Patient", input: 60_000);
        await app.Client.SuspendWorkflowAsync(id);
        await app.Client.RaiseEventAsync(id, "Paid", "by card");
        await Eventually.Async(async () => (await app.Client.GetWorkflowStateAsync(id)).RuntimeStatus == WorkflowRuntimeStatus.Suspended, "it is paused");
        await app.Client.ResumeWorkflowAsync(id);
        Assert.Equal("by card", (await CompletedAsync(id)).ReadOutputAs<string>());
    }

    [Fact]
    public async Task A_terminated_workflow_takes_its_children_along_and_can_be_purged()
    {
        var id = await app.Client.ScheduleNewWorkflowAsync("Sleeper", input: 60_000);
        await app.Client.TerminateWorkflowAsync(id, "fraud");
        Assert.Equal(WorkflowRuntimeStatus.Terminated, (await app.Client.GetWorkflowStateAsync(id)).RuntimeStatus);
        Assert.True(await app.Client.PurgeInstanceAsync(id));
        Assert.False((await app.Client.GetWorkflowStateAsync(id)).Exists);
    }

    [Fact]
    public async Task An_unknown_workflow_fails_and_says_so()
    {
        var id = await app.Client.ScheduleNewWorkflowAsync("Nobody");
        var state = await CompletedAsync(id);
        Assert.Equal((WorkflowRuntimeStatus.Failed, "WorkflowNotFound"), (state.RuntimeStatus, state.FailureDetails!.ErrorType));
    }

    [Fact]
    public async Task Work_goes_on_with_another_worker_when_one_leaves()
    {
        await using var second = await WorkerApp.StartAsync(host.GrpcPort, Register);
        var ids = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => second.Client.ScheduleNewWorkflowAsync("Chain", input: 10)));
        await app.DisposeAsync();
        foreach (var id in ids) Assert.Equal(90, (await second.Client.WaitForWorkflowCompletionAsync(id)).ReadOutputAs<int>());
        app = await WorkerApp.StartAsync(host.GrpcPort, Register);
    }

    [Fact]
    public async Task A_worker_that_comes_back_finds_its_work()
    {
        var id = await app.Client.ScheduleNewWorkflowAsync("Sleeper", input: 300);
        await app.DisposeAsync();
        app = await WorkerApp.StartAsync(host.GrpcPort, Register);
        Assert.Equal(300, (await CompletedAsync(id)).ReadOutputAs<int>());
    }

    private async Task<T?> RunAsync<T>(string name, object input)
    {
        var client = app.Client;
        var id = await client.ScheduleNewWorkflowAsync(name, input: input);
        return (await CompletedAsync(id)).ReadOutputAs<T>();
    }

    private async Task<WorkflowState> CompletedAsync(string id)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        return await app.Client.WaitForWorkflowCompletionAsync(id, cancellation: limit.Token);
    }
}
